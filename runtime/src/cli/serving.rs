//! A service from the time that it listens until it has ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::configured::Fronts;
use super::exit_status::CommandError;
use super::interrupted;
use super::sink::StandardError;
use crate::admin::server::AdminServer;
use crate::configured::{Configured, ImageFollower, RuntimeFollower};
use crate::server::{Context, Server};
use crate::service::PreparedCode;

/// How long answers may take to reach those who wait for them, when there is
/// nothing left that could make more.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// How long the last traces may take to reach their collector.
const LAST_TRACES: Duration = Duration::from_secs(1);

/// A service that listens.
pub(super) struct Serving {
    pub(super) server: Server,
    pub(super) admin: Arc<AdminServer>,
    /// How long what runs may go on when the service ends.
    pub(super) grace: Duration,
    pub(super) log: Arc<StandardError>,
    pub(super) fronts: Arc<Fronts>,
    /// The configuration file, if it has one.
    pub(super) configured: Option<Configured>,
    /// The image of the command line, if it has one, and what is served of it.
    pub(super) image: Option<(ImageFollower, Arc<PreparedCode>)>,
    pub(super) runtimes: RuntimeFollower,
    /// Between two looks at registries, if anybody wants them.
    pub(super) image_poll: Option<Duration>,
}

impl Serving {
    /// Serves until somebody ends it, and until nothing is left of it. What runs
    /// may end in the grace time; then all environments are ended at once, and
    /// whoever still waits is told so.
    ///
    /// # Errors
    /// The service has lost its launcher.
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let commands = tokio::spawn({
            let admin = Arc::clone(&self.admin);
            async move { admin.serve().await }
        });
        let mut following = JoinSet::new();
        if let Some(configured) = self.configured {
            let fronts: Arc<Fronts> = Arc::clone(&self.fronts);
            following.spawn(configured.follow(fronts));
        }
        if let Some((image, code)) = self.image {
            following.spawn(image.follow(code));
        }
        following.spawn(self.runtimes.follow());
        if let Some(interval) = self.image_poll {
            let control = Arc::clone(&self.server.context().control);
            let log = Arc::clone(&self.log);
            following.spawn(async move {
                let say = |line: &str| log.say(line);
                control.registries().follow(interval, &say).await;
            });
        }
        let pools = Arc::clone(&self.server.context().pools);
        let mut lost = false;
        tokio::select! {
            () = self.server.serve() => {}
            _ = interrupted() => {}
            () = self.admin.stop_requested() => {}
            () = pools.service().lost() => lost = true,
        }
        following.abort_all();
        let context = Arc::clone(self.server.context());
        let http_api = &self.fronts.http_api;
        let connections = self.server.close().await;
        http_api.close();
        {
            let done = async {
                tokio::join!(
                    connections.ended(),
                    http_api.ended(),
                    context.events.close()
                );
                // What was answered has its report, and its trace.
                pools.all_settled().await;
            };
            tokio::select! {
                () = done => {}
                () = tokio::time::sleep(self.grace) => {}
                // Whoever asks again does not want to wait.
                _ = interrupted() => {}
            }
        }
        report_waiting_events(&context, &self.log);
        context.pools.shutdown().await;
        if let Some(traces) = context.pools.traces()
            && let Some(lost) = traces.finish(LAST_TRACES).await
        {
            self.log.say(&lost);
        }
        let _in_time = tokio::time::timeout(LAST_ANSWERS, async {
            tokio::join!(connections.ended(), http_api.ended())
        })
        .await;
        // Those who follow the log get its last lines.
        context.pools.observer().history().close();
        // Who waits for a connection has a place like those who have one.
        commands.abort();
        let _aborted = commands.await;
        let _in_time = tokio::time::timeout(LAST_ANSWERS, self.admin.finish()).await;
        let _in_time = tokio::time::timeout(LAST_ANSWERS, self.log.drained()).await;
        if lost {
            return Err(CommandError::Host(
                "the process that starts environments has been killed, perhaps by the kernel for \
                 want of memory, and all environments with it: start the service again"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

fn report_waiting_events(context: &Context, log: &StandardError) {
    let events = context.events.events();
    if events > 0 {
        let events = match events {
            1 => "1 asynchronous event has not been completed, and goes".to_owned(),
            events => format!("{events} asynchronous events have not been completed, and go"),
        };
        log.say(&format!(
            "{events} on with the next service of this installation"
        ));
    }
}

//! `lambent serve`: the endpoint that SDKs talk to.

use std::sync::Arc;
use std::time::Duration;

use lambent_images::ImageReference;

use super::args::{Endpoint, Events, LayerSource, Serve};
use super::configured::{self, Chosen, Fronts, Settings, reachable};
use super::exit_status::{CommandError, ExitStatus};
use super::progress::ProgressDisplay;
use super::serving::Serving;
use super::sink::StandardError;
use super::strict::refuse_unenforced;
use super::{extra_layers, interrupted, output};
use crate::admin::server::AdminServer;
use crate::admin::socket::AdminSocket;
use crate::asynchronous::{EventInvokeConfig, EventQueue, Pace, QueueSettings, check_destination};
use crate::configured::{Configured, ImageFollower, ImageSource, RuntimeFollower, Start};
use crate::control_plane::ControlPlane;
use crate::functions::Functions;
use crate::images::Display;
use crate::model::FunctionConfiguration;
use crate::otlp::{Exporter, OtlpSettings};
use crate::pool::{PoolSettings, Pools};
use crate::server::http_api::HttpApi;
use crate::server::{Context, Server};
use crate::service::{PreparedCode, PreparedImage, Service};
use crate::service_error::ServiceError;
use crate::state::StateDirectories;
use crate::telemetry::Sink;

pub(super) async fn run(
    command: Serve,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let strict = command.function.other.strict;
    let layers = command.function.other.layer.clone();
    extra_layers::check(&layers, strict)?;
    let configuration = command.function.configuration()?;
    let chosen = configured::choose(&command.endpoint)?;
    if strict && chosen.is_none() {
        refuse_unenforced(&directories, &configuration)?;
    }
    let settings = Settings::of(&command.endpoint, chosen.as_ref());
    let functions = Arc::new(Functions::default());
    let log = StandardError::of_service(command.endpoint.log_format, &functions);
    let log = Arc::new(log);
    let collector = configured::collector(&command.endpoint, chosen.as_ref())?;
    let traces = collector.map(|collector| record(collector, &log));
    let defaults = PoolSettings::default();
    let pools = Pools::new(
        Service::open(directories.clone())?,
        PoolSettings {
            idle_limit: Duration::from_secs(settings.idle.into()),
            memory_mb: settings.memory_limit.unwrap_or(defaults.memory_mb),
            ..defaults
        },
        traces.transpose()?,
    );
    let opening = Opening {
        command: &command.endpoint,
        settings,
        events: &command.events,
        configuration,
        layers,
        strict,
        directories: &directories,
        pools: &pools,
        functions,
        log,
    };
    let opened = tokio::select! {
        opened = opening.open(chosen) => opened.map(Some),
        _ = interrupted() => Ok(None),
    };
    match opened {
        Ok(Some(serving)) => serving.run().await?,
        Ok(None) => pools.shutdown().await,
        Err(error) => {
            pools.shutdown().await;
            return Err(error);
        }
    }
    Ok(ExitStatus::Success)
}

/// Begins to record traces, for this collector.
fn record(
    collector: OtlpSettings,
    log: &Arc<StandardError>,
) -> Result<Arc<Exporter>, CommandError> {
    let log = Arc::clone(log);
    let say = Arc::new(move |line: &str| log.say(line));
    Exporter::start(collector, say)
        .map_err(|error| CommandError::Host(format!("cannot send traces: {error}")))
}

/// What a service begins with.
struct Opening<'a> {
    command: &'a Endpoint,
    settings: Settings,
    events: &'a Events,
    /// Of the image of the command line.
    configuration: FunctionConfiguration,
    layers: Vec<LayerSource>,
    strict: bool,
    directories: &'a StateDirectories,
    pools: &'a Arc<Pools>,
    functions: Arc<Functions>,
    log: Arc<StandardError>,
}

impl Opening<'_> {
    async fn open(&self, chosen: Option<Chosen>) -> Result<Serving, CommandError> {
        let (command, pools) = (self.command, self.pools);
        let functions = Arc::clone(&self.functions);
        let log = Arc::clone(&self.log);
        let sink = Arc::clone(&log);
        let runtimes = configured::runtime_images(command, chosen.as_ref())?;
        check_destinations(&self.events.config())?;
        let control = ControlPlane::open(self.directories, pools, &functions, sink, runtimes)?;
        let runtimes = self.runtimes(&control).await?;
        for lost in control.restore().await {
            output::diagnostic(&format!("warning: {lost}"));
        }
        let image = match &command.image {
            Some(image) => Some(self.adopt(image, &control).await?),
            None => None,
        };
        let configured = match chosen {
            None => None,
            Some(chosen) => Some(self.configure(chosen, &control, &functions, &log).await?),
        };
        let name = &self.configuration.function_name;
        let waiting = self.directories.events();
        let unusable = |error: std::io::Error| {
            CommandError::Host(format!("use {}: {error}", waiting.display()))
        };
        let notices = Arc::clone(&log);
        let events = EventQueue::open(
            &waiting,
            Arc::clone(pools),
            Arc::clone(&functions),
            self.queue_settings(),
            Arc::new(move |notice: &str| notices.say(notice)),
        );
        let events = events.map_err(unusable)?;
        let context = Context {
            functions,
            control: Arc::clone(&control),
            pools: Arc::clone(pools),
            events: Arc::clone(&events),
            sink: Arc::clone(&log) as Arc<dyn Sink>,
        };
        let listen = self.settings.listen;
        let server = Server::bind(listen, context).await.map_err(|error| {
            CommandError::Host(format!(
                "cannot listen on {listen}: {error}. Choose another address with --listen"
            ))
        })?;
        let address = server
            .address()
            .map_err(|error| CommandError::Host(format!("the listening socket: {error}")))?;
        let fronts = Arc::new(Fronts {
            http_api: HttpApi::new(Arc::clone(server.context())),
            address: self.settings.http_api,
        });
        let mut api = None;
        if let Some(configured) = &configured {
            let configuration = configured.configuration();
            api = fronts
                .open(&configuration.api)
                .await
                .map_err(CommandError::Host)?;
        }
        let sockets = self.directories.sockets();
        let socket = AdminSocket::bind(&sockets).await.map_err(|error| {
            CommandError::Host(format!("make a socket in {}: {error}", sockets.display()))
        })?;
        events.resume().map_err(unusable)?;
        log.say(&match &command.image {
            Some(image) => format!(
                "{name}: {image} at http://{address}. Point a client at it, for example:\n  \
                 aws lambda invoke --endpoint-url http://{address} --function-name {name} \
                 /dev/stdout"
            ),
            None => format!(
                "{} functions at http://{address}. Point a client at it, for example:\n  \
                 aws lambda list-functions --endpoint-url http://{address}",
                control.count()
            ),
        });
        if let Some(configured) = &configured {
            for name in configured.urls() {
                log.say(&format!(
                    "URL of {name}: http://{address}/lambda-url/{name}/"
                ));
            }
        }
        if let Some(line) = &api {
            log.say(line);
        }
        if !address.ip().is_loopback() {
            log.say(&reachable(address));
        }
        Ok(Serving {
            admin: Arc::new(AdminServer::new(
                socket,
                address,
                Arc::clone(server.context()),
            )),
            server,
            grace: Duration::from_secs(self.settings.grace.into()),
            log,
            fronts,
            configured,
            image,
            runtimes,
            image_poll: self.settings.image_poll,
        })
    }

    /// Fetches the images of runtimes, and is to follow them.
    async fn runtimes(&self, control: &Arc<ControlPlane>) -> Result<RuntimeFollower, CommandError> {
        let log = Arc::clone(&self.log);
        let say = Arc::new(move |line: &str| log.say(line));
        let follower = RuntimeFollower::new(Arc::clone(control), Arc::clone(self.pools), say).await;
        let progress = Arc::new(ProgressDisplay::beside_a_log(self.command.choice.quiet));
        let display = Arc::clone(&progress) as Display;
        let prepared = control.prepare_runtimes(&display).await;
        progress.finish();
        prepared?;
        Ok(follower)
    }

    fn queue_settings(&self) -> QueueSettings {
        QueueSettings {
            pace: Pace::new(self.events.retry_delay),
            defaults: match &self.command.image {
                // Its own, which clients may change.
                Some(_) => EventInvokeConfig::default(),
                None => self.events.config(),
            },
            ..QueueSettings::default()
        }
    }

    /// Serves the image of the command line as a function, for as long as the command
    /// runs, and is to follow it.
    async fn adopt(
        &self,
        image: &ImageReference,
        control: &Arc<ControlPlane>,
    ) -> Result<(ImageFollower, Arc<PreparedCode>), CommandError> {
        let config = self.events.config();
        config
            .check(&self.configuration.function_name)
            .map_err(|error| CommandError::Usage(error.to_string()))?;
        let follower = self.follower(image, control).await;
        let prepared = prepare(self.command, image, self.pools).await?;
        let code = extra_layers::attach(control.layers(), None, &self.layers, prepared)?;
        let code = Arc::new(code);
        control.adopt(&self.configuration, image, &code, &config)?;
        Ok((follower, code))
    }

    async fn follower(&self, image: &ImageReference, control: &Arc<ControlPlane>) -> ImageFollower {
        let files = self.layers.iter().filter_map(|layer| match layer {
            LayerSource::Path(path) => Some(path.clone()),
            LayerSource::Published(_) => None,
        });
        let (layers, store) = (self.layers.clone(), Arc::clone(control));
        let source = ImageSource {
            name: self.configuration.function_name.clone(),
            image: self.command.request(image),
            files: files.collect(),
            make: Arc::new(move |image| {
                extra_layers::attach(store.layers(), None, &layers, image)
                    .map_err(|error| ServiceError::Image(error.to_string()))
            }),
        };
        let log = Arc::clone(&self.log);
        let say = Arc::new(move |line: &str| log.say(line));
        ImageFollower::new(source, Arc::clone(control), Arc::clone(self.pools), say).await
    }

    /// Serves the functions of a configuration file.
    async fn configure(
        &self,
        chosen: Chosen,
        control: &Arc<ControlPlane>,
        functions: &Functions,
        log: &Arc<StandardError>,
    ) -> Result<Configured, CommandError> {
        let log = Arc::clone(log);
        let start = Start {
            file: chosen.file,
            identity: chosen.identity,
            control: Arc::clone(control),
            pools: Arc::clone(self.pools),
            say: Arc::new(move |line: &str| log.say(line)),
        };
        let configured = Configured::start(start, chosen.configuration).await?;
        if self.strict {
            for version in functions.latest() {
                refuse_unenforced(self.directories, &version.configuration)?;
            }
        }
        Ok(configured)
    }
}

fn check_destinations(config: &EventInvokeConfig) -> Result<(), CommandError> {
    let destinations = [&config.on_failure, &config.on_success];
    for destination in destinations.into_iter().flatten() {
        check_destination(destination)
            .map_err(|error| CommandError::Host(format!("write to {destination}: {error}")))?;
    }
    Ok(())
}

/// Fetches the image of the command line.
async fn prepare(
    command: &Endpoint,
    reference: &ImageReference,
    pools: &Pools,
) -> Result<Arc<PreparedImage>, CommandError> {
    let progress = Arc::new(ProgressDisplay::beside_a_log(command.choice.quiet));
    let display = Arc::clone(&progress) as Display;
    let request = command.request(reference);
    let prepared = pools.service().prepare(request, display).await;
    progress.finish();
    let image = Arc::new(prepared?);
    for warning in &image.image.warnings {
        output::diagnostic(&format!("warning: {warning}"));
    }
    Ok(image)
}

//! `lambent serve`: the endpoint that SDKs talk to.

use std::sync::Arc;
use std::time::Duration;

use lambent_images::ImageReference;

use super::args::{Endpoint, Events, LayerSource, Serve};
use super::exit_status::{CommandError, ExitStatus};
use super::progress::ProgressDisplay;
use super::serving::Serving;
use super::sink::StandardError;
use super::strict::refuse_unenforced;
use super::{extra_layers, interrupted, output};
use crate::admin::server::AdminServer;
use crate::admin::socket::AdminSocket;
use crate::asynchronous::{EventInvokeConfig, EventQueue, Pace, QueueSettings, check_destination};
use crate::control_plane::ControlPlane;
use crate::functions::Functions;
use crate::images::{Display, ImageRequest};
use crate::model::FunctionConfiguration;
use crate::pool::{PoolSettings, Pools};
use crate::server::{Context, Server};
use crate::service::{PreparedImage, Service};
use crate::state::StateDirectories;

pub(super) async fn run(
    command: Serve,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let strict = command.function.strict;
    let layers = command.function.layer.clone();
    extra_layers::check(&layers, strict)?;
    let configuration = command.function.configuration()?;
    if strict {
        refuse_unenforced(&directories, &configuration)?;
    }
    let pools = Pools::new(
        Service::open(directories.clone())?,
        PoolSettings {
            idle_limit: Duration::from_secs(command.endpoint.idle.into()),
            ..PoolSettings::default()
        },
    );
    let opened = tokio::select! {
        opened = open(&command.endpoint, &command.events, configuration, layers, &directories, &pools) => opened.map(Some),
        _ = interrupted() => Ok(None),
    };
    match opened {
        Ok(Some(serving)) => serving.run().await,
        Ok(None) => pools.shutdown().await,
        Err(error) => {
            pools.shutdown().await;
            return Err(error);
        }
    }
    Ok(ExitStatus::Success)
}

async fn open(
    command: &Endpoint,
    settings: &Events,
    configuration: FunctionConfiguration,
    layers: Vec<LayerSource>,
    directories: &StateDirectories,
    pools: &Arc<Pools>,
) -> Result<Serving, CommandError> {
    let sockets = directories.sockets();
    let functions = Arc::new(Functions::default());
    let log = Arc::new(StandardError::with_format(command.log_format));
    let sink = Arc::clone(&log);
    let runtimes = command.runtime_image.iter().cloned().collect();
    check_destinations(&settings.config())?;
    let control = ControlPlane::open(directories, pools, &functions, sink, runtimes)?;
    for lost in control.restore().await {
        output::diagnostic(&format!("warning: {lost}"));
    }
    let name = match &command.image {
        Some(image) => {
            let config = settings.config();
            config
                .check(&configuration.function_name)
                .map_err(|error| CommandError::Usage(error.to_string()))?;
            let image_code = prepare(command, image, pools).await?;
            let store = control.layers();
            let code = extra_layers::attach(store, directories.persistent(), &layers, image_code)?;
            control.adopt(&configuration, image, code, &config)?;
            Some(&configuration.function_name)
        }
        None => None,
    };
    let defaults = match name {
        // Its own, which clients may change.
        Some(_) => EventInvokeConfig::default(),
        None => settings.config(),
    };
    let queue = QueueSettings {
        pace: Pace::new(settings.retry_delay),
        defaults,
        ..QueueSettings::default()
    };
    let waiting = directories.events();
    let notices = Arc::clone(&log);
    let events = EventQueue::open(
        &waiting,
        Arc::clone(pools),
        Arc::clone(&functions),
        queue,
        Arc::new(move |notice: &str| notices.say(notice)),
    );
    let unusable =
        |error: std::io::Error| CommandError::Host(format!("use {}: {error}", waiting.display()));
    let events = events.map_err(unusable)?;
    let context = Context {
        functions,
        control: Arc::clone(&control),
        pools: Arc::clone(pools),
        events: Arc::clone(&events),
    };
    let server = Server::bind(command.listen, context)
        .await
        .map_err(|error| {
            CommandError::Host(format!(
                "cannot listen on {}: {error}. Choose another address with --listen",
                command.listen
            ))
        })?;
    let address = server
        .address()
        .map_err(|error| CommandError::Host(format!("the listening socket: {error}")))?;
    let socket = AdminSocket::bind(&sockets).await.map_err(|error| {
        CommandError::Host(format!("make a socket in {}: {error}", sockets.display()))
    })?;
    events.resume().map_err(unusable)?;
    output::progress(&match (name, &command.image) {
        (Some(name), Some(image)) => format!(
            "{name}: {image} at http://{address}. Point a client at it, for example:\n  \
             aws lambda invoke --endpoint-url http://{address} --function-name {name} /dev/stdout"
        ),
        _ => format!(
            "{} functions at http://{address}. Point a client at it, for example:\n  \
             aws lambda list-functions --endpoint-url http://{address}",
            control.count()
        ),
    });
    if !address.ip().is_loopback() {
        output::diagnostic(&format!(
            "warning: {address} can be reached from other machines, and whoever reaches it may \
             make and invoke functions: signatures are not checked"
        ));
    }
    Ok(Serving {
        admin: Arc::new(AdminServer::new(
            socket,
            address,
            Arc::clone(server.context()),
        )),
        server,
        grace: Duration::from_secs(command.grace.into()),
        log,
    })
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
    let request = ImageRequest {
        reference: reference.clone(),
        platform: command.choice.platform(),
        name: None,
    };
    let prepared = pools.service().prepare(request, display).await;
    progress.finish();
    let image = Arc::new(prepared?);
    for warning in &image.image.warnings {
        output::diagnostic(&format!("warning: {warning}"));
    }
    Ok(image)
}

//! `lambent serve`: the endpoint that SDKs talk to.

use std::sync::Arc;
use std::time::Duration;

use lambent_images::ImageReference;

use super::args::{Endpoint, Serve};
use super::exit_status::{CommandError, ExitStatus};
use super::progress::ProgressDisplay;
use super::sink::StandardError;
use super::strict::refuse_unenforced;
use super::{interrupted, output};
use crate::control_plane::ControlPlane;
use crate::functions::Functions;
use crate::images::{Display, ImageRequest};
use crate::model::FunctionConfiguration;
use crate::pool::{PoolSettings, Pools};
use crate::server::{Context, Server};
use crate::service::Service;
use crate::state::StateDirectories;

pub(super) async fn run(
    command: Serve,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let strict = command.function.strict;
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
    let result = tokio::select! {
        result = serve(&command.endpoint, configuration, &directories, &pools) => result,
        _ = interrupted() => Ok(ExitStatus::Success),
    };
    pools.shutdown().await;
    result
}

async fn serve(
    command: &Endpoint,
    configuration: FunctionConfiguration,
    directories: &StateDirectories,
    pools: &Arc<Pools>,
) -> Result<ExitStatus, CommandError> {
    let functions = Arc::new(Functions::default());
    let sink = Arc::new(StandardError::new());
    let runtimes = command.runtime_image.iter().cloned().collect();
    let control = ControlPlane::open(directories, pools, &functions, sink, runtimes)?;
    for lost in control.restore().await {
        output::diagnostic(&format!("warning: {lost}"));
    }
    let name = match &command.image {
        Some(image) => {
            adopt(command, image, &configuration, pools, &control).await?;
            Some(&configuration.function_name)
        }
        None => None,
    };
    let context = Context {
        functions,
        control: Arc::clone(&control),
        pools: Arc::clone(pools),
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
    server.serve().await;
    Ok(ExitStatus::Success)
}

/// Serves the image of the command line as a function, for as long as the command
/// runs.
async fn adopt(
    command: &Endpoint,
    reference: &ImageReference,
    configuration: &FunctionConfiguration,
    pools: &Pools,
    control: &ControlPlane,
) -> Result<(), CommandError> {
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
    control.adopt(configuration, reference, image)?;
    Ok(())
}

//! `lambent serve`: the endpoint that SDKs talk to.

use std::sync::Arc;
use std::time::Duration;

use super::args::{Endpoint, Serve};
use super::exit_status::{CommandError, ExitStatus};
use super::progress::ProgressDisplay;
use super::sink::StandardError;
use super::strict::refuse_unenforced;
use super::{interrupted, output};
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
        Service::open(directories)?,
        PoolSettings {
            idle_limit: Duration::from_secs(command.endpoint.idle.into()),
            ..PoolSettings::default()
        },
    );
    let result = tokio::select! {
        result = serve(&command.endpoint, configuration, &pools) => result,
        _ = interrupted() => Ok(ExitStatus::Success),
    };
    pools.shutdown().await;
    result
}

async fn serve(
    command: &Endpoint,
    configuration: FunctionConfiguration,
    pools: &Arc<Pools>,
) -> Result<ExitStatus, CommandError> {
    let progress = Arc::new(ProgressDisplay::beside_a_log(command.choice.quiet));
    let display = Arc::clone(&progress) as Display;
    let request = ImageRequest {
        reference: command.image.clone(),
        platform: command.choice.platform(),
        name: None,
    };
    let prepared = pools.service().prepare(request, display).await;
    progress.finish();
    let image = Arc::new(prepared?);
    for warning in &image.image.warnings {
        output::diagnostic(&format!("warning: {warning}"));
    }
    let sink = Arc::new(StandardError::new());
    let name = configuration.function_name.clone();
    let functions = Functions::default();
    functions.put(pools.deploy(configuration, "$LATEST".to_owned(), image, None, sink));
    let context = Context {
        functions,
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
    output::progress(&format!(
        "{name}: {} at http://{address}. Point a client at it, for example:\n  \
         aws lambda invoke --endpoint-url http://{address} --function-name {name} /dev/stdout",
        command.image
    ));
    if !address.ip().is_loopback() {
        output::diagnostic(&format!(
            "warning: {address} can be reached from other machines, and whoever reaches it may \
             invoke the function: signatures are not checked"
        ));
    }
    server.serve().await;
    Ok(ExitStatus::Success)
}

//! `lambent demo`: what the tool is for, in under a minute, with no image at
//! hand and no network.
//!
//! The sample function is a program of its own (package `lambent-demo-function`)
//! that lies beside `lambent`. It is packed into a real image and runs as any
//! other; each scene states what Lambda does, and shows that it happened.

mod scenes;
mod stage;

use self::stage::Stage;
use super::args::Demo;
use super::exit_status::{CommandError, ExitStatus};
use super::{interrupted, output};
use crate::service::Service;
use crate::state::StateDirectories;

pub(super) async fn run(
    _command: Demo,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let service = Service::open(directories)?;
    let result = tokio::select! {
        result = perform(&service) => result,
        error = interrupted() => Err(error),
    };
    service.shutdown().await;
    result
}

async fn perform(service: &Service) -> Result<ExitStatus, CommandError> {
    let stage = Stage::set(service).await?;
    let mut as_expected = true;
    as_expected &= scenes::proportional_cpu(&stage).await?;
    as_expected &= scenes::warm_reuse(&stage).await?;
    as_expected &= scenes::full_tmp(&stage).await?;
    as_expected &= scenes::out_of_memory(&stage).await?;
    as_expected &= scenes::time_out(&stage).await?;
    if as_expected {
        output::line("")?;
        output::line("Now your own: lambent invoke oci-archive:my-function.tar --payload '{}'")?;
        Ok(ExitStatus::Success)
    } else {
        output::diagnostic("a scene did not end as Lambda would end it (marked !)");
        Ok(ExitStatus::FunctionError)
    }
}

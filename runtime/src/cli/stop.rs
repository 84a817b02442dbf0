//! `lambent stop`: ends what `lambent serve` began, and waits for it.

use super::args::Stop;
use super::exit_status::{CommandError, ExitStatus};
use super::running::{choose, services};
use crate::state::StateDirectories;

pub(super) async fn run(
    command: Stop,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let mut services = services(&directories).await?;
    if !command.all {
        services = vec![choose(services, &command.choice)?];
    }
    for service in services {
        service.stop().await?;
    }
    Ok(ExitStatus::Success)
}

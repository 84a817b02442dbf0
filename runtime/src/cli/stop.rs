//! `lambent stop`: ends what `lambent serve` began, and waits for it.

use super::exit_status::{CommandError, ExitStatus};
use super::running::service;
use crate::state::StateDirectories;

pub(super) async fn run(directories: StateDirectories) -> Result<ExitStatus, CommandError> {
    service(&directories).await?.stop().await?;
    Ok(ExitStatus::Success)
}

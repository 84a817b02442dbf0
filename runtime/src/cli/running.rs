//! The service that a command means.

use super::exit_status::CommandError;
use crate::admin::client::{AdminError, RunningService, running};
use crate::state::StateDirectories;

/// Never empty: that none runs is an error.
async fn services(directories: &StateDirectories) -> Result<Vec<RunningService>, CommandError> {
    let sockets = directories.sockets();
    let services = running(&sockets)
        .await
        .map_err(|error| unusable(&sockets, &error))?;
    if services.is_empty() {
        return Err(CommandError::Host(format!(
            "no service runs here ({}): start one with `lambent serve IMAGE`, or name its --root",
            sockets.display()
        )));
    }
    Ok(services)
}

fn unusable(sockets: &std::path::Path, error: &std::io::Error) -> CommandError {
    let hint = if error.kind() == std::io::ErrorKind::PermissionDenied {
        "; run it with sudo"
    } else {
        ""
    };
    CommandError::Host(format!("use {}: {error}{hint}", sockets.display()))
}

/// The service of this installation: there is one at most.
pub(super) async fn service(
    directories: &StateDirectories,
) -> Result<RunningService, CommandError> {
    let mut services = services(directories).await?;
    Ok(services.swap_remove(0))
}

impl From<AdminError> for CommandError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::NotFound(reason) => Self::Usage(reason),
            AdminError::Refused(_) | AdminError::Broken(_) => Self::Host(error.to_string()),
        }
    }
}

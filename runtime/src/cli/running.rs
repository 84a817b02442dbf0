//! The services that run, and which of them a command means.

use super::args::ServiceChoice;
use super::exit_status::CommandError;
use crate::admin::client::{AdminError, RunningService, running};
use crate::state::StateDirectories;

/// All of them; that there is none is an error.
pub(super) async fn services(
    directories: &StateDirectories,
) -> Result<Vec<RunningService>, CommandError> {
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

/// The chosen one, or the only one.
pub(super) fn choose(
    mut services: Vec<RunningService>,
    choice: &ServiceChoice,
) -> Result<RunningService, CommandError> {
    let names: Vec<_> = services
        .iter()
        .map(|service| service.name.clone())
        .collect();
    let index = pick(&names, choice.service.as_deref())?;
    Ok(services.swap_remove(index))
}

fn pick(names: &[String], chosen: Option<&str>) -> Result<usize, CommandError> {
    let Some(chosen) = chosen else {
        return match names {
            [_] => Ok(0),
            _ => Err(CommandError::Usage(format!(
                "several services run: choose one with --service, of {}; `lambent ps` says more",
                names.join(", ")
            ))),
        };
    };
    let position = names.iter().position(|name| name == chosen);
    position.ok_or_else(|| {
        CommandError::Host(format!(
            "no service \"{}\" runs, only {}",
            chosen.escape_debug(),
            names.join(", ")
        ))
    })
}

impl From<AdminError> for CommandError {
    fn from(error: AdminError) -> Self {
        Self::Host(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ExitStatus;

    #[test]
    fn one_is_picked() {
        let names = ["a", "b"].map(str::to_owned);
        assert_eq!(pick(&names[..1], None).unwrap(), 0);
        assert_eq!(pick(&names, Some("b")).unwrap(), 1);
        let several = pick(&names, None).unwrap_err();
        assert_eq!(several.status(), ExitStatus::Usage);
        assert!(several.to_string().contains("a, b"), "{several}");
        let none = pick(&names, Some("c")).unwrap_err();
        assert_eq!(none.status(), ExitStatus::Host);
    }
}

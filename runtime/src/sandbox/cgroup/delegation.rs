//! Whether the v2 hierarchy gives our groups the controllers that limits need.
//!
//! libcontainer asks for them too, but goes on without; then the first limit fails
//! with a file that is not there, which says nothing to whoever reads it.

use std::fs;
use std::io;
use std::path::Path;

use super::Hierarchies;

/// What a sandbox is limited by. Memory first: a group with processes refuses it,
/// but would take the others, and be a group for threads from then on.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// Passes the controllers on from the root of the hierarchy, where v2 has them.
///
/// # Errors
/// They are not to be had; says why, and what helps.
pub(crate) fn delegate(hierarchies: &Hierarchies) -> io::Result<()> {
    let Some(root) = hierarchies.v2().filter(|_| hierarchies.unified()) else {
        return Ok(());
    };
    let read = |file: &str| {
        let path = root.join(file);
        fs::read_to_string(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    };
    let passed_on = read("cgroup.subtree_control")?;
    if missing(&passed_on).is_empty() {
        return Ok(());
    }
    let lacking = missing(&read("cgroup.controllers")?);
    if !lacking.is_empty() {
        return Err(io::Error::other(format!(
            "{} has no cgroup controller {}: the kernel lacks it, or whoever runs this container \
             does not delegate it",
            root.display(),
            lacking.join(", ")
        )));
    }
    for controller in missing(&passed_on) {
        fs::write(
            root.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )
        .map_err(|error| refused(root, controller, &error))?;
    }
    Ok(())
}

/// The controllers that a list of names lacks.
fn missing(names: &str) -> Vec<&'static str> {
    CONTROLLERS
        .into_iter()
        .filter(|controller| !names.split_whitespace().any(|name| name == *controller))
        .collect()
}

fn refused(root: &Path, controller: &str, error: &io::Error) -> io::Error {
    let root = root.display();
    let reason = match error.kind() {
        // Unsupported: the group has become one for threads.
        io::ErrorKind::ResourceBusy | io::ErrorKind::Unsupported => {
            ": there are processes in that group, as in a container with a cgroup namespace of its \
             own; move them to a group below it, or start the container in the host's namespace \
             (--cgroupns=host)"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            ": it is mounted read-only, as in a container without --privileged"
        }
        _ => "",
    };
    io::Error::new(
        error.kind(),
        format!("{root} does not pass on the cgroup controller {controller}: {error}{reason}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_found_by_whole_names() {
        for (names, expected) in [
            ("cpuset cpu io memory hugetlb pids rdma misc\n", &[][..]),
            ("", &["memory", "cpu", "pids"][..]),
            ("cpuset memory pids\n", &["cpu"][..]),
        ] {
            assert_eq!(missing(names), expected, "{names:?}");
        }
    }
}

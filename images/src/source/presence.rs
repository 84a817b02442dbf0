//! Whether there is anything where a reference says, for one look or one small request.

use std::path::Path;

use super::{cannot_open, daemon, registry, taken_for_registry};
use crate::ImageReference;
use crate::error::{Error, ErrorKind};

/// Why there is no image where a reference says; `None` if there may be one, also where a
/// registry or daemon cannot be asked. Blocks.
pub fn missing(reference: &ImageReference) -> Option<Error> {
    match reference {
        ImageReference::OciLayout { path, .. }
        | ImageReference::OciArchive { path, .. }
        | ImageReference::DockerArchive { path, .. } => no_file(path),
        ImageReference::Registry(reference) => not_found(registry::digest(reference)),
        ImageReference::Daemon { name } => not_found(daemon::id(name)),
        ImageReference::Path { path } => match taken_for_registry(path) {
            Some(reference) => not_found(registry::digest(&reference)),
            None => no_file(path),
        },
    }
}

fn no_file(path: &Path) -> Option<Error> {
    not_found(path.metadata().map_err(|error| cannot_open(path, error)))
}

fn not_found<T>(answer: Result<T, Error>) -> Option<Error> {
    let error = answer.err()?;
    (error.kind() == ErrorKind::NotFound).then_some(error)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_are_there_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        fs::write(path("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
        for (name, is_missing) in [("file", false), ("", false), ("none", true), ("link", true)] {
            let path = path(name);
            for text in [
                path.clone(),
                format!("oci:{path}:tag"),
                format!("oci-archive:{path}"),
                format!("docker-archive:{path}:f:1"),
            ] {
                let error = missing(&text.parse().unwrap());
                assert_eq!(error.is_some(), is_missing, "{text}: {error:?}");
                assert!(error.is_none_or(|error| error.to_string().contains(&path)));
            }
        }
    }
}

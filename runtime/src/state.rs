//! Where Lambent keeps its state.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::sandbox::user_namespace;

/// The directories of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDirectories {
    /// Survives a reboot: images, templates.
    persistent: PathBuf,
    /// Does not need to: locks, mount points.
    volatile: PathBuf,
}

impl StateDirectories {
    /// `/var/lib/lambent` and `/run/lambent`, an ordinary user's own directories, or
    /// both below `root`.
    ///
    /// # Errors
    /// `root` is relative, and there is no working directory to take it from; or an
    /// ordinary user has no home directory.
    pub fn new(root: Option<&Path>) -> io::Result<Self> {
        let Some(root) = root else {
            if user_namespace::user() == 0 {
                return Ok(Self {
                    persistent: "/var/lib/lambent".into(),
                    volatile: "/run/lambent".into(),
                });
            }
            return Self::of_user(|name| std::env::var_os(name), is_own);
        };
        // The launcher works from another directory.
        let root = std::path::absolute(root)?;
        Ok(Self {
            persistent: root.join("lib"),
            volatile: root.join("run"),
        })
    }

    /// `lambent` in the XDG directories. A runtime directory that is `own` is this
    /// user's: `su` leaves that of somebody else in the environment.
    fn of_user(
        variable: impl Fn(&str) -> Option<OsString>,
        own: impl Fn(&Path) -> bool,
    ) -> io::Result<Self> {
        let absolute = |name| {
            let path = variable(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let data = absolute("XDG_DATA_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".local/share")))
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    "neither XDG_DATA_HOME nor HOME says where this user's files are: name a \
                     directory with --root",
                )
            })?;
        let persistent = data.join("lambent");
        let runtime = absolute("XDG_RUNTIME_DIR").filter(|directory| own(directory));
        Ok(Self {
            volatile: runtime.map_or_else(
                || persistent.join("run"),
                |directory| directory.join("lambent"),
            ),
            persistent,
        })
    }

    /// Where everything is kept that survives a reboot.
    pub fn persistent(&self) -> &Path {
        &self.persistent
    }

    /// The content store.
    pub fn images(&self) -> PathBuf {
        self.persistent.join("images")
    }

    /// The functions that are kept.
    pub fn functions(&self) -> PathBuf {
        self.persistent.join("functions")
    }

    /// Asynchronous events that wait.
    pub(crate) fn events(&self) -> PathBuf {
        self.persistent.join("events")
    }

    /// The layers.
    pub fn layers(&self) -> PathBuf {
        self.persistent.join("layers")
    }

    /// The archives of functions and layers.
    pub fn packages(&self) -> PathBuf {
        self.persistent.join("packages")
    }

    /// The same as they came.
    pub fn archives(&self) -> PathBuf {
        self.persistent.join("archives")
    }

    /// Files behind ephemeral storage.
    pub fn storage(&self) -> PathBuf {
        self.persistent.join("storage")
    }

    /// The place over which workers mount; always empty on the host.
    pub fn mount_point(&self) -> PathBuf {
        self.volatile.join("sandbox")
    }

    /// The locks of living services.
    pub fn services(&self) -> PathBuf {
        self.volatile.join("services")
    }

    /// The sockets of living services that serve.
    pub fn sockets(&self) -> PathBuf {
        self.volatile.join("sockets")
    }

    /// Creates what is missing, for the owner only.
    ///
    /// # Errors
    /// A directory cannot be created; the error names it.
    pub fn create(&self) -> io::Result<()> {
        for directory in [
            self.persistent.clone(),
            self.volatile.clone(),
            self.storage(),
            self.mount_point(),
            self.services(),
            self.sockets(),
        ] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&directory)
                .map_err(|error| {
                    io::Error::new(
                        error.kind(),
                        format!("create {}: {error}", directory.display()),
                    )
                })?;
        }
        Ok(())
    }
}

/// Whether a directory belongs to this user.
fn is_own(directory: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    std::fs::metadata(directory).is_ok_and(|metadata| metadata.uid() == own)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Variables<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn an_ordinary_users_directories_are_xdgs() {
        let home = ("HOME", "/home/ann");
        // (variables, whether the runtime directory is the user's, where)
        let cases: [(Variables<'_>, bool, &str, &str); 5] = [
            (
                &[home, ("XDG_RUNTIME_DIR", "/run/user/1000")],
                true,
                "/home/ann/.local/share/lambent",
                "/run/user/1000/lambent",
            ),
            (
                &[home, ("XDG_RUNTIME_DIR", "/run/user/0")],
                false,
                "/home/ann/.local/share/lambent",
                "/home/ann/.local/share/lambent/run",
            ),
            (
                &[home],
                true,
                "/home/ann/.local/share/lambent",
                "/home/ann/.local/share/lambent/run",
            ),
            (
                &[home, ("XDG_DATA_HOME", "/data")],
                true,
                "/data/lambent",
                "/data/lambent/run",
            ),
            // XDG's rule: what is not absolute is not there.
            (
                &[home, ("XDG_DATA_HOME", "data")],
                true,
                "/home/ann/.local/share/lambent",
                "/home/ann/.local/share/lambent/run",
            ),
        ];
        for (variables, own, persistent, volatile) in cases {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let directories = StateDirectories::of_user(variable, |_| own).unwrap();
            assert_eq!(
                directories.persistent,
                Path::new(persistent),
                "{variables:?}"
            );
            assert_eq!(directories.volatile, Path::new(volatile), "{variables:?}");
        }
        let nowhere = StateDirectories::of_user(|_| None, |_| true).unwrap_err();
        assert!(nowhere.to_string().contains("--root"), "{nowhere}");
    }
}

//! Where Lambent keeps its state.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The directories of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDirectories {
    /// Survives a reboot: images, templates.
    persistent: PathBuf,
    /// Does not need to: locks, mount points.
    volatile: PathBuf,
}

impl StateDirectories {
    /// `/var/lib/lambent` and `/run/lambent`, or both below `root`.
    ///
    /// # Errors
    /// `root` is relative, and there is no working directory to take it from.
    pub fn new(root: Option<&Path>) -> io::Result<Self> {
        let Some(root) = root else {
            return Ok(Self {
                persistent: "/var/lib/lambent".into(),
                volatile: "/run/lambent".into(),
            });
        };
        // The launcher works from another directory.
        let root = std::path::absolute(root)?;
        Ok(Self {
            persistent: root.join("lib"),
            volatile: root.join("run"),
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

//! Images and code of functions that are ready to run, held in the store.

use std::sync::Arc;

use lambent_images::{Attachment, Digest, FileKind, Image, PackageLease, PackageStore, Rootfs};

use crate::model::TASK_ROOT;
use crate::service_error::ServiceError;

/// Where layers are.
const LAYER_ROOT: &str = "/opt";

/// An image that is ready to run: imported, with its layers held in the store.
#[derive(Debug)]
pub struct PreparedImage {
    /// What was imported.
    pub image: Image,
    pub(super) rootfs: Rootfs,
}

/// The code of a function, ready to run.
#[derive(Debug)]
pub struct PreparedCode {
    /// The image; of a zip function, the one that has its runtime.
    pub image: Arc<PreparedImage>,
    /// What is at `/var/task` of a zip function.
    pub task: Option<PackageLease>,
    /// What is at `/opt`, later ones over earlier ones.
    pub layers: Vec<PackageLease>,
    pub(super) attachments: Vec<Attachment>,
}

impl PreparedCode {
    /// An image, with layers where Lambda would not have them.
    ///
    /// # Errors
    /// The image has no directory over which to mount them.
    pub fn new(
        packages: &PackageStore,
        image: Arc<PreparedImage>,
        task: Option<PackageLease>,
        layers: Vec<PackageLease>,
    ) -> Result<Self, ServiceError> {
        let mut attachments = vec![];
        if let Some(task) = &task {
            attachments.push(packages.attachment(TASK_ROOT, [task]));
            image.require_directory(TASK_ROOT)?;
        }
        if !layers.is_empty() {
            attachments.push(packages.attachment(LAYER_ROOT, &layers));
            image.require_directory(LAYER_ROOT)?;
        }
        Ok(Self {
            image,
            task,
            layers,
            attachments,
        })
    }

    /// Where the program is that a `provided` function brings: as on Lambda, in
    /// its code, else in its layers.
    pub(super) fn bootstrap(&self) -> String {
        let in_task = self.task.iter().any(|task| task.has("bootstrap"));
        let in_layers = self.layers.iter().any(|layer| layer.has("bootstrap"));
        let root = if in_layers && !in_task {
            LAYER_ROOT
        } else {
            TASK_ROOT
        };
        format!("{root}/bootstrap")
    }
}

impl From<Arc<PreparedImage>> for PreparedCode {
    fn from(image: Arc<PreparedImage>) -> Self {
        Self {
            image,
            task: None,
            layers: vec![],
            attachments: vec![],
        }
    }
}

impl PreparedImage {
    /// Whether a path leads to a file in it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn has_file(&self, path: &str) -> Result<bool, ServiceError> {
        let found = self.rootfs.lookup(path)?;
        Ok(matches!(found, Some(FileKind::File { .. })))
    }

    /// The digest of its manifest.
    pub(crate) fn digest(&self) -> Digest {
        self.image.manifest_digest
    }

    /// Checks that something can be mounted there.
    ///
    /// # Errors
    /// The image has no such directory.
    pub(crate) fn require_directory(&self, path: &str) -> Result<(), ServiceError> {
        match self.rootfs.lookup(path)? {
            Some(FileKind::Directory { .. }) => Ok(()),
            _ => Err(ServiceError::Image(format!(
                "the image has no directory {path}, over which code or layers are \
                 mounted: make it in the image (`RUN mkdir -p {path}`)"
            ))),
        }
    }
}

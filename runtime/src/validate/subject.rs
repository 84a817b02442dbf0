//! [`Subject`]: what the rules look at.

use std::path::{Path, PathBuf};

use lambent_images::{Digest, Image, ImageFile, ImageFileKind, ImageFiles, Permission};

use crate::model::{FunctionConfiguration, GROUP_ID, TASK_ROOT, USER_ID};

/// An image, and the function that it is to be.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) image: &'a Image,
    pub(crate) files: &'a ImageFiles,
    /// What overrides the image's own settings.
    pub(crate) function: &'a FunctionConfiguration,
}

impl Subject<'_> {
    /// `ENTRYPOINT` and `CMD`, each with its override.
    pub(super) fn arguments(&self) -> Vec<&str> {
        let config = &self.image.config;
        let overrides = &self.function.image_config;
        let arguments = overrides.arguments(&config.entrypoint, &config.cmd);
        arguments.map(String::as_str).collect()
    }

    /// `WORKDIR` or its override, if there is one.
    pub(super) fn stated_working_directory(&self) -> Option<&str> {
        let of_image = self.image.config.working_dir.as_deref();
        self.function.image_config.working_directory(of_image)
    }

    /// Where the function starts.
    pub(super) fn working_directory(&self) -> PathBuf {
        let stated = self.stated_working_directory().map(PathBuf::from);
        stated.unwrap_or_else(|| match self.files.find(TASK_ROOT) {
            Some(file) if file.kind == ImageFileKind::Directory => TASK_ROOT.into(),
            _ => "/".into(),
        })
    }

    /// A variable as the function sees it.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let of_function = self.function.environment.get(name).map(String::as_str);
        of_function.or_else(|| {
            let assignments = self.image.config.env.iter().rev();
            assignments
                .filter_map(|assignment| assignment.split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
        })
    }

    /// The path of a program that arguments begin with: as it is, from the working
    /// directory, or where `PATH` has a file of the name.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        if name.contains('/') {
            return Some(self.working_directory().join(name));
        }
        let candidates = self.variable("PATH")?.split(':');
        candidates
            .map(|directory| self.working_directory().join(directory).join(name))
            .find(|path| self.is_file(path))
    }

    /// Whether a path leads to a file.
    pub(super) fn is_file(&self, path: &Path) -> bool {
        let file = self.files.find(path);
        file.is_some_and(|file| file.kind == ImageFileKind::File)
    }

    /// The blob of the layer that a file comes from.
    pub(super) fn layer_of(&self, file: &ImageFile) -> Option<Digest> {
        self.image.layers.get(file.layer).map(|layer| layer.digest)
    }
}

/// Whether Lambda's user has a permission.
pub(super) fn permits(file: &ImageFile, permission: Permission) -> bool {
    file.permits(USER_ID, GROUP_ID, permission)
}

//! An image as a bundle, as `lambent image unpack` writes it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Lambent;
use crate::fixtures::{Error, at};

/// A bundle in a directory of its own.
#[derive(Debug)]
pub(in super::super) struct Bundle {
    directory: PathBuf,
}

impl Bundle {
    /// Unpacks an image below `parent`.
    ///
    /// # Errors
    /// Lambent cannot.
    pub(in super::super) fn unpack(
        lambent: &Lambent,
        image: &str,
        parent: &Path,
        name: &str,
    ) -> Result<Self, Error> {
        let directory = parent.join(name);
        let loaded = lambent.run(["image", "load", image, "--name", name]);
        if loaded.status != 0 {
            return Err(format!("lambent image load: {loaded:?}").into());
        }
        let unpacked = lambent
            .command(["image", "unpack", name])
            .arg(&directory)
            .output()?;
        if !unpacked.status.success() {
            return Err(format!("lambent image unpack: {unpacked:?}").into());
        }
        Ok(Self { directory })
    }

    pub(in super::super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(in super::super) fn rootfs(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    /// The words of the image's own program.
    ///
    /// # Errors
    /// There is no configuration.
    pub(in super::super) fn words(&self) -> Result<Vec<String>, Error> {
        let words = self.read()?["process"]["args"].take();
        Ok(serde_json::from_value(words)?)
    }

    /// Has it run something else.
    ///
    /// # Errors
    /// The configuration cannot be changed.
    pub(in super::super) fn set_words(&self, words: &[String]) -> Result<(), Error> {
        let mut config = self.read()?;
        config["process"]["args"] = json!(words);
        self.write(&config)
    }

    /// Gives it the host's network.
    ///
    /// # Errors
    /// The configuration cannot be changed.
    pub(in super::super) fn share_network(&self) -> Result<(), Error> {
        let mut config = self.read()?;
        let namespaces = config["linux"]["namespaces"].as_array_mut();
        namespaces
            .ok_or("a bundle without namespaces")?
            .retain(|namespace| namespace["type"] != "network");
        self.write(&config)
    }

    fn read(&self) -> Result<Value, Error> {
        let path = self.directory.join("config.json");
        Ok(serde_json::from_slice(
            &fs::read(&path).map_err(at(&path))?,
        )?)
    }

    fn write(&self, config: &Value) -> Result<(), Error> {
        let path = self.directory.join("config.json");
        fs::write(&path, config.to_string()).map_err(at(&path))
    }
}

//! [`ImageBuilder`]: layers and a configuration, written in any of the formats.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::layer::{Compression, LayerBlob, LayerBuilder};
use super::output::{ArchiveOutput, BlobOutput, LayoutOutput};
use crate::error::Result;
use crate::manifest::{
    OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST, REF_NAME,
};
use crate::{Digest, Platform};

/// Collects an image and writes it.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    platform: Platform,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    env: Vec<String>,
    working_dir: Option<String>,
    user: Option<String>,
    labels: Map<String, Value>,
    layers: Vec<LayerBuilder>,
}

impl ImageBuilder {
    /// An image for this platform, without layers.
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            env: Vec::new(),
            working_dir: None,
            user: None,
            labels: Map::new(),
            layers: Vec::new(),
        }
    }

    /// Sets `ENTRYPOINT`.
    #[must_use]
    pub fn entrypoint<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// Sets `CMD`.
    #[must_use]
    pub fn cmd<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.cmd = words.into_iter().map(Into::into).collect();
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push(format!("{key}={value}"));
        self
    }

    /// Sets `WORKDIR`.
    #[must_use]
    pub fn working_dir(mut self, path: impl Into<String>) -> Self {
        self.working_dir = Some(path.into());
        self
    }

    /// Sets `USER`.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), Value::String(value.into()));
        self
    }

    /// Adds a layer on top of those so far.
    #[must_use]
    pub fn layer(mut self, layer: LayerBuilder) -> Self {
        self.layers.push(layer);
        self
    }

    /// Writes an OCI image layout into `dir`, which is made if it is missing, as
    /// its only image. Returns the digest of the manifest.
    pub fn write_oci_layout(&self, dir: &Path, tag: &str) -> Result<Digest> {
        let mut output = LayoutOutput::new(dir)?;
        self.write_oci(&mut output, tag)
    }

    /// Writes a tar file with an OCI image layout. Returns the digest of the manifest.
    pub fn write_oci_archive(&self, file: &Path, tag: &str) -> Result<Digest> {
        let mut output = ArchiveOutput::new(file)?;
        let digest = self.write_oci(&mut output, tag)?;
        output.finish()?;
        Ok(digest)
    }

    /// Writes what `docker save` writes. Returns the digest of the configuration,
    /// which is Docker's image id.
    pub fn write_docker_archive(&self, file: &Path, repo_tag: &str) -> Result<Digest> {
        let mut output = ArchiveOutput::new(file)?;
        let mut blobs = Vec::new();
        let mut names = Vec::new();
        for layer in &self.layers {
            let name = |blob: &LayerBlob| format!("{}.tar", blob.digest.hex());
            let blob = output.layer(layer, Compression::None, &name)?;
            names.push(name(&blob));
            blobs.push(blob);
        }
        let config = self.config(&blobs).to_string();
        let digest = Digest::of(&config);
        let config_name = format!("{}.json", digest.hex());
        output.small(&config_name, config.as_bytes())?;
        let manifest = json!([{ "Config": config_name, "RepoTags": [repo_tag], "Layers": names }]);
        output.small("manifest.json", manifest.to_string().as_bytes())?;
        output.finish()?;
        Ok(digest)
    }

    fn write_oci(&self, output: &mut dyn BlobOutput, tag: &str) -> Result<Digest> {
        let blob_name = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
        let mut blobs = Vec::new();
        for layer in &self.layers {
            blobs.push(output.layer(layer, Compression::Gzip, &|blob| blob_name(&blob.digest))?);
        }
        let layers: Vec<_> = blobs
            .iter()
            .map(|blob| {
                let media_type = match blob.compression {
                    Compression::Gzip => OCI_LAYER_GZIP,
                    Compression::Zstd => OCI_LAYER_ZSTD,
                    Compression::None => OCI_LAYER,
                };
                json!({ "mediaType": media_type, "digest": blob.digest, "size": blob.size })
            })
            .collect();
        let config = self.config(&blobs).to_string();
        let config_digest = Digest::of(&config);
        output.small(&blob_name(&config_digest), config.as_bytes())?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": { "mediaType": OCI_CONFIG, "digest": config_digest, "size": config.len() },
            "layers": layers,
        })
        .to_string();
        let digest = Digest::of(&manifest);
        output.small(&blob_name(&digest), manifest.as_bytes())?;
        let index = json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [{
                "mediaType": OCI_MANIFEST,
                "digest": digest,
                "size": manifest.len(),
                "annotations": { REF_NAME: tag },
            }],
        });
        output.small("index.json", index.to_string().as_bytes())?;
        output.small("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(digest)
    }

    fn config(&self, layers: &[LayerBlob]) -> Value {
        let mut run = Map::new();
        let mut set = |key: &str, value: Value| {
            run.insert(key.to_owned(), value);
        };
        if !self.entrypoint.is_empty() {
            set("Entrypoint", json!(self.entrypoint));
        }
        if !self.cmd.is_empty() {
            set("Cmd", json!(self.cmd));
        }
        if !self.env.is_empty() {
            set("Env", json!(self.env));
        }
        if let Some(path) = &self.working_dir {
            set("WorkingDir", json!(path));
        }
        if let Some(user) = &self.user {
            set("User", json!(user));
        }
        if !self.labels.is_empty() {
            set("Labels", Value::Object(self.labels.clone()));
        }
        let mut config = json!({
            "created": "1970-01-01T00:00:00Z",
            "os": self.platform.os,
            "architecture": self.platform.architecture,
            "config": run,
            "rootfs": {
                "type": "layers",
                "diff_ids": layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>(),
            },
            "history": layers
                .iter()
                .map(|_| json!({ "created": "1970-01-01T00:00:00Z", "created_by": "lambent" }))
                .collect::<Vec<_>>(),
        });
        if let Some(variant) = &self.platform.variant {
            config["variant"] = json!(variant);
        }
        config
    }
}

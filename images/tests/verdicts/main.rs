//! Odd and malformed image archives and their documents, and what becomes of
//! each. Ids are those of the project's list of attacks on images; damaged blobs,
//! diff IDs and nested indexes are in `sources`.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod docker;
mod oci;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use lambent_images::writer::{ImageBuilder, LayerBuilder};
use lambent_images::{Digest, ErrorKind, ImageReference, NoProgress, Platform};
use serde_json::{Value, json};
use support::tar::{Fields, Tar};
use support::{Scratch, is_root};

/// The files of an image, to be bent and written as one tar file.
#[derive(Clone)]
struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    fn oci() -> Self {
        let directory = tempfile::tempdir().unwrap();
        image()
            .write_oci_layout(directory.path(), "latest")
            .unwrap();
        let mut files = Self(BTreeMap::new());
        files.read(directory.path(), "");
        files
    }

    /// What `docker save` writes, with a layer in a directory of its own.
    fn docker() -> Self {
        let layer = Tar::new().file("x", "x").end();
        let config = json!({
            "os": "linux",
            "architecture": Platform::host().architecture,
            "config": { "Entrypoint": ["/x"] },
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer)] },
        });
        let manifest =
            json!([{ "Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l/layer.tar"] }]);
        Self(BTreeMap::from([
            ("c.json".to_owned(), config.to_string().into()),
            ("l/layer.tar".to_owned(), layer),
            ("manifest.json".to_owned(), manifest.to_string().into()),
        ]))
    }

    fn read(&mut self, directory: &Path, prefix: &str) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                self.read(&entry.path(), &format!("{name}/"));
            } else {
                self.0.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }

    fn without(mut self, name: &str) -> Self {
        self.0.remove(name).unwrap();
        self
    }

    fn with(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.insert(name.to_owned(), bytes.into());
        self
    }

    /// The same with one JSON file changed.
    fn edit(self, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut value = serde_json::from_slice(&self.0[name]).unwrap();
        change(&mut value);
        self.with(name, value.to_string())
    }

    /// The same with the manifest replaced, and the index led to it.
    fn manifest(self, change: impl FnOnce(String) -> String) -> Self {
        let index: Value = serde_json::from_slice(&self.0["index.json"]).unwrap();
        let digest: Digest = index["manifests"][0]["digest"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let old = self.0[&format!("blobs/sha256/{}", digest.hex())].clone();
        let text = change(String::from_utf8(old).unwrap());
        let digest = Digest::of(&text);
        self.edit("index.json", |index| {
            index["manifests"][0]["digest"] = json!(digest);
            index["manifests"][0]["size"] = json!(text.len());
        })
        .with(&format!("blobs/sha256/{}", digest.hex()), text)
    }

    fn layer(&self) -> String {
        let largest = self
            .0
            .iter()
            .filter(|(_, bytes)| bytes.starts_with(b"\x1f\x8b"));
        largest.map(|(name, _)| name.clone()).next().unwrap()
    }

    fn tar(&self) -> Tar {
        self.0.iter().fold(Tar::new(), |tar, (name, bytes)| {
            let fields = Fields {
                name: name.as_bytes(),
                ..Fields::default()
            };
            tar.entry(fields, bytes)
        })
    }

    fn end(&self) -> Vec<u8> {
        self.tar().end()
    }
}

fn image() -> ImageBuilder {
    ImageBuilder::new(Platform::host())
        .entrypoint(["/x"])
        .layer(LayerBuilder::new().file("x", 0o755, "x"))
}

type Case = (&'static str, Vec<u8>, Result<(), ErrorKind>);

#[test]
fn verdicts() {
    if !is_root("verdicts") {
        return;
    }
    let mut wrong = Vec::new();
    for (name, bytes, expected) in oci::cases().into_iter().chain(docker::cases()) {
        let scratch = Scratch::in_memory();
        let file = scratch.path("archive.tar");
        std::fs::write(&file, bytes).unwrap();
        let before = scratch.content();
        let reference = ImageReference::Path { path: file };
        let found = scratch
            .store
            .import(&reference, &Platform::host(), &NoProgress);
        if let Err(error) = &found
            && (scratch.content() != before || error.to_string().chars().any(char::is_control))
        {
            wrong.push(format!(
                "{name}: it left something, or speaks in tongues: {error:?}"
            ));
        }
        if found
            .as_ref()
            .map(drop)
            .map_err(lambent_images::Error::kind)
            != expected
        {
            wrong.push(format!("{name}: {found:?} and not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

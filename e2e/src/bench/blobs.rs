//! Images of layers that are too large for the crate's own writer, which holds
//! a layer's description in memory: layers are streamed into a layout, and the
//! documents composed of what they turned out to be.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use lambent_images::writer::Hashed;
use lambent_images::{Digest, Platform};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tar::Builder;

use crate::fixtures::{Error, at};

/// One gzip layer in a layout.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    digest: String,
    diff_id: String,
    size: u64,
}

/// What an image consists of.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) layers: u64,
    pub(super) entries: u64,
    pub(super) compressed: u64,
    pub(super) uncompressed: u64,
}

/// Where a layer's tar stream is written.
pub(super) type TarSink<'a> = Builder<&'a mut dyn Write>;

/// Writes one layer into the layout.
pub(super) fn stream(
    layout: &Path,
    level: u32,
    write: impl FnOnce(&mut TarSink<'_>) -> io::Result<()>,
) -> Result<Layer, Error> {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(at(&blobs))?;
    let temporary = tempfile::NamedTempFile::new_in(&blobs)?;
    let file = BufWriter::with_capacity(1 << 20, temporary.as_file());
    let mut encoder = GzEncoder::new(Hashed::new(file), Compression::new(level));
    let mut hashed = Hashed::new(&mut encoder);
    let mut tar: TarSink<'_> = Builder::new(&mut hashed);
    write(&mut tar)?;
    tar.finish()?;
    drop(tar);
    let (diff_id, _) = hashed.finish();
    let mut blob = encoder.finish()?;
    blob.flush()?;
    let (digest, size) = blob.finish();
    temporary.persist(blobs.join(digest.hex()))?;
    Ok(Layer {
        digest: digest.to_string(),
        diff_id: diff_id.to_string(),
        size,
    })
}

/// Makes the layout one of a single image with these layers.
pub(super) fn compose(layout: &Path, layers: &[Layer]) -> Result<(), Error> {
    let platform = Platform::host();
    let config = json!({
        "created": "1970-01-01T00:00:00Z",
        "os": platform.os,
        "architecture": platform.architecture,
        "config": { "Entrypoint": ["/bin/true"] },
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>(),
        },
        "history": layers
            .iter()
            .map(|_| json!({ "created": "1970-01-01T00:00:00Z", "created_by": "bench" }))
            .collect::<Vec<_>>(),
    });
    let config = document(layout, "application/vnd.oci.image.config.v1+json", &config)?;
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": layer.digest,
                "size": layer.size,
            })
        })
        .collect();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
    });
    let mut manifest = document(layout, media_type, &manifest)?;
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    let write = |name: &str, text: String| {
        let path = layout.join(name);
        fs::write(&path, text).map_err(at(&path))
    };
    write("index.json", index.to_string())?;
    write("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#.to_owned())
}

/// Writes a document's blob; returns its descriptor.
fn document(layout: &Path, media_type: &str, value: &Value) -> Result<Value, Error> {
    let text = value.to_string();
    let digest = Digest::of(&text);
    let path = layout.join("blobs/sha256").join(digest.hex());
    fs::write(&path, &text).map_err(at(&path))?;
    Ok(json!({ "mediaType": media_type, "digest": digest, "size": text.len() }))
}

/// The layers of the layout's only image.
pub(super) fn layers(layout: &Path) -> Result<Vec<Layer>, Error> {
    let blob = |value: &Value| -> Result<Value, Error> {
        let name = value["digest"].as_str().unwrap_or_default();
        read(&layout.join("blobs/sha256").join(hex(name)))
    };
    let index = read(&layout.join("index.json"))?;
    let manifest = blob(&index["manifests"][0])?;
    let config = blob(&manifest["config"])?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(list(&manifest["layers"])
        .iter()
        .zip(list(&config["rootfs"]["diff_ids"]))
        .map(|(layer, diff_id)| Layer {
            digest: text(&layer["digest"]),
            diff_id: text(&diff_id),
            size: layer["size"].as_u64().unwrap_or_default(),
        })
        .collect())
}

impl Layer {
    /// Bytes of the blob.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The blob's bytes.
    fn open(&self, layout: &Path) -> Result<File, Error> {
        let path = layout.join("blobs/sha256").join(hex(&self.digest));
        File::open(&path).map_err(at(&path))
    }

    /// The tar stream.
    pub(super) fn inflate(&self, layout: &Path) -> Result<impl Read + use<>, Error> {
        let file = BufReader::with_capacity(1 << 17, self.open(layout)?);
        Ok(MultiGzDecoder::new(file))
    }
}

/// Counts what is in the layout's only image.
pub(super) fn facts(layout: &Path) -> Result<Facts, Error> {
    let mut facts = Facts::default();
    for layer in layers(layout)? {
        facts.layers += 1;
        facts.compressed += layer.size;
        let mut stream = Counted {
            inner: layer.inflate(layout)?,
            count: 0,
        };
        for entry in tar::Archive::new(&mut stream).entries()? {
            entry?;
            facts.entries += 1;
        }
        io::copy(&mut stream, &mut io::sink())?;
        facts.uncompressed += stream.count;
    }
    Ok(facts)
}

fn read(path: &Path) -> Result<Value, Error> {
    Ok(serde_json::from_slice(&fs::read(path).map_err(at(path))?)?)
}

fn hex(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}

struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}

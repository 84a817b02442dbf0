//! Records: what the store knows about a blob or layer that it has verified.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::layout::{private_file, read_small};
use super::staging::Staging;
use crate::Digest;
use crate::error::{IoContext, Result, quoted_path};
use crate::owners::{OwnersKind, owners};
use crate::unique::unique;

/// Version of all records.
const VERSION: u32 = 1;
/// Largest record that is read, in bytes.
const RECORD_MAX: u64 = 256 * 1024;

/// The blob of this digest was read completely and its stream has this diff ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlobRecord {
    version: u32,
    pub(crate) diff_id: Digest,
}

/// The layer of this diff ID is unpacked completely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayerRecord {
    version: u32,
    /// Bytes of the uncompressed tar stream.
    pub(crate) size: u64,
    /// Digest of the index.
    pub(crate) index: Digest,
    /// What was left out while unpacking, one line each.
    pub(crate) warnings: Vec<String>,
    /// Whom the files could belong to when it was unpacked.
    #[serde(default, skip_serializing_if = "OwnersKind::is_any")]
    owners: OwnersKind,
}

/// The layer of this diff ID is there as a tar stream with its index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TarRecord {
    version: u32,
    /// Bytes of the tar stream.
    pub(crate) size: u64,
    /// Digest of the index.
    pub(crate) index: Digest,
    /// What was left out while indexing, one line each.
    pub(crate) warnings: Vec<String>,
}

/// The EROFS image of this chain of layers is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErofsRecord {
    version: u32,
    /// Digest of the image file.
    pub(crate) digest: Digest,
    /// Diff IDs of the layers whose tar streams are its devices.
    pub(crate) devices: Vec<Digest>,
    /// What is odd about the root file system, one line each.
    pub(crate) warnings: Vec<String>,
}

/// The joint of this chain of layers is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JointRecord {
    version: u32,
    /// Diff IDs of the layers, base first.
    pub(crate) layers: Vec<Digest>,
    /// False if the layers' own directories show everything: then there is none.
    pub(crate) has_directory: bool,
    /// Bytes of the files in the directory.
    pub(crate) size: u64,
    /// What is odd about the root file system, one line each.
    pub(crate) warnings: Vec<String>,
    /// As of a layer.
    #[serde(default, skip_serializing_if = "OwnersKind::is_any")]
    owners: OwnersKind,
}

impl JointRecord {
    pub(crate) fn new(
        layers: Vec<Digest>,
        has_directory: bool,
        size: u64,
        warnings: Vec<String>,
    ) -> Self {
        Self {
            version: VERSION,
            layers,
            has_directory,
            size,
            warnings,
            owners: owners().kind(),
        }
    }
}

impl TarRecord {
    pub(crate) fn new(size: u64, index: Digest, warnings: Vec<String>) -> Self {
        Self {
            version: VERSION,
            size,
            index,
            warnings,
        }
    }
}

impl ErofsRecord {
    pub(crate) fn new(digest: Digest, devices: Vec<Digest>, warnings: Vec<String>) -> Self {
        Self {
            version: VERSION,
            digest,
            devices,
            warnings,
        }
    }
}

impl BlobRecord {
    pub(crate) fn new(diff_id: Digest) -> Self {
        Self {
            version: VERSION,
            diff_id,
        }
    }
}

impl LayerRecord {
    pub(crate) fn new(size: u64, index: Digest, warnings: Vec<String>) -> Self {
        Self {
            version: VERSION,
            size,
            index,
            warnings,
            owners: owners().kind(),
        }
    }
}

pub(crate) trait Versioned {
    fn version(&self) -> u32;

    /// Whether it was made for the owners that this process can give files to.
    fn fits(&self) -> bool {
        true
    }
}

impl Versioned for TarRecord {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Versioned for ErofsRecord {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Versioned for JointRecord {
    fn version(&self) -> u32 {
        self.version
    }

    fn fits(&self) -> bool {
        self.owners == owners().kind()
    }
}

impl Versioned for BlobRecord {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Versioned for LayerRecord {
    fn version(&self) -> u32 {
        self.version
    }

    fn fits(&self) -> bool {
        self.owners == owners().kind()
    }
}

/// Reads a record. A damaged one, or one of another version, or of a layer whose
/// owners are others than this process's, is as good as none:
/// what it vouches for is written again.
pub(crate) fn read<T: DeserializeOwned + Versioned>(path: &Path) -> Option<T> {
    try_read(path).ok()?
}

/// The same for those who must not take a failing disk for a record that is not there.
pub(crate) fn try_read<T: DeserializeOwned + Versioned>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = read_small(path, RECORD_MAX)? else {
        return Ok(None);
    };
    let record: Option<T> = serde_json::from_slice(&bytes).ok();
    Ok(record.filter(|record| record.version() == VERSION && record.fits()))
}

/// Writes a record; atomic, but only as durable as the next sync.
pub(crate) fn write<T: Serialize>(staging: &Staging, path: &Path, record: &T) -> Result<()> {
    let failed = || format!("writing {}", quoted_path(path));
    let temporary = staging.path().join(format!("record-{}", unique()));
    let mut file = private_file(&temporary).doing(failed)?;
    serde_json::to_writer(&mut file, record)
        .map_err(std::io::Error::from)
        .doing(failed)?;
    std::fs::rename(&temporary, path).doing(failed)
}

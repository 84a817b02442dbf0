//! `index.json`: which images the store has and what they are called, readable
//! by any OCI tool.
//!
//! Each image has one entry with the name `sha256-HEX`, its identity, and one
//! more for each name that a user gave it. An entry leads to the manifest that other
//! tools are to read (see `listed`), and where that is not the image's own one it
//! says whose it is. Every entry carries a checksum of
//! itself, so that damage is told from content; see `verify`.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::layout::{Layout, private_file, read_small};
use super::lock::{Lock, Mode};
use super::name::{ImageName, identity};
use super::staging::Staging;
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::manifest::{Descriptor, JSON_MAX, OCI_INDEX, REF_NAME, parse_index};
use crate::unique::unique;
use crate::{Digest, Platform};

/// The annotation with the time of an entry, in seconds since 1970.
const IMPORTED: &str = "lambent.imported";
/// The annotation with the digest of the image, if the entry leads to another
/// manifest than its own; also in that manifest.
pub(crate) const IMAGE: &str = "lambent.image";
/// The annotation with an entry's checksum.
const CHECKSUM: &str = "lambent.checksum";

/// One line of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The image: the digest of its manifest.
    pub(crate) digest: Digest,
    /// The manifest that other tools read; the image's own or one in its place.
    listed: Descriptor,
    pub(crate) platform: Option<Platform>,
    /// `sha256-HEX`, or what a user called the image; empty if another program
    /// wrote the entry without a name.
    pub(crate) name: String,
    /// When the entry was made, in seconds since 1970.
    pub(crate) imported: u64,
    /// As found in the file.
    checksum: String,
}

impl Entry {
    fn new(digest: Digest, listed: &Descriptor, platform: Option<Platform>, name: String) -> Self {
        let imported = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        Self {
            digest,
            listed: listed.bare(),
            platform,
            name,
            imported,
            checksum: String::new(),
        }
        .sealed()
    }

    /// The entry that makes an image part of the store.
    pub(crate) fn identity(digest: Digest, listed: &Descriptor, platform: &Platform) -> Self {
        Self::new(digest, listed, Some(platform.clone()), identity(&digest))
    }

    /// The same image under a name.
    fn named(&self, name: &ImageName) -> Self {
        let name = name.as_str().to_owned();
        Self::new(self.digest, &self.listed, self.platform.clone(), name)
    }

    /// The same entry, leading to another manifest.
    fn listing(mut self, listed: &Descriptor) -> Self {
        self.listed = listed.bare();
        self.sealed()
    }

    /// The digest of the manifest that other tools read.
    pub(crate) fn listed(&self) -> Digest {
        self.listed.digest
    }

    fn sealed(mut self) -> Self {
        self.checksum = self.expected_checksum();
        self
    }

    fn expected_checksum(&self) -> String {
        let platform = self.platform.as_ref().map(ToString::to_string);
        let mut text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}",
            self.listed.media_type,
            self.listed.digest,
            self.listed.size,
            platform.unwrap_or_default(),
            self.name,
            self.imported
        );
        if let Some(image) = self.other_image() {
            text = format!("{text}\n{image}");
        }
        Digest::of(text).hex()[..16].to_owned()
    }

    /// Whether the entry is as it was written.
    pub(crate) fn is_sound(&self) -> bool {
        self.checksum == self.expected_checksum()
    }

    pub(crate) fn is_identity(&self) -> bool {
        self.name == identity(&self.digest)
    }

    /// The user's name for the image, unless this is its identity.
    pub(crate) fn user_name(&self) -> Option<ImageName> {
        self.name.parse().ok()
    }

    /// The image, if the entry leads to another manifest than its own.
    fn other_image(&self) -> Option<Digest> {
        (self.digest != self.listed.digest).then_some(self.digest)
    }
}

impl From<Descriptor> for Entry {
    fn from(raw: Descriptor) -> Self {
        let text = |key| raw.annotation(key).unwrap_or_default().to_owned();
        Self {
            name: text(REF_NAME),
            imported: text(IMPORTED).parse().unwrap_or(0),
            checksum: text(CHECKSUM),
            digest: text(IMAGE).parse().unwrap_or(raw.digest),
            platform: raw.platform.clone(),
            listed: raw.bare(),
        }
    }
}

/// The entries of the index, oldest first.
pub(crate) fn read(layout: &Layout) -> Result<Vec<Entry>> {
    let bytes = bytes(layout)?;
    let entries = parse_index(&bytes).map_err(|error| damaged(layout, &error))?;
    Ok(entries.into_iter().map(Entry::from).collect())
}

/// Adds an image, durably, under this manifest; nothing happens if it is listed so
/// already.
pub(crate) fn add(
    layout: &Layout,
    staging: &Staging,
    digest: Digest,
    listed: &Descriptor,
    platform: &Platform,
) -> Result<()> {
    update(layout, staging, |entries| {
        if is_listed(entries, &digest, &listed.digest) {
            return Ok(false);
        }
        for entry in entries.iter_mut().filter(|entry| entry.digest == digest) {
            *entry = entry.clone().listing(listed);
        }
        if !entries
            .iter()
            .any(|entry| entry.is_identity() && entry.digest == digest)
        {
            entries.push(Entry::identity(digest, listed, platform));
        }
        Ok(true)
    })
}

/// True if all entries of an image, its identity among them, lead to this manifest.
pub(crate) fn is_listed(entries: &[Entry], digest: &Digest, listed: &Digest) -> bool {
    let mut own = entries.iter().filter(|entry| entry.digest == *digest);
    let has_identity = own.clone().any(Entry::is_identity);
    has_identity && own.all(|entry| entry.listed.digest == *listed)
}

/// Gives a listed image a name, taking it from the image that had it; false if
/// the image is not listed.
pub(crate) fn tag(
    layout: &Layout,
    staging: &Staging,
    digest: &Digest,
    name: &ImageName,
) -> Result<bool> {
    let mut found = false;
    update(layout, staging, |entries| {
        let Some(image) = entries.iter().find(|entry| entry.digest == *digest) else {
            return Ok(false);
        };
        found = true;
        let entry = image.named(name);
        let is_same =
            |known: &Entry| known.name == entry.name && known.digest == *digest && known.is_sound();
        if entries.iter().any(is_same) {
            return Ok(false);
        }
        entries.retain(|known| known.name != entry.name);
        entries.push(entry);
        Ok(true)
    })?;
    Ok(found)
}

/// Changes the index, durably, if `change` says that it did.
pub(crate) fn update(
    layout: &Layout,
    staging: &Staging,
    change: impl FnOnce(&mut Vec<Entry>) -> Result<bool>,
) -> Result<()> {
    let _lock = Lock::acquire(&layout.lock("index"), Mode::Exclusive)?;
    let mut entries = read(layout)?;
    if change(&mut entries)? {
        write(layout, staging, &entries)?;
    }
    Ok(())
}

/// Replaces the index; the caller holds its lock, or the whole store's.
pub(crate) fn write(layout: &Layout, staging: &Staging, entries: &[Entry]) -> Result<()> {
    let failed = || format!("writing {}", quoted_path(&layout.index()));
    let temporary = staging.path().join(format!("index-{}", unique()));
    let mut file = private_file(&temporary).doing(failed)?;
    file.write_all(&render(entries)?).doing(failed)?;
    file.sync_all().doing(failed)?;
    std::fs::rename(&temporary, layout.index()).doing(failed)?;
    rustix::fs::fsync(layout.root_fd()).doing(failed)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: u32,
    media_type: &'a str,
    manifests: Vec<Listed<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    media_type: &'a str,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<ListedPlatform<'a>>,
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct ListedPlatform<'a> {
    architecture: &'a str,
    os: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
}

/// The file's content: always the same for the same entries.
pub(crate) fn render(entries: &[Entry]) -> Result<Vec<u8>> {
    let manifests = entries
        .iter()
        .map(|entry| Listed {
            media_type: &entry.listed.media_type,
            digest: entry.listed.digest,
            size: entry.listed.size,
            platform: entry.platform.as_ref().map(|platform| ListedPlatform {
                architecture: &platform.architecture,
                os: &platform.os,
                variant: platform.variant.as_deref(),
            }),
            annotations: [
                (REF_NAME, entry.name.clone()),
                (IMPORTED, entry.imported.to_string()),
                (IMAGE, image_text(entry)),
                (CHECKSUM, entry.checksum.clone()),
            ]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect(),
        })
        .collect();
    let document = Document {
        schema_version: 2,
        media_type: OCI_INDEX,
        manifests,
    };
    serde_json::to_vec(&document).doing(|| "writing the index".to_owned())
}

fn image_text(entry: &Entry) -> String {
    let image = entry.other_image().map(|image| image.to_string());
    image.unwrap_or_default()
}

pub(crate) fn bytes(layout: &Layout) -> Result<Vec<u8>> {
    read_small(&layout.index(), JSON_MAX)?
        .ok_or_else(|| damaged(layout, &Error::invalid("it does not exist")))
}

fn damaged(layout: &Layout, error: &Error) -> Error {
    Error::invalid(format!(
        "{} is damaged: {error}; run `lambent image verify`, which makes a new one from the \
         images that are there",
        quoted_path(&layout.index())
    ))
}

//! One check for each kind of thing in a store, and how a damaged one is made not
//! to count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use super::{Finding, FindingKind, index, joints, streams, tree};
use crate::error::{Error, ErrorKind, IoContext, Result, quoted_path};
use crate::manifest::{Descriptor, OCI_LAYER};
use crate::rootfs::skeleton;
use crate::store::chain::Chain;
use crate::store::collect::{named_by_digest, root};
use crate::store::index::Entry;
use crate::store::ingested::{Content, Place};
use crate::store::layout::{Layout, OCI_LAYOUT, read_small};
use crate::store::query::{digests, document, read_image};
use crate::store::reach::reachable;
use crate::store::record::{self, BlobRecord, LayerRecord};
use crate::store::staging::Staging;
use crate::{Digest, Progress, import};

/// Something to check. What is checked twice, for want of a lock, is damaged only
/// if it is both times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    OciLayout,
    Index,
    Skeleton,
    /// A blob that is no layer.
    Document(Digest),
    /// A layer's blob, its size if an image says so, and its diff ID.
    Layer(Digest, Option<u64>, Digest),
    /// A layer as a tar stream, by diff ID.
    Stream(Digest),
    /// An EROFS image, by its chain, and its layers if an image has them.
    Root(Digest, Option<Vec<Digest>>),
    /// A joint, by its chain, and its layers if an image has them.
    Joint(Digest, Option<Vec<Digest>>),
}

/// For each blob and diff ID the images that need it.
fn needed_by(layout: &Layout, entries: &[Entry]) -> BTreeMap<Digest, BTreeSet<Digest>> {
    let mut needed: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for image in digests(entries) {
        let own = entries.iter().filter(|entry| entry.digest == image);
        let found = reachable(own.map(root), |digest| document(layout, digest, None).ok());
        let named = found.blobs.into_iter().chain(found.received);
        for digest in named.chain(found.roots) {
            needed.entry(digest).or_default().insert(image);
        }
    }
    needed
}

pub(super) struct Check<'a> {
    layout: &'a Layout,
    needed_by: BTreeMap<Digest, BTreeSet<Digest>>,
    progress: &'a dyn Progress,
}

impl<'a> Check<'a> {
    /// Checks of a store with these images in its index.
    pub(super) fn new(layout: &'a Layout, entries: &[Entry], progress: &'a dyn Progress) -> Self {
        Self {
            layout,
            needed_by: needed_by(layout, entries),
            progress,
        }
    }

    /// What is to be checked for these images, or for all and everything else.
    pub(super) fn items(&self, entries: &[Entry], images: &[Digest]) -> Result<BTreeSet<Item>> {
        let layout = self.layout;
        let mut items = BTreeSet::from([Item::OciLayout, Item::Index, Item::Skeleton]);
        let mut layers = BTreeSet::new();
        for entry in entries {
            if !images.is_empty() && !images.contains(&entry.digest) {
                continue;
            }
            items.insert(Item::Document(entry.digest));
            items.insert(Item::Document(entry.listed()));
            let Ok(image) = read_image(layout, &entry.digest) else {
                let found = reachable([root(entry)], |digest| document(layout, digest, None).ok());
                items.extend(found.unreadable.into_iter().map(Item::Document));
                continue;
            };
            items.insert(Item::Document(image.manifest.config.digest));
            for (layer, diff_id) in image.manifest.layers.iter().zip(&image.diff_ids) {
                layers.insert(layer.digest);
                items.insert(Item::Layer(layer.digest, Some(layer.size), *diff_id));
                if self.is_stream(diff_id) {
                    items.insert(Item::Stream(*diff_id));
                    layers.insert(*diff_id);
                }
            }
            let chain = *Chain::new(&image.diff_ids).digest();
            let layers = Some(image.diff_ids);
            if exists(&layout.erofs(&chain)) || exists(&layout.erofs_record(&chain)) {
                items.insert(Item::Root(chain, layers.clone()));
            }
            if exists(&layout.joint(&chain)) || exists(&layout.joint_record(&chain)) {
                items.insert(Item::Joint(chain, layers));
            }
        }
        if images.is_empty() {
            for diff_id in named_by_digest(&layout.root().join("records/tars"))? {
                items.insert(Item::Stream(diff_id));
                layers.insert(diff_id);
            }
            let known: BTreeSet<_> = items
                .iter()
                .filter_map(|item| match item {
                    Item::Document(digest) => Some(*digest),
                    _ => None,
                })
                .chain(layers)
                .collect();
            for chain in named_by_digest(&layout.root().join("records/roots"))? {
                let known = |item: &Item| matches!(item, Item::Root(known, _) if *known == chain);
                if !items.iter().any(known) {
                    items.insert(Item::Root(chain, None));
                }
            }
            for chain in named_by_digest(&layout.root().join("records/joints"))? {
                let known = |item: &Item| matches!(item, Item::Joint(known, _) if *known == chain);
                if !items.iter().any(known) {
                    items.insert(Item::Joint(chain, None));
                }
            }
            for digest in named_by_digest(&layout.root().join("blobs/sha256"))? {
                if !known.contains(&digest) {
                    let record = record::read::<BlobRecord>(&layout.blob_record(&digest));
                    items.insert(match record {
                        Some(record) => Item::Layer(digest, None, record.diff_id),
                        None => Item::Document(digest),
                    });
                }
            }
        }
        Ok(items)
    }

    pub(super) fn run(&self, item: &Item) -> Result<Vec<Finding>> {
        let found = match item {
            Item::OciLayout => self.oci_layout()?,
            Item::Index => {
                index::damage(self.layout)?.map(|what| self.finding(FindingKind::Index, None, what))
            }
            Item::Skeleton => self.skeleton()?,
            Item::Document(digest) => self.document(digest)?,
            Item::Layer(blob, size, diff_id) => return self.layer(blob, *size, diff_id),
            Item::Stream(diff_id) => {
                streams::stream(self.layout, diff_id, &self.progress.interrupt())?
                    .map(|(kind, what)| self.finding(kind, Some(*diff_id), what))
            }
            Item::Root(chain, layers) => streams::root(self.layout, chain, layers.as_deref())?
                .map(|(kind, what)| self.finding(kind, Some(*chain), what)),
            Item::Joint(chain, layers) => {
                let interrupt = self.progress.interrupt();
                joints::joint(self.layout, chain, layers.as_deref(), &interrupt)?
                    .map(|(kind, what)| self.finding(kind, Some(*chain), what))
            }
        };
        Ok(found.into_iter().collect())
    }

    fn finding(&self, kind: FindingKind, digest: Option<Digest>, what: String) -> Finding {
        let images = digest.and_then(|digest| self.needed_by.get(&digest));
        Finding {
            kind,
            digest,
            what,
            images: images.into_iter().flatten().copied().collect(),
        }
    }

    fn oci_layout(&self) -> Result<Option<Finding>> {
        let found = read_small(&self.layout.root().join("oci-layout"), 4096)?;
        Ok((found.as_deref() != Some(OCI_LAYOUT.as_bytes())).then(|| {
            let what = "the oci-layout file is damaged".to_owned();
            self.finding(FindingKind::Index, None, what)
        }))
    }

    fn skeleton(&self) -> Result<Option<Finding>> {
        let path = self.layout.skeleton();
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let staging = Staging::new(self.layout)?;
        let expected = staging.path().join("skeleton");
        skeleton::build(&expected).doing(|| "making the skeleton layer".to_owned())?;
        let what = tree::difference(&path, &expected, &self.progress.interrupt())?;
        Ok(what.map(|what| self.finding(FindingKind::Skeleton, None, what)))
    }

    /// Hashes a blob that is no layer.
    fn document(&self, digest: &Digest) -> Result<Option<Finding>> {
        match self.blob_damage(digest)? {
            Some(what) => Ok(Some(self.finding(FindingKind::Blob, Some(*digest), what))),
            None => Ok(None),
        }
    }

    fn blob_damage(&self, digest: &Digest) -> Result<Option<String>> {
        let path = self.layout.blob(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Some("it is missing".to_owned()));
            }
            Err(error) => return Err(error).doing(|| format!("reading {}", quoted_path(&path))),
        };
        let found = index::hash(file, &self.progress.interrupt())
            .map_err(|error| error.within(&format!("blob {digest}")))?;
        Ok((found != *digest).then(|| format!("its content has the digest {found}")))
    }

    /// True if a layer is, or should be, there as a stream. Its file does not say that:
    /// some layer may have been received as one.
    fn is_stream(&self, diff_id: &Digest) -> bool {
        exists(&self.layout.tar_record(diff_id))
    }

    /// Checks what a layer was received as, and reads its archive as an import would
    /// to compare what comes out of it with what is stored.
    fn layer(&self, blob: &Digest, size: Option<u64>, diff_id: &Digest) -> Result<Vec<Finding>> {
        let layout = self.layout;
        let is_stream = self.is_stream(diff_id);
        let metadata = layout.blob(blob).symlink_metadata().ok();
        if metadata.is_none() && !is_stream {
            let what = "it is missing".to_owned();
            return Ok(vec![self.finding(FindingKind::Blob, Some(*blob), what)]);
        }
        let is_directory = exists(&layout.layer(diff_id)) || exists(&layout.layer_record(diff_id));
        if !is_directory {
            return self.blob_alone(blob, is_stream, diff_id);
        }
        // The stream is checked by itself, and the blob by what is read here, if it is.
        let received = metadata.filter(|_| blob != diff_id || !is_stream);
        let (digest, length) = match received {
            Some(metadata) => (*blob, size.unwrap_or(metadata.len())),
            None => match layout.stream(diff_id).symlink_metadata() {
                Ok(metadata) => (*diff_id, metadata.len()),
                // A finding of its own.
                Err(_) => return Ok(Vec::new()),
            },
        };
        let descriptor = Descriptor {
            media_type: OCI_LAYER.to_owned(),
            digest,
            size: length,
            platform: None,
            annotations: BTreeMap::new(),
        };
        let staging = Staging::new(layout)?;
        let again = import::reread(layout, &staging, descriptor, *diff_id, self.progress);
        let again = match again {
            Ok(again) => again,
            Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::Interrupted) => {
                return Err(error);
            }
            // The stream is damaged, which is a finding of its own.
            Err(_) if digest != *blob => return Ok(Vec::new()),
            Err(error) => {
                let finding = match self.blob_damage(blob)? {
                    Some(what) => self.finding(FindingKind::Blob, Some(*blob), what),
                    // The bytes are right, so it is the record that led here.
                    None => self.finding(FindingKind::Record, Some(*blob), error.to_string()),
                };
                return Ok(vec![finding]);
            }
        };
        let mut findings: Vec<_> = self.blob_record(blob, diff_id).into_iter().collect();
        let Some(Content {
            place: Place::Directory(expected),
            index,
        }) = again.content
        else {
            return Ok(findings);
        };
        let expected_record = LayerRecord::new(again.size, index.digest, again.warnings);
        match record::read::<LayerRecord>(&layout.layer_record(diff_id)) {
            Some(record) if record == expected_record => {}
            found => {
                let what = match found {
                    Some(_) => "its record states another size, index or warnings",
                    None => "its record is missing or damaged",
                };
                findings.push(self.finding(FindingKind::Record, Some(*diff_id), what.to_owned()));
            }
        }
        let interrupt = self.progress.interrupt();
        let mut difference = tree::difference(&layout.layer(diff_id), &expected, &interrupt)?;
        if difference.is_none() && !streams::has_index(layout, diff_id, &index.digest)? {
            difference = Some("its index is damaged".to_owned());
        }
        findings
            .extend(difference.map(|what| self.finding(FindingKind::Layer, Some(*diff_id), what)));
        Ok(findings)
    }

    /// Checks a layer's blob, if it was kept, where no directory was made of it.
    fn blob_alone(&self, blob: &Digest, is_stream: bool, diff_id: &Digest) -> Result<Vec<Finding>> {
        let is_kept = exists(&self.layout.blob(blob)) && (blob != diff_id || !is_stream);
        if is_kept && let Some(what) = self.blob_damage(blob)? {
            return Ok(vec![self.finding(FindingKind::Blob, Some(*blob), what)]);
        }
        let mut findings: Vec<_> = self.blob_record(blob, diff_id).into_iter().collect();
        if !is_stream {
            let what = "its content is missing".to_owned();
            findings.push(self.finding(FindingKind::Layer, Some(*diff_id), what));
        }
        Ok(findings)
    }

    fn blob_record(&self, blob: &Digest, diff_id: &Digest) -> Option<Finding> {
        let what = match record::read::<BlobRecord>(&self.layout.blob_record(blob)) {
            Some(record) if record.diff_id == *diff_id => return None,
            Some(_) => "its record names another layer",
            None => "its record is missing or damaged",
        };
        Some(self.finding(FindingKind::Record, Some(*blob), what.to_owned()))
    }

    /// Makes a damaged thing not count any more.
    pub(super) fn discard(
        &self,
        item: &Item,
        findings: &[Finding],
        staging: &Staging,
    ) -> Result<()> {
        let layout = self.layout;
        match item {
            Item::OciLayout => layout.rewrite_oci_layout(staging.path()),
            Item::Index => index::rebuild(layout, staging),
            Item::Skeleton => aside(&layout.skeleton(), staging),
            Item::Document(digest) => {
                aside(&layout.blob_record(digest), staging)?;
                aside(&layout.blob(digest), staging)
            }
            Item::Stream(diff_id) => {
                aside(&layout.tar_record(diff_id), staging)?;
                // As a blob of an OCI layout it must not be something else.
                let is_content = |found: &Finding| found.kind == FindingKind::Layer;
                if findings.iter().any(is_content) {
                    aside(&layout.stream(diff_id), staging)?;
                }
                Ok(())
            }
            Item::Root(chain, _) => aside(&layout.erofs_record(chain), staging),
            Item::Joint(chain, _) => aside(&layout.joint_record(chain), staging),
            Item::Layer(blob, _, diff_id) => {
                for finding in findings {
                    match finding.kind {
                        FindingKind::Blob => {
                            aside(&layout.blob_record(blob), staging)?;
                            aside(&layout.blob(blob), staging)?;
                        }
                        FindingKind::Record if finding.digest == Some(*blob) => {
                            aside(&layout.blob_record(blob), staging)?;
                        }
                        _ => aside(&layout.layer_record(diff_id), staging)?,
                    }
                }
                Ok(())
            }
        }
    }
}

fn exists(path: &std::path::Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Moves something into the staging directory, where it will be removed.
fn aside(path: &std::path::Path, staging: &Staging) -> Result<()> {
    let target = staging
        .path()
        .join(format!("damaged-{}", crate::unique::unique()));
    match std::fs::rename(path, target) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => {
            other.map_err(|error| Error::io(|| format!("removing {}", quoted_path(path)), error))
        }
    }
}

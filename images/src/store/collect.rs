//! Removing: of one image, and of all that no image needs.
//!
//! The order makes a kill at any point harmless. First the index forgets the
//! image; then records go, so that nothing half-removed counts; then directories
//! are moved away whole, and all of that is synced before the first byte of
//! content is deleted. What a killed remover has moved is swept as a dead
//! import's; what it had not yet moved the next `prune` finds.

use std::collections::BTreeSet;
use std::fs;

use super::index::{self, Entry};
use super::layout::Layout;
use super::lock::{Lock, Mode};
use super::name::ImageName;
use super::query::{digests, document, named, names, resolve};
use super::reach::{COLLECTED, Kept, Reachable, Root, reachable};
use super::record::{self, JointRecord, LayerRecord};
use super::staging::Staging;
use crate::error::{Error, ErrorKind, IoContext, Result, quoted, quoted_path};
use crate::import::partial;
use crate::{ContentStore, Digest, Progress};

/// What was removed from a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removal {
    /// Names that no image has any more.
    pub names: Vec<ImageName>,
    /// Images that are gone.
    pub images: Vec<Digest>,
    /// Bytes freed: of blobs exactly, of unpacked layers as their archives count.
    pub bytes_freed: u64,
}

impl ContentStore {
    /// Removes a name, and the image with what only it needs if that was its
    /// last name. Given a digest (see [`Self::find`]), removes the image with all
    /// its names. Waits until no import runs.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such image, `InUse` when something runs from
    /// it; then nothing has changed. `Interrupted` while waiting.
    pub fn remove(&self, text: &str, progress: &dyn Progress) -> Result<Removal> {
        let layout = &self.layout;
        let store = Lock::acquire_for(&layout.lock("store"), Mode::Exclusive, progress)?;
        let mut entries = index::read(layout)?;
        let Some(digest) = resolve(&entries, text)? else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "there is no image {} in the store; `lambent image ls` lists what there is",
                    quoted(text)
                ),
            ));
        };
        let staging = Staging::new(layout)?;
        let mut removal = Removal::default();
        let all = names(&entries, &digest);
        if let Some(name) = named(&entries, text).and_then(Entry::user_name)
            && all.len() > 1
        {
            entries.retain(|entry| entry.name != name.as_str());
            index::write(layout, &staging, &entries)?;
            removal.names.push(name);
            return Ok(removal);
        }
        if is_leased(layout, &digest)? {
            return Err(Error::new(
                ErrorKind::InUse,
                format!(
                    "image {} is in use by a running function; end it first",
                    quoted(text)
                ),
            ));
        }
        let own = entries.iter().filter(|entry| entry.digest == digest);
        // As a whole too: what is not listed in this form was until it had another.
        let before = needed(layout, own.map(root).chain([Root::alone(digest)]));
        entries.retain(|entry| entry.digest != digest);
        index::write(layout, &staging, &entries)?;
        removal.names = all;
        removal.images.push(digest);
        collect(layout, &staging, &entries, Some(&before), &mut removal)?;
        // Others need not wait while files are deleted, when `staging` is dropped.
        drop(store);
        Ok(removal)
    }

    /// Removes everything that no image needs; with `every_image` also all images
    /// that are not in use. Waits until no import runs.
    ///
    /// # Errors
    ///
    /// `Interrupted` while waiting, `Io` when something cannot be removed. What
    /// was removed until then does no harm.
    pub fn prune(&self, every_image: bool, progress: &dyn Progress) -> Result<Removal> {
        let layout = &self.layout;
        let store = Lock::acquire_for(&layout.lock("store"), Mode::Exclusive, progress)?;
        let mut entries = index::read(layout)?;
        let staging = Staging::new(layout)?;
        let mut removal = Removal::default();
        if every_image {
            for digest in digests(&entries) {
                if !is_leased(layout, &digest)? {
                    removal.names.extend(names(&entries, &digest));
                    removal.images.push(digest);
                }
            }
            entries.retain(|entry| !removal.images.contains(&entry.digest));
            index::write(layout, &staging, &entries)?;
        }
        removal.bytes_freed += partial::remove_all(layout)?;
        collect(layout, &staging, &entries, None, &mut removal)?;
        drop(store);
        Ok(removal)
    }
}

/// What these images are made of, as far as their documents can be read.
fn needed(layout: &Layout, images: impl IntoIterator<Item = Root>) -> Reachable {
    reachable(images, |digest| document(layout, digest, None).ok())
}

/// An image as its entry has it.
pub(crate) fn root(entry: &Entry) -> Root {
    Root {
        image: entry.digest,
        listed: entry.listed(),
    }
}

/// Removes what the images in `entries` and the leased ones do not need, of
/// `candidates` if there are any, else of everything. Needs the store's lock.
fn collect(
    layout: &Layout,
    staging: &Staging,
    entries: &[Entry],
    candidates: Option<&Reachable>,
    removal: &mut Removal,
) -> Result<()> {
    let leased = leased(layout)?;
    let roots = entries
        .iter()
        .map(root)
        .chain(leased.iter().copied().map(Root::alone));
    let kept = needed(layout, roots);
    refuse_unknown(layout, &leased)?;
    let mut moved = 0;
    for (directory, what) in COLLECTED {
        let path = layout.root().join(directory);
        for digest in named_by_digest(&path)? {
            let is_candidate = candidates.is_none_or(|some| some.set(what).contains(&digest));
            if kept.set(what).contains(&digest) || !is_candidate {
                continue;
            }
            removal.bytes_freed += size(layout, directory, &digest);
            let path = path.join(digest.hex());
            let aside = staging.path().join(format!("removed-{moved}"));
            moved += 1;
            fs::rename(&path, &aside).doing(|| format!("removing {}", quoted_path(&path)))?;
        }
    }
    remove_locks(layout, &kept)?;
    if moved > 0 {
        // No record may come back from a power cut after what it vouched for has gone.
        rustix::fs::syncfs(layout.root_fd()).doing(|| "syncing the image store".to_owned())?;
    }
    Ok(())
}

/// An image in use whose documents are damaged hides what must be kept.
fn refuse_unknown(layout: &Layout, leased: &BTreeSet<Digest>) -> Result<()> {
    for image in leased {
        let unreadable = needed(layout, [Root::alone(*image)]).unreadable;
        if let Some(blob) = unreadable.first() {
            return Err(Error::new(
                ErrorKind::InUse,
                format!(
                    "image {image} is in use and its blob {blob} is damaged, so what it needs is \
                     not known and nothing is removed; end what runs from it, or import it again"
                ),
            ));
        }
    }
    Ok(())
}

/// Bytes that an entry of a collected directory has cost.
fn size(layout: &Layout, directory: &str, digest: &Digest) -> u64 {
    match directory {
        "blobs/sha256" | "indexes" | "roots" => layout
            .root()
            .join(directory)
            .join(digest.hex())
            .symlink_metadata()
            .map_or(0, |file| file.len()),
        // Known only as long as there is a record, which goes first.
        "records/layers" => record::read::<LayerRecord>(&layout.layer_record(digest))
            .map_or(0, |record| record.size),
        "records/joints" => record::read::<JointRecord>(&layout.joint_record(digest))
            .map_or(0, |record| record.size),
        _ => 0,
    }
}

/// The entries of a directory whose names are digests; others are not ours to touch.
pub(crate) fn named_by_digest(path: &std::path::Path) -> Result<Vec<Digest>> {
    let failed = || format!("listing {}", quoted_path(path));
    let mut found = Vec::new();
    for entry in fs::read_dir(path).doing(failed)? {
        let name = entry.doing(failed)?.file_name();
        found.extend(name.to_str().and_then(Digest::from_hex));
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether something holds the image, in any process.
fn is_leased(layout: &Layout, image: &Digest) -> Result<bool> {
    let path = layout.lock(&format!("image-{}", image.hex()));
    if path.symlink_metadata().is_err() {
        return Ok(false);
    }
    Ok(Lock::try_acquire(&path, Mode::Exclusive)?.is_none())
}

/// The images that something holds.
fn leased(layout: &Layout) -> Result<BTreeSet<Digest>> {
    let mut found = BTreeSet::new();
    for (kind, digest) in locks(layout)? {
        if kind == Kept::Blobs && is_leased(layout, &digest)? {
            found.insert(digest);
        }
    }
    Ok(found)
}

/// The lock files of images (by manifest), of layers, and of what layers make.
fn locks(layout: &Layout) -> Result<Vec<(Kept, Digest)>> {
    let path = layout.lock("");
    let failed = || format!("listing {}", quoted_path(&path));
    let mut found = Vec::new();
    for entry in fs::read_dir(&path).doing(failed)? {
        let name = entry.doing(failed)?.file_name();
        let Some((kind, hex)) = name.to_str().and_then(|name| name.split_once('-')) else {
            continue;
        };
        let kind = match kind {
            "image" => Kept::Blobs,
            "layer" => Kept::Layers,
            "root" => Kept::Roots,
            _ => continue,
        };
        found.extend(Digest::from_hex(hex).map(|digest| (kind, digest)));
    }
    Ok(found)
}

/// Removes lock files of what is gone. Only with the store's lock held
/// exclusively, since these files are opened with it held: nobody is between
/// opening one and locking it.
fn remove_locks(layout: &Layout, kept: &Reachable) -> Result<()> {
    for (kind, digest) in locks(layout)? {
        if kept.set(kind).contains(&digest) {
            continue;
        }
        let kind = match kind {
            Kept::Blobs | Kept::Received => "image",
            Kept::Layers => "layer",
            Kept::Roots => "root",
        };
        let path = layout.lock(&format!("{kind}-{}", digest.hex()));
        if Lock::try_acquire(&path, Mode::Exclusive)?.is_some() {
            fs::remove_file(&path).doing(|| format!("removing {}", quoted_path(&path)))?;
        }
    }
    Ok(())
}

//! [`ContentStore`]: images on disk, by digest. The format is in `layout`.

pub(crate) mod index;
pub(crate) mod layout;
pub(crate) mod lock;
pub(crate) mod record;
pub(crate) mod staging;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use self::layout::Layout;
use self::lock::{Lock, Mode};
use crate::error::{Error, ErrorKind, Result};
use crate::rootfs::{Rootfs, skeleton};
use crate::{Digest, Image, ImageReference, Platform, Progress, import};

/// A directory of images, shared by any number of threads and processes.
#[derive(Debug)]
pub struct ContentStore {
    pub(crate) layout: Layout,
}

impl ContentStore {
    /// Opens the store at `root`, or makes an empty one there (mode 0700).
    ///
    /// What killed imports left behind is removed.
    ///
    /// # Errors
    ///
    /// `Invalid` when `root` holds other files, `Unsupported` when a different
    /// version of Lambent made the store.
    pub fn open(root: &Path) -> Result<Self> {
        let layout = Layout::open(root)?;
        staging::sweep(&layout)?;
        Ok(Self { layout })
    }

    /// The directory of this store.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// Digests of the manifests of all images in the store, oldest first.
    pub fn images(&self) -> Result<Vec<Digest>> {
        let entries = index::read(&self.layout)?;
        Ok(entries.into_iter().map(|entry| entry.digest).collect())
    }

    /// Brings an image into the store and unpacks it.
    ///
    /// Layers that the store has are not read again. On failure nothing of the
    /// image is left, except for what another image shares with it.
    ///
    /// # Errors
    ///
    /// `NotFound`, `NotAnImage`, `WrongPlatform` and so on about the image; `Io`
    /// about this machine.
    pub fn import(
        &self,
        reference: &ImageReference,
        platform: &Platform,
        progress: &dyn Progress,
    ) -> Result<Image> {
        import::import(self, reference, platform, progress)
    }

    /// Leases the unpacked layers of an image.
    ///
    /// # Errors
    ///
    /// `NotFound` when a layer is not, or no longer, in the store: import again.
    pub fn rootfs(&self, image: &Image) -> Result<Rootfs> {
        let store = Lock::acquire(&self.layout.lock("store"), Mode::Shared)?;
        let name = format!("image-{}", image.manifest_digest.hex());
        let lease = Lock::acquire(&self.layout.lock(&name), Mode::Shared)?;
        drop(store);
        let mut layers = Vec::with_capacity(image.layers.len());
        for layer in image.layers.iter().rev() {
            let path = self.layout.layer(&layer.diff_id);
            if !path.is_dir() {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "layer {} is not in the store; import the image again",
                        layer.diff_id
                    ),
                ));
            }
            layers.push(path);
        }
        let skeleton = skeleton::ensure_in(&self.layout)?;
        Rootfs::new(skeleton, layers, lease)
    }
}

/// A number that no other thread of this process gets.
pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Removes a plain file that a killed process left in `tmp/`.
///
/// Such files live for microseconds while a store is made; a minute is generous.
fn remove_stale_file(path: &Path) {
    let age = path.symlink_metadata().and_then(|meta| meta.modified());
    if age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age.as_secs() > 60)) {
        let _gone_already = std::fs::remove_file(path);
    }
}

//! [`ContentStore`]: images on disk, by digest. The format is in `layout`; what
//! fills a store is in `import`, what is made of its layers in `rootfs`.

pub(crate) mod chain;
pub(crate) mod collect;
pub(crate) mod index;
pub(crate) mod ingested;
pub(crate) mod layout;
pub(crate) mod listed;
pub(crate) mod lock;
pub(crate) mod name;
pub(crate) mod query;
pub(crate) mod reach;
pub(crate) mod record;
pub(crate) mod staging;
pub(crate) mod stored;
mod upgrade;

use std::path::Path;
use std::sync::OnceLock;

pub use self::collect::Removal;
use self::layout::Layout;
pub use self::name::ImageName;
pub use self::query::{StoredDetails, StoredImage};
use crate::error::Result;
use crate::{Digest, Form, erofs};

/// A directory of images, shared by any number of threads and processes.
#[derive(Debug)]
pub struct ContentStore {
    pub(crate) layout: Layout,
    form: OnceLock<Form>,
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
        Ok(Self {
            layout,
            form: OnceLock::new(),
        })
    }

    /// The same store, with layers kept in this form whatever the host can do.
    #[must_use]
    pub fn with_form(self, form: Form) -> Self {
        Self {
            form: OnceLock::from(form),
            ..self
        }
    }

    /// The form in which layers are kept: EROFS if this process can mount it from
    /// files of this store, directories otherwise. An ordinary user can mount
    /// neither; streams need no rights to be kept.
    pub fn form(&self) -> Form {
        *self.form.get_or_init(|| {
            let ordinary = !rustix::process::geteuid().is_root();
            if ordinary || erofs::mount::works_in(self.layout.root_fd()) {
                Form::Erofs
            } else {
                Form::Directory
            }
        })
    }

    /// The directory of this store.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// Digests of the manifests of all images in the store, oldest first.
    pub fn images(&self) -> Result<Vec<Digest>> {
        Ok(query::digests(&index::read(&self.layout)?))
    }
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

//! The store's format on disk.
//!
//! ```text
//! ROOT/                      0700, so that setuid files inside stay unreachable
//!   lambent-store            {"version":2}, written last when a store is made
//!   oci-layout, index.json   a valid OCI image layout: skopeo and umoci read it,
//!                            each image as sha256-HEX and by its names
//!   blobs/sha256/HEX         manifests and configurations as received, the manifests
//!                            that the index lists in their place (see `listed`), and
//!                            one archive of each layer: its raw tar stream, by diff
//!                            ID, or, if it is unpacked, the blob as received
//!   layers/sha256/HEX/       layers unpacked, by diff ID, ready for overlayfs
//!   indexes/HEX              the entries of a layer in either form, see `tree::index`
//!   joints/HEX/              what directories of layers do not show, by their chain;
//!                            on top of them if there is anything, see `tree::joint`
//!   roots/HEX                EROFS image of a whole root file system, by the
//!                            chain of its layers; its files are in the streams
//!   partial/HEX              the beginning of a blob that a pull left, see
//!                            `import::partial`
//!   records/blobs/HEX        {"version":1,"diffId":...}: this blob was verified;
//!                            whether it was kept is another matter
//!   records/joints/HEX       {"version":1,"layers":...}: this joint is complete
//!   records/layers/HEX       {"version":1,"size":...}: directory and index are complete
//!   records/tars/HEX         {"version":1,"size":...}: stream and index are complete
//!   records/roots/HEX        {"version":1,"digest":...}: this EROFS image is complete
//!   skeleton/vN/             the layer over every image, see `skeleton`; vN-user/ is
//!                            that of user namespaces, see `owners`
//!   locks/                   files that are only ever locked, never read
//!   tmp/NAME/                one running import each, locked by its process
//! ```
//!
//! Rules:
//!
//! - A blob or layer counts only if its record parses. Records are written after
//!   one `syncfs` that covers what they vouch for, so that neither a kill nor a
//!   power cut makes a half-written layer look complete. What has no record is
//!   written again.
//! - A layer has one of two forms, or both: see [`Form`](crate::Form). A stream is
//!   what its blob contains, so that blob is not kept beside it: a store of 10 GB
//!   in streams is written at the speed of one file, not of two.
//! - Everything becomes visible by a rename within the store.
//! - Locks are `flock` locks on open files and die with their process.
//!   `locks/store` is held shared by imports and while a lease is taken, and
//!   exclusively by whatever removes things; `locks/layer-HEX` exclusively by the
//!   import that writes that layer, until its record is written, and `locks/root-HEX`
//!   by the one that writes that joint; several are taken in the order of their names. `locks/index` covers `index.json`.
//!   `locks/image-HEX` is held shared by every lease on that image. Whoever removes
//!   things also removes lock files of images, layers and joints that are gone: they are
//!   opened only with `locks/store` held, which a remover excludes.
//! - Removers first change `index.json`, then remove records, then move the rest
//!   into `tmp/`, sync, and only then delete.
//! - Other programs may read a store; only Lambent writes into it.
//! - A file in `partial/` is locked by whoever downloads into it.
//! - A directory in `tmp/` is locked by its owner; one that can be locked by
//!   somebody else is a dead import's and is removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::upgrade;
use crate::Digest;
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::owners::owners;
use crate::tree::skeleton;

/// Version of the format above. Stores of version 1 are changed when they are
/// opened, see `upgrade`.
pub(super) const VERSION: u32 = 2;
pub(super) const VERSION_FILE: &str = "lambent-store";
/// Content of the file that marks an OCI image layout.
pub(crate) const OCI_LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const DIRECTORIES: [&str; 17] = [
    "blobs",
    "blobs/sha256",
    "indexes",
    "joints",
    "layers",
    "layers/sha256",
    "locks",
    "partial",
    "records",
    "records/blobs",
    "records/joints",
    "records/layers",
    "records/roots",
    "records/tars",
    "roots",
    "skeleton",
    "tmp",
];

#[derive(Serialize, Deserialize)]
struct StoreVersion {
    version: u32,
}

/// What opening a store does about its version.
enum Format {
    Current,
    Old,
}

/// The paths of a store, and an open descriptor of its root.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    root_fd: OwnedFd,
}

impl Layout {
    /// Opens the store at `root`, or makes one there.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let failed = || format!("opening the image store {}", quoted_path(root));
        make_private_dir(root, true).doing(failed)?;
        let root = root.canonicalize().doing(failed)?;
        let root_fd = open_dir(&root).doing(failed)?;
        let layout = Self { root, root_fd };
        match fs::read(layout.root.join(VERSION_FILE)) {
            Ok(text) => {
                let format = check_version(&layout.root, &text)?;
                layout.create_directories()?;
                if let Format::Old = format {
                    upgrade::to_streams_as_blobs(&layout)?;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                layout.require_only_ours()?;
                layout
                    .create()
                    .map_err(|error| error.within("making the image store"))?;
            }
            Err(error) => return Err(error).doing(failed),
        }
        Ok(layout)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn root_fd(&self) -> impl AsFd + '_ {
        self.root_fd.as_fd()
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    pub(crate) fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers/sha256").join(diff_id.hex())
    }

    pub(crate) fn blob_record(&self, digest: &Digest) -> PathBuf {
        self.root.join("records/blobs").join(digest.hex())
    }

    pub(crate) fn layer_record(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("records/layers").join(diff_id.hex())
    }

    /// The raw tar stream of a layer, which is a blob too.
    pub(crate) fn stream(&self, diff_id: &Digest) -> PathBuf {
        self.blob(diff_id)
    }

    pub(crate) fn partial(&self, blob: &Digest) -> PathBuf {
        self.partials().join(blob.hex())
    }

    pub(crate) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    pub(crate) fn index_of(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("indexes").join(diff_id.hex())
    }

    pub(crate) fn tar_record(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("records/tars").join(diff_id.hex())
    }

    pub(crate) fn joint(&self, chain: &Digest) -> PathBuf {
        self.root.join("joints").join(chain.hex())
    }

    pub(crate) fn joint_record(&self, chain: &Digest) -> PathBuf {
        self.root.join("records/joints").join(chain.hex())
    }

    pub(crate) fn erofs(&self, chain: &Digest) -> PathBuf {
        self.root.join("roots").join(chain.hex())
    }

    pub(crate) fn erofs_record(&self, chain: &Digest) -> PathBuf {
        self.root.join("records/roots").join(chain.hex())
    }

    pub(crate) fn lock(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index.json")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The one for this process: its opaque directories have the attribute that
    /// its overlays go by.
    pub(crate) fn skeleton(&self) -> PathBuf {
        let unprivileged = if owners().are_all() { "" } else { "-user" };
        let version = skeleton::VERSION;
        self.root
            .join("skeleton")
            .join(format!("{version}{unprivileged}"))
    }

    /// Replaces a damaged `oci-layout` file.
    pub(crate) fn rewrite_oci_layout(&self, working_in: &Path) -> Result<()> {
        let failed = || "writing oci-layout".to_owned();
        let temporary = working_in.join("oci-layout");
        let mut file = private_file(&temporary).doing(failed)?;
        file.write_all(OCI_LAYOUT.as_bytes()).doing(failed)?;
        file.sync_all().doing(failed)?;
        fs::rename(&temporary, self.root.join("oci-layout")).doing(failed)
    }

    /// Refuses to turn a directory with other people's files into a store.
    fn require_only_ours(&self) -> Result<()> {
        let failed = || format!("listing {}", quoted_path(&self.root));
        for entry in fs::read_dir(&self.root).doing(failed)? {
            let name = entry.doing(failed)?.file_name();
            let ours = ["oci-layout", "index.json"].iter().chain(&DIRECTORIES);
            if !ours.into_iter().any(|known| name == *known) {
                return Err(Error::invalid(format!(
                    "{} is not an image store and not empty (it has {}); \
                     name an empty or new directory",
                    quoted_path(&self.root),
                    quoted_path(Path::new(&name))
                )));
            }
        }
        Ok(())
    }

    /// Makes the directories that are missing: somebody tidied up.
    fn create_directories(&self) -> Result<()> {
        for name in DIRECTORIES {
            make_private_dir(&self.root.join(name), false).doing(|| format!("creating {name}"))?;
        }
        Ok(())
    }

    /// Makes what is missing; a concurrent or killed maker does no harm.
    fn create(&self) -> Result<()> {
        self.create_directories()?;
        let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        let version = version_text();
        for (name, text) in [
            ("oci-layout", OCI_LAYOUT),
            ("index.json", index),
            (VERSION_FILE, &version),
        ] {
            create_once(&self.root, name, text).doing(|| format!("writing {name}"))?;
        }
        rustix::fs::fsync(&self.root_fd).doing(|| "syncing".to_owned())
    }
}

/// Writes a file that must appear whole, unless it is there already.
fn create_once(root: &Path, name: &str, text: &str) -> std::io::Result<()> {
    let unique = format!(
        "tmp/.{name}-{}-{}",
        std::process::id(),
        crate::unique::unique()
    );
    let temporary = root.join(unique);
    let mut file = private_file(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, root.join(name));
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The content of [`VERSION_FILE`].
pub(super) fn version_text() -> String {
    format!(r#"{{"version":{VERSION}}}"#)
}

fn check_version(root: &Path, text: &[u8]) -> Result<Format> {
    match serde_json::from_slice::<StoreVersion>(text) {
        Ok(StoreVersion { version: VERSION }) => Ok(Format::Current),
        Ok(StoreVersion { version: 1 }) => Ok(Format::Old),
        Ok(StoreVersion { version }) => Err(Error::unsupported(format!(
            "the image store {} has format {version} and this program reads format {VERSION}; \
             use a newer version of Lambent, or another directory",
            quoted_path(root)
        ))),
        Err(_) => Err(Error::invalid(format!(
            "the image store {} has a damaged {VERSION_FILE} file; \
             remove the store or write {{\"version\":{VERSION}}} into that file",
            quoted_path(root)
        ))),
    }
}

fn make_private_dir(path: &Path, recursive: bool) -> std::io::Result<()> {
    match DirBuilder::new()
        .recursive(recursive)
        .mode(0o700)
        .create(path)
    {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

/// Creates a new file that only its owner can read.
pub(crate) fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Opens a directory that must not be a symlink.
pub(crate) fn open_dir(path: &Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Reads a file of at most `max` bytes; `None` if it does not exist.
pub(crate) fn read_small(path: &Path, max: u64) -> Result<Option<Vec<u8>>> {
    let failed = || format!("reading {}", quoted_path(path));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).doing(failed),
    };
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).doing(failed)?;
    if bytes.len() as u64 > max {
        return Err(Error::limit(format!("{} is too large", quoted_path(path))));
    }
    Ok(Some(bytes))
}

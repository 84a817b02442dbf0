//! An OCI image layout in a directory.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Source, cannot_open, check_layout_version, choose_tagged, missing_blob, wrong_size};
use crate::error::{Error, ErrorKind, IoContext, Result, quoted_path};
use crate::manifest::{Descriptor, JSON_MAX, too_large};
use crate::{Digest, Platform};

pub(super) struct OciLayout {
    directory: OwnedFd,
    path: PathBuf,
    tag: Option<String>,
}

impl OciLayout {
    pub(super) fn open(path: &Path, tag: Option<String>) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| {
            if error == Errno::NOTDIR {
                not_a_layout(path, "it is not a directory")
            } else {
                cannot_open(path, error)
            }
        })?;
        let layout = Self {
            directory,
            path: path.to_owned(),
            tag,
        };
        let version = layout
            .small("oci-layout")?
            .ok_or_else(|| not_a_layout(path, "it has no oci-layout file"))?;
        check_layout_version(&version)?;
        Ok(layout)
    }

    /// Opens a regular file of the layout. Symlinks may be used inside of it, as
    /// some published layouts do; they may not leave it.
    fn file(&self, name: &str) -> Result<Option<File>> {
        let failed = || format!("opening {name} in {}", quoted_path(&self.path));
        let opened = rustix::fs::openat2(
            &self.directory,
            name,
            // A fifo must not make us wait before it is found to be one.
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        );
        let file = match opened {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::XDEV | Errno::LOOP) => {
                return Err(Error::new(
                    ErrorKind::UnsafePath,
                    format!(
                        "{name} in {} is a link that leaves the image layout",
                        quoted_path(&self.path)
                    ),
                ));
            }
            Err(error) => return Err(error).doing(failed),
        };
        if !file.metadata().doing(failed)?.is_file() {
            return Err(not_a_layout(
                &self.path,
                &format!("{name} is not a regular file"),
            ));
        }
        Ok(Some(file))
    }

    fn small(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.file(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(JSON_MAX + 1)
            .read_to_end(&mut bytes)
            .doing(|| format!("reading {name} in {}", quoted_path(&self.path)))?;
        if bytes.len() as u64 > JSON_MAX {
            return Err(too_large(name));
        }
        Ok(Some(bytes))
    }
}

impl Source for OciLayout {
    fn root(&self, platform: &Platform) -> Result<Descriptor> {
        let index = self
            .small("index.json")?
            .ok_or_else(|| not_a_layout(&self.path, "it has no index.json"))?;
        choose_tagged(&index, self.tag.as_deref(), platform)
    }

    fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let file = self
            .file(&blob_name(&blob.digest))?
            .ok_or_else(|| missing_blob(&blob.digest))?;
        let size = file
            .metadata()
            .doing(|| format!("reading blob {}", blob.digest))?
            .len();
        if size != blob.size {
            return Err(wrong_size(&blob.digest, size, blob.size));
        }
        Ok(Box::new(file))
    }
}

/// Where a layout keeps a blob.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn not_a_layout(path: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::NotAnImage,
        format!("{} is not an OCI image layout: {why}", quoted_path(path)),
    )
}

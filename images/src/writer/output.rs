//! Where an image is written: a directory, or a tar file.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use tar::{Builder, EntryType, Header};

use super::layer::{Compression, LayerBlob, LayerBuilder, text};
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::unique::unique;

/// Takes the files of an image. A layer's name depends on its digest, which is
/// known only once it has been written.
pub(super) trait BlobOutput {
    fn layer(
        &mut self,
        layer: &LayerBuilder,
        usual: Compression,
        name: &dyn Fn(&LayerBlob) -> String,
    ) -> Result<LayerBlob>;
    fn small(&mut self, name: &str, bytes: &[u8]) -> Result<()>;
}

/// A directory.
pub(super) struct LayoutOutput {
    dir: PathBuf,
}

impl LayoutOutput {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir.join("blobs/sha256"))
            .doing(|| format!("making {}", quoted_path(dir)))?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    fn temporary(&self) -> PathBuf {
        self.dir
            .join(format!(".lambent-{}-{}", std::process::id(), unique()))
    }
}

impl BlobOutput for LayoutOutput {
    fn layer(
        &mut self,
        layer: &LayerBuilder,
        usual: Compression,
        name: &dyn Fn(&LayerBlob) -> String,
    ) -> Result<LayerBlob> {
        let failed = || format!("writing a layer into {}", quoted_path(&self.dir));
        let temporary = self.temporary();
        let mut out = BufWriter::new(File::create_new(&temporary).doing(failed)?);
        let written = layer.write(&mut out, usual).and_then(|blob| {
            out.flush().doing(failed)?;
            fs::rename(&temporary, self.dir.join(name(&blob))).doing(failed)?;
            Ok(blob)
        });
        if written.is_err() {
            let _best_effort = fs::remove_file(&temporary);
        }
        written
    }

    fn small(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let failed = || format!("writing {name} into {}", quoted_path(&self.dir));
        let temporary = self.temporary();
        fs::write(&temporary, bytes).doing(failed)?;
        fs::rename(&temporary, self.dir.join(name)).doing(failed)
    }
}

/// A tar file, which appears under its name only when it is complete.
pub(super) struct ArchiveOutput {
    path: PathBuf,
    temporary: Temporary,
    tar: Builder<BufWriter<File>>,
    names: HashSet<String>,
}

/// Removes a file unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _renamed_already = fs::remove_file(&self.0);
    }
}

impl ArchiveOutput {
    pub(super) fn new(path: &Path) -> Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| Error::invalid(format!("{} is not a file name", quoted_path(path))))?;
        let name = format!(
            ".{}-{}-{}",
            text(Path::new(name)),
            std::process::id(),
            unique()
        );
        let temporary = Temporary(path.with_file_name(name));
        let file =
            File::create_new(&temporary.0).doing(|| format!("creating {}", quoted_path(path)))?;
        Ok(Self {
            path: path.to_owned(),
            temporary,
            tar: Builder::new(BufWriter::new(file)),
            names: HashSet::new(),
        })
    }

    pub(super) fn finish(mut self) -> Result<()> {
        let failed = || format!("writing {}", quoted_path(&self.path));
        self.tar.finish().doing(failed)?;
        self.tar.get_mut().flush().doing(failed)?;
        fs::rename(&self.temporary.0, &self.path).doing(failed)
    }

    fn append(&mut self, name: &str, size: u64, content: impl io::Read) -> Result<()> {
        // The same layer twice is one file.
        if !self.names.insert(name.to_owned()) {
            return Ok(());
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(size);
        header.set_mtime(0);
        self.tar
            .append_data(&mut header, name, content)
            .doing(|| format!("writing {}", quoted_path(&self.path)))
    }
}

impl BlobOutput for ArchiveOutput {
    fn layer(
        &mut self,
        layer: &LayerBuilder,
        usual: Compression,
        name: &dyn Fn(&LayerBlob) -> String,
    ) -> Result<LayerBlob> {
        let failed = || format!("writing {}", quoted_path(&self.path));
        // Its size comes before it in the archive, so it is written aside first.
        let parent = self
            .path
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let aside = openat(
            CWD,
            parent.unwrap_or_else(|| Path::new(".")),
            flags,
            Mode::RUSR | Mode::WUSR,
        )
        .doing(failed)?;
        let mut out = BufWriter::new(File::from(aside));
        let blob = layer.write(&mut out, usual)?;
        let mut aside = out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .doing(failed)?;
        aside.rewind().doing(failed)?;
        self.append(&name(&blob), blob.size, aside)?;
        Ok(blob)
    }

    fn small(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.append(name, bytes.len() as u64, bytes)
    }
}

//! [`LayerBuilder`]: the content of one layer.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::hashed::Hashed;
use crate::Digest;
use crate::error::{IoContext, Result, quoted_path};

/// How a layer's blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// gzip, as registries have it.
    #[default]
    Gzip,
    /// zstd, which Lambda is not documented to accept.
    Zstd,
    /// A plain tar stream.
    None,
}

/// Collects the entries of one layer. Paths are those in the image, with or
/// without a leading slash; parents that are not named are made 0755. Of two
/// entries with one path the last counts.
///
/// Files on disk are read when the image is written, and errors appear then.
#[derive(Debug, Clone, Default)]
pub struct LayerBuilder {
    entries: BTreeMap<PathBuf, Entry>,
    trees: Vec<(PathBuf, PathBuf)>,
    raw: Option<Vec<u8>>,
    compression: Option<Compression>,
}

#[derive(Debug, Clone)]
struct Entry {
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: u64,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Directory,
    Bytes(Vec<u8>),
    File(PathBuf),
    Symlink(PathBuf),
    Hardlink(PathBuf),
}

impl Entry {
    fn new(mode: u32, content: Content) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            mtime: 0,
            content,
        }
    }
}

/// What a written layer turned out to be.
#[derive(Debug, Clone)]
pub(super) struct LayerBlob {
    pub(super) digest: Digest,
    pub(super) diff_id: Digest,
    pub(super) size: u64,
    pub(super) compression: Compression,
}

impl LayerBuilder {
    /// An empty layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A layer that is exactly this tar stream, well-formed or not; entries
    /// added to it are ignored.
    pub fn raw(tar: impl Into<Vec<u8>>) -> Self {
        Self {
            raw: Some(tar.into()),
            ..Self::default()
        }
    }

    /// Adds a directory, owned by root.
    #[must_use]
    pub fn directory(self, path: impl AsRef<Path>, mode: u32) -> Self {
        self.entry(path, Entry::new(mode, Content::Directory))
    }

    /// Adds a file with this content, owned by root.
    #[must_use]
    pub fn file(self, path: impl AsRef<Path>, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.entry(path, Entry::new(mode, Content::Bytes(content.into())))
    }

    /// Adds a file with the content of a file on disk, owned by root.
    #[must_use]
    pub fn file_from(self, path: impl AsRef<Path>, mode: u32, source: impl Into<PathBuf>) -> Self {
        self.entry(path, Entry::new(mode, Content::File(source.into())))
    }

    /// Adds a symlink.
    #[must_use]
    pub fn symlink(self, path: impl AsRef<Path>, target: impl Into<PathBuf>) -> Self {
        self.entry(path, Entry::new(0o777, Content::Symlink(target.into())))
    }

    /// Adds a further name for the file `target`, of this layer or of one below.
    #[must_use]
    pub fn hardlink(self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> Self {
        let target = relative(target.as_ref());
        self.entry(path, Entry::new(0, Content::Hardlink(target)))
    }

    /// Hides `path` of the layers below.
    #[must_use]
    pub fn whiteout(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let mut name = std::ffi::OsString::from(".wh.");
        name.push(path.file_name().unwrap_or_default());
        self.file(path.with_file_name(name), 0, [])
    }

    /// Adds a copy of a directory on disk, with modes, owners, times, symlinks
    /// and hard links; sockets and devices are left out. Entries that are added
    /// one by one win.
    #[must_use]
    pub fn tree(mut self, path: impl AsRef<Path>, source: impl Into<PathBuf>) -> Self {
        self.trees.push((relative(path.as_ref()), source.into()));
        self
    }

    /// Sets the compression; otherwise it is the image format's usual one.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    fn entry(mut self, path: impl AsRef<Path>, entry: Entry) -> Self {
        self.entries.insert(relative(path.as_ref()), entry);
        self
    }

    /// Writes the blob.
    pub(super) fn write(&self, out: impl Write, usual: Compression) -> Result<LayerBlob> {
        let compression = self.compression.unwrap_or(usual);
        let mut blob = Hashed::new(out);
        let (diff_id, _) = match compression {
            Compression::None => self.write_tar(&mut blob)?,
            Compression::Gzip => {
                let mut encoder = GzEncoder::new(&mut blob, flate2::Compression::default());
                let written = self.write_tar(&mut encoder)?;
                encoder.finish().doing(writing)?;
                written
            }
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(&mut blob, 0).doing(writing)?;
                encoder.include_checksum(true).doing(writing)?;
                let written = self.write_tar(&mut encoder)?;
                encoder.finish().doing(writing)?;
                written
            }
        };
        blob.flush().doing(writing)?;
        let (digest, size) = blob.finish();
        Ok(LayerBlob {
            digest,
            diff_id,
            size,
            compression,
        })
    }

    fn write_tar(&self, out: impl Write) -> Result<(Digest, u64)> {
        let mut out = Hashed::new(out);
        if let Some(raw) = &self.raw {
            out.write_all(raw).doing(writing)?;
        } else {
            let mut tar = Builder::new(&mut out);
            let entries = self.collect()?;
            // A hard link must come after its target.
            let is_link = |entry: &Entry| matches!(entry.content, Content::Hardlink(_));
            for links in [false, true] {
                for (path, entry) in entries.iter().filter(|(_, entry)| is_link(entry) == links) {
                    append(&mut tar, path, entry)
                        .doing(|| format!("writing {} into a layer", quoted_path(path)))?;
                }
            }
            tar.finish().doing(writing)?;
        }
        Ok(out.finish())
    }

    /// All entries with trees walked and parents filled in.
    fn collect(&self) -> Result<BTreeMap<PathBuf, Entry>> {
        let mut all = BTreeMap::new();
        for (prefix, source) in &self.trees {
            let mut inodes = HashMap::new();
            walk(prefix, source, &mut inodes, &mut all)
                .doing(|| format!("reading the tree {}", quoted_path(source)))?;
        }
        all.extend(self.entries.clone());
        let parents: Vec<PathBuf> = all
            .keys()
            .flat_map(|path| path.ancestors().skip(1))
            .filter(|path| !path.as_os_str().is_empty())
            .map(Path::to_owned)
            .collect();
        for path in parents {
            all.entry(path)
                .or_insert_with(|| Entry::new(0o755, Content::Directory));
        }
        Ok(all)
    }
}

fn writing() -> String {
    "writing a layer".to_owned()
}

fn relative(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| {
            matches!(
                part,
                std::path::Component::Normal(_) | std::path::Component::ParentDir
            )
        })
        .collect()
}

fn append<W: Write>(tar: &mut Builder<W>, path: &Path, entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.uid);
    header.set_gid(entry.gid);
    header.set_mtime(entry.mtime);
    header.set_size(0);
    match &entry.content {
        Content::Directory => {
            header.set_entry_type(EntryType::Directory);
            let mut name = if path.as_os_str().is_empty() {
                ".".into()
            } else {
                path.as_os_str().to_owned()
            };
            name.push("/");
            tar.append_data(&mut header, name, io::empty())
        }
        Content::Bytes(bytes) => {
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path, bytes.as_slice())
        }
        Content::File(source) => {
            let file = File::open(source)?;
            let size = file.metadata()?.len();
            header.set_size(size);
            // A file that grows meanwhile must not break the archive.
            tar.append_data(&mut header, path, file.take(size))
        }
        Content::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            tar.append_link(&mut header, path, target)
        }
        Content::Hardlink(target) => {
            header.set_entry_type(EntryType::Link);
            tar.append_link(&mut header, path, target)
        }
    }
}

/// Adds what is in `directory`, and the directory itself unless it is the root.
fn walk(
    prefix: &Path,
    directory: &Path,
    inodes: &mut HashMap<(u64, u64), PathBuf>,
    all: &mut BTreeMap<PathBuf, Entry>,
) -> io::Result<()> {
    let metadata = fs::metadata(directory)?;
    if !prefix.as_os_str().is_empty() {
        all.insert(prefix.to_owned(), from_disk(&metadata, Content::Directory));
    }
    let mut pending = vec![(prefix.to_owned(), directory.to_owned())];
    while let Some((prefix, directory)) = pending.pop() {
        let mut children: Vec<_> = fs::read_dir(&directory)?.collect::<io::Result<_>>()?;
        children.sort_by_key(fs::DirEntry::file_name);
        for child in children {
            let (path, source) = (prefix.join(child.file_name()), child.path());
            let metadata = source.symlink_metadata()?;
            let kind = metadata.file_type();
            let content = if kind.is_dir() {
                pending.push((path.clone(), source));
                Content::Directory
            } else if kind.is_symlink() {
                Content::Symlink(fs::read_link(&source)?)
            } else if kind.is_file() {
                // Which name is the file and which are links must not depend on
                // the order of the walk: the walk is sorted within directories.
                match inodes.get(&(metadata.dev(), metadata.ino())) {
                    Some(first) if metadata.nlink() > 1 => Content::Hardlink(first.clone()),
                    _ => {
                        inodes.insert((metadata.dev(), metadata.ino()), path.clone());
                        Content::File(source)
                    }
                }
            } else {
                continue;
            };
            all.insert(path, from_disk(&metadata, content));
        }
    }
    Ok(())
}

fn from_disk(metadata: &Metadata, content: Content) -> Entry {
    Entry {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid().into(),
        gid: metadata.gid().into(),
        mtime: u64::try_from(metadata.mtime()).unwrap_or_default(),
        content,
    }
}

/// A path's bytes, for names inside archives.
pub(super) fn text(path: &Path) -> Cow<'_, str> {
    String::from_utf8_lossy(path.as_os_str().as_bytes())
}

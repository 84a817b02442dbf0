//! [`ImageFiles`]: what is in an image, by name, without mounting it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{IoContext, Result, quoted_path};
use crate::manifest::Descriptor;
use crate::rootfs::{Rootfs, not_stored};
use crate::source::Source;
use crate::store::chain::Chain;
use crate::store::ingested::Ingested;
use crate::store::layout::Layout;
use crate::store::lock::Lock;
use crate::tree::lookup::{Lookup, Step};
use crate::tree::parents::Parents;
use crate::tree::{Content, Extents, FileData, NodeId, Tree};
use crate::unpack::decompress::Decoder;
use crate::{ContentStore, Form, Image, Permission};

/// Bytes read from a source at a time.
const BUFFER: usize = 128 * 1024;

/// Bytes of a file that are read at least, if it has so many: to come to it again takes
/// longer.
const READ_AHEAD: u64 = 32 * 1024 * 1024;

/// The files of an image, its layers merged. Leased in the store while it lives, if it is
/// there.
#[derive(Debug)]
pub struct ImageFiles {
    tree: Tree,
    layers: Vec<LayerFiles>,
    contents: Contents,
}

/// Where the bytes of files are, leased.
#[derive(Debug)]
enum Contents {
    /// In the layers' tar streams, which anybody may read.
    Streams(Vec<File>, #[expect(dead_code, reason = "held")] Lock),
    /// In the layers' directories.
    Directories(Rootfs),
    /// Where the image is: a layer is read again, up to the file.
    Elsewhere(Surroundings),
}

/// Where an image is that the store does not have.
pub(crate) struct Surroundings {
    source: Box<dyn Source>,
    /// Base first.
    layers: Vec<Descriptor>,
    /// The file that was read last, by its layer and place: rules look at one after the
    /// other.
    last: Mutex<Option<Found>>,
}

/// The beginning of a file.
struct Found {
    at: (u32, u64),
    bytes: Vec<u8>,
    is_whole: bool,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Surroundings")
            .field("layers", &self.layers)
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    pub(crate) fn new(source: Box<dyn Source>, layers: Vec<Descriptor>) -> Self {
        Self {
            source,
            layers,
            last: Mutex::new(None),
        }
    }

    /// The first bytes of a file of a layer, which is numbered from 1.
    fn head(&self, layer: u32, extents: &Extents, length: u64) -> Result<Vec<u8>> {
        let enough = usize::try_from(length).unwrap_or(usize::MAX);
        let at = (layer, extents.offset);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last
            .as_ref()
            .filter(|found| found.at == at && (found.is_whole || found.bytes.len() >= enough));
        if let Some(found) = known {
            return Ok(found.bytes[..found.bytes.len().min(enough)].to_vec());
        }
        let wanted = length.max(READ_AHEAD);
        let bytes = self.read(layer, extents, wanted)?;
        let head = bytes[..bytes.len().min(enough)].to_vec();
        *last = Some(Found {
            at,
            is_whole: bytes.len() as u64 == extents.size,
            bytes,
        });
        Ok(head)
    }

    fn read(&self, layer: u32, extents: &Extents, length: u64) -> Result<Vec<u8>> {
        let failed = || "reading the layer".to_owned();
        let mut bytes = Vec::new();
        let Some(layer) = self.layers.get((layer as usize).wrapping_sub(1)) else {
            return Ok(bytes);
        };
        let blob = self.source.open(layer)?.take(layer.size);
        let blob = BufReader::with_capacity(BUFFER, blob);
        let mut tar = Decoder::new(blob).doing(failed)?;
        let mut position = 0;
        for (place, piece) in extents.placed() {
            if piece.offset >= length {
                break;
            }
            // What is between two pieces is a hole.
            bytes.resize(usize::try_from(piece.offset).unwrap_or(usize::MAX), 0);
            let skipped = place.saturating_sub(position);
            io::copy(&mut tar.by_ref().take(skipped), &mut io::sink()).doing(failed)?;
            let wanted = piece.length.min(length - piece.offset);
            let read = tar.by_ref().take(wanted).read_to_end(&mut bytes);
            position = place + read.doing(failed)? as u64;
        }
        Ok(bytes)
    }
}

/// What one layer brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerFiles {
    /// Bytes of its files' content.
    pub bytes: u64,
    /// Entries whose directory neither a lower layer has nor an earlier entry of
    /// this one; a few of them.
    pub orphans: Vec<PathBuf>,
    /// How many of them there are.
    pub orphan_count: usize,
}

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageFile {
    /// Its absolute path in the image.
    pub path: PathBuf,
    /// What it is.
    pub kind: ImageFileKind,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a regular file's content; 0 for others.
    pub size: u64,
    /// The layer that it comes from, 0 for the base.
    pub layer: usize,
}

/// What a file of an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageFileKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, and where it leads.
    Symlink(PathBuf),
    /// A fifo or a device.
    Other,
}

impl ImageFile {
    /// True if this user and group has the permission; for a user other than root,
    /// which Lambda's always is.
    pub fn permits(&self, user: u32, group: u32, permission: Permission) -> bool {
        permission.is_in(self.mode, (self.uid, self.gid), (user, group))
    }
}

/// Where a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// All that is passed: the root, directories and links, and last what was
    /// looked for.
    Found(Vec<ImageFile>),
    /// There is nothing of this name.
    Missing(PathBuf),
    /// This is on the way and no directory.
    NotDirectory(PathBuf),
    /// More links than the kernel follows.
    Loop,
}

impl ContentStore {
    /// The files of an image in the store.
    ///
    /// # Errors
    ///
    /// `NotFound` when a layer is not, or no longer, in the store: import again.
    pub fn files(&self, image: &Image) -> Result<ImageFiles> {
        let diff_ids: Vec<_> = image.layers.iter().map(|layer| layer.diff_id).collect();
        let contents = match self.form() {
            Form::Directory => Contents::Directories(self.rootfs(image)?),
            Form::Erofs => {
                let lease = self.lease(image)?;
                let open = |diff_id| {
                    File::open(self.layout.stream(diff_id)).map_err(|_| not_stored(diff_id))
                };
                let streams = diff_ids.iter().map(open).collect::<Result<_>>()?;
                Contents::Streams(streams, lease)
            }
        };
        ImageFiles::of(&self.layout, &Chain::new(&diff_ids), &[], contents)
    }
}

impl ImageFiles {
    /// The files of an image of which nothing is kept; `ingested` are the layers that the
    /// store does not have.
    pub(crate) fn surveyed(
        layout: &Layout,
        chain: &Chain,
        ingested: &[Ingested],
        surroundings: Surroundings,
    ) -> Result<Self> {
        let contents = Contents::Elsewhere(surroundings);
        Self::of(layout, chain, ingested, contents)
    }

    fn of(
        layout: &Layout,
        chain: &Chain,
        ingested: &[Ingested],
        contents: Contents,
    ) -> Result<Self> {
        let mut parents = Parents::default();
        let mut layers = Vec::with_capacity(chain.diff_ids().len());
        let tree = chain.tree_with(layout, ingested, |index| {
            let found = parents.of_layer(index)?;
            let mut bytes = 0_u64;
            for entry in index.entries() {
                let size = entry?.extents.map_or(0, |extents| extents.size);
                bytes = bytes.saturating_add(size);
            }
            layers.push(LayerFiles {
                bytes,
                orphan_count: found.count,
                orphans: found.first.into_iter().map(absolute).collect(),
            });
            Ok(())
        })?;
        Ok(Self {
            tree,
            layers,
            contents,
        })
    }

    /// What each layer brings, base first.
    pub fn layers(&self) -> &[LayerFiles] {
        &self.layers
    }

    /// Follows a path from the root of the image.
    pub fn locate(&self, path: impl AsRef<Path>) -> Located {
        match self.tree.lookup(path.as_ref().as_os_str().as_bytes()) {
            Lookup::Found(way) => {
                Located::Found(way.into_iter().map(|step| self.describe(step)).collect())
            }
            Lookup::Missing(path) => Located::Missing(absolute(path)),
            Lookup::NotDirectory(path) => Located::NotDirectory(absolute(path)),
            Lookup::Loop => Located::Loop,
        }
    }

    /// What a path leads to, links followed.
    pub fn find(&self, path: impl AsRef<Path>) -> Option<ImageFile> {
        match self.locate(path) {
            Located::Found(mut way) => way.pop(),
            _ => None,
        }
    }

    /// Calls `visit` with everything below `directory`, links not followed, and a
    /// directory before what is in it; nothing if it is no directory.
    pub fn visit(&self, directory: impl AsRef<Path>, visit: &mut dyn FnMut(&ImageFile)) {
        let Lookup::Found(way) = self.tree.lookup(directory.as_ref().as_os_str().as_bytes()) else {
            return;
        };
        let mut pending: Vec<Step> = way.last().cloned().into_iter().collect();
        while let Some((path, node)) = pending.pop() {
            for (name, child) in self.tree.entries(node) {
                let mut below = path.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend_from_slice(name);
                visit(&self.describe((below.clone(), child)));
                if matches!(self.tree.node(child).content, Content::Directory(_)) {
                    pending.push((below, child));
                }
            }
        }
    }

    /// The first bytes of a regular file, at most `length`; none if there is no such
    /// file.
    ///
    /// # Errors
    ///
    /// `Io` if the store cannot be read.
    pub fn head(&self, path: impl AsRef<Path>, length: u64) -> Result<Vec<u8>> {
        let path = path.as_ref();
        let failed = || format!("reading {} of the image", quoted_path(path));
        let mut bytes = Vec::new();
        if let Contents::Directories(rootfs) = &self.contents {
            if let Some(file) = rootfs.open(path)? {
                file.take(length).read_to_end(&mut bytes).doing(failed)?;
            }
            return Ok(bytes);
        }
        let Lookup::Found(way) = self.tree.lookup(path.as_os_str().as_bytes()) else {
            return Ok(bytes);
        };
        let content = way.last().map(|(_, id)| &self.tree.node(*id).content);
        match content {
            Some(Content::File(FileData::Inline(inline))) => {
                bytes.extend(
                    inline
                        .iter()
                        .take(usize::try_from(length).unwrap_or(usize::MAX)),
                );
            }
            Some(Content::File(FileData::Tar { layer, extents })) => {
                let stream = match &self.contents {
                    Contents::Streams(streams, _) => streams.get((*layer as usize).wrapping_sub(1)),
                    Contents::Elsewhere(surroundings) => {
                        return surroundings
                            .head(*layer, extents, length)
                            .map_err(|error| error.within(&failed()));
                    }
                    Contents::Directories(_) => None,
                };
                for (place, piece) in extents.placed() {
                    let Some(stream) = stream.filter(|_| piece.offset < length) else {
                        break;
                    };
                    // What is between two pieces is a hole.
                    bytes.resize(usize::try_from(piece.offset).unwrap_or(usize::MAX), 0);
                    let wanted = piece.length.min(length - piece.offset);
                    let mut piece = vec![0; usize::try_from(wanted).unwrap_or(usize::MAX)];
                    stream.read_exact_at(&mut piece, place).doing(failed)?;
                    bytes.extend(piece);
                }
            }
            _ => {}
        }
        Ok(bytes)
    }

    fn describe(&self, (path, id): Step) -> ImageFile {
        let node = self.tree.node(id);
        let size = match &node.content {
            Content::File(FileData::Inline(bytes)) => bytes.len() as u64,
            Content::File(FileData::Tar { extents, .. }) => extents.size,
            _ => 0,
        };
        let kind = match &node.content {
            Content::Directory(_) => ImageFileKind::Directory,
            Content::File(_) => ImageFileKind::File,
            Content::Symlink(target) => {
                ImageFileKind::Symlink(OsString::from_vec(target.to_vec()).into())
            }
            Content::Fifo | Content::Device(_) => ImageFileKind::Other,
        };
        ImageFile {
            path: absolute(path),
            kind,
            mode: node.metadata.mode,
            uid: node.metadata.uid,
            gid: node.metadata.gid,
            size,
            layer: self.layer(id),
        }
    }

    /// Trees number layers from 1, and what no layer describes is 0's.
    fn layer(&self, id: NodeId) -> usize {
        (self.tree.node(id).layer() as usize).saturating_sub(1)
    }
}

fn absolute(path: Vec<u8>) -> PathBuf {
    let mut text = b"/".to_vec();
    text.extend(path);
    OsString::from_vec(text).into()
}

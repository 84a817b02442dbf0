//! What layers make together, not in the store yet: an EROFS image of the whole root
//! file system, or the joint of directories.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::erofs::{self, Device, Tail};
use crate::error::{Error, IoContext, Result, quoted, quoted_path};
use crate::owners::owners;
use crate::store::chain::{Chain, fresh};
use crate::store::ingested::{Ingested, Place};
use crate::store::layout::{Layout, open_dir};
use crate::store::record::{self, ErofsRecord, JointRecord, TarRecord};
use crate::tree::joint::Joint;
use crate::tree::{NodeId, Tree, skeleton};
use crate::unpack::tree::{Contents, write};
use crate::{Digest, Interrupt};

/// What makes the layers of a chain a root file system.
#[derive(Debug)]
pub(crate) struct BuiltRoot {
    pub(crate) chain: Digest,
    pub(crate) form: BuiltForm,
}

#[derive(Debug)]
pub(crate) enum BuiltForm {
    Erofs {
        record: ErofsRecord,
    },
    Joint {
        /// None if there is nothing to mend.
        directory: Option<PathBuf>,
        record: JointRecord,
    },
}

/// Merges the layers under the skeleton; with what is odd about that.
fn merged(chain: &Chain, layout: &Layout, ingested: &[Ingested]) -> Result<(Tree, Vec<String>)> {
    let mut tree = chain.tree(layout, ingested)?;
    let warnings = skeleton::warnings(&tree.not_directories());
    tree.apply_skeleton(chain.skeleton_layer()?)?;
    Ok((tree, warnings))
}

/// Builds the EROFS image of a chain, and writes it to `out`.
pub(crate) fn erofs(
    chain: &Chain,
    layout: &Layout,
    ingested: &[Ingested],
    out: impl Write,
) -> Result<BuiltRoot> {
    let (tree, warnings) = merged(chain, layout, ingested)?;
    let mut devices: Vec<Device> = Vec::new();
    let mut device_of = Vec::new();
    for diff_id in chain.diff_ids() {
        let known = devices.iter().position(|device| device.diff_id == *diff_id);
        let slot = known.unwrap_or(devices.len());
        if known.is_none() {
            devices.push(device(layout, ingested, diff_id)?);
        }
        // An image has at most some hundred layers.
        device_of.push(u16::try_from(slot + 1).unwrap_or(u16::MAX));
    }
    let digest = erofs::write(&tree, &devices, &device_of, out)?;
    let devices = devices.iter().map(|device| device.diff_id).collect();
    Ok(BuiltRoot {
        chain: *chain.digest(),
        form: BuiltForm::Erofs {
            record: ErofsRecord::new(digest, devices, warnings),
        },
    })
}

/// The stream of a layer as a device, in the store or on its way there.
fn device(layout: &Layout, ingested: &[Ingested], diff_id: &Digest) -> Result<Device> {
    let staged = ingested
        .iter()
        .find(|ingested| ingested.diff_id == *diff_id)
        .map(|ingested| ingested.size);
    let stored = || record::read::<TarRecord>(&layout.tar_record(diff_id)).map(|r| r.size);
    let size = staged.or_else(stored).unwrap_or_default();
    let path = match fresh(ingested, diff_id).map(|content| &content.place) {
        Some(Place::Tar(path)) => path.clone(),
        _ => layout.stream(diff_id),
    };
    let tail = Tail::start(size)
        .map(|start| tail(&path, start, size))
        .transpose()?;
    Ok(Device {
        diff_id: *diff_id,
        size,
        tail,
    })
}

/// The end of a stream.
///
/// # Errors
///
/// `Invalid` if it is not there, which is damage of the store.
fn tail(path: &Path, start: u64, size: u64) -> Result<Tail> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(start))?;
        file.take(size - start).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::invalid(format!(
            "the store lacks {}; drop its layer by `lambent image verify` and import the image \
             again",
            quoted_path(path)
        ))),
        other => other
            .map(|bytes| Tail::new(start, bytes))
            .doing(|| format!("reading {}", quoted_path(path))),
    }
}

/// Builds the joint of a chain whose layers are directories, those of `ingested`
/// where they are now; `place` does not exist yet.
pub(crate) fn joint(
    chain: &Chain,
    layout: &Layout,
    ingested: &[Ingested],
    place: &Path,
    interrupt: &Interrupt,
) -> Result<BuiltRoot> {
    let (tree, warnings) = merged(chain, layout, ingested)?;
    let layers = chain.diff_ids();
    let nth = |layer: u32| layers.get((layer as usize).wrapping_sub(1));
    let joint = tree.joint(chain.skeleton_layer()?, |a, b| nth(a) == nth(b));
    let directory = (!joint.is_empty()).then(|| place.to_owned());
    if directory.is_some() {
        let failed = || "joining the layers".to_owned();
        let mut directories = BTreeMap::new();
        for (diff_id, layer) in layers.iter().zip(1..) {
            let path = match fresh(ingested, diff_id).map(|content| &content.place) {
                Some(Place::Directory(path)) => path.clone(),
                _ => layout.layer(diff_id),
            };
            directories.insert(layer, path);
        }
        let contents = Layers {
            joint: &joint,
            directories,
        };
        DirBuilder::new().mode(0o700).create(place).doing(failed)?;
        let root = open_dir(place).doing(failed)?;
        let left_out = write(&tree, root.as_fd(), &contents, interrupt)
            .map_err(|error| error.within(&failed()))?;
        // Attributes that the file system does not take it did not take of the layers
        // either, which say so.
        // Devices neither, in a user namespace.
        let devices = if owners().are_all() {
            left_out.devices
        } else {
            0
        };
        if left_out.owners + devices > 0 {
            return Err(Error::unsupported(
                "joining the layers of this image takes the right to change owners and to make \
                 device nodes; run as root",
            ));
        }
    }
    let size = joint.size(&tree);
    let record = JointRecord::new(layers.to_vec(), directory.is_some(), size, warnings);
    Ok(BuiltRoot {
        chain: *chain.digest(),
        form: BuiltForm::Joint { directory, record },
    })
}

/// A joint, and the directories of the layers that its files are copied from.
struct Layers<'a> {
    joint: &'a Joint,
    directories: BTreeMap<u32, PathBuf>,
}

impl Contents for Layers<'_> {
    fn wants(&self, node: NodeId) -> bool {
        self.joint.has(node)
    }

    fn fill(&self, node: NodeId, file: &File) -> io::Result<()> {
        let source = self.joint.source(node);
        let place = source.and_then(|source| self.directories.get(&source.layer));
        let (Some(source), Some(directory)) = (source, place) else {
            return Err(io::Error::other("a file of an unknown layer"));
        };
        match open_beneath(directory, &source.path)? {
            Some(from) => copy(&from, file),
            None => Err(Error::invalid(format!(
                "the store's layer {} lacks {}; drop it by `lambent image verify` and import the \
                 image again",
                quoted_path(directory),
                quoted(&source.path)
            ))
            .into()),
        }
    }
}

/// Opens a regular file; none if the directory, or the file in it, is not there.
fn open_beneath(directory: &Path, path: &[u8]) -> io::Result<Option<File>> {
    let root = match open_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    match openat2(&root, path, flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NXIO) => Ok(None),
        other => {
            let file = File::from(other?);
            Ok(file.metadata()?.is_file().then_some(file))
        }
    }
}

/// Copies a file, its holes as holes; within the kernel, and without moving a byte
/// where the file system can share them.
fn copy(from: &File, to: &File) -> io::Result<()> {
    let size = from.metadata()?.len();
    let (mut reader, mut writer) = (from, to);
    let mut position = 0;
    while position < size {
        // The end of a file counts as a hole.
        let start = match rustix::fs::seek(from, rustix::fs::SeekFrom::Data(position)) {
            Err(Errno::NXIO) => break,
            other => other?,
        };
        let end = rustix::fs::seek(from, rustix::fs::SeekFrom::Hole(start))?;
        reader.seek(SeekFrom::Start(start))?;
        writer.seek(SeekFrom::Start(start))?;
        let length = end - start;
        if io::copy(&mut reader.take(length), &mut writer)? != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        position = end;
    }
    to.set_len(size)
}

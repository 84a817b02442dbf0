//! Ways into the parts that read untrusted bytes, for the targets in
//! `images/fuzz`. Each says whether the bytes were accepted.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use crate::package::{self, PackageLimits};
use crate::source::{self, resolve};
use crate::tree::Tree;
use crate::unpack::decompress::Decoder;
use crate::unpack::limits::Budget;
use crate::unpack::{self, path::open_root};
use crate::{Digest, ImageReference, Platform, Result, config, erofs, manifest};

/// What a package may unpack to.
pub const PACKAGE_BYTES_MAX: u64 = 1 << 20;
/// What one layer may unpack to: small, so that a bomb costs no time.
const BYTES_MAX: u64 = 4 << 20;
const ENTRIES_MAX: u64 = 2_000;

/// Unpacks a layer's blob into the empty directory `root`.
pub fn layer(blob: &[u8], root: &Path, graveyard: &Path) -> bool {
    unpack(blob, root, graveyard).is_ok()
}

fn unpack(blob: &[u8], root: &Path, graveyard: &Path) -> Result<()> {
    let budget = Budget::new(BYTES_MAX, ENTRIES_MAX);
    let io = |error| crate::Error::io(|| "fuzzing".to_owned(), error);
    let decoder = Decoder::new(blob).map_err(io)?;
    let stream = BufReader::new(decoder.take(BYTES_MAX));
    let root = open_root(root).map_err(|error| io(error.into()))?;
    let graveyard = File::open(graveyard).map_err(io)?;
    let graveyard = std::os::fd::AsFd::as_fd(&graveyard);
    unpack::layer(stream, root, graveyard, &budget).map(drop)
}

/// Unpacks a zip archive of a function into the empty directory `root`; the bytes of
/// its files if it is accepted, which are never more than [`PACKAGE_BYTES_MAX`].
pub fn package(archive: &[u8], root: &Path, graveyard: &Path) -> Option<u64> {
    let root = open_root(root).ok()?;
    let graveyard = File::open(graveyard).ok()?;
    let limits = PackageLimits {
        bytes: PACKAGE_BYTES_MAX,
        entries: 200,
    };
    let graveyard = std::os::fd::AsFd::as_fd(&graveyard);
    package::unpack(Cursor::new(archive), root, graveyard, limits).ok()
}

/// Lists a layer's blob, merges it under the skeleton twice, and lays that out as EROFS.
pub fn index(blob: &[u8]) -> bool {
    lay_out(blob).is_ok()
}

fn lay_out(blob: &[u8]) -> Result<()> {
    let budget = Budget::new(BYTES_MAX, ENTRIES_MAX);
    let io = |error| crate::Error::io(|| "fuzzing".to_owned(), error);
    let mut stream = Vec::new();
    let mut decoder = Decoder::new(blob).map_err(io)?.take(BYTES_MAX);
    decoder.read_to_end(&mut stream).map_err(io)?;
    let (index, _) = unpack::index(stream.as_slice(), &budget)?;
    let mut tree = Tree::new();
    tree.apply(1, &index)?;
    tree.apply(2, &index)?;
    tree.apply_skeleton(3)?;
    let _whatever_it_is = tree.joint(3, |a, b| a == b).size(&tree);
    let size = stream.len() as u64;
    let device = erofs::Device {
        diff_id: Digest::of(blob),
        size,
        tail: erofs::Tail::start(size).map(|start| {
            let from = usize::try_from(start).unwrap_or_default();
            erofs::Tail::new(start, stream[from..].to_vec())
        }),
    };
    erofs::write(&tree, &[device], &[1, 1], io::sink()).map(drop)
}

/// Parses a document as each of those that an image has.
pub fn documents(bytes: &[u8]) -> bool {
    let index = manifest::parse_index(bytes);
    if let Ok(entries) = &index {
        let _chosen = crate::platform::choose(entries, &Platform::host()).map(drop);
    }
    let parsed = [
        index.is_ok(),
        manifest::parse(bytes, None).is_ok(),
        manifest::parse(bytes, Some(manifest::OCI_MANIFEST)).is_ok(),
        config::parse(bytes).is_ok(),
    ];
    parsed.contains(&true)
}

/// Opens a file as each kind of archive and reads the layers that it names.
pub fn archive(path: &Path) -> bool {
    let path = path.to_owned();
    [
        ImageReference::Path { path: path.clone() },
        ImageReference::OciArchive {
            path: path.clone(),
            tag: None,
        },
        ImageReference::DockerArchive {
            path,
            reference: None,
        },
    ]
    .iter()
    .filter(|reference| read_all(reference).is_ok())
    .count()
        > 0
}

fn read_all(reference: &ImageReference) -> Result<()> {
    let source = source::open(reference)?;
    let resolved = resolve(source.as_ref(), &Platform::host())?;
    for layer in &resolved.manifest.layers {
        let mut blob = source.open(layer)?.take(BYTES_MAX);
        let read = std::io::copy(&mut blob, &mut std::io::sink());
        read.map_err(|error| crate::Error::io(|| "fuzzing".to_owned(), error))?;
    }
    Ok(())
}

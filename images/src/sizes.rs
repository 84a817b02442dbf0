//! [`sizes`]: what takes the room of an image that is too large to be stored. Its
//! layers are read once more, and nothing of them is kept.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::error::{IoContext, Result};
use crate::source::{self, resolve};
use crate::tarball::{MemberKind, Streamed, TarReader};
use crate::unpack::decompress::Decoder;
use crate::{Digest, ImageReference, Interrupt, LayerProgress, Platform, Progress};

/// Bytes of all layers after which nothing more is read: ten times what Lambda takes.
const BYTES_MAX: u64 = 100 << 30;
/// Directories that are told apart; what is in others is counted with its layer only.
const DIRECTORIES_MAX: usize = 10_000;
/// Names of a path by which directories are told apart.
const DEPTH: usize = 2;
const BUFFER: usize = 128 * 1024;

/// What takes the room, in bytes of files' content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageSizes {
    /// Of each layer, the largest first.
    pub layers: Vec<(Digest, u64)>,
    /// Of the directories of the second level, all layers together, the largest first.
    pub directories: Vec<(PathBuf, u64)>,
    /// There is more, which was not read.
    pub is_cut: bool,
}

impl ImageSizes {
    /// All layers together.
    pub fn total(&self) -> u64 {
        let layers = self.layers.iter();
        layers.fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}

/// Reads what the layers of an image have in them.
///
/// # Errors
///
/// The image cannot be read; what its digests say of it is not checked.
pub fn sizes(
    reference: &ImageReference,
    platform: &Platform,
    progress: &dyn Progress,
) -> Result<ImageSizes> {
    let source = source::open(reference)?;
    let resolved = resolve(source.as_ref(), platform)?;
    let mut found = ImageSizes::default();
    let mut directories: HashMap<PathBuf, u64> = HashMap::new();
    let mut left = BYTES_MAX;
    for layer in &resolved.manifest.layers {
        let total = layer.size;
        progress.layer(&layer.digest, LayerProgress::Started { total });
        let blob = Interruptible {
            inner: source.open(layer)?.take(layer.size),
            interrupt: progress.interrupt(),
        };
        let blob = BufReader::with_capacity(BUFFER, blob);
        let decoder = Decoder::new(blob).doing(reading)?;
        let tar = BufReader::with_capacity(BUFFER, decoder);
        let mut tar = TarReader::new(Streamed(tar));
        let mut bytes: u64 = 0;
        while let Some(member) = tar.next_member()? {
            if member.kind != MemberKind::Regular {
                continue;
            }
            bytes = bytes.saturating_add(member.size);
            let directory = directory(member.path);
            if directories.len() < DIRECTORIES_MAX || directories.contains_key(&directory) {
                let sum = directories.entry(directory).or_default();
                *sum = sum.saturating_add(member.size);
            }
            // Before it is read: a header costs nothing.
            if member.size > left {
                found.is_cut = true;
                break;
            }
            left -= member.size;
        }
        found.layers.push((layer.digest, bytes));
        progress.layer(&layer.digest, LayerProgress::Finished);
        if found.is_cut {
            break;
        }
    }
    found
        .layers
        .sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    found.directories = directories.into_iter().collect();
    found
        .directories
        .sort_by(|(path, bytes), (other, others)| others.cmp(bytes).then_with(|| path.cmp(other)));
    Ok(found)
}

/// The directory of a file, as deep as they are told apart.
fn directory(path: Vec<u8>) -> PathBuf {
    let path = PathBuf::from(OsString::from_vec(path));
    let names = path.components().filter_map(|component| match component {
        std::path::Component::Normal(name) => Some(name),
        _ => None,
    });
    let mut names: Vec<_> = names.collect();
    names.pop();
    let names = names.into_iter().take(DEPTH);
    std::iter::once("/".as_ref()).chain(names).collect()
}

/// A blob whose reading its caller may stop.
struct Interruptible<R> {
    inner: R,
    interrupt: Interrupt,
}

impl<R: Read> Read for Interruptible<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupt.check()?;
        self.inner.read(buffer)
    }
}

fn reading() -> String {
    "reading the layer".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoProgress;
    use crate::writer::{Compression, ImageBuilder, LayerBuilder};

    #[test]
    fn layers_and_directories_with_what_is_in_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("image.tar");
        let platform = Platform::host();
        let of = |path: &str, bytes: usize| LayerBuilder::new().file(path, 0o644, vec![0; bytes]);
        ImageBuilder::new(platform.clone())
            .layer(of("usr/lib/a.so", 3_000).file("usr/lib/deep/b.so", 0o644, vec![0; 500]))
            .layer(of("opt/ml/model/m.bin", 90_000).compression(Compression::None))
            // What a layer replaces counts nevertheless.
            .layer(of("opt/ml/model/m.bin", 20_000).file("top", 0o644, vec![0; 7]))
            .write_oci_archive(&file, "latest")
            .unwrap();
        let reference = format!("oci-archive:{}", file.display()).parse().unwrap();
        let found = sizes(&reference, &platform, &NoProgress).unwrap();
        let layers: Vec<_> = found.layers.iter().map(|(_, bytes)| *bytes).collect();
        assert_eq!(layers, [90_000, 20_007, 3_500]);
        assert_eq!((found.total(), found.is_cut), (113_507, false));
        let expected = [("/opt/ml", 110_000), ("/usr/lib", 3_500), ("/", 7)];
        let expected = expected.map(|(path, bytes)| (PathBuf::from(path), bytes));
        assert_eq!(found.directories, expected);
    }

    #[test]
    fn directories_of_files() {
        for (path, expected) in [
            ("opt/ml/model/a.bin", "/opt/ml"),
            ("./opt/ml/a.bin", "/opt/ml"),
            ("/opt/a.bin", "/opt"),
            ("a.bin", "/"),
            ("../a/b", "/a"),
            ("", "/"),
        ] {
            let found = directory(path.as_bytes().to_vec());
            assert_eq!(found, PathBuf::from(expected), "{path}");
        }
    }
}

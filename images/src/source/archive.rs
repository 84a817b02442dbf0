//! A tar file on disk as a set of named blobs: indexed once by seeking from
//! header to header, then read in place. One that is compressed as a whole is
//! decompressed to a temporary file for that.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::cannot_open;
use super::spool::spool;
use crate::error::{Error, ErrorKind, IoContext, Result, quoted, quoted_path};
use crate::manifest::{JSON_MAX, too_large};
use crate::tarball::{MemberKind, Seekable, TarReader};
use crate::unpack::decompress::{Decoder, Format};

/// Most members of an outer archive: an image has a few files for each layer.
const MEMBERS_MAX: usize = 100_000;
/// Longest chain of links inside an archive.
const LINKS_MAX: usize = 8;

/// Programs that decompress what is not read here.
const TOOLS: [(&str, &str); 4] = [
    ("xz", "unxz"),
    ("bzip2", "bunzip2"),
    ("lz4", "unlz4"),
    ("zip", "unzip"),
];

/// An indexed tar file.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    path: PathBuf,
    members: HashMap<String, Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File {
        offset: u64,
        size: u64,
    },
    Link(String),
    /// Two members of one name: tools disagree about which of them counts.
    Twice,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self> {
        // A fifo must not make us wait before it is found to be one.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())
            .map(File::from)
            .map_err(|error| cannot_open(path, error))?;
        let failed = || format!("reading {}", quoted_path(path));
        if !file.metadata().doing(failed)?.is_file() {
            return Err(not_an_archive(path, "it is not a regular file"));
        }
        let file = decompress(path, file).map_err(of_archive)?;
        Self::of_file(file, path)
    }

    /// Indexes a file that is open already; `path` is what messages call it.
    pub(super) fn of_file(file: File, path: &Path) -> Result<Self> {
        let mut archive = Self {
            file,
            path: path.to_owned(),
            members: HashMap::new(),
        };
        archive.index().map_err(|error| match error.kind() {
            // Without one good header the file was never a tar archive.
            ErrorKind::Invalid | ErrorKind::Unsupported if archive.members.is_empty() => {
                not_an_archive(
                    path,
                    "it is not a tar archive, or only the beginning of one",
                )
            }
            _ => of_archive(error.within(&quoted_path(path))),
        })?;
        Ok(archive)
    }

    fn index(&mut self) -> Result<()> {
        let reading = || "reading the archive".to_owned();
        let file = self.file.try_clone().doing(reading)?;
        // Small, because most of what is read ahead is jumped over.
        let file = BufReader::with_capacity(1024, file);
        let mut tar = TarReader::new(Seekable::new(file).doing(reading)?);
        let length = self.file.metadata().doing(reading)?.len();
        while let Some(member) = tar.next_member()? {
            if self.members.len() == MEMBERS_MAX {
                return Err(Error::limit(format!(
                    "the archive has more than {MEMBERS_MAX} members"
                )));
            }
            let Some(name) = clean("", &member.path) else {
                continue;
            };
            if member.sparse.is_some() {
                return Err(Error::unsupported(format!(
                    "the archive's member {} is a sparse file; create the archive without it",
                    quoted(&member.path)
                )));
            }
            let place = match member.kind {
                MemberKind::Regular => {
                    let offset = tar.position();
                    if offset
                        .checked_add(member.size)
                        .is_none_or(|end| end > length)
                    {
                        return Err(Error::invalid("the tar archive is truncated"));
                    }
                    Place::File {
                        offset,
                        size: member.size,
                    }
                }
                MemberKind::Symlink => {
                    let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
                    match clean(parent, &member.link) {
                        Some(target) if !member.link.starts_with(b"/") => Place::Link(target),
                        _ => continue,
                    }
                }
                MemberKind::Hardlink => match clean("", &member.link) {
                    Some(target) => Place::Link(target),
                    None => continue,
                },
                MemberKind::Directory
                | MemberKind::CharacterDevice
                | MemberKind::BlockDevice
                | MemberKind::Fifo => continue,
            };
            self.members
                .entry(name)
                .and_modify(|known| *known = Place::Twice)
                .or_insert(place);
        }
        Ok(())
    }

    /// Where the content of a member is, after links inside the archive.
    fn find(&self, name: &str) -> Result<Option<(u64, u64)>> {
        let Some(mut name) = clean("", name.as_bytes()) else {
            return Ok(None);
        };
        for _ in 0..LINKS_MAX {
            match self.members.get(&name) {
                None => return Ok(None),
                Some(&Place::File { offset, size }) => return Ok(Some((offset, size))),
                Some(Place::Link(target)) => name.clone_from(target),
                Some(Place::Twice) => {
                    return Err(Error::invalid(format!(
                        "{} has two members named {}",
                        quoted_path(&self.path),
                        quoted(&name)
                    )));
                }
            }
        }
        Err(Error::invalid(format!(
            "{} has too long a chain of links at {}",
            quoted_path(&self.path),
            quoted(&name)
        )))
    }

    /// The content of a member and its size in bytes.
    pub(super) fn member(&self, name: &str) -> Result<Option<(MemberReader<'_>, u64)>> {
        Ok(self.find(name)?.map(|(offset, size)| {
            let reader = MemberReader {
                file: &self.file,
                position: offset,
                end: offset + size,
            };
            (reader, size)
        }))
    }

    /// The content of a small JSON member.
    pub(super) fn json(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some((mut reader, size)) = self.member(name)? else {
            return Ok(None);
        };
        if size > JSON_MAX {
            return Err(too_large(name));
        }
        let mut bytes = Vec::new();
        reader
            .read_to_end(&mut bytes)
            .doing(|| format!("reading {} in {}", quoted(name), quoted_path(&self.path)))?;
        Ok(Some(bytes))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads one member; does not move the file's own position.
pub(super) struct MemberReader<'a> {
    file: &'a File,
    position: u64,
    end: u64,
}

impl Read for MemberReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..wanted], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// `path` relative to `parent`, both inside the archive; `None` if it leaves it
/// or is nothing that an image consists of.
fn clean(parent: &str, path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let mut parts: Vec<&str> = Vec::new();
    for part in parent.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// The tar file itself, out of one that is compressed as a whole.
fn decompress(path: &Path, file: File) -> Result<File> {
    let failed = || format!("reading {}", quoted_path(path));
    let mut start = [0; 6];
    let read = file.read_at(&mut start, 0).doing(failed)?;
    let format = Format::of(&start[..read]).map_err(|format| {
        let tool = TOOLS.iter().find(|(name, _)| *name == format);
        Error::unsupported(format!(
            "{} is compressed with {format} as a whole, which Lambent does not read; decompress it \
             first with {} (the layers inside may stay compressed)",
            quoted_path(path),
            tool.map_or(format, |(_, tool)| tool)
        ))
    })?;
    if format == Format::Plain {
        return Ok(file);
    }
    let stream = BufReader::with_capacity(128 * 1024, file);
    let mut decoder = Decoder::new(stream).doing(failed)?;
    let what = "the decompressed archive";
    spool(&mut decoder, what).map_err(|error| error.within(&quoted_path(path)))
}

/// An error of the archive and not of what is in it, but for its size.
fn of_archive(error: Error) -> Error {
    match error.kind() {
        ErrorKind::ImageTooLarge => error,
        _ => error.of_file(),
    }
}

pub(super) fn not_an_archive(path: &Path, why: &str) -> Error {
    Error::new(
        ErrorKind::NotAnImage,
        format!(
            "{} is not an image: {why}; expected a directory or tar archive with an OCI image \
             layout, or what `docker save` writes",
            quoted_path(path)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for (parent, path, expected) in [
            ("", "./a", Some("a")),
            ("", "/a//b/", Some("a/b")),
            ("x", "../y/layer.tar", Some("y/layer.tar")),
            ("x", "../../y", None),
            ("", "..", None),
            ("", ".", None),
        ] {
            assert_eq!(clean(parent, path.as_bytes()).as_deref(), expected);
        }
    }
}

//! [`LayerIndex`]: a layer's entries and where their content is in its tar
//! stream: all that it takes to merge the layer into a tree, without its bytes.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::Extents;
use crate::Digest;
use crate::error::{Error, IoContext, Result};
use crate::unpack::entry::Action;
use crate::writer::Hashed;

/// Version of the format on disk.
const VERSION: u32 = 1;

/// The entries of a layer, in the order of its tar stream.
///
/// Held as they are on disk, which takes a third of the memory, and read one by one.
#[derive(Debug, Default)]
pub(crate) struct LayerIndex {
    count: u64,
    encoded: Vec<u8>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) action: Action,
    /// For regular files.
    pub(crate) extents: Option<Extents>,
}

impl LayerIndex {
    /// Adds an entry behind those so far.
    pub(crate) fn push(&mut self, entry: &Entry) -> Result<()> {
        let encoded = std::mem::take(&mut self.encoded);
        self.encoded = postcard::to_extend(entry, encoded).map_err(|error| unencodable(&error))?;
        self.count += 1;
        Ok(())
    }

    /// The entries in their order.
    ///
    /// # Errors
    ///
    /// `Invalid` if what was read from the disk is damaged.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Result<Entry>> {
        let mut rest = self.encoded.as_slice();
        (0..self.count).map(move |_| {
            let (entry, behind) = postcard::take_from_bytes(rest)
                .map_err(|error| Error::invalid(format!("a layer's index is damaged: {error}")))?;
            rest = behind;
            Ok(entry)
        })
    }

    /// Writes the index, and returns its digest.
    pub(crate) fn write(&self, out: impl Write) -> Result<Digest> {
        let head =
            postcard::to_allocvec(&(VERSION, self.count)).map_err(|error| unencodable(&error))?;
        let mut out = Hashed::new(out);
        out.write_all(&head)
            .and_then(|()| out.write_all(&self.encoded))
            .doing(|| "writing a layer's index".to_owned())?;
        Ok(out.finish().0)
    }

    /// The digest of what [`Self::write`] writes.
    pub(crate) fn digest(&self) -> Result<Digest> {
        self.write(io::sink())
    }

    /// Takes what is in a file that has its digest; `None` if that is of another version.
    pub(crate) fn from_bytes(mut bytes: Vec<u8>) -> Option<Self> {
        let ((version, count), encoded): ((u32, u64), _) =
            postcard::take_from_bytes(&bytes).ok()?;
        let head = bytes.len() - encoded.len();
        bytes.drain(..head);
        let index = Self {
            count,
            encoded: bytes,
        };
        (version == VERSION).then_some(index)
    }
}

fn unencodable(error: &postcard::Error) -> Error {
    Error::invalid(format!("cannot encode a layer's index: {error}"))
}

#[cfg(test)]
impl LayerIndex {
    /// The index of these entries.
    pub(crate) fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut index = Self::default();
        for entry in entries {
            index.push(&entry).unwrap();
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack::entry::Metadata;
    use crate::unpack::name::LayerPath;

    fn entries() -> Vec<Entry> {
        let path = |text: &str| LayerPath::new(text.as_bytes()).unwrap();
        let plain = Metadata::implied_directory;
        let file = Entry {
            action: Action::File(path("usr/a"), plain()),
            extents: Some(Extents::new(1024, 300, None)),
        };
        let others = [
            Action::Directory(path("usr"), plain()),
            Action::Symlink(path("b"), b"usr/a".to_vec(), plain()),
            Action::Hardlink(path("c"), path("usr/a")),
            Action::Whiteout(path("d")),
        ];
        let other = |action| Entry {
            action,
            extents: None,
        };
        others.map(other).into_iter().chain([file]).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let entries = entries();
        let index = LayerIndex::of(entries.clone());
        let mut bytes = Vec::new();
        assert_eq!(index.write(&mut bytes).unwrap(), Digest::of(&bytes));
        // The format of all stores: a version and the list.
        assert_eq!(bytes, postcard::to_allocvec(&(VERSION, &entries)).unwrap());
        let again = LayerIndex::from_bytes(bytes.clone()).unwrap();
        let again: Vec<_> = again.entries().map(Result::unwrap).collect();
        assert_eq!(again, entries);
        for cut in 0..bytes.len() {
            let index = LayerIndex::from_bytes(bytes[..cut].to_vec());
            assert!(index.is_none_or(|index| index.entries().any(|entry| entry.is_err())));
        }
        let other = [&[2][..], &bytes[1..]].concat();
        assert!(LayerIndex::from_bytes(other).is_none());
    }
}

//! [`Parents`]: which entries of layers come before their directory.
//!
//! Unpackers make such a directory on the way, and Lambda does not:
//! `MissingParentDirectory`.

use std::collections::BTreeSet;

use super::index::LayerIndex;
use crate::error::Result;
use crate::unpack::entry::Action;
use crate::unpack::name::LayerPath;

/// As many orphans of a layer are named.
const NAMED_MAX: usize = 5;

/// The directories, and the links that may stand for one, of the layers so far.
#[derive(Debug, Default)]
pub(crate) struct Parents {
    known: BTreeSet<Vec<u8>>,
}

/// The entries of a layer that have no directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Orphans {
    pub(crate) count: usize,
    pub(crate) first: Vec<Vec<u8>>,
}

impl Parents {
    /// Adds a layer. What in it had no directory to be in.
    pub(crate) fn of_layer(&mut self, layer: &LayerIndex) -> Result<Orphans> {
        let mut orphans = Orphans::default();
        for entry in layer.entries() {
            let entry = entry?;
            let (path, leads_on) = match &entry.action {
                Action::Directory(path, _) | Action::Symlink(path, ..) => (path, true),
                Action::File(path, _)
                | Action::Hardlink(path, _)
                | Action::Fifo(path, _)
                | Action::Device(path, ..) => (path, false),
                Action::Whiteout(path) => {
                    self.forget(path.as_bytes());
                    continue;
                }
                Action::Opaque(_) | Action::Skip(_) => continue,
            };
            if !self.has_parent(path) {
                orphans.count += 1;
                if orphans.first.len() < NAMED_MAX {
                    orphans.first.push(path.as_bytes().to_vec());
                }
            }
            if leads_on && !self.known.contains(path.as_bytes()) {
                self.known.insert(path.as_bytes().to_vec());
            }
        }
        Ok(orphans)
    }

    fn has_parent(&self, path: &LayerPath) -> bool {
        path.split()
            .is_none_or(|(parent, _)| parent.is_root() || self.known.contains(parent.as_bytes()))
    }

    fn forget(&mut self, path: &[u8]) {
        self.known.remove(path);
        let below = [path, b"/"].concat();
        let gone: Vec<_> = self
            .known
            .range(below.clone()..)
            .take_while(|known| known.starts_with(&below))
            .cloned()
            .collect();
        for path in gone {
            self.known.remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::index::Entry;
    use crate::unpack::entry::Metadata;

    /// `d/` is a directory, `l@` a link, `-w` a whiteout, anything else a file.
    fn layer(words: &str) -> LayerIndex {
        let entry = |word: &str| {
            let path = |text: &str| LayerPath::new(text.as_bytes()).unwrap();
            let plain = Metadata::implied_directory();
            let action = match word {
                word if word.ends_with('/') => Action::Directory(path(word), plain),
                word if word.ends_with('@') => {
                    Action::Symlink(path(word.trim_end_matches('@')), b"x".to_vec(), plain)
                }
                word if word.starts_with('-') => Action::Whiteout(path(&word[1..])),
                word => Action::File(path(word), plain),
            };
            Entry {
                action,
                extents: None,
            }
        };
        LayerIndex::of(words.split_whitespace().map(entry))
    }

    #[test]
    fn who_has_no_directory() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["a/ a/b f"], &[""]),
            // Anywhere below counts.
            (&["a/ a/b/", "a/b/c"], &["", ""]),
            // Nowhere, and only afterwards.
            (&["a/b"], &["a/b"]),
            (&["a/b a/"], &["a/b"]),
            // A directory without its own.
            (&["a/b/ a/b/c"], &["a/b"]),
            // A link may lead to a directory.
            (&["lib@ lib/x"], &[""]),
            // Taken away below.
            (&["a/ a/b/", "-a a/b/c"], &["", "a/b/c"]),
        ];
        for (layers, expected) in cases {
            let mut parents = Parents::default();
            let found: Vec<_> = layers
                .iter()
                .map(|words| {
                    let orphans = parents.of_layer(&layer(words)).unwrap();
                    String::from_utf8(orphans.first.join(&b' ')).unwrap()
                })
                .collect();
            assert_eq!(found, *expected, "{layers:?}");
        }
    }
}

//! Finding a path in a [`Tree`] as the kernel would inside the image: links are
//! followed, absolute ones from the image's root.

use std::collections::VecDeque;

use super::{Content, NodeId, Tree};

/// Most symlinks followed for one path; Linux's own limit.
pub(crate) const SYMLINKS_MAX: usize = 40;

/// A node that was passed, and its real path from the root, without a leading slash.
pub(crate) type Step = (Vec<u8>, NodeId);

/// What became of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// The way: the root, then directories and links, last what was looked for.
    Found(Vec<Step>),
    /// There is nothing of this real path.
    Missing(Vec<u8>),
    /// This is on the way and no directory.
    NotDirectory(Vec<u8>),
    /// More links than the kernel follows.
    Loop,
}

impl Tree {
    /// Looks `path` up, from the root whether or not it begins with a slash.
    pub(crate) fn lookup(&self, path: &[u8]) -> Lookup {
        let mut pending = components(path);
        // The directories from the root to here, each with its real path.
        let mut here: Vec<Step> = vec![(Vec::new(), Self::ROOT)];
        let mut way = here.clone();
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            if name == b".." {
                if here.len() > 1 {
                    here.pop();
                }
                continue;
            }
            let Some((directory, id)) = here.last() else {
                return Lookup::Loop;
            };
            if !self.is_directory(*id) {
                return Lookup::NotDirectory(directory.clone());
            }
            let mut real = directory.clone();
            if !real.is_empty() {
                real.push(b'/');
            }
            real.extend_from_slice(&name);
            let Some(found) = self.child(*id, &name) else {
                return Lookup::Missing(real);
            };
            way.push((real.clone(), found.node));
            if let Content::Symlink(target) = &self.node(found.node).content {
                links += 1;
                if links > SYMLINKS_MAX {
                    return Lookup::Loop;
                }
                if target.starts_with(b"/") {
                    here.truncate(1);
                }
                for part in components(target).into_iter().rev() {
                    pending.push_front(part);
                }
                continue;
            }
            here.push((real, found.node));
        }
        // A path may end in `..` or in a link to a directory above.
        match here.pop() {
            Some(end) if way.last() != Some(&end) => way.push(end),
            _ => {}
        }
        Lookup::Found(way)
    }
}

/// The names of a path, in their order, `..` among them.
pub(crate) fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    path.split(|&byte| byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::index::{Entry, LayerIndex};
    use crate::unpack::entry::{Action, Metadata};
    use crate::unpack::name::LayerPath;

    fn tree() -> Tree {
        let path = |text: &str| LayerPath::new(text.as_bytes()).unwrap();
        let plain = Metadata::implied_directory;
        let link = |at: &str, to: &str| Action::Symlink(path(at), to.as_bytes().to_vec(), plain());
        let actions = [
            Action::Directory(path("usr/bin"), plain()),
            Action::Fifo(path("usr/bin/python3.13"), plain()),
            link("usr/bin/python3", "python3.13"),
            link("bin", "/usr/bin"),
            link("usr/up", "../usr/bin"),
            link("a", "b"),
            link("b", "a"),
        ];
        let entries = actions.map(|action| Entry {
            action,
            extents: None,
        });
        let mut tree = Tree::new();
        tree.apply(1, &LayerIndex::of(entries)).unwrap();
        tree
    }

    fn names(lookup: Lookup) -> Vec<String> {
        let Lookup::Found(way) = lookup else {
            return vec![format!("{lookup:?}")];
        };
        way.into_iter()
            .map(|(path, _)| String::from_utf8(path).unwrap())
            .collect()
    }

    #[test]
    fn the_way_has_links_and_directories() {
        let tree = tree();
        assert_eq!(
            names(tree.lookup(b"/bin/python3")),
            [
                "",
                "bin",
                "usr",
                "usr/bin",
                "usr/bin/python3",
                "usr/bin/python3.13"
            ]
        );
        assert_eq!(
            names(tree.lookup(b"usr/up/python3.13")).last().unwrap(),
            "usr/bin/python3.13"
        );
        assert_eq!(names(tree.lookup(b"/../..")), [""]);
        assert_eq!(names(tree.lookup(b"usr/bin/..")).last().unwrap(), "usr");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let tree = tree();
        for (path, expected) in [
            ("/usr/lib/x", Lookup::Missing(b"usr/lib".to_vec())),
            ("/bin/none", Lookup::Missing(b"usr/bin/none".to_vec())),
            (
                "/bin/python3/x",
                Lookup::NotDirectory(b"usr/bin/python3.13".to_vec()),
            ),
            ("/a", Lookup::Loop),
        ] {
            assert_eq!(tree.lookup(path.as_bytes()), expected, "{path}");
        }
    }
}

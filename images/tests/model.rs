//! The unpacker against a model: random sequences of entries, unpacked into a
//! directory and into a tree in memory, must give the same tree.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use lambent_images::{ImageReference, NoProgress, Platform};
use proptest::prelude::*;
use support::mounts::in_private_mounts;
use support::tar::{Fields, Tar};
use support::tree::{differences, mounted};
use support::{Scratch, is_root};

/// One entry of a layer.
#[derive(Debug, Clone)]
enum Step {
    Dir(String, u32),
    File(String, u8),
    Symlink(String, String),
    Hardlink(String, String),
    Whiteout(String),
    Opaque(String),
}

/// An object of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Dir {
        opaque: bool,
        mode: u32,
        children: BTreeMap<String, Node>,
    },
    File(usize),
    Symlink(String),
    Whiteout,
}

impl Node {
    fn dir(opaque: bool) -> Self {
        Self::Dir {
            opaque,
            mode: 0o755,
            children: BTreeMap::new(),
        }
    }
}

/// The whole tree, and the content of files by number: hard links share one.
struct Model {
    root: Node,
    files: Vec<u8>,
}

/// Real path of a parent, or why there is none.
enum Walk {
    Found(Vec<String>),
    NoEffect,
    Refused,
}

impl Model {
    fn dir_at(&mut self, path: &[String]) -> (&mut bool, &mut u32, &mut BTreeMap<String, Node>) {
        let mut node = &mut self.root;
        for name in path {
            let Node::Dir { children, .. } = node else {
                panic!("not a directory")
            };
            node = children.get_mut(name).unwrap();
        }
        let Node::Dir {
            opaque,
            mode,
            children,
        } = node
        else {
            panic!("not a directory")
        };
        (opaque, mode, children)
    }

    fn walk(&mut self, path: &str, create: bool, only_plain: bool) -> Walk {
        let mut pending: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .rev()
            .map(str::to_owned)
            .collect();
        let mut here: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(name) = pending.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            let (_, _, children) = self.dir_at(&here);
            match children.get(&name) {
                Some(Node::Dir { .. }) => here.push(name),
                Some(Node::Symlink(target)) => {
                    links += 1;
                    if links > 40 {
                        return Walk::Refused;
                    }
                    if target.starts_with('/') {
                        here.clear();
                    }
                    pending.extend(
                        target
                            .split('/')
                            .filter(|part| !matches!(*part, "" | "."))
                            .rev()
                            .map(str::to_owned),
                    );
                }
                Some(Node::Whiteout) if create && !only_plain => {
                    children.insert(name.clone(), Node::dir(true));
                    here.push(name);
                }
                Some(Node::File(_)) => return Walk::Refused,
                None if create && (!only_plain || links == 0) => {
                    children.insert(name.clone(), Node::dir(false));
                    here.push(name);
                }
                Some(Node::Whiteout) | None => return Walk::NoEffect,
            }
        }
        Walk::Found(here)
    }

    /// False if the step is refused.
    fn apply(&mut self, step: &Step) -> bool {
        let split = |path: &str| match path.rsplit_once('/') {
            Some((parent, name)) => (parent.to_owned(), name.to_owned()),
            None => (String::new(), path.to_owned()),
        };
        match step {
            Step::Dir(path, mode) => {
                let (parent, name) = split(path);
                let Walk::Found(parent) = self.walk(&parent, true, false) else {
                    return false;
                };
                let (_, _, children) = self.dir_at(&parent);
                match children.get_mut(&name) {
                    Some(Node::Dir { mode: known, .. }) => *known = *mode,
                    found => {
                        let opaque = found.is_some();
                        children.insert(
                            name,
                            Node::Dir {
                                opaque,
                                mode: *mode,
                                children: BTreeMap::new(),
                            },
                        );
                    }
                }
                true
            }
            Step::File(path, content) => {
                self.files.push(*content);
                let file = Node::File(self.files.len() - 1);
                self.put(split(path), file)
            }
            Step::Symlink(path, target) => self.put(split(path), Node::Symlink(target.clone())),
            Step::Hardlink(path, target) => {
                if path == target {
                    return false;
                }
                // Nothing is below the only layer that a link could lead to.
                let (parent, name) = split(target);
                let Walk::Found(parent) = self.walk(&parent, false, false) else {
                    return false;
                };
                let (_, _, children) = self.dir_at(&parent);
                match children.get(&name).cloned() {
                    None | Some(Node::Dir { .. } | Node::Whiteout) => false,
                    Some(node) => self.put(split(path), node),
                }
            }
            Step::Whiteout(path) => {
                let (parent, name) = split(path);
                match self.walk(&parent, true, true) {
                    Walk::NoEffect => true,
                    Walk::Refused => false,
                    Walk::Found(parent) => {
                        let (_, _, children) = self.dir_at(&parent);
                        if let Node::Dir { opaque, .. } =
                            children.entry(name).or_insert(Node::Whiteout)
                        {
                            *opaque = true;
                        }
                        true
                    }
                }
            }
            Step::Opaque(path) => match self.walk(path, true, true) {
                Walk::NoEffect => true,
                Walk::Refused => false,
                Walk::Found(real) => {
                    if real.join("/") == *path {
                        *self.dir_at(&real).0 = true;
                    }
                    true
                }
            },
        }
    }

    fn put(&mut self, (parent, name): (String, String), node: Node) -> bool {
        let Walk::Found(parent) = self.walk(&parent, true, false) else {
            return false;
        };
        self.dir_at(&parent).2.insert(name, node);
        true
    }

    /// Compares with a directory on disk, and its files by inode.
    fn check(
        &self,
        node: &Node,
        path: &Path,
        inodes: &mut BTreeMap<usize, u64>,
    ) -> Result<(), String> {
        let meta = path
            .symlink_metadata()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let kind = meta.file_type();
        let shown = || format!("{} is {meta:?} and should be {node:?}", path.display());
        let same = match node {
            Node::Dir {
                opaque,
                mode,
                children,
            } => {
                if !kind.is_dir() {
                    return Err(shown());
                }
                let mut names: Vec<_> = std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect();
                names.sort();
                let expected: Vec<_> = children.keys().cloned().collect();
                if names != expected {
                    return Err(format!(
                        "{} has {names:?} and should have {expected:?}",
                        path.display()
                    ));
                }
                for (name, child) in children {
                    self.check(child, &path.join(name), inodes)?;
                }
                let mut value = [0; 8];
                let is_opaque =
                    rustix::fs::lgetxattr(path, "trusted.overlay.opaque", &mut value).is_ok();
                is_opaque == *opaque && meta.mode() & 0o7777 == *mode
            }
            Node::File(number) => {
                let content = [self.files[*number]];
                let inode = *inodes.entry(*number).or_insert_with(|| meta.ino());
                kind.is_file() && std::fs::read(path).unwrap() == content && inode == meta.ino()
            }
            Node::Symlink(target) => {
                kind.is_symlink() && path.read_link().unwrap() == Path::new(target)
            }
            Node::Whiteout => kind.is_char_device() && meta.rdev() == 0,
        };
        if same { Ok(()) } else { Err(shown()) }
    }
}

/// Few names, so that entries meet each other.
fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 1..4)
        .prop_map(|parts| parts.join("/"))
}

fn target() -> impl Strategy<Value = String> {
    let part = prop_oneof![4 => Just("a"), 4 => Just("b"), 2 => Just("c"), 2 => Just(".."), 1 => Just(".")];
    (any::<bool>(), proptest::collection::vec(part, 1..5)).prop_map(|(absolute, parts)| {
        format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"))
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (path(), prop_oneof![Just(0o755), Just(0o700), Just(0), Just(0o1777)]).prop_map(|(path, mode)| Step::Dir(path, mode)),
        4 => (path(), any::<u8>()).prop_map(|(path, content)| Step::File(path, content)),
        3 => (path(), target()).prop_map(|(path, target)| Step::Symlink(path, target)),
        2 => (path(), path()).prop_map(|(path, target)| Step::Hardlink(path, target)),
        2 => path().prop_map(Step::Whiteout),
        1 => prop_oneof![path(), Just(String::new())].prop_map(Step::Opaque),
    ]
}

fn write(steps: &[Step]) -> Vec<u8> {
    let marked = |path: &str, mark: &str| match path.rsplit_once('/') {
        Some((parent, name)) => format!("{parent}/{}", mark.replace('x', name)),
        None => mark.replace('x', path),
    };
    let mut tar = Tar::new();
    for step in steps {
        tar = match step {
            Step::Dir(path, mode) => tar.dir_mode(path, *mode),
            Step::File(path, content) => tar.entry(
                Fields {
                    name: path.as_bytes(),
                    ..Fields::default()
                },
                &[*content],
            ),
            Step::Symlink(path, target) => tar.symlink(path, target),
            Step::Hardlink(path, target) => tar.hardlink(path, target),
            Step::Whiteout(path) => tar.file(&marked(path, ".wh.x"), ""),
            Step::Opaque(path) if path.is_empty() => tar.file(".wh..wh..opq", ""),
            Step::Opaque(path) => tar.file(&format!("{path}/.wh..wh..opq"), ""),
        };
    }
    tar.end()
}

#[test]
fn unpacking_equals_the_model() {
    if !is_root("unpacking_equals_the_model") {
        return;
    }
    let scratch = Scratch::in_memory();
    let (mut accepted, mut refused) = (0, 0);
    let config = ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let counts = std::cell::RefCell::new((&mut accepted, &mut refused));
    runner
        .run(&proptest::collection::vec(step(), 1..14), |steps| {
            let mut model = Model {
                root: Node::dir(false),
                files: Vec::new(),
            };
            let good = steps.iter().all(|step| model.apply(step));
            let result = scratch.import_layers(&[write(&steps)]);
            match (good, result) {
                (true, Ok(image)) => {
                    *counts.borrow_mut().0 += 1;
                    let layer = scratch.layer(&image, 0);
                    model
                        .check(&model.root, &layer, &mut BTreeMap::new())
                        .map_err(TestCaseError::fail)
                }
                (false, Err(_)) => {
                    *counts.borrow_mut().1 += 1;
                    Ok(())
                }
                (good, result) => Err(TestCaseError::fail(format!(
                    "the model says {good}, and {result:?}"
                ))),
            }
        })
        .unwrap();
    assert!(
        accepted > 300 && refused > 100,
        "{accepted} accepted, {refused} refused"
    );
}

/// Layers of any kind, stacked, are the same tree in both forms.
#[test]
fn both_forms_give_the_same_tree() {
    if !in_private_mounts("both_forms_give_the_same_tree") {
        return;
    }
    // EROFS cannot be mounted from files in memory.
    let scratch = Scratch::new();
    let Some(erofs) = scratch.erofs() else {
        return;
    };
    let accepted = std::cell::Cell::new(0);
    let layers = proptest::collection::vec(proptest::collection::vec(step(), 1..8), 1..4);
    // Some images have a layer twice.
    let order = proptest::collection::vec(0..6_usize, 0..2);
    let config = ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest::test_runner::TestRunner::new(config)
        .run(&(layers, order), |(layers, again)| {
            let mut streams: Vec<_> = layers.iter().map(|steps| write(steps)).collect();
            streams.extend(
                again
                    .iter()
                    .map(|&which| streams[which % layers.len()].clone())
                    .collect::<Vec<_>>(),
            );
            let result = scratch.import_layers(&streams);
            let reference = ImageReference::Path {
                path: scratch.path("image.tar"),
            };
            let other = erofs.import(&reference, &Platform::host(), &NoProgress);
            match (result, other) {
                (Ok(image), Ok(same)) => {
                    accepted.set(accepted.get() + 1);
                    let left = mounted(&scratch.store, &image, &scratch.path("directory"));
                    let right = mounted(&erofs, &same, &scratch.path("erofs"));
                    let differing = differences(&left, &right);
                    prop_assert!(differing.is_empty(), "{}", differing.join("\n"));
                    prop_assert_eq!(image.warnings, same.warnings);
                }
                // Of several errors each form may find another one first.
                (Err(_), Err(_)) => {}
                (left, right) => {
                    return Err(TestCaseError::fail(format!("{left:?} and {right:?}")));
                }
            }
            Ok(())
        })
        .unwrap();
    assert!(accepted.get() > 25, "{} accepted", accepted.get());
}

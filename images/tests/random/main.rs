//! Random trees of every kind of object and of extreme sizes: both forms and a
//! bundle show what was written, completely.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod entries;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use entries::{Entry, What, entry, name};
use lambent_images::{ContentStore, Digest, Form, NoProgress};
use proptest::collection::btree_map;
use proptest::prelude::*;
use support::mounts::in_private_mounts;
use support::tar::{Fields, Tar, pax_record};
use support::tree::{Object, Objects, differences, mounted, objects, without_skeleton};
use support::{Scratch, import_path_into, noise};

/// Writes a tree, and remembers what it should look like.
#[derive(Default)]
struct Writer {
    tar: Tar,
    expected: Objects,
    files: Vec<PathBuf>,
}

impl Writer {
    fn put(&mut self, path: &Path, entry: &Entry) {
        let (kind, content, shown) = match &entry.what {
            What::Directory(..) => (b'5', &[][..], "directory".to_owned()),
            What::File(bytes) => {
                let shown = format!("file of {} bytes, {}", bytes.len(), Digest::of(bytes));
                (b'0', &bytes[..], shown)
            }
            What::Symlink(target) => (b'2', &[][..], format!("link to {}", target.escape_ascii())),
            What::Fifo => (b'6', &[][..], "fifo".to_owned()),
            What::Device(block, major, minor) => {
                let kind = if *block { "block" } else { "character" };
                let kind = format!("{kind} device {major}:{minor}");
                (if *block { b'4' } else { b'3' }, &[][..], kind)
            }
            What::Link(number) => {
                if !self.files.is_empty() {
                    let first = self.files[number % self.files.len()].clone();
                    self.link(path, &first);
                }
                return;
            }
        };
        let mut records = pax_record("path", path.as_os_str().as_bytes());
        let (seconds, nanoseconds) = entry.mtime;
        let time = match seconds {
            // The fraction counts away from zero, as the sign does.
            ..0 if nanoseconds > 0 => {
                format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds)
            }
            _ => format!("{seconds}.{nanoseconds:09}"),
        };
        records.extend(pax_record("mtime", time.as_bytes()));
        records.extend(pax_record("uid", entry.uid.to_string().as_bytes()));
        records.extend(pax_record("gid", entry.gid.to_string().as_bytes()));
        if let What::Symlink(target) = &entry.what {
            records.extend(pax_record("linkpath", target));
        }
        for (name, value) in &entry.xattrs {
            records.extend(pax_record(&format!("SCHILY.xattr.{name}"), value));
        }
        let fields = Fields {
            name: b"x",
            link: if kind == b'2' { b"x" } else { b"" },
            kind,
            mode: entry.mode,
            ..Fields::default()
        };
        let tar = std::mem::take(&mut self.tar);
        self.tar = tar.pax(&records).entry(fields, content);
        if let What::Device(_, major, minor) = entry.what {
            self.tar.device(major, minor);
        }
        let is_directory = kind == b'5';
        let object = Object {
            what: shown,
            mode: entry.mode,
            owner: (entry.uid, entry.gid),
            mtime: (seconds, nanoseconds.into()),
            xattrs: entry.xattrs.clone(),
            first_name: (!is_directory).then(|| path.to_owned()),
            links: u64::from(!is_directory),
        };
        self.expected.insert(path.to_owned(), object);
        if !is_directory {
            self.files.push(path.to_owned());
        }
        if let What::Directory(entries, crowd) = &entry.what {
            for (name, entry) in entries {
                self.put(&path.join(OsStr::from_bytes(name)), entry);
            }
            for number in 0..*crowd {
                self.empty(&path.join(format!("crowd-{number}")));
            }
        }
    }

    fn empty(&mut self, path: &Path) {
        let entry = Entry {
            what: What::File(Vec::new()),
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: (1, 0),
            xattrs: BTreeMap::new(),
        };
        self.put(path, &entry);
    }

    fn link(&mut self, path: &Path, target: &Path) {
        let mut records = pax_record("path", path.as_os_str().as_bytes());
        records.extend(pax_record("linkpath", target.as_os_str().as_bytes()));
        self.tar = std::mem::take(&mut self.tar)
            .pax(&records)
            .hardlink("x", "x");
        let mut object = self.expected[target].clone();
        object.links += 1;
        let group: Vec<_> = self
            .expected
            .iter()
            .filter(|(_, other)| other.first_name == object.first_name && other.links > 0)
            .map(|(path, _)| path.clone())
            .chain([path.to_owned()])
            .collect();
        object.first_name = group.iter().min().cloned();
        for path in group {
            self.expected.insert(path, object.clone());
        }
        self.files.push(path.to_owned());
    }
}

/// What the kernel and a bundle make of one layer, in each form.
struct Checker {
    scratch: Scratch,
    erofs: ContentStore,
    round: std::cell::Cell<usize>,
}

impl Checker {
    fn check(&self, writer: Writer) -> Result<(), String> {
        let round = self.round.replace(self.round.get() + 1);
        let expected = writer.expected;
        let image = self.scratch.import_layers(&[writer.tar.end()]);
        let image = image.map_err(|error| error.to_string())?;
        let file = self.scratch.path("image.tar");
        let same = import_path_into(&self.erofs, &file).map_err(|error| error.to_string())?;
        let target = self.scratch.path("mnt");
        let compare = |what: &str, found: Objects| {
            let found = without_skeleton(found);
            let lines = differences(&found, &expected);
            match lines.first() {
                None => Ok(()),
                Some(first) => Err(format!("{what}: {} differ\n{first}", lines.len())),
            }
        };
        compare("directory", mounted(&self.scratch.store, &image, &target))?;
        compare("erofs", mounted(&self.erofs, &same, &target))?;
        let bundle = self.scratch.path(&format!("bundle-{round}"));
        self.erofs.unpack(&same, &bundle, &NoProgress).unwrap();
        compare("bundle", objects(&bundle.join("rootfs")))?;
        std::fs::remove_dir_all(&bundle).unwrap();
        Ok(())
    }
}

fn checker() -> Option<Checker> {
    let scratch = Scratch::of_form(Form::Directory);
    let erofs = scratch.erofs()?;
    Some(Checker {
        scratch,
        erofs,
        round: std::cell::Cell::default(),
    })
}

#[test]
fn random_trees() {
    if !in_private_mounts("random_trees") {
        return;
    }
    let Some(checker) = checker() else { return };
    let config = ProptestConfig {
        cases: 8,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let trees = btree_map(name(), entry(), 1..8);
    proptest::test_runner::TestRunner::new(config)
        .run(&trees, |tree| {
            let mut writer = Writer::default();
            for (name, entry) in &tree {
                writer.put(&Path::new("tree").join(OsStr::from_bytes(name)), entry);
            }
            // Links to nothing are left out, and then there may be nothing at all.
            if !writer.expected.is_empty() {
                writer.expected.insert("tree".into(), implied());
            }
            checker.check(writer).map_err(TestCaseError::fail)
        })
        .unwrap();
}

/// A directory that a layer only implies.
fn implied() -> Object {
    Object {
        what: "directory".to_owned(),
        mode: 0o755,
        owner: (0, 0),
        mtime: (0, 0),
        xattrs: BTreeMap::new(),
        first_name: None,
        links: 0,
    }
}

/// Attributes up to the limits, which only the EROFS form has room for; what is
/// beyond them is counted.
#[test]
fn the_largest_attributes() {
    if !in_private_mounts("the_largest_attributes") {
        return;
    }
    let Some(checker) = checker() else { return };
    let mut tar = Tar::new();
    let mut expected = BTreeMap::new();
    let mut add = |name: &str, count: usize, length: usize| {
        let mut records = Vec::new();
        let mut xattrs = BTreeMap::new();
        for number in 0..count {
            let key = format!("user.{number:0>width$}", width = 250 - number % 7);
            let value = noise(number as u64 + 1, length);
            records.extend(pax_record(&format!("SCHILY.xattr.{key}"), &value));
            xattrs.insert(key, value);
        }
        tar = std::mem::take(&mut tar).pax(&records).file(name, name);
        expected.insert(name.to_owned(), xattrs);
    };
    for length in 200..240 {
        add(&format!("odd-{length}"), 1, length);
    }
    add("many", 100, 60);
    add("large", 1, 32_000);
    add("several", 10, 3000);
    let note = pax_record("SCHILY.xattr.user.note", b"x");
    let tar = std::mem::take(&mut tar).pax(&note).symlink("link", "many");
    let too_large = pax_record("SCHILY.xattr.user.large", &vec![b'x'; 40_000]);
    let tar = tar.pax(&too_large).file("too-large", "x");
    checker.scratch.import_layers(&[tar.end()]).unwrap();
    let file = checker.scratch.path("image.tar");
    let image = import_path_into(&checker.erofs, &file).unwrap();
    assert_eq!(image.warnings.len(), 1, "{:?}", image.warnings);
    let counted = image.warnings[0].contains("2 extended attributes");
    assert!(counted, "{:?}", image.warnings);
    let found = mounted(&checker.erofs, &image, &checker.scratch.path("mnt"));
    for (name, xattrs) in expected {
        assert!(found[Path::new(&name)].xattrs == xattrs, "{name}");
    }
    for name in ["link", "too-large"] {
        assert!(found[Path::new(name)].xattrs.is_empty(), "{name}");
    }
}

/// A path as long as Linux allows, of few long and of many short names.
#[test]
fn the_longest_paths() {
    if !in_private_mounts("the_longest_paths") {
        return;
    }
    let Some(checker) = checker() else { return };
    let mut writer = Writer::default();
    for part in ["n".repeat(255), "d".to_owned()] {
        let mut path = PathBuf::from("tree");
        while path.as_os_str().len() + part.len() + 1 < 4095 - 255 {
            path.push(&part);
        }
        let ancestors: Vec<_> = path.ancestors().map(Path::to_owned).collect();
        for directory in ancestors.iter().filter(|path| !path.as_os_str().is_empty()) {
            writer.expected.insert(directory.clone(), implied());
        }
        let left = 4095 - path.as_os_str().len() - 1;
        writer.empty(&path.join("f".repeat(left.min(255))));
    }
    checker.check(writer).unwrap();
}

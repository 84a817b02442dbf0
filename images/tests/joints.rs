//! What layers show only together: links into lower layers, directories that a layer
//! only implies, hidden names, whiteouts with nothing to hide. In both forms, and as
//! a bundle.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use lambent_images::{
    ContentStore, ErrorKind, FindingKind, Image, NoProgress, RootMount, Verification,
};
use support::mounts::in_private_mounts;
use support::tar::{Fields, Tar, pax_record};
use support::tree::{Object, Objects, assert_same, mounted, objects, without_skeleton};
use support::{Scratch, good, is_root, noise};

/// A store of each form.
struct Stores {
    scratch: Scratch,
    erofs: Option<ContentStore>,
}

impl Stores {
    fn new() -> Self {
        let scratch = Scratch::new();
        let erofs = scratch.erofs();
        Self { scratch, erofs }
    }

    /// What an image of these layers shows, mounted in both forms and as a bundle.
    fn shown(&self, layers: &[Vec<u8>]) -> Objects {
        let scratch = &self.scratch;
        let (image, shown) = self.mounted(layers);
        let bundle = scratch.path("bundle");
        scratch.store.unpack(&image, &bundle, &NoProgress).unwrap();
        let unpacked = without_skeleton(objects(&bundle.join("rootfs")));
        assert_same("bundle", &shown, &unpacked);
        std::fs::remove_dir_all(bundle).unwrap();
        shown
    }

    /// What it shows mounted in both forms.
    fn mounted(&self, layers: &[Vec<u8>]) -> (Image, Objects) {
        let scratch = &self.scratch;
        let image = scratch.import_layers(layers).unwrap();
        let shown = mounted(&scratch.store, &image, &scratch.path("mnt"));
        if let Some(store) = &self.erofs {
            let same = scratch.import_into(store).unwrap();
            assert_eq!(same, image);
            let erofs = mounted(store, &same, &scratch.path("mnt"));
            assert_same("erofs", &shown, &erofs);
        }
        (image, without_skeleton(shown))
    }

    /// Why an image of these layers is refused, in both forms.
    fn refused(&self, layers: &[Vec<u8>]) -> String {
        let error = self.scratch.import_layers(layers).unwrap_err();
        if let Some(store) = &self.erofs {
            let other = self.scratch.import_into(store).unwrap_err();
            assert_eq!(other.to_string(), error.to_string());
        }
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        error.to_string()
    }
}

fn names(objects: &Objects) -> BTreeSet<&str> {
    objects.keys().map(|path| path.to_str().unwrap()).collect()
}

/// The names of the same inode as `path`.
fn linked<'a>(objects: &'a Objects, path: &str) -> Vec<&'a str> {
    let Object {
        first_name, links, ..
    } = &objects[Path::new(path)];
    let names: Vec<_> = objects
        .iter()
        .filter(|(_, object)| object.first_name == *first_name && first_name.is_some())
        .map(|(path, _)| path.to_str().unwrap())
        .collect();
    assert_eq!(names.len() as u64, *links, "{path}");
    names
}

/// A file with everything that a file can have, and another name for it.
fn base() -> Tar {
    let note = pax_record("SCHILY.xattr.user.note", b"kept");
    let fields = Fields {
        name: b"d/a",
        mode: 0o4750,
        uid: 12,
        gid: 34,
        ..Fields::default()
    };
    Tar::new()
        .dir_mode("d", 0o711)
        .pax(&note)
        .entry(fields, &noise(1, 100_000))
        .hardlink("d/b", "d/a")
        .symlink("l", "d")
        .file("plain", "x")
}

#[test]
fn a_link_into_a_lower_layer_is_the_same_file() {
    if !in_private_mounts("a_link_into_a_lower_layer_is_the_same_file") {
        return;
    }
    let stores = Stores::new();
    let link = || Tar::new().hardlink("e/c", "d/a").end();
    let alone = stores.shown(&[base().end()]);
    let shown = stores.shown(&[base().end(), link()]);
    assert_eq!(linked(&shown, "d/a"), ["d/a", "d/b", "e/c"]);
    let expected = Object {
        links: 3,
        ..alone[Path::new("d/a")].clone()
    };
    assert_eq!(shown[Path::new("e/c")], expected);
    assert_eq!(expected.mode, 0o4750);
    assert_eq!(expected.xattrs["user.note"], b"kept");
    // A link to that link, and one to a link of another kind.
    let more = || {
        Tar::new()
            .hardlink("g", "e/c")
            .hardlink("m", "l")
            .file(".wh.plain", "")
            .end()
    };
    let shown = stores.shown(&[base().end(), link(), more()]);
    assert_eq!(linked(&shown, "g"), ["d/a", "d/b", "e/c", "g"]);
    assert_eq!(linked(&shown, "m"), ["l", "m"]);
    // The lower names may go, or be something else.
    let without = Tar::new().file(".wh.d", "").file("d/b", "other").end();
    let shown = stores.shown(&[base().end(), link(), more(), without]);
    assert_eq!(linked(&shown, "g"), ["e/c", "g"]);
    assert_eq!(linked(&shown, "d/b"), ["d/b"]);
    // So may the new ones, in the same layer or above.
    let replaced = Tar::new()
        .hardlink("c", "d/a")
        .file("c", "other")
        .hardlink("sub", "d/a")
        .file("d/x", "")
        .dir("sub")
        .file("sub/y", "")
        .end();
    let shown = stores.shown(&[base().end(), replaced]);
    assert_eq!(linked(&shown, "d/a"), ["d/a", "d/b"]);
    assert!(shown.contains_key(Path::new("sub/y")));
    let shown = stores.shown(&[base().end(), link(), Tar::new().file(".wh.e", "").end()]);
    assert_eq!(linked(&shown, "d/a"), ["d/a", "d/b"]);
}

#[test]
fn a_hidden_name_is_not_counted() {
    if !in_private_mounts("a_hidden_name_is_not_counted") {
        return;
    }
    let stores = Stores::new();
    for (what, top) in [
        ("a whiteout", Tar::new().file("d/.wh.b", "")),
        ("a file", Tar::new().file("d/b", "other")),
        ("a link", Tar::new().symlink("d/b", "a")),
    ] {
        let shown = stores.shown(&[base().end(), top.end()]);
        assert_eq!(linked(&shown, "d/a"), ["d/a"], "{what}");
        assert_eq!(shown[Path::new("d")].mode, 0o711, "{what}");
    }
    // The skeleton hides names too.
    let tmp = Tar::new()
        .hardlink("tmp/c", "d/a")
        .file("tmp/x", "")
        .hardlink("x", "tmp/x");
    let (_, shown) = stores.mounted(&[base().end(), tmp.end()]);
    assert_eq!(linked(&shown, "d/a"), ["d/a", "d/b"]);
    assert_eq!(linked(&shown, "x"), ["x"]);
}

#[test]
fn a_directory_keeps_what_no_layer_changes() {
    if !in_private_mounts("a_directory_keeps_what_no_layer_changes") {
        return;
    }
    let stores = Stores::new();
    let alone = stores.shown(&[base().end()]);
    for (what, top) in [
        ("a file", Tar::new().file("d/new", "x")),
        ("a whiteout", Tar::new().file("d/.wh.b", "")),
        ("an opaque mark", Tar::new().file("d/.wh..wh..opq", "")),
        ("a link", Tar::new().hardlink("d/new", "plain")),
    ] {
        let shown = stores.shown(&[base().end(), top.end()]);
        assert_eq!(shown[Path::new("d")], alone[Path::new("d")], "{what}");
    }
    // One that was hidden before is a new one.
    let hidden = Tar::new().file(".wh.d", "").file("d/new", "x").end();
    let shown = stores.shown(&[base().end(), hidden]);
    assert_eq!(shown[Path::new("d")].mode, 0o755);
    assert_eq!(names(&shown), BTreeSet::from(["d", "d/new", "l", "plain"]));
}

#[test]
fn a_whiteout_of_nothing_is_not_listed() {
    if !in_private_mounts("a_whiteout_of_nothing_is_not_listed") {
        return;
    }
    let stores = Stores::new();
    // Listing fails on names that lead nowhere.
    let shown = |top: Tar| stores.shown(&[base().end(), top.end()]);
    let new = shown(Tar::new().dir("n").file("n/.wh.x", ""));
    assert!(new[Path::new("n")].what == "directory" && !new.contains_key(Path::new("n/x")));
    let opaque = Tar::new().file("d/.wh..wh..opq", "").file("d/.wh.a", "");
    let opaque = shown(opaque.file("d/n", ""));
    assert_eq!(names(&opaque), BTreeSet::from(["d", "d/n", "l", "plain"]));
    let hidden = Tar::new().file(".wh.d", "").dir("d").file("d/.wh.a", "");
    let hidden = shown(hidden);
    assert_eq!(names(&hidden), BTreeSet::from(["d", "l", "plain"]));
    let deep = shown(Tar::new().file("p/q/r/.wh.x", ""));
    assert!(deep.contains_key(Path::new("p/q/r")) && !deep.contains_key(Path::new("p/q/r/x")));
}

#[test]
fn a_layer_may_come_twice() {
    if !in_private_mounts("a_layer_may_come_twice") {
        return;
    }
    let stores = Stores::new();
    let layer = || {
        Tar::new()
            .dir("n")
            .file("n/.wh.x", "")
            .file("e/f", "1")
            .hardlink("e/g", "e/f")
            .hardlink("h", "plain")
            .end()
    };
    let between = Tar::new().file(".wh.e", "").file("n/x", "").end();
    for layers in [
        vec![base().end(), layer(), layer()],
        vec![base().end(), layer(), between, layer()],
    ] {
        let shown = stores.shown(&layers);
        assert_eq!(linked(&shown, "e/g"), ["e/f", "e/g"]);
        assert_eq!(linked(&shown, "h"), ["h", "plain"]);
        assert!(!shown.contains_key(Path::new("n/x")));
    }
}

#[test]
fn what_leads_over_a_lower_layers_link() {
    if !in_private_mounts("what_leads_over_a_lower_layers_link") {
        return;
    }
    let stores = Stores::new();
    // A name of a lower layer's symlink does not lead on.
    let below = Tar::new().hardlink("m", "l").file("m/new", "x").end();
    let shown = stores.shown(&[base().end(), below]);
    assert_eq!(shown[Path::new("m")].what, "directory");
    assert!(!shown.contains_key(Path::new("d/new")));
    // A target is looked for along lower layers' links.
    let shown = stores.shown(&[base().end(), Tar::new().hardlink("c", "l/a").end()]);
    assert_eq!(linked(&shown, "c"), ["c", "d/a", "d/b"]);
    let own = Tar::new().file("d/own", "x").hardlink("c", "l/own").end();
    let error = stores.refused(&[base().end(), own]);
    assert!(error.contains("name that file by its own path"), "{error}");
    // A whiteout does not act along a link on lower layers.
    let whiteout = Tar::new().symlink("k", "d").file("k/.wh.a", "").end();
    let shown = stores.shown(&[base().end(), whiteout]);
    assert!(shown.contains_key(Path::new("d/a")));
}

#[test]
fn holes_stay_holes() {
    if !in_private_mounts("holes_stay_holes") {
        return;
    }
    let scratch = Scratch::new();
    let directory = scratch.path("files");
    std::fs::create_dir(&directory).unwrap();
    let size = 8 << 20;
    let file = std::fs::File::create(directory.join("holes")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", 4 << 20).unwrap();
    file.set_len(size).unwrap();
    let archive = scratch.path("files.tar");
    let status = Command::new("tar")
        .args(["--sparse", "--format=posix", "-C"])
        .arg(&directory)
        .arg("-cf")
        .args([&archive, Path::new("holes")])
        .status();
    assert!(status.unwrap().success());
    let link = Tar::new().hardlink("linked", "holes").end();
    let layers = [std::fs::read(&archive).unwrap(), link];
    let image = scratch.import_layers(&layers).unwrap();
    let joint = only_joint(&scratch);
    let meta = joint.join("linked").metadata().unwrap();
    assert_eq!(meta.len(), size);
    assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
    let shown = mounted(&scratch.store, &image, &scratch.path("mnt"));
    let original = objects(&directory);
    assert_eq!(
        shown[Path::new("linked")].what,
        original[Path::new("holes")].what
    );
}

/// The only joint with anything in it.
fn only_joint(scratch: &Scratch) -> PathBuf {
    let joints = joints(scratch);
    let [joint] = &joints[..] else {
        panic!("{joints:?}")
    };
    joint.clone()
}

fn joints(scratch: &Scratch) -> Vec<PathBuf> {
    std::fs::read_dir(scratch.store.root().join("joints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

fn lower_dirs(scratch: &Scratch, image: &Image) -> Vec<PathBuf> {
    let rootfs = scratch.store.rootfs(image).unwrap();
    let RootMount::Overlay { lower_dirs } = rootfs.mount() else {
        panic!("{:?}", rootfs.mount())
    };
    lower_dirs.clone()
}

#[test]
fn layers_are_unpacked_once_and_joined_where_they_must_be() {
    if !is_root("layers_are_unpacked_once_and_joined_where_they_must_be") {
        return;
    }
    let scratch = Scratch::in_memory();
    let plain = [
        base().end(),
        Tar::new().dir_mode("d", 0o711).file("d/n", "").end(),
    ];
    let image = scratch.import_layers(&plain).unwrap();
    assert_eq!(joints(&scratch), [""; 0].map(PathBuf::from));
    let layer = scratch.layer(&image, 0);
    let inode = |path: &Path| path.metadata().unwrap().ino();
    let before = inode(&layer);
    // The same layers below another one.
    let joined = [plain.to_vec(), vec![Tar::new().hardlink("c", "d/a").end()]].concat();
    let image = scratch.import_layers(&joined).unwrap();
    assert_eq!(inode(&layer), before);
    let expected = [2, 1, 0].map(|index| scratch.layer(&image, index));
    let stack = lower_dirs(&scratch, &image);
    assert_eq!(stack[1], only_joint(&scratch));
    assert_eq!(stack[2..], expected);
    // Only what it must have.
    let joint = objects(&stack[1]);
    assert_eq!(names(&joint), BTreeSet::from(["", "c", "d", "d/a", "d/b"]));
    // Removed with the image.
    let name = image.manifest_digest.to_string();
    let removal = scratch.store.remove(&name, &NoProgress).unwrap();
    assert!(removal.bytes_freed > 100_000, "{removal:?}");
    assert_eq!(joints(&scratch), [""; 0].map(PathBuf::from));
    assert_eq!(inode(&layer), before);
    scratch.store.prune(true, &NoProgress).unwrap();
    for place in ["joints", "records/joints", "indexes", "locks"] {
        let left = std::fs::read_dir(scratch.store.root().join(place)).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        let expected: &[&str] = if place == "locks" {
            &["index", "store"]
        } else {
            &[]
        };
        let left: BTreeSet<_> = left.iter().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(left, expected.iter().copied().collect(), "{place}");
    }
}

#[test]
fn a_damaged_joint_is_found_and_made_again() {
    if !is_root("a_damaged_joint_is_found_and_made_again") {
        return;
    }
    let scratch = Scratch::in_memory();
    let file = scratch.path("good.tar");
    good().write_oci_archive(&file, "latest").unwrap();
    let image = scratch.import(&file).unwrap();
    let verify = || scratch.store.verify(&[], &NoProgress).unwrap();
    assert_eq!(verify().findings, []);
    let joint = only_joint(&scratch);
    let expected = objects(&joint);
    let damages: [(&str, &dyn Fn()); 4] = [
        ("has other content", &|| {
            let times = std::fs::metadata(joint.join("bin/x")).unwrap();
            std::fs::write(joint.join("bin/x"), "#!/bin/sh\necho Hello\n").unwrap();
            let opened = std::fs::File::open(joint.join("bin/x")).unwrap();
            opened.set_modified(times.modified().unwrap()).unwrap();
        }),
        ("another mode", &|| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(joint.join("bin/x"), mode).unwrap();
        }),
        ("missing", &|| {
            std::fs::remove_file(joint.join("var/task/tool")).unwrap();
        }),
        ("directory is missing", &|| {
            std::fs::remove_dir_all(&joint).unwrap();
        }),
    ];
    for (what, damage) in damages {
        damage();
        let Verification { findings, .. } = verify();
        assert_eq!(findings.len(), 1, "{what}: {findings:?}");
        assert_eq!(findings[0].kind, FindingKind::Root, "{what}");
        assert_eq!(findings[0].images, [image.manifest_digest], "{what}");
        assert!(
            scratch.store.rootfs(&image).is_err(),
            "{what}: it still counts"
        );
        scratch.import(&file).unwrap();
        assert_eq!(verify().findings, [], "{what}");
        assert_same(what, &objects(&joint), &expected);
    }
    // What a joint is made of is checked before.
    std::fs::remove_file(scratch.layer(&image, 0).join("bin/x")).unwrap();
    std::fs::remove_file(scratch.layer(&image, 0).join("bin/z")).unwrap();
    std::fs::remove_dir_all(scratch.store.root().join("records/joints")).unwrap();
    std::fs::create_dir(scratch.store.root().join("records/joints")).unwrap();
    let error = scratch.import(&file).unwrap_err();
    assert!(
        error.to_string().contains("lambent image verify"),
        "{error}"
    );
    let kinds: Vec<_> = verify().findings.iter().map(|found| found.kind).collect();
    assert!(kinds.contains(&FindingKind::Layer), "{kinds:?}");
    scratch.import(&file).unwrap();
    assert_eq!(verify().findings, []);
    assert_same("again", &objects(&joint), &expected);
}

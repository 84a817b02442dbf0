//! Zip archives: what becomes of good ones, and that bad ones do nothing.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lambent_images::{ErrorKind, PackageLimits, PackageStore, zip_directory};
use proptest::prelude::*;
use support::is_root;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const LIMITS: PackageLimits = PackageLimits {
    bytes: 1_000_000,
    entries: 100,
};

enum Entry<'a> {
    File(&'a str, u32, &'a [u8]),
    Directory(&'a str, u32),
    Link(&'a str, &'a str),
}
use Entry::{Directory, File, Link};

fn archive(entries: &[Entry<'_>]) -> Cursor<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for entry in entries {
        match entry {
            File(name, mode, content) => {
                zip.start_file(*name, options.unix_permissions(*mode))
                    .unwrap();
                zip.write_all(content).unwrap();
            }
            Directory(name, mode) => zip
                .add_directory(*name, options.unix_permissions(*mode))
                .unwrap(),
            Link(name, target) => zip.add_symlink(*name, *target, options).unwrap(),
        }
    }
    zip.finish().unwrap()
}

/// A store in a directory with a canary beside it.
fn store() -> (tempfile::TempDir, PackageStore) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("canary"), "alive").unwrap();
    let store = PackageStore::open(&directory.path().join("packages")).unwrap();
    (directory, store)
}

fn names(path: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| PathBuf::from(entry.unwrap().file_name()))
        .collect();
    names.sort();
    names
}

fn tree(directory: &tempfile::TempDir, package: &lambent_images::Package) -> PathBuf {
    let packages = directory.path().join("packages");
    packages.join(package.digest.hex()).join("tree")
}

#[test]
fn an_archive_becomes_a_tree_once() {
    if !is_root("an_archive_becomes_a_tree_once") {
        return;
    }
    let (directory, store) = store();
    let zip = archive(&[
        File("python/module.py", 0o640, b"x = 1\n"),
        Directory("bin/", 0o700),
        File("bin/tool", 0o755, b"#!/bin/sh\n"),
        Link("lib.so", "lib.so.1"),
    ]);
    let lease = store.add(zip.clone(), LIMITS).unwrap();
    let package = lease.package();
    assert_eq!(package.size, zip.get_ref().len() as u64);
    assert_eq!(package.unpacked_size, 16);
    let tree = tree(&directory, &package);
    let mode = |name: &str| tree.join(name).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(fs::read(tree.join("python/module.py")).unwrap(), b"x = 1\n");
    assert_eq!(mode("python/module.py"), 0o640);
    assert_eq!(mode("python"), 0o755);
    assert_eq!(mode("bin"), 0o700);
    assert_eq!(mode("bin/tool"), 0o755);
    assert_eq!(mode(""), 0o755);
    assert_eq!(
        fs::read_link(tree.join("lib.so")).unwrap(),
        PathBuf::from("lib.so.1")
    );
    assert!(lease.has("bin") && !lease.has("bootstrap"));
    // Nothing of the work stays, and the same archive is the same package.
    let before = names(&directory.path().join("packages"));
    assert_eq!(store.add(zip, LIMITS).unwrap().package(), package);
    assert_eq!(names(&directory.path().join("packages")), before);
    assert_eq!(before.len(), 2, "{before:?}");
}

#[test]
fn bad_archives_leave_nothing() {
    if !is_root("bad_archives_leave_nothing") {
        return;
    }
    let bomb = vec![0; 2_000_000];
    let many: Vec<_> = (0..101).map(|number| format!("f{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| File(name, 0o644, b"")).collect();
    for (what, zip, kind) in [
        (
            "no archive",
            Cursor::new(b"not a zip".to_vec()),
            ErrorKind::NotAnImage,
        ),
        (
            "up",
            archive(&[File("../canary", 0o644, b"dead")]),
            ErrorKind::UnsafePath,
        ),
        (
            "up inside",
            archive(&[File("a/../../canary", 0o644, b"dead")]),
            ErrorKind::UnsafePath,
        ),
        (
            "absolute",
            archive(&[File("/canary", 0o644, b"dead")]),
            ErrorKind::UnsafePath,
        ),
        (
            "bomb",
            archive(&[File("zeros", 0o644, &bomb)]),
            ErrorKind::LimitExceeded,
        ),
        (
            "sum",
            archive(&[
                File("a", 0o644, &bomb[..600_000]),
                File("b", 0o644, &bomb[..600_000]),
            ]),
            ErrorKind::LimitExceeded,
        ),
        ("many", archive(&many), ErrorKind::LimitExceeded),
    ] {
        let (directory, store) = store();
        let error = store.add(zip, LIMITS).unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        let canary = fs::read(directory.path().join("canary")).unwrap();
        assert_eq!(canary, b"alive", "{what}");
        let left = names(&directory.path().join("packages"));
        assert_eq!(left, [PathBuf::from("empty")], "{what}");
    }
}

/// Links lead nowhere while the archive is unpacked: an entry below one lands
/// inside of the tree, as in a container's layer, or is refused.
#[test]
fn links_do_not_lead_out() {
    if !is_root("links_do_not_lead_out") {
        return;
    }
    for target in ["..", "/", "../..", "../../..", "/tmp"] {
        let (directory, store) = store();
        let zip = archive(&[Link("out", target), File("out/canary", 0o644, b"dead")]);
        let result = store.add(zip, LIMITS);
        let canary = fs::read(directory.path().join("canary")).unwrap();
        assert_eq!(canary, b"alive", "{target}");
        assert!(!Path::new("/canary").exists() && !Path::new("/tmp/canary").exists());
        if let Ok(lease) = result {
            let tree = tree(&directory, &lease.package());
            let inside = ["canary", "tmp/canary"];
            assert!(
                inside.iter().any(|name| tree.join(name).is_file()),
                "{target}"
            );
        }
    }
}

/// What the headers say does not count: a flipped bit or a cut end is an error.
#[test]
fn damage_is_found() {
    if !is_root("damage_is_found") {
        return;
    }
    let zip = archive(&[File("f", 0o644, &[7; 5_000])]).into_inner();
    for cut in [1, zip.len() / 2, zip.len() - 1] {
        let (_directory, store) = store();
        assert!(store.add(Cursor::new(zip[..cut].to_vec()), LIMITS).is_err());
    }
    // In the deflated bytes, which the checksum covers.
    let mut flipped = zip.clone();
    flipped[36] ^= 1;
    let (_directory, store) = store();
    assert!(store.add(Cursor::new(flipped), LIMITS).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever bytes are changed or missing, nothing is written outside of the
    /// store, and what is refused leaves nothing in it.
    #[test]
    fn damaged_archives_do_no_harm(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        if is_root("damaged_archives_do_no_harm") {
            let mut bytes = archive(&[
                File("a/file", 0o644, &[7; 300]),
                Link("a/up", "../.."),
                File("a/up/canary", 0o644, b"dead"),
                Directory("d/", 0o755),
            ])
            .into_inner();
            for (index, byte) in &changes {
                let index = index.index(bytes.len());
                bytes[index] = *byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let (directory, store) = store();
            let result = store.add(Cursor::new(bytes), LIMITS);
            prop_assert_eq!(fs::read(directory.path().join("canary")).unwrap(), b"alive");
            prop_assert_eq!(names(directory.path()).len(), 2);
            if result.is_err() {
                let left = names(&directory.path().join("packages"));
                prop_assert_eq!(left, [PathBuf::from("empty")]);
            }
        }
    }
}

#[test]
fn what_is_used_or_kept_is_not_collected() {
    if !is_root("what_is_used_or_kept_is_not_collected") {
        return;
    }
    let (directory, store) = store();
    let [kept, used, unused] = [b"1", b"2", b"3"].map(|content| {
        store
            .add(archive(&[File("f", 0o644, content)]), LIMITS)
            .unwrap()
    });
    let digest = |lease: &lambent_images::PackageLease| lease.package().digest;
    let keep = BTreeSet::from([digest(&kept)]);
    let gone = digest(&unused);
    drop((kept, unused));
    assert_eq!(store.collect(&keep).unwrap(), 1);
    assert_eq!(names(&directory.path().join("packages")).len(), 3);
    assert!(store.lease(&gone).unwrap().is_none());
    assert!(store.lease(&digest(&used)).unwrap().is_some());
    drop(used);
    assert_eq!(store.collect(&BTreeSet::new()).unwrap(), 2);
    assert_eq!(
        names(&directory.path().join("packages")),
        [PathBuf::from("empty")]
    );
}

#[test]
fn a_directory_is_always_the_same_archive() {
    if !is_root("a_directory_is_always_the_same_archive") {
        return;
    }
    let source = tempfile::tempdir().unwrap();
    let zipped = || {
        let mut out = Cursor::new(Vec::new());
        zip_directory(source.path(), &mut out).unwrap();
        out
    };
    fs::create_dir_all(source.path().join("python/pkg")).unwrap();
    fs::write(source.path().join("python/pkg/b.py"), "b").unwrap();
    fs::write(source.path().join("python/a.py"), "a").unwrap();
    std::os::unix::fs::symlink("a.py", source.path().join("python/link")).unwrap();
    let first = zipped();
    fs::remove_file(source.path().join("python/a.py")).unwrap();
    fs::write(source.path().join("python/a.py"), "a").unwrap();
    assert_eq!(zipped(), first);
    let (directory, store) = store();
    let lease = store.add(first, LIMITS).unwrap();
    let tree = tree(&directory, &lease.package());
    assert_eq!(fs::read(tree.join("python/pkg/b.py")).unwrap(), b"b");
    assert_eq!(
        fs::read_link(tree.join("python/link")).unwrap(),
        PathBuf::from("a.py")
    );
}

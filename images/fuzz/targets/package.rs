//! Zip archives of functions and layers, unpacked beside a tree that must not change.

#![no_main]

mod scene;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use lambent_images::fuzzing::{PACKAGE_BYTES_MAX, package};
use libfuzzer_sys::fuzz_target;
use scene::SCENE;

fuzz_target!(|archive: &[u8]| {
    let scene = &*SCENE;
    let root = scene.path("root");
    let unpacked = package(archive, &root, &scene.path("graveyard"));
    assert_eq!(scene.facts(), scene.before, "outside of the root");
    let bytes = measured(&root);
    match unpacked {
        // Of files with one name the last one stays.
        Some(unpacked) => assert!(bytes <= unpacked && unpacked <= PACKAGE_BYTES_MAX),
        None => assert!(bytes <= PACKAGE_BYTES_MAX),
    }
    scene.clear();
});

/// Bytes of all files, none of which is special or may change who runs it.
fn measured(directory: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let kind = meta.file_type();
        assert!(kind.is_file() || kind.is_dir() || kind.is_symlink());
        assert!(kind.is_symlink() || meta.mode() & 0o7000 == 0);
        assert_eq!((meta.uid(), meta.gid()), (0, 0));
        if kind.is_dir() {
            bytes += measured(&path);
        } else if kind.is_file() {
            bytes += meta.len();
        }
    }
    bytes
}

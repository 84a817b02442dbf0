//! Outer archives: what `docker save`, `podman save` and skopeo write.
//!
//! The first byte chooses whether checksums of headers are mended, as in
//! `layer_tar`.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// Never dropped: `.ci/fuzz.sh` says where temporary directories are, and removes them.
static SCENE: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let mut bytes = rest.to_vec();
    if choice & 1 != 0 {
        for block in bytes.chunks_exact_mut(512) {
            if block[257..].starts_with(b"ustar") {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
    }
    let path: PathBuf = SCENE.path().join("archive.tar");
    fs::write(&path, &bytes).unwrap();
    lambent_images::fuzzing::archive(&path);
    // Reading leaves the file and its directory alone.
    assert_eq!(fs::read_dir(SCENE.path()).unwrap().count(), 1);
});

//! A layer unpacked beside a tree that must not change.
//!
//! The first byte chooses what is done with the rest: bit 0 mends the checksums
//! of what looks like headers, since hardly any mutation survives them
//! otherwise; bit 1 compresses.

#![no_main]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// `canary`, `canary-dir/` and so on beside `root` and `graveyard`.
struct Scene {
    base: tempfile::TempDir,
    before: Vec<String>,
}

/// Never dropped: `.ci/fuzz.sh` says where temporary directories are, and removes them.
static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let base = tempfile::tempdir().unwrap();
    let path = |name: &str| base.path().join(name);
    fs::create_dir(path("dir")).unwrap();
    for name in ["file", "secret", "dir/file"] {
        fs::write(path(name), "canary").unwrap();
        fs::set_permissions(path(name), PermissionsExt::from_mode(0o400)).unwrap();
    }
    fs::set_permissions(path("dir"), PermissionsExt::from_mode(0o700)).unwrap();
    fs::hard_link(path("file"), path("linked")).unwrap();
    symlink("dir", path("link")).unwrap();
    let mut scene = Scene {
        before: Vec::new(),
        base,
    };
    scene.clear();
    scene.before = scene.facts();
    scene
});

impl Scene {
    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    /// Makes the two directories that may change empty ones.
    fn clear(&self) {
        for name in ["root", "graveyard"] {
            let path = self.path(name);
            if path.symlink_metadata().is_ok() {
                fs::remove_dir_all(&path).unwrap();
            }
            fs::create_dir(&path).unwrap();
        }
    }

    /// Everything about everything but the content of the two.
    fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        for directory in [self.base.path(), &self.path("dir")] {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                if path.ends_with("root") || path.ends_with("graveyard") {
                    assert!(meta.is_dir(), "{}", path.display());
                    continue;
                }
                let content = if meta.is_file() {
                    fs::read(&path).unwrap()
                } else {
                    Vec::new()
                };
                facts.push(format!(
                    "{path:?} {:o} {} {} {} {} {} {content:?}",
                    meta.mode(),
                    meta.uid(),
                    meta.gid(),
                    meta.nlink(),
                    meta.mtime(),
                    meta.mtime_nsec(),
                ));
            }
        }
        facts.sort();
        facts
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let mut blob = rest.to_vec();
    if choice & 1 != 0 {
        mend_checksums(&mut blob);
    }
    if choice & 2 != 0 {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&blob).unwrap();
        blob = encoder.finish().unwrap();
    }
    let scene = &*SCENE;
    let root = scene.path("root");
    lambent_images::fuzzing::layer(&blob, &root, &scene.path("graveyard"));
    assert_eq!(scene.facts(), scene.before, "outside of the root");
    lambent_images::fuzzing::index(&blob);
    scene.clear();
});

/// Writes the right checksum into each block that has a tar magic.
fn mend_checksums(stream: &mut [u8]) {
    for block in stream.chunks_exact_mut(512) {
        if block[257..].starts_with(b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

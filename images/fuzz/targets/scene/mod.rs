//! A directory to unpack into, beside a tree that must not change: what targets share.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::LazyLock;

/// `canary`, `canary-dir/` and so on beside `root` and `graveyard`.
pub struct Scene {
    base: tempfile::TempDir,
    /// What [`Self::facts`] were at first.
    pub before: Vec<String>,
}

/// Never dropped: `.ci/fuzz.sh` says where temporary directories are, and removes them.
pub static SCENE: LazyLock<Scene> = LazyLock::new(|| {
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
    pub fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    /// Makes the two directories that may change empty ones.
    pub fn clear(&self) {
        for name in ["root", "graveyard"] {
            let path = self.path(name);
            if path.symlink_metadata().is_ok() {
                fs::remove_dir_all(&path).unwrap();
            }
            fs::create_dir(&path).unwrap();
        }
    }

    /// Everything about everything but the content of the two.
    pub fn facts(&self) -> Vec<String> {
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

//! Every flipped bit is found, and a re-import repairs it.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, FileTimes, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use lambent_images::{ContentStore, FindingKind, Form, Interrupt, NoProgress, Progress};
use support::{Scratch, can_mount_erofs, good, is_root, snapshot};

/// A store with one named image, and the archive that it came from.
fn stored() -> (Scratch, PathBuf) {
    stored_in(Scratch::in_memory())
}

fn stored_in(scratch: Scratch) -> (Scratch, PathBuf) {
    let file = scratch.path("image.tar");
    good().write_oci_archive(&file, "latest").unwrap();
    import(&scratch, &file);
    (scratch, file)
}

/// Imports the image, runs from it as far as files go, and names it.
fn import(scratch: &Scratch, file: &Path) {
    let image = scratch.import(file).unwrap();
    scratch.store.rootfs(&image).unwrap();
    scratch
        .store
        .tag(&image.manifest_digest, &"a".parse().unwrap())
        .unwrap();
}

/// What is in the store, apart from times of the store's own files and of entries.
fn content(scratch: &Scratch) -> BTreeMap<PathBuf, String> {
    let mut content = scratch.content();
    content.remove(Path::new("index.json"));
    for (path, line) in &mut content {
        let is_own = !["layers", "joints", "skeleton"]
            .iter()
            .any(|kept| path.starts_with(kept));
        // Whiteouts have the time of their making as well.
        if is_own || line.starts_with("special rdev 0 ") {
            line.truncate(line.find(" mtime").unwrap_or(line.len()));
        }
    }
    content
}

fn findings(scratch: &Scratch) -> Vec<FindingKind> {
    let found = scratch.store.verify(&[], &NoProgress).unwrap().findings;
    found.into_iter().map(|finding| finding.kind).collect()
}

/// All regular files of the store that have content.
fn files(root: &Path) -> Vec<PathBuf> {
    let lines = snapshot(root);
    let all = lines
        .into_iter()
        .filter(|(_, line)| line.starts_with("file"));
    all.map(|(path, _)| path)
        .filter(|path| !path.starts_with("locks") && path != Path::new("lambent-store"))
        .filter(|path| fs::metadata(root.join(path)).unwrap().len() > 0)
        .collect()
}

/// Flips a bit in place, and leaves the file's times as they were.
fn flip(path: &Path, bit: usize) {
    let times = fs::metadata(path).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(path, bytes).unwrap();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(times.modified().unwrap()))
        .unwrap();
}

#[test]
fn a_bit_in_each_file_is_found_and_repaired() {
    if is_root("a_bit_in_each_file_is_found_and_repaired") {
        flip_and_repair(Scratch::in_memory());
    }
}

#[test]
fn a_bit_in_each_file_of_an_erofs_store_is_found_and_repaired() {
    let scratch = Scratch::of_form(Form::Erofs);
    if is_root("a_bit_in_each_file_of_an_erofs_store_is_found_and_repaired")
        && can_mount_erofs(&scratch.store)
    {
        flip_and_repair(scratch);
    }
}

fn flip_and_repair(scratch: Scratch) {
    let (scratch, file) = stored_in(scratch);
    assert_eq!(findings(&scratch), []);
    let expected = content(&scratch);
    let root = scratch.store.root().to_owned();
    let paths = files(&root);
    assert!(paths.len() >= 15, "{paths:?}");
    for (number, path) in paths.iter().enumerate() {
        let bits = usize::try_from(fs::metadata(root.join(path)).unwrap().len()).unwrap() * 8;
        // First, last, and one in between that depends on the file.
        for bit in [0, bits - 1, (number * 7919 + 13) % bits] {
            flip(&root.join(path), bit);
            let found = findings(&scratch);
            assert!(!found.is_empty(), "bit {bit} of {}", path.display());
            import(&scratch, &file);
            let after = findings(&scratch);
            assert!(
                after.is_empty(),
                "{after:?} after bit {bit} of {}",
                path.display()
            );
            assert_eq!(
                content(&scratch),
                expected,
                "after bit {bit} of {}",
                path.display()
            );
        }
    }
}

#[test]
fn damage_to_the_index_is_found() {
    if !is_root("damage_to_the_index_is_found") {
        return;
    }
    let (scratch, _) = stored();
    let root = scratch.store.root().to_owned();
    let index = root.join("index.json");
    let good = fs::read(&index).unwrap();
    for bit in (0..good.len() * 8).step_by(61) {
        flip(&index, bit);
        let found = findings(&scratch);
        assert_eq!(found, [FindingKind::Index], "bit {bit}");
        // The image is still there: its documents are.
        assert_eq!(scratch.store.images().unwrap().len(), 1);
        assert_eq!(findings(&scratch), []);
        fs::write(&index, &good).unwrap();
    }
}

#[test]
fn damage_to_records_is_found() {
    if !is_root("damage_to_records_is_found") {
        return;
    }
    let (scratch, file) = stored();
    let root = scratch.store.root().to_owned();
    for path in files(&root)
        .into_iter()
        .filter(|path| path.starts_with("records"))
    {
        let length = fs::read(root.join(&path)).unwrap().len();
        for bit in (0..length * 8).step_by(29) {
            flip(&root.join(&path), bit);
            assert!(
                findings(&scratch).contains(&FindingKind::Record),
                "bit {bit}"
            );
            import(&scratch, &file);
        }
    }
    assert_eq!(findings(&scratch), []);
}

#[test]
fn what_is_not_content_is_compared_too() {
    if !is_root("what_is_not_content_is_compared_too") {
        return;
    }
    let (scratch, file) = stored();
    let layers: Vec<_> = fs::read_dir(scratch.store.root().join("layers/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let base = layers
        .iter()
        .find(|layer| layer.join("etc").exists())
        .unwrap();
    let top = layers
        .iter()
        .find(|layer| layer.join("var").exists())
        .unwrap();
    let expected = content(&scratch);
    // What a file system could have lost, without the time of its directory.
    let keep_time = |directory: &Path, change: &dyn Fn()| {
        let time = fs::metadata(directory).unwrap().modified().unwrap();
        change();
        let opened = fs::File::open(directory).unwrap();
        opened
            .set_times(FileTimes::new().set_modified(time))
            .unwrap();
    };
    let os_release = base.join("etc/os-release");
    let cases: [(&str, &dyn Fn()); 9] = [
        ("mode", &|| {
            fs::set_permissions(&os_release, fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("owner", &|| {
            std::os::unix::fs::chown(&os_release, Some(1), None).unwrap();
        }),
        ("modification time", &|| {
            let file = OpenOptions::new().write(true).open(&os_release).unwrap();
            file.set_times(FileTimes::new().set_modified(std::time::SystemTime::now()))
                .unwrap();
        }),
        ("missing", &|| {
            keep_time(&base.join("etc"), &|| fs::remove_file(&os_release).unwrap());
        }),
        ("does not belong", &|| {
            keep_time(&base.join("etc"), &|| {
                fs::write(base.join("etc/new"), "").unwrap();
            });
        }),
        ("leads elsewhere", &|| {
            let link = base.join("bin/y");
            keep_time(&base.join("bin"), &|| {
                fs::remove_file(&link).unwrap();
                symlink("z", &link).unwrap();
                let time = fs::metadata(base.join("bin/x")).unwrap();
                let time = rustix::fs::Timespec {
                    tv_sec: time.mtime(),
                    tv_nsec: 0,
                };
                rustix::fs::utimensat(
                    rustix::fs::CWD,
                    &link,
                    &rustix::fs::Timestamps {
                        last_access: time,
                        last_modification: time,
                    },
                    rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
                )
                .unwrap();
            });
        }),
        ("links", &|| {
            keep_time(&base.join("bin"), &|| {
                fs::hard_link(base.join("bin/x"), base.join("../linked")).unwrap();
            });
        }),
        ("extended attributes", &|| {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&os_release, "trusted.x", b"1", flags).unwrap();
        }),
        ("another type", &|| {
            keep_time(top, &|| {
                fs::remove_file(top.join("big")).unwrap();
                fs::write(top.join("big"), "").unwrap();
            });
        }),
    ];
    for (what, damage) in cases {
        damage();
        let found = scratch.store.verify(&[], &NoProgress).unwrap().findings;
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        assert_eq!(found[0].kind, FindingKind::Layer);
        assert!(found[0].what.contains(what), "{what}: {found:?}");
        assert_eq!(found[0].images.len(), 1);
        let _only_for_one_case = fs::remove_file(base.join("../linked"));
        import(&scratch, &file);
        assert_eq!(findings(&scratch), [], "after {what}");
        assert_eq!(content(&scratch), expected, "after {what}");
    }
}

#[test]
fn one_image_is_verified_alone() {
    if !is_root("one_image_is_verified_alone") {
        return;
    }
    let (scratch, _) = stored();
    let other = scratch.path("other.tar");
    support::large(0)
        .write_oci_archive(&other, "latest")
        .unwrap();
    let other = scratch.import(&other).unwrap();
    let first = scratch.store.images().unwrap()[0];
    flip(&scratch.layer(&other, 0).join("noise0"), 1);
    assert_eq!(
        scratch
            .store
            .verify(&[first], &NoProgress)
            .unwrap()
            .findings,
        []
    );
    let found = scratch
        .store
        .verify(&[other.manifest_digest], &NoProgress)
        .unwrap();
    assert_eq!(found.findings[0].images, [other.manifest_digest]);
    assert_eq!((found.blobs, found.layers), (5, 3));
    // The layer is made again from its blob, as long as that is there.
    let layer = scratch.layer(&other, 0);
    let name = other.manifest_digest.hex();
    assert_eq!(scratch.store.find(&name).unwrap(), Some(other.clone()));
    assert_eq!(findings(&scratch), []);
    fs::remove_dir_all(layer).unwrap();
    let blob = other.layers[0].digest.hex();
    fs::remove_file(scratch.store.root().join("blobs/sha256").join(blob)).unwrap();
    let error = scratch.store.find(&name).unwrap_err();
    assert!(error.to_string().contains("import it again"), "{error}");
}

struct Interrupted(Interrupt);

impl Progress for Interrupted {
    fn layer(&self, _: &lambent_images::Digest, _: lambent_images::LayerProgress) {
        self.0.raise();
    }

    fn interrupt(&self) -> Interrupt {
        self.0.clone()
    }
}

#[test]
fn an_interrupted_import_or_verification_leaves_nothing() {
    if !is_root("an_interrupted_import_or_verification_leaves_nothing") {
        return;
    }
    let (scratch, file) = stored();
    let before = content(&scratch);
    let interrupted = || Interrupted(Interrupt::default());
    let error = scratch.store.verify(&[], &interrupted()).unwrap_err();
    assert_eq!(error.kind(), lambent_images::ErrorKind::Interrupted);
    assert_eq!(content(&scratch), before);
    let empty = Scratch::in_memory();
    let before = empty.content();
    let reference = lambent_images::ImageReference::Path { path: file };
    let platform = lambent_images::Platform::host();
    let error = empty
        .store
        .import(&reference, &platform, &interrupted())
        .unwrap_err();
    assert_eq!(error.kind(), lambent_images::ErrorKind::Interrupted);
    assert_eq!(empty.content(), before);
    drop(ContentStore::open(empty.store.root()).unwrap());
}

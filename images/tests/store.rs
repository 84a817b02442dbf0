//! The store under concurrency, kills and damage.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use lambent_images::{
    ContentStore, Digest, ErrorKind, Form, ImageReference, LayerProgress, NoProgress, Platform,
    Progress, RootMount,
};
use support::{Scratch, can_mount_erofs, good, is_root, large};

const CHILD_STORE: &str = "LAMBENT_TEST_CHILD_STORE";
const CHILD_IMAGE: &str = "LAMBENT_TEST_CHILD_IMAGE";
const CHILD_EVENTS: &str = "LAMBENT_TEST_CHILD_EVENTS";
const CHILD_FORM: &str = "LAMBENT_TEST_CHILD_FORM";

/// Kills its own process, as `kill -9` does, after so many events.
struct KillAfter(AtomicU32);

impl Progress for KillAfter {
    fn layer(&self, _: &Digest, _: LayerProgress) {
        if self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
        }
    }
}

/// Opens the store, and so sweeps it, at every event.
struct Sweeper<'a>(&'a Path);

impl Progress for Sweeper<'_> {
    fn layer(&self, _: &Digest, _: LayerProgress) {
        ContentStore::open(self.0).unwrap();
    }
}

/// Not a test by itself: what the children of the tests below run.
#[test]
fn child() {
    let Some(store) = std::env::var_os(CHILD_STORE) else {
        return;
    };
    let image = PathBuf::from(std::env::var_os(CHILD_IMAGE).unwrap());
    let events = std::env::var(CHILD_EVENTS).unwrap().parse().unwrap();
    let form = std::env::var(CHILD_FORM).unwrap().parse().unwrap();
    let store = ContentStore::open(Path::new(&store))
        .unwrap()
        .with_form(form);
    let progress = KillAfter(AtomicU32::new(events));
    store
        .import(
            &ImageReference::Path { path: image },
            &Platform::host(),
            &progress,
        )
        .unwrap();
}

fn spawn(scratch: &Scratch, image: &Path, events: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child"])
        .env(CHILD_STORE, scratch.store.root())
        .env(CHILD_IMAGE, image)
        .env(CHILD_EVENTS, events.to_string())
        .env(CHILD_FORM, scratch.store.form().to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

type Content = (BTreeSet<(PathBuf, String)>, BTreeSet<Digest>);

/// What the store holds, without the order of the index.
fn unordered(scratch: &Scratch) -> Content {
    let mut content = scratch.content();
    content.remove(Path::new("index.json"));
    for (path, line) in &mut content {
        // Files that the store writes for itself have the time of writing.
        if !path.starts_with("layers") {
            line.truncate(line.find(" mtime").unwrap_or(line.len()));
        }
    }
    (
        content.into_iter().collect(),
        scratch.store.images().unwrap().into_iter().collect(),
    )
}

/// Compares two stores and shows only what differs.
fn assert_same(found: &Content, expected: &Content, when: &str) {
    let differing: Vec<_> = found
        .0
        .iter()
        .filter(|line| !expected.0.contains(*line))
        .collect();
    let missing: Vec<_> = expected
        .0
        .iter()
        .filter(|line| !found.0.contains(*line))
        .collect();
    assert!(
        differing.is_empty() && missing.is_empty(),
        "{when}: {differing:#?} and not {missing:#?}"
    );
    assert_eq!(found.1, expected.1, "{when}");
}

#[test]
fn killed_at_any_moment_it_imports_again() {
    if is_root("killed_at_any_moment_it_imports_again") {
        kill_and_import_again(Form::Directory);
    }
}

#[test]
fn killed_at_any_moment_it_imports_again_as_erofs() {
    if is_root("killed_at_any_moment_it_imports_again_as_erofs")
        && can_mount_erofs(&ContentStore::open(Scratch::new().store.root()).unwrap())
    {
        kill_and_import_again(Form::Erofs);
    }
}

fn kill_and_import_again(form: Form) {
    let reference = Scratch::of_form(form);
    let file = reference.path("image.tar");
    large(0).write_oci_archive(&file, "latest").unwrap();
    let started = std::time::Instant::now();
    let image = reference.import(&file).unwrap();
    let takes = started.elapsed();
    reference.store.rootfs(&image).unwrap();
    let expected = unordered(&reference);
    let (mut killed, mut partial) = (0, 0);
    // At every progress event, and at moments spread over the whole import.
    for round in 0..40_u32 {
        let scratch = Scratch::of_form(form);
        let mut child = spawn(
            &scratch,
            &file,
            if round < 8 { round + 1 } else { u32::MAX },
        );
        if round >= 8 {
            std::thread::sleep(takes * (round - 8) / 26);
            child.kill().unwrap();
        }
        let finished = child.wait().unwrap().success();
        killed += u32::from(!finished);
        let tmp = scratch.store.root().join("tmp");
        partial += u32::from(std::fs::read_dir(&tmp).unwrap().count() > 0);
        // Opening sweeps what is dead.
        let store = ContentStore::open(scratch.store.root())
            .unwrap()
            .with_form(form);
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
        for digest in store.images().unwrap() {
            assert!(
                store
                    .root()
                    .join("blobs/sha256")
                    .join(digest.hex())
                    .is_file()
            );
        }
        let image = scratch.import(&file).unwrap();
        store.rootfs(&image).unwrap();
        assert_same(&unordered(&scratch), &expected, &format!("round {round}"));
    }
    // Otherwise this test tests nothing.
    assert!(
        killed >= 15 && partial >= 8,
        "{killed} killed, {partial} with remains"
    );
}

#[test]
fn threads_and_processes_import_at_once() {
    if is_root("threads_and_processes_import_at_once") {
        import_at_once(Form::Directory);
    }
}

#[test]
fn threads_and_processes_import_at_once_as_erofs() {
    if is_root("threads_and_processes_import_at_once_as_erofs")
        && can_mount_erofs(&ContentStore::open(Scratch::new().store.root()).unwrap())
    {
        import_at_once(Form::Erofs);
    }
}

fn import_at_once(form: Form) {
    let files = Scratch::of_form(form);
    let paths: Vec<_> = (0..4_u64)
        .map(|variant| {
            let path = files.path(&format!("{variant}.tar"));
            large(variant).write_oci_archive(&path, "latest").unwrap();
            path
        })
        .collect();
    let reference = Scratch::of_form(form);
    for path in &paths {
        let image = reference.import(path).unwrap();
        reference.store.rootfs(&image).unwrap();
    }
    let expected = unordered(&reference);
    for _ in 0..5 {
        let scratch = Scratch::of_form(form);
        let children: Vec<_> = paths
            .iter()
            .chain(&paths)
            .map(|path| spawn(&scratch, path, u32::MAX))
            .collect();
        std::thread::scope(|scope| {
            for path in paths.iter().rev().chain(&paths) {
                let scratch = &scratch;
                scope.spawn(move || {
                    let image = scratch.import(path).unwrap();
                    scratch.store.rootfs(&image).unwrap();
                });
            }
        });
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        assert_same(&unordered(&scratch), &expected, "all at once");
        assert_eq!(
            std::fs::read_dir(scratch.store.root().join("tmp"))
                .unwrap()
                .count(),
            0
        );
    }
}

#[test]
fn a_sweep_leaves_living_imports_alone() {
    if !is_root("a_sweep_leaves_living_imports_alone") {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path("image.tar");
    good().write_oci_archive(&file, "latest").unwrap();
    let reference = ImageReference::Path { path: file };
    let progress = Sweeper(scratch.store.root());
    let image = scratch
        .store
        .import(&reference, &Platform::host(), &progress)
        .unwrap();
    assert_eq!(image.layers.len(), 2);
}

#[test]
fn what_is_missing_is_repaired() {
    if !is_root("what_is_missing_is_repaired") {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path("image.tar");
    good().write_oci_archive(&file, "latest").unwrap();
    let image = scratch.import(&file).unwrap();
    let good = unordered(&scratch);
    let (root, layer) = (scratch.store.root(), &image.layers[0]);
    let damage: [&dyn Fn(); 8] = [
        &|| std::fs::remove_file(root.join("blobs/sha256").join(layer.digest.hex())).unwrap(),
        &|| std::fs::write(root.join("blobs/sha256").join(layer.digest.hex()), "").unwrap(),
        &|| {
            std::fs::remove_file(root.join("blobs/sha256").join(image.manifest_digest.hex()))
                .unwrap();
        },
        &|| std::fs::rename(scratch.layer(&image, 0), scratch.path("aside")).unwrap(),
        &|| std::fs::write(root.join("records/layers").join(layer.diff_id.hex()), "").unwrap(),
        &|| std::fs::write(root.join("records/blobs").join(layer.digest.hex()), "{}").unwrap(),
        &|| {
            std::fs::write(
                root.join("records/layers").join(layer.diff_id.hex()),
                r#"{"version":9}"#,
            )
            .unwrap();
        },
        // A layer without a record, as a power cut may leave it.
        &|| {
            std::fs::remove_file(root.join("records/layers").join(layer.diff_id.hex())).unwrap();
            std::fs::write(scratch.layer(&image, 0).join("bin/x"), "").unwrap();
        },
    ];
    for (index, damage) in damage.iter().enumerate() {
        damage();
        assert!(unordered(&scratch) != good, "{index}");
        assert_eq!(scratch.import(&file).unwrap(), image, "{index}");
        assert_same(&unordered(&scratch), &good, &index.to_string());
    }
    std::fs::rename(scratch.layer(&image, 0), scratch.path("aside2")).unwrap();
    assert_eq!(
        scratch.store.rootfs(&image).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn what_is_missing_of_an_erofs_image_is_repaired() {
    if !is_root("what_is_missing_of_an_erofs_image_is_repaired") {
        return;
    }
    let scratch = Scratch::of_form(Form::Erofs);
    if !can_mount_erofs(&scratch.store) {
        return;
    }
    let file = scratch.path("image.tar");
    good().write_oci_archive(&file, "latest").unwrap();
    let image = scratch.import(&file).unwrap();
    let RootMount::Erofs {
        image: erofs,
        devices,
    } = scratch.store.rootfs(&image).unwrap().mount().clone()
    else {
        panic!("no EROFS image");
    };
    let good = unordered(&scratch);
    let root = scratch.store.root();
    let record = |kind: &str, name: &str| root.join("records").join(kind).join(name);
    let chain = erofs.file_name().unwrap().to_str().unwrap();
    let layer = image.layers[0].diff_id.hex();
    for path in [
        erofs.clone(),
        devices[0].clone(),
        devices[1].clone(),
        root.join("indexes").join(&layer),
        record("tars", &layer),
        record("roots", chain),
        record("blobs", &image.layers[0].digest.hex()),
    ] {
        std::fs::remove_file(&path).unwrap();
        assert_eq!(scratch.import(&file).unwrap(), image, "{}", path.display());
        assert_same(&unordered(&scratch), &good, &path.display().to_string());
    }
    // A damaged index is noticed when it is needed, and then made again.
    std::fs::write(root.join("indexes").join(&layer), "damaged").unwrap();
    std::fs::remove_file(&erofs).unwrap();
    let error = scratch.import(&file).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert_eq!(scratch.import(&file).unwrap(), image);
    assert_same(&unordered(&scratch), &good, "a damaged index");
}

#[test]
fn stores_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let kind = |path: &Path| {
        ContentStore::open(path)
            .map(drop)
            .map_err(|error| error.kind())
    };
    let foreign = dir.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("thesis.txt"), "x").unwrap();
    assert_eq!(kind(&foreign), Err(ErrorKind::Invalid));
    assert_eq!(std::fs::read_dir(&foreign).unwrap().count(), 1);
    assert_eq!(kind(&foreign.join("thesis.txt")), Err(ErrorKind::Io));
    let store = dir.path().join("a/b/store");
    assert_eq!(kind(&store), Ok(()));
    assert_eq!(kind(&store), Ok(()));
    for (text, expected) in [
        (r#"{"version":3}"#, ErrorKind::Unsupported),
        (r#"{"version":0}"#, ErrorKind::Unsupported),
        ("", ErrorKind::Invalid),
        ("{", ErrorKind::Invalid),
    ] {
        std::fs::write(store.join("lambent-store"), text).unwrap();
        assert_eq!(kind(&store), Err(expected), "{text}");
    }
    // A store whose making was interrupted.
    std::fs::remove_file(store.join("lambent-store")).unwrap();
    std::fs::remove_file(store.join("index.json")).unwrap();
    assert_eq!(kind(&store), Ok(()));
    std::fs::write(store.join("index.json"), "half").unwrap();
    let error = ContentStore::open(&store).unwrap().images().unwrap_err();
    assert!(error.to_string().contains("index.json") && error.kind() == ErrorKind::Invalid);
}

#[test]
fn a_bad_layer_stops_the_others() {
    if !is_root("a_bad_layer_stops_the_others") {
        return;
    }
    let scratch = Scratch::new();
    let before = scratch.content();
    let mut layers: Vec<_> = (0..20)
        .map(|index| {
            support::tar::Tar::new()
                .file(&format!("f{index}"), "x")
                .end()
        })
        .collect();
    layers.push(support::tar::Tar::new().file("../x", "x").end());
    let file = scratch.path("image.tar");
    support::image(&layers)
        .write_oci_archive(&file, "x")
        .unwrap();
    for _ in 0..20 {
        let error = scratch
            .store
            .import(
                &ImageReference::Path { path: file.clone() },
                &Platform::host(),
                &NoProgress,
            )
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsafePath, "{error}");
        assert_eq!(scratch.content(), before);
    }
}

//! I-T22: names that some file systems take for the same.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use lambent_images::{ContentStore, ErrorKind, Form, NoProgress};
use support::mounts::in_private_mounts;
use support::tar::Tar;
use support::tree::{assert_same, mounted, objects, without_skeleton};
use support::{Scratch, snapshot};

/// A link whose name differs from a directory's only in case, and twins in both of
/// Unicode's forms.
fn layer() -> Vec<u8> {
    Tar::new()
        .dir("Etc")
        .symlink("Etc/x", "..")
        .dir("etc")
        .dir("etc/x")
        .file("etc/x/y", "small")
        .symlink("ETC", "../../../../canary")
        .file("caf\u{e9}", "composed")
        .file("cafe\u{301}", "decomposed")
        .file("README", "large")
        .file("readme", "small")
        .end()
}

fn canary(scratch: &Scratch) -> impl Fn() + use<> {
    let canary = scratch.path("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("x"), "canary").unwrap();
    let before = snapshot(&canary);
    move || assert_eq!(snapshot(&canary), before)
}

#[test]
fn names_that_differ_are_different() {
    if !in_private_mounts("names_that_differ_are_different") {
        return;
    }
    let scratch = Scratch::new();
    let untouched = canary(&scratch);
    let image = scratch.import_layers(&[layer()]).unwrap();
    let root = scratch.layer(&image, 0);
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    assert_eq!(read("etc/x/y"), "small");
    assert_eq!(root.join("Etc/x").read_link().unwrap(), Path::new(".."));
    assert_eq!(read("caf\u{e9}"), "composed");
    assert_eq!(read("cafe\u{301}"), "decomposed");
    assert_eq!(
        (read("README"), read("readme")),
        ("large".into(), "small".into())
    );
    assert_eq!(fs::read_dir(&root).unwrap().count(), 7);
    let target = scratch.path("mnt");
    let overlay = without_skeleton(mounted(&scratch.store, &image, &target));
    if let Some(erofs) = scratch.erofs() {
        let same = scratch.import_into(&erofs).unwrap();
        let shown = without_skeleton(mounted(&erofs, &same, &target));
        assert_same("mounted", &shown, &overlay);
        let bundle = scratch.path("bundle");
        erofs.unpack(&same, &bundle, &NoProgress).unwrap();
        let mut unpacked = objects(&bundle.join("rootfs"));
        let mut expected = objects(&root);
        for tree in [&mut unpacked, &mut expected] {
            tree.remove(Path::new(""));
        }
        assert_same("bundle", &unpacked, &expected);
    }
    untouched();
}

/// Mounts something at `place` that folds names, where the kernel has that.
fn mount_folding(place: &Path) -> bool {
    fs::create_dir(place).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).arg(place).output();
        output.unwrap().status.success()
    };
    run("mount", &["-t", "tmpfs", "-o", "casefold", "none"]) && {
        // Only an empty directory can be made to fold names, which those in it inherit.
        assert!(run("chattr", &["+F"]));
        true
    }
}

#[test]
fn a_directory_that_folds_names_is_refused() {
    if !in_private_mounts("a_directory_that_folds_names_is_refused") {
        return;
    }
    let scratch = Scratch::in_memory_of(Form::Erofs);
    let folding = scratch.path("folding");
    if !mount_folding(&folding) {
        println!("skipped: this kernel has no tmpfs that folds names");
        return;
    }
    let untouched = canary(&scratch);
    let image = scratch.import_layers(&[layer()]).unwrap();
    let bundle = folding.join("bundle");
    let error = scratch
        .store
        .unpack(&image, &bundle, &NoProgress)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let store = ContentStore::open(&folding.join("store")).unwrap();
    let store = store.with_form(Form::Directory);
    let error = scratch.import_into(&store).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(store.images().unwrap().is_empty());
    // Streams have no names.
    scratch.import_into(&store.with_form(Form::Erofs)).unwrap();
    untouched();
}

//! Bundles that an ordinary user makes: without what only root can make, and with
//! everything else, whatever permissions an image takes away.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use lambent_images::{ErrorKind, Form, NoProgress};
use support::tar::{Fields, Tar, pax_record};
use support::tree::{assert_same, objects};
use support::user::{also_as_ordinary, is_ordinary};
use support::{Scratch, image, is_root};

/// Directories that nobody may enter, write or list, with things in them.
fn closed() -> Vec<u8> {
    let mut tar = Tar::new()
        .dir_mode("etc", 0o755)
        .file("etc/passwd", "me:x:12:34::/:\n")
        .dir_mode("closed", 0)
        .dir_mode("closed/inner", 0)
        .file("closed/inner/file", "x")
        .dir_mode("closed/inner/empty", 0)
        .dir_mode("listed", 0o555)
        .dir_mode("listed/inner", 0o555)
        .dir_mode("listed/inner/more", 0o111)
        .file("listed/inner/more/file", "x");
    let mut path = "deep".to_owned();
    for _ in 0..12 {
        tar = tar.dir_mode(&path, 0);
        path.push_str("/d");
    }
    for (name, mode) in [("secret", 0), ("read-only", 0o444), ("su", 0o4755)] {
        let fields = Fields {
            name: name.as_bytes(),
            mode,
            ..Fields::default()
        };
        tar = tar
            .pax(&pax_record("SCHILY.xattr.user.note", b"kept"))
            .entry(fields, name.as_bytes());
    }
    let device = Fields {
        name: b"null",
        kind: b'3',
        mode: 0o666,
        ..Fields::default()
    };
    tar = tar.entry(device, b"");
    tar.device(1, 3);
    tar = tar.hardlink("null-too", "null");
    let owned = Fields {
        name: b"owned",
        uid: 12,
        gid: 34,
        ..Fields::default()
    };
    tar.entry(owned, b"x").dir_mode(".", 0o500).end()
}

/// Makes what is in a directory readable for a comparison and removable for tests.
fn open_up(root: &Path) {
    let status = Command::new("chmod")
        .args(["--recursive", "u+rwX"])
        .arg(root)
        .status();
    assert!(status.unwrap().success());
}

fn require_note(root: &Path, name: &str) {
    let mut value = [0; 8];
    let length = rustix::fs::lgetxattr(root.join(name), "user.note", &mut value).unwrap();
    assert_eq!(&value[..length], b"kept");
}

#[test]
fn what_only_root_can_make_is_left_out_and_counted() {
    also_as_ordinary("what_only_root_can_make_is_left_out_and_counted");
    let scratch = Scratch::of_form(Form::Erofs);
    let layout = scratch.path("layout");
    image(&[closed()])
        .write_oci_layout(&layout, "latest")
        .unwrap();
    let image = scratch.import(&layout).unwrap();
    let bundle = scratch.path("bundle");
    let warnings = scratch.store.unpack(&image, &bundle, &NoProgress).unwrap();
    let root = bundle.join("rootfs");
    let mode = |path: &Path| path.symlink_metadata().unwrap().mode() & 0o7777;
    let own = scratch.dir.path().metadata().unwrap().uid();
    assert_eq!(mode(&root), 0o500);
    require_note(&root, "read-only");
    for (name, expected) in [
        ("closed", 0),
        ("listed", 0o555),
        ("secret", 0),
        ("su", 0o4755),
    ] {
        assert_eq!(mode(&root.join(name)), expected, "{name}");
    }
    let owner = root.join("owned").symlink_metadata().unwrap().uid();
    if is_ordinary() {
        assert_eq!(owner, own);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        // Everything but the two names of the device is another user's.
        let others = " files of other users, which only root can make";
        assert!(warnings[0].ends_with(others), "{warnings:?}");
        assert!(warnings[1].contains(" 2 device nodes"), "{warnings:?}");
    } else {
        assert_eq!((owner, warnings.len()), (12, 0), "{warnings:?}");
    }
    assert_eq!(root.join("null").exists(), !is_ordinary());

    // What umoci makes, which puts files in the place of devices.
    let theirs = scratch.path("umoci");
    let mut umoci = Command::new("umoci");
    umoci.arg("unpack");
    if is_ordinary() {
        umoci.arg("--rootless").env("HOME", scratch.dir.path());
    }
    let output = umoci
        .args(["--image", &format!("{}:latest", layout.display())])
        .arg(&theirs)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let theirs = theirs.join("rootfs");
    for name in ["closed", "closed/inner", "deep", "deep/d"] {
        for root in [&root, &theirs] {
            let path = root.join(name);
            if is_ordinary() && path.symlink_metadata().is_ok() {
                assert_eq!(mode(&path), 0, "{}", path.display());
                std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
            }
        }
    }
    for root in [&root, &theirs] {
        open_up(root);
    }
    let listed = |root: &Path| {
        let mut listed = objects(root);
        if is_ordinary() {
            listed.retain(|path, _| !path.starts_with("null") && !path.starts_with("null-too"));
            // It makes a file read-only first, and may set no attributes then.
            for name in ["secret", "read-only"] {
                let file = listed.get_mut(Path::new(name)).unwrap();
                file.xattrs.clear();
            }
        }
        listed
    };
    assert_same("umoci", &listed(&root), &listed(&theirs));
}

/// I-M07: what was begun is removed, though its owner may not enter it.
#[test]
fn a_failed_bundle_is_removed() {
    also_as_ordinary("a_failed_bundle_is_removed");
    let scratch = Scratch::of_form(Form::Erofs);
    let file = scratch.path("image.tar");
    image(&[closed()])
        .user("nobody-here")
        .write_oci_archive(&file, "latest")
        .unwrap();
    let image = scratch.import(&file).unwrap();
    let names = || {
        let entries = std::fs::read_dir(scratch.dir.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let bundle = scratch.path("bundle");
    let error = scratch
        .store
        .unpack(&image, &bundle, &NoProgress)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(names(), before);
    // So is what a killed process left.
    let left = scratch.path(".bundle.lambent-1-1");
    std::fs::create_dir_all(left.join("rootfs/a/b")).unwrap();
    for path in ["rootfs/a/b", "rootfs/a", "rootfs"] {
        std::fs::set_permissions(left.join(path), PermissionsExt::from_mode(0o000)).unwrap();
    }
    scratch
        .store
        .unpack(&image, &bundle, &NoProgress)
        .unwrap_err();
    assert_eq!(names(), before);
}

/// Where directories hand down their group.
#[test]
fn groups_are_the_images_own_below_a_setgid_directory() {
    if !is_root("groups_are_the_images_own_below_a_setgid_directory") {
        return;
    }
    let scratch = Scratch::of_form(Form::Erofs);
    let shared = scratch.path("shared");
    std::fs::create_dir(&shared).unwrap();
    chown(&shared, None, Some(1234)).unwrap();
    std::fs::set_permissions(&shared, PermissionsExt::from_mode(0o2775)).unwrap();
    let layer = Tar::new().dir("d").file("d/f", "x").symlink("d/l", "f");
    let image = scratch.import_layers(&[layer.end()]).unwrap();
    let bundle = shared.join("bundle");
    scratch.store.unpack(&image, &bundle, &NoProgress).unwrap();
    for (path, object) in objects(&bundle.join("rootfs")) {
        assert_eq!(object.owner, (0, 0), "{}", path.display());
        assert_eq!(object.mode & 0o2000, 0, "{}", path.display());
    }
}

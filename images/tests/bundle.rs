//! Bundles: what `unpack` writes is what other tools make of the same image, and
//! what runc and crun run.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use lambent_images::writer::{ImageBuilder, LayerBuilder};
use lambent_images::{ContentStore, ErrorKind, Form, Image, NoProgress, Platform};
use support::tar::{Fields, Tar, pax_record};
use support::{Scratch, image, is_root, snapshot};

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Extended attributes of everything below `root`, which `snapshot` leaves out.
fn xattrs(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in snapshot(root).into_keys() {
        let mut names = [0; 4096];
        let length = rustix::fs::llistxattr(root.join(&path), &mut names).unwrap();
        let mut lines = Vec::new();
        for name in names[..length].split(|&byte| byte == 0) {
            // umoci's note to itself for unprivileged users.
            if !name.is_empty() && name != b"user.rootlesscontainers" {
                let mut value = [0; 4096];
                let length = rustix::fs::lgetxattr(root.join(&path), name, &mut value).unwrap();
                lines.extend_from_slice(name);
                lines.extend_from_slice(&value[..length]);
            }
        }
        if !lines.is_empty() {
            found.insert(path, lines);
        }
    }
    found
}

/// Layers with everything that readers of layers have to agree about.
fn varied() -> Vec<Vec<u8>> {
    let fields = |name: &'static str, kind: u8, mode: u32| Fields {
        name: name.as_bytes(),
        kind,
        mode,
        ..Fields::default()
    };
    let capability = [&[1, 0, 0, 2, 0, 4, 0, 0][..], &[0; 12]].concat();
    let base = Tar::new()
        .dir_mode("./", 0o755)
        .dir("a")
        .dir_mode("a/sticky", 0o1777)
        .file("a/gone", "hidden by a whiteout")
        .file("a/replaced", "old")
        .dir("a/opaque")
        .file("a/opaque/below", "hidden")
        .dir("a/removed")
        .file("a/removed/f", "hidden with its directory")
        .file("linked", "two names")
        .hardlink("a/linked", "linked")
        .symlink("a/absolute", "/etc/passwd")
        .symlink("dangling", "../../nowhere")
        .entry(fields("fifo", b'6', 0o622), b"")
        .entry(fields("su", b'0', 0o4755), b"setuid")
        .entry(
            Fields {
                uid: 1000,
                gid: 1001,
                ..fields("owned", b'0', 0o640)
            },
            b"x",
        )
        .pax(&pax_record("SCHILY.xattr.user.note", b"kept"))
        .file("noted", "x")
        .pax(&pax_record("SCHILY.xattr.security.capability", &capability))
        .file("capable", "x")
        .pax(&pax_record("mtime", b"1234567890.123456789"))
        .file("precise", "x")
        .pax(&pax_record(
            "path",
            format!("{}/file", "long".repeat(60)).as_bytes(),
        ))
        .file("x", "a long name")
        .dir("lower-owned");
    let top = Tar::new()
        .dir("a")
        .file("a/.wh.gone", "")
        .file("a/replaced", "new")
        .dir("a/opaque")
        .file("a/opaque/.wh..wh..opq", "")
        .file("a/opaque/above", "kept")
        .file("a/.wh.removed", "")
        // Into a lower layer, and below a directory that only the lower layer names.
        .hardlink("relinked", "linked")
        .file("lower-owned/new", "x");
    vec![base.end(), top.end()]
}

/// Unpacks with Lambent's store of this form.
fn unpack(scratch: &Scratch, image: &Image, form: Form) -> PathBuf {
    let store = ContentStore::open(scratch.store.root())
        .unwrap()
        .with_form(form);
    let target = scratch.path(&format!("bundle-{form}"));
    store.unpack(image, &target, &NoProgress).unwrap();
    target
}

/// Without the time of directories that got entries, which tools treat differently.
fn comparable(root: &Path, untimed: &[&str]) -> BTreeMap<PathBuf, String> {
    let mut lines = snapshot(root);
    for (path, line) in &mut lines {
        if line.starts_with("dir") && untimed.iter().any(|name| path == Path::new(name)) {
            line.truncate(line.find(" mtime").unwrap());
        }
    }
    lines
}

#[test]
fn the_tree_is_umocis() {
    if !is_root("the_tree_is_umocis") {
        return;
    }
    let scratch = Scratch::of_form(Form::Erofs);
    let layout = scratch.path("layout");
    image(&varied())
        .write_oci_layout(&layout, "latest")
        .unwrap();
    let image = scratch.import(&layout).unwrap();
    let theirs = scratch.path("umoci");
    run(Command::new("umoci")
        .args(["unpack", "--image"])
        .arg(format!("{}:latest", layout.display()))
        .arg(&theirs));
    let ours = unpack(&scratch, &image, Form::Erofs).join("rootfs");
    let theirs = theirs.join("rootfs");
    let implied = "long".repeat(60);
    let untimed = ["a", "a/opaque", "lower-owned", &implied];
    assert_eq!(comparable(&ours, &untimed), comparable(&theirs, &untimed));
    assert_eq!(xattrs(&ours), xattrs(&theirs));
    assert_eq!(xattrs(&ours).len(), 2);
}

#[test]
fn both_forms_unpack_to_the_same() {
    if !is_root("both_forms_unpack_to_the_same") {
        return;
    }
    let scratch = Scratch::new();
    let layers = varied();
    let image = scratch.import_layers(&layers).unwrap();
    let directory = unpack(&scratch, &image, Form::Directory);
    let streams = Scratch::of_form(Form::Erofs);
    support::image(&layers)
        .write_oci_archive(&streams.path("image.tar"), "latest")
        .unwrap();
    let same = streams.import(&streams.path("image.tar")).unwrap();
    let erofs = unpack(&streams, &same, Form::Erofs);
    assert_eq!(
        snapshot(&directory.join("rootfs")),
        snapshot(&erofs.join("rootfs"))
    );
    // The store that was made on the way is gone.
    let tmp = scratch.store.root().join("tmp");
    assert_eq!(std::fs::read_dir(tmp).unwrap().count(), 0);
}

/// The host's own static shell, with what it takes to run it.
fn busybox() -> ImageBuilder {
    let layer = LayerBuilder::new()
        .file_from("bin/busybox", 0o755, "/bin/busybox")
        .symlink("bin/sh", "busybox")
        .file(
            "etc/passwd",
            0o644,
            "root:x:0:0::/root:/bin/sh\nme:x:12:34::/:\n",
        )
        .directory("work", 0o755);
    ImageBuilder::new(Platform::host())
        .layer(layer)
        .entrypoint(["/bin/sh", "-c"])
        .cmd(["/bin/busybox id; pwd; echo $GREETING"])
        .env("GREETING", "hello")
        .working_dir("/work")
        .user("me")
}

#[test]
fn privileged_runc_and_crun_run_a_bundle() {
    if !is_root("privileged_runc_and_crun_run_a_bundle") {
        return;
    }
    let scratch = Scratch::of_form(Form::Erofs);
    let file = scratch.path("image.tar");
    busybox().write_oci_archive(&file, "latest").unwrap();
    let image = scratch.import(&file).unwrap();
    let bundle = unpack(&scratch, &image, Form::Erofs);
    for runtime in ["runc", "crun"] {
        let output = Command::new(runtime)
            .arg("--root")
            .arg(scratch.path(runtime))
            .args(["run", "--bundle"])
            .arg(&bundle)
            .arg(format!("lambent-test-{}", std::process::id()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        if runtime == "crun" && complaint.contains("hybrid mode not supported") {
            println!("skipped crun: it does not run on hosts with hybrid cgroups");
            continue;
        }
        assert_eq!(said, "uid=12(me) gid=34\n/work\nhello\n", "{complaint}");
    }
}

#[test]
fn bad_targets_and_users_are_refused() {
    if !is_root("bad_targets_and_users_are_refused") {
        return;
    }
    let scratch = Scratch::of_form(Form::Erofs);
    let import = |name: &str, user: &str| {
        let file = scratch.path(name);
        support::good()
            .user(user)
            .write_oci_archive(&file, "latest")
            .unwrap();
        scratch.import(&file).unwrap()
    };
    let unknown = import("unknown.tar", "somebody");
    let numeric = import("numeric.tar", "12:34");
    let full = scratch.path("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("thesis.txt"), "x").unwrap();
    let file = scratch.path("a file");
    std::fs::write(&file, "x").unwrap();
    let before: Vec<_> = snapshot(scratch.dir.path()).into_keys().collect();
    for (image, target) in [
        (&numeric, &full),
        (&numeric, &file),
        (&unknown, &scratch.path("new")),
        (&numeric, &scratch.path("missing/new")),
    ] {
        let error = scratch
            .store
            .unpack(image, target, &NoProgress)
            .unwrap_err();
        let expected = [ErrorKind::Invalid, ErrorKind::Io];
        assert!(expected.contains(&error.kind()), "{error}");
    }
    let after: Vec<_> = snapshot(scratch.dir.path()).into_keys().collect();
    let locks = |path: &PathBuf| !path.starts_with("store/locks");
    assert!(
        before
            .iter()
            .filter(|p| locks(p))
            .eq(after.iter().filter(|p| locks(p)))
    );
    // An empty directory is as good as none.
    let empty = scratch.path("empty");
    std::fs::create_dir(&empty).unwrap();
    scratch.store.unpack(&numeric, &empty, &NoProgress).unwrap();
    assert!(empty.join("rootfs/bin/x").is_file());
}

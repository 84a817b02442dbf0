//! Bundles: what `unpack` writes is what other tools make of the same image, and
//! what runc and crun run.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use lambent_images::writer::{ImageBuilder, LayerBuilder};
use lambent_images::{ContentStore, ErrorKind, Form, Image, NoProgress, Platform};
use rustix::process::{Resource, Rlimit, setrlimit};
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

/// I-T24, I-K02: a user's name leads to whatever the image has as `passwd` and `group`.
#[test]
fn hostile_lists_of_users_are_not_read() {
    if !is_root("hostile_lists_of_users_are_not_read") {
        return;
    }
    // What is read without end shall take this process's memory, and not the machine's.
    let four_gibibytes = Some(4 << 30);
    let limit = Rlimit {
        current: four_gibibytes,
        maximum: four_gibibytes,
    };
    setrlimit(Resource::As, limit).unwrap();
    let scratch = Scratch::of_form(Form::Erofs);
    let list = "me:x:12:34::/:\n";
    // In here the name would be found.
    let outside = scratch.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("passwd"), list).unwrap();
    let outside = outside.display().to_string();
    let special = |kind, device: Option<(u32, u32)>| {
        let fields = Fields {
            name: b"etc/passwd",
            kind,
            mode: 0o666,
            ..Fields::default()
        };
        let mut tar = Tar::new().dir("etc").entry(fields, b"");
        if let Some((major, minor)) = device {
            tar.device(major, minor);
        }
        tar
    };
    let link = |target: &str| Tar::new().dir("etc").symlink("etc/passwd", target);
    let sparse = Tar::new()
        .pax(
            &[
                pax_record("GNU.sparse.size", b"2147483648"),
                pax_record("GNU.sparse.map", b"0,512"),
            ]
            .concat(),
        )
        .file("etc/passwd", &format!("{list:\n<512}"));
    let endless = "x".repeat(1 << 20);
    let none = Err((ErrorKind::Invalid, "user \"me\" is not in its /etc/passwd"));
    let large = |what| Err((ErrorKind::LimitExceeded, what));
    let rows = [
        ("a file", Tar::new().file("etc/passwd", list), "me", Ok(())),
        (
            "a link inside",
            link("../usr/passwd").file("usr/passwd", list),
            "me",
            Ok(()),
        ),
        ("a process's secrets", link("/proc/1/environ"), "me", none),
        ("a link out", link(&format!("{outside}/passwd")), "me", none),
        (
            "a link up",
            link(&format!("{}{outside}/passwd", "../".repeat(20))),
            "me",
            none,
        ),
        (
            "a directory that is a link out",
            Tar::new().symlink("etc", &outside),
            "me",
            none,
        ),
        ("a link to itself", link("passwd"), "me", none),
        ("a FIFO", special(b'6', None), "me", none),
        (
            "a device without end",
            special(b'3', Some((1, 5))),
            "me",
            none,
        ),
        ("a terminal", special(b'3', Some((5, 0))), "me", none),
        ("a disk", special(b'4', Some((7, 0))), "me", none),
        (
            "a directory",
            Tar::new().dir("etc/passwd").file("etc/passwd/me", list),
            "me",
            none,
        ),
        ("a huge file", sparse, "me", large("etc/passwd")),
        (
            "groups without end",
            Tar::new()
                .file("etc/passwd", list)
                .file("etc/group", &format!("{endless}\n")),
            "me:us",
            large("etc/group"),
        ),
        (
            "a line without end",
            Tar::new().file("etc/passwd", &endless),
            "me",
            none,
        ),
        (
            "a line without end, and then the user",
            Tar::new().file("etc/passwd", &format!("{endless}\n{list}")),
            "me",
            large("etc/passwd"),
        ),
    ];
    let before = support::peak_memory_kib();
    for (name, tar, user, expected) in rows {
        let file = scratch.path("image.tar");
        support::image(&[tar.end()])
            .user(user)
            .write_oci_archive(&file, "latest")
            .unwrap();
        let image = scratch.import(&file).unwrap();
        let target = scratch.path("bundle");
        let found = scratch.store.unpack(&image, &target, &NoProgress);
        match (found, expected) {
            (Ok(_), Ok(())) => std::fs::remove_dir_all(&target).unwrap(),
            (Err(error), Err((kind, words))) => {
                let text = error.to_string();
                assert_eq!(error.kind(), kind, "{name}: {text}");
                assert!(text.contains(words) && text.len() < 200, "{name}: {text}");
                assert!(!target.exists(), "{name}");
            }
            (found, _) => panic!("{name}: {found:?}"),
        }
    }
    // What an import takes; the huge file is eight times that.
    let grown = support::peak_memory_kib() - before;
    assert!(grown < 256 << 10, "{grown} KiB");
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

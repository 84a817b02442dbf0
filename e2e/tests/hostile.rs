//! Hostile root file systems: an image whose mount points are symlinks must not
//! make anything be written, changed or removed on the host.
//!
//! libcontainer 0.7.0 follows such links before pivot_root (`/dev` above all);
//! what protects us is the topmost layer with real mount points.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
#[cfg(target_arch = "x86_64")]
use std::process::Command;

use lambent_e2e::fixtures::{self, Fixture};
use lambent_e2e::{Lambent, privileged};
#[cfg(target_arch = "x86_64")]
use lambent_e2e::{Run, loader};
use lambent_images::Platform;
use lambent_images::writer::{ImageBuilder, LayerBuilder};
use serde_json::json;

/// What can be known of a file: mode, owner, links, size, modification, target.
type Facts = (u32, u32, u32, u64, u64, i64, Option<PathBuf>);

/// A tree that must not change. It has what libcontainer would remove (`ptmx`) or
/// overwrite, and nothing that would stop it from making its links.
fn canary(root: &Path) {
    for name in ["ptmx", "resolv.conf", "hosts", "hostname"] {
        fs::write(root.join(name), "canary").unwrap();
    }
    fs::set_permissions(root.join("ptmx"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::create_dir(root.join("pts")).unwrap();
    symlink("hosts", root.join("link")).unwrap();
}

fn facts(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                directories.push(path.clone());
            }
            found.insert(
                path.clone(),
                (
                    metadata.mode(),
                    metadata.uid(),
                    metadata.gid(),
                    metadata.nlink(),
                    metadata.size(),
                    metadata.mtime_nsec() + metadata.mtime() * 1_000_000_000,
                    fs::read_link(&path).ok(),
                ),
            );
        }
    }
    found
}

/// An image with the static function and all mount points, and a hostile layer:
/// without the layer that covers mount points, only what is hostile goes wrong.
fn image(directory: &Path, hostile: LayerBuilder) -> String {
    let program = fixtures::demo_function();
    let archive = directory.join("hostile.tar");
    ImageBuilder::new(Platform::host())
        .entrypoint(["/main"])
        .layer(
            ["dev", "etc", "proc", "sys", "tmp"]
                .iter()
                .fold(LayerBuilder::new(), |layer, name| {
                    layer.directory(name, 0o755)
                })
                .file_from("main", 0o755, &program),
        )
        .layer(hostile)
        .write_oci_archive(&archive, "latest")
        .unwrap();
    format!("oci-archive:{}", archive.display())
}

#[test]
fn privileged_symlinked_mount_points_reach_nothing() {
    if !privileged() {
        return;
    }
    for name in [
        "dev",
        "proc",
        "sys",
        "tmp",
        "etc",
        "etc/resolv.conf",
        "dev/ptmx",
        "dev/pts",
        "dev/shm",
        "dev/null",
        "dev/console",
    ] {
        let outside = tempfile::tempdir().unwrap();
        canary(outside.path());
        let before = facts(outside.path());
        let target = outside.path().to_str().unwrap();
        // Absolute; and out of the root by more steps than any path has.
        let relative = format!("{}{target}", "../".repeat(40).trim_end_matches('/'));
        for link in [target.to_owned(), relative] {
            let lambent = Lambent::new();
            let directory = tempfile::tempdir().unwrap();
            let mut layer = LayerBuilder::new();
            if let Some((parent, _)) = name.split_once('/') {
                layer = layer.directory(parent, 0o755);
            }
            layer = layer.symlink(name, &link);
            // The attack needs the target to exist inside the image too.
            let mut inside = PathBuf::new();
            for component in Path::new(target.trim_start_matches('/')).components() {
                inside.push(component);
                layer = layer.directory(inside.to_str().unwrap(), 0o777);
            }
            let run = lambent.invoke(
                &image(directory.path(), layer),
                &json!({"action": "inspect"}),
                &[],
            );
            assert_eq!(facts(outside.path()), before, "{name} -> {link}: {run:?}");
            let payload = run.payload();
            assert_eq!(
                payload["tmp"]["mode"], "1777",
                "{name} -> {link}: {payload}"
            );
            assert_eq!(payload["devShm"], false, "{name} -> {link}: {payload}");
            assert_eq!(
                payload["pids"],
                json!([1, 2]),
                "{name} -> {link}: {payload}"
            );
        }
    }
}

#[test]
fn privileged_files_in_the_place_of_mount_points_are_covered() {
    if !privileged() {
        return;
    }
    for name in ["dev", "proc", "sys", "tmp"] {
        let lambent = Lambent::new();
        let directory = tempfile::tempdir().unwrap();
        let layer = LayerBuilder::new().file(name, 0o644, b"not a directory".to_vec());
        let run = lambent.invoke(
            &image(directory.path(), layer),
            &json!({"action": "counter"}),
            &[],
        );
        assert_eq!(run.payload()["count"], 1, "{name}");
    }
}

#[test]
fn privileged_the_program_cannot_be_reached_through_proc() {
    if !privileged() {
        return;
    }
    // CVE-2019-5736: the entry point is a link to the program that executes it.
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let program = lambent_e2e::program();
    let before = fs::metadata(&program).unwrap();
    let layer = LayerBuilder::new().symlink("evil", "/proc/self/exe");
    let run = lambent.invoke(
        &image(directory.path(), layer),
        &json!({}),
        &["--entrypoint", "/evil"],
    );
    // The sealed program ran, as a launcher without a socket, and ended; or it was
    // not allowed to run at all.
    assert_ne!(run.status, 0, "{run:?}");
    assert!(!run.stdout.contains(program.to_str().unwrap()), "{run:?}");
    let after = fs::metadata(&program).unwrap();
    assert_eq!(
        (before.len(), before.mtime_nsec()),
        (after.len(), after.mtime_nsec())
    );
}

/// The second half of CVE-2019-5736: with a loader of its own the image holds the program
/// that was executed, and tries to write to it once nobody executes it any more.
#[cfg(target_arch = "x86_64")]
#[test]
fn privileged_the_program_cannot_be_overwritten_by_the_images_loader() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    // A copy, which is not needed any more if this goes wrong.
    let program = directory.path().join("lambent");
    fs::copy(lambent_e2e::program(), &program).unwrap();
    let digest = || lambent_images::Digest::of(fs::read(&program).unwrap());
    let before = digest();
    let place = "lib64/ld-linux-x86-64.so.2";
    let bytes = fs::read(&program).unwrap();
    assert!(
        bytes
            .windows(place.len())
            .any(|part| part == place.as_bytes()),
        "the program has another loader, or none"
    );
    let layer = LayerBuilder::new()
        .symlink("evil", "/proc/self/exe")
        .file("script", 0o755, b"#!/proc/self/exe\n".to_vec())
        .file(place, 0o755, loader::program())
        .file(loader::SECOND, 0o755, loader::program());
    let image = image(directory.path(), layer);
    let event = directory.path().join("event.json");
    fs::write(&event, "{}").unwrap();
    // Each is what the one before may have left.
    for entry_point in ["/evil", "/script", "/evil"] {
        let run: Run = Command::new(&program)
            .args(["invoke", &image, "--output", "json", "--event"])
            .arg(&event)
            .args([
                "--entrypoint",
                entry_point,
                "--memory",
                "1769",
                "--timeout",
                "30",
            ])
            .env("LAMBENT_ROOT", lambent.root())
            .output()
            .unwrap()
            .into();
        let result = run.result();
        let message = result["payload"]["errorMessage"].as_str().unwrap();
        let ended = format!("exit status {}", loader::REFUSED);
        assert!(message.ends_with(&ended), "{run:?}");
        // It had the program in a mount that shows no path, and cannot be written to; or
        // a copy of it in memory.
        let logs = result["logs"].as_str().unwrap();
        let sealed = |line: &str| line == "/lambent" || line.starts_with("/memfd:");
        assert!(logs.lines().any(sealed), "{logs}");
        assert!(!logs.contains(directory.path().to_str().unwrap()), "{logs}");
        assert_eq!(digest(), before);
    }
}

/// A layer whose `main` has file capabilities, all of them and effective.
fn capable() -> LayerBuilder {
    let program = fs::read(fixtures::demo_function()).unwrap();
    // Revision 2, with the flag that makes them effective; then what is permitted and
    // what is inheritable, in two halves.
    let words = [0x0200_0001_u32, u32::MAX, 0, 0x1ff, 0];
    let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let key = "SCHILY.xattr.security.capability";
    let length = value.len() + key.len() + "00 =\n".len();
    let record = [format!("{length} {key}=").as_bytes(), &value, b"\n"].concat();
    let mut layer = tar::Builder::new(vec![]);
    for (name, kind, content) in [
        ("PaxHeader", tar::EntryType::XHeader, &record),
        ("main", tar::EntryType::Regular, &program),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        layer
            .append_data(&mut header, name, content.as_slice())
            .unwrap();
    }
    LayerBuilder::raw(layer.into_inner().unwrap())
}

#[test]
fn privileged_file_capabilities_give_nothing() {
    if !privileged() {
        return;
    }
    for form in ["directory", "erofs"] {
        let lambent = Lambent::new().with_image_form(form);
        let directory = tempfile::tempdir().unwrap();
        let image = image(directory.path(), capable());
        let inspected = lambent.invoke(&image, &json!({"action": "inspect"}), &[]);
        let payload = inspected.payload();
        assert_eq!(payload["uid"], 993, "{form}: {payload}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(
                payload["status"][set], "0000000000000000",
                "{form}: {payload}"
            );
        }
        // They are there: the image has them as an OCI bundle too.
        let bundle = directory.path().join("bundle");
        let run = lambent.run(["image", "unpack", &image, bundle.to_str().unwrap()]);
        assert_eq!(run.status, 0, "{form}: {run:?}");
        let mut value = [0; 32];
        let main = bundle.join("rootfs/main");
        let length = rustix::fs::getxattr(&main, "security.capability", &mut value).unwrap();
        assert_eq!((length, value[0]), (20, 1), "{form}");
    }
}

#[test]
fn privileged_the_stored_layers_do_not_change() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let run = || {
        lambent.invoke(
            &Fixture::RustOciArchive.reference(),
            &json!({"action": "fillTmp", "mb": 1}),
            &[],
        )
    };
    let file = Fixture::RustOciArchive.reference();
    let loaded = lambent.run(["image", "load", &file]);
    assert_eq!(loaded.status, 0, "{loaded:?}");
    // Before any run: places to mount at would be made by the first.
    let layers = lambent.root().join("lib/images/layers");
    let before = facts(&layers);
    assert!(!before.is_empty());
    for _ in 0..2 {
        assert_eq!(run().status, 0);
        assert_eq!(facts(&layers), before);
    }
}

#[test]
fn privileged_a_script_of_the_program_itself_reaches_nothing() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let program = lambent_e2e::program();
    let before = fs::read(&program).unwrap();
    let layer = LayerBuilder::new().file("evil", 0o755, b"#!/proc/self/exe\n".to_vec());
    let run = lambent.invoke(
        &image(directory.path(), layer),
        &json!({}),
        &["--entrypoint", "/evil"],
    );
    assert_eq!(run.status, 3, "{run:?}");
    assert!(!run.stdout.contains(program.to_str().unwrap()), "{run:?}");
    assert!(
        fs::read(&program).unwrap() == before,
        "the program has changed"
    );
}

#[test]
fn privileged_a_working_directory_is_inside_of_the_root() {
    if !privileged() {
        return;
    }
    // CVE-2024-21626: a descriptor of a directory of the host that was left open.
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let image = image(
        directory.path(),
        LayerBuilder::new().symlink("out", "/proc/self/cwd"),
    );
    let descriptors = (3..24).map(|number| format!("/proc/self/fd/{number}"));
    let links = ["/proc/self/cwd", "/proc/1/cwd", "/proc/1/root", "/out"].map(str::to_owned);
    for workdir in descriptors.chain(links) {
        let run = lambent.invoke(&image, &json!({}), &["--workdir", &workdir]);
        assert_eq!(run.status, 3, "{workdir}: {run:?}");
        let kind = run.result()["payload"]["errorType"].clone();
        assert_eq!(kind, "Runtime.InvalidWorkingDir", "{workdir}: {run:?}");
    }
}

#[test]
fn privileged_an_image_without_layers_runs_nothing() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("empty.tar");
    ImageBuilder::new(Platform::host())
        .entrypoint(["/main"])
        .write_oci_archive(&archive, "latest")
        .unwrap();
    let image = format!("oci-archive:{}", archive.display());
    let run = lambent.invoke(&image, &json!({}), &[]);
    assert_eq!(run.status, 3, "{run:?}");
    assert!(run.stderr.contains("the image has no layers"), "{run:?}");
}

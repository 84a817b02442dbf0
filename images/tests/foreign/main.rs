//! I-P25: the archives that other readers of tar are tested with, as layers.
//!
//! They are no part of this repository: `make fixtures` gathers them. What becomes of
//! each is in `verdicts.txt`, by the digest of its bytes, since the packages that they
//! come from are those of the distribution: of an archive that is new there it is asked
//! only that it does no harm. The test prints the table as it would be now.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use lambent_images::{Digest, Form, NoProgress};
use support::mounts::in_private_mounts;
use support::user::{also_as_ordinary_with, is_ordinary};
use support::{Scratch, snapshot};

const TABLE: &str = include_str!("verdicts.txt");
/// So many of the table have to be there, whatever the packages have come to be.
const COMPARED: usize = 120;
/// Where a process of another user finds the archives.
const ARCHIVES: &str = "LAMBENT_TEST_ARCHIVES";

/// Every archive by its name.
fn archives() -> BTreeMap<PathBuf, Vec<u8>> {
    let root = std::env::var_os(ARCHIVES).map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("fixtures/steps/archives"),
        PathBuf::from,
    );
    let mut found = BTreeMap::new();
    let mut pending = vec![root.clone()];
    while let Some(directory) = pending.pop() {
        let entries = std::fs::read_dir(&directory);
        for entry in entries.expect("the archives of `make fixtures`") {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_owned();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Makes what an archive may want to reach, beside the store.
fn canary(directory: &Path) -> BTreeMap<PathBuf, String> {
    let canary = directory.join("canary");
    std::fs::create_dir_all(canary.join("closed")).unwrap();
    for (name, mode) in [("file", 0o640), ("secret", 0o400)] {
        let path = canary.join(name);
        std::fs::write(&path, name).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
    std::fs::hard_link(canary.join("file"), canary.join("linked")).unwrap();
    symlink("file", canary.join("link")).unwrap();
    watched(directory)
}

/// All but the store and what is unpacked on purpose.
fn watched(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = snapshot(directory);
    all.retain(|path, _| {
        let own = ["store", "image.tar", "bundle"];
        !own.iter().any(|name| path.starts_with(name))
    });
    all
}

/// What becomes of an archive that is brought into a store and unpacked from there.
fn verdict(archive: &[u8], form: Form) -> String {
    let scratch = Scratch::in_memory_of(form);
    let outside = canary(scratch.dir.path());
    let stored = scratch.content();
    let bundle = scratch.path("bundle");
    let done = scratch
        .import_layers(&[archive.to_vec()])
        .and_then(|image| {
            // Of directories it is made in another way than they are.
            scratch.store.unpack(&image, &bundle, &NoProgress)
        });
    let verdict = match done {
        Ok(_) => format!("accepted, {} objects", objects(&bundle.join("rootfs"))),
        Err(error) => {
            let imported = !scratch.store.images().unwrap().is_empty();
            assert!(imported || scratch.content() == stored, "something is left");
            assert!(!bundle.exists(), "something is left");
            // After the digest of the layer.
            let message = error.to_string();
            let rule = message.split_once(": ").map_or(&*message, |(_, rule)| rule);
            format!("{:?}, {rule}", error.kind())
        }
    };
    assert_eq!(watched(scratch.dir.path()), outside);
    verdict
}

/// How many objects are in a tree, whose directories are opened up.
fn objects(root: &Path) -> usize {
    // Nothing in it can be removed otherwise by an ordinary user.
    let opened = Command::new("chmod")
        .args(["--recursive", "u+rwX"])
        .arg(root)
        .status();
    assert!(opened.unwrap().success());
    let entries = std::fs::read_dir(root).unwrap();
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let is_directory = entry.file_type().unwrap().is_dir();
        1 + if is_directory {
            objects(&entry.path())
        } else {
            0
        }
    };
    entries.map(of).sum()
}

/// Lines of the table, by digest.
fn table() -> BTreeMap<&'static str, &'static str> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut fields = line.splitn(3, '\t');
            let (digest, _name) = (fields.next().unwrap(), fields.next().unwrap());
            (digest, fields.next().unwrap())
        })
        .collect()
}

/// Sees what becomes of all archives, and that it is what the table says.
#[expect(clippy::print_stdout, reason = "the table as it would be now")]
fn compare(forms: &[Form]) {
    let table = table();
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for (name, archive) in archives() {
        let digest = &Digest::of(&archive).hex()[..16];
        let found = forms.iter().map(|form| verdict(&archive, *form));
        let found = found.collect::<Vec<_>>();
        let name = name.display();
        println!("{digest}\t{name}\t{}", found[0]);
        let Some(&expected) = table.get(digest) else {
            continue;
        };
        compared += 1;
        for found in found {
            // Another user's devices are left out.
            let same = if is_ordinary() && expected.starts_with("accepted") {
                found.starts_with("accepted")
            } else {
                found == expected
            };
            if !same {
                wrong.push(format!("{name}: {found}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared >= COMPARED, "{compared} compared");
}

/// On a machine of which nothing but the place of the stores can be written.
#[test]
fn archives_of_others_do_no_harm() {
    if !in_private_mounts("archives_of_others_do_no_harm") {
        return;
    }
    for arguments in [
        &["-t", "tmpfs", "none", "/dev/shm"][..],
        &["-o", "remount,bind,ro", "/"],
    ] {
        let mounted = Command::new("mount").args(arguments).status();
        assert!(mounted.unwrap().success(), "{arguments:?}");
    }
    assert!(std::fs::write("/canary", "").is_err());
    compare(&[Form::Directory, Form::Erofs]);
}

#[test]
fn archives_of_others_do_an_ordinary_user_no_harm() {
    // Which may not look below the home of another.
    let copies = tempfile::tempdir().unwrap();
    if !is_ordinary() {
        for (name, archive) in archives() {
            let copy = copies.path().join(name);
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::write(copy, archive).unwrap();
        }
        std::fs::set_permissions(&copies, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let test = "archives_of_others_do_an_ordinary_user_no_harm";
    also_as_ordinary_with(test, &[(ARCHIVES, copies.path())]);
    if is_ordinary() {
        compare(&[Form::Erofs]);
    }
}

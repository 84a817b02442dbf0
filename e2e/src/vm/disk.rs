//! The guest's disk: a small Debian, the fixtures and the programs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs::{self, Programs};
use crate::boto3;
use crate::fixtures::cache::{Cache, remove};
use crate::fixtures::command::{copy, run};
use crate::fixtures::rootfs::extract;
use crate::fixtures::stamp::Stamp;
use crate::fixtures::{self, Error, at};

/// What Lambent needs of a machine (e2fsprogs), and what the tests do (the rest): AWS's
/// client runs in Python.
const PACKAGES: &str = "base-files,libc6,libgcc-s1,dash,coreutils,grep,tar,e2fsprogs,mount,\
                        util-linux,bsdutils,python3";

/// Room for a store, for several `/tmp` of a function, and for the tests' files.
const DISK_BYTES: u64 = 8 << 30;

/// Where the guest has everything that is not Debian's.
const VM: &str = "vm";

/// The disk's image.
pub(super) fn disk(cache: &Cache, programs: &Programs) -> Result<PathBuf, Error> {
    let root_stamp = Stamp::new()
        .value(PACKAGES)
        .path(Path::new("/etc/os-release"))?;
    let root = cache.step("root", &root_stamp, |tree| extract(tree, PACKAGES))?;
    let lambent = programs::lambent()?;
    let nextest = programs::nextest()?;
    let client = boto3::install()?;
    let config = fixtures::workspace().join(".config/nextest.toml");
    let mut stamp = Stamp::new()
        .stamp(&root_stamp)
        .value(&programs.binaries)
        .value(&programs.metadata)
        .path(&config)?
        .path(&lambent)?
        .path(&nextest)?;
    for test in &programs.tests {
        stamp = stamp.path(&programs.target.join(test))?;
    }
    // Images, and what tests make images of themselves.
    let images: Vec<_> = fixtures::Fixture::ALL
        .map(fixtures::path)
        .into_iter()
        .chain([fixtures::python_runtime()])
        .collect();
    let [base, python] = fixtures::python_trees();
    let steps = [
        fixtures::demo_function(),
        fixtures::extension(),
        base,
        python,
    ];
    for made in images.iter().chain(&steps) {
        let mut name = made.clone().into_os_string();
        name.push(".stamp");
        stamp = stamp.path(Path::new(&name))?;
    }
    // Its name has its version.
    stamp = stamp.value(client.display().to_string());
    cache.image("disk.ext4", &stamp, |path| {
        let tree = beside(path);
        remove(&tree)?;
        copy_links(&root, &tree)?;
        let vm = tree.join(VM);
        let make = |name: &str| {
            let directory = vm.join(name);
            fs::create_dir_all(&directory)
                .map_err(at(&directory))
                .map(|()| directory)
        };
        let target = make("target")?;
        make("workspace/e2e")?;
        copy(&config, &make("workspace/.config")?)?;
        // nextest asks for it to be there; its text counts for nothing.
        copy(
            &fixtures::workspace().join("Cargo.toml"),
            &make("workspace")?,
        )?;
        for (name, text) in [
            ("binaries.json", &programs.binaries),
            ("cargo.json", &programs.metadata),
        ] {
            fs::write(vm.join(name), text).map_err(at(&vm))?;
        }
        programs::copy_stripped(&lambent, &vm.join("lambent"))?;
        copy(&nextest, &vm.join("cargo-nextest"))?;
        for test in &programs.tests {
            let to = target.join(test);
            fs::create_dir_all(to.parent().unwrap_or(&target)).map_err(at(&to))?;
            programs::copy_stripped(&programs.target.join(test), &to)?;
        }
        for (made, directory) in [
            (&images[..], "target/fixtures"),
            (&steps, "target/fixtures/steps"),
            (std::slice::from_ref(&client), "target/fixtures"),
        ] {
            let directory = make(directory)?;
            for made in made {
                copy_links(made, &directory)?;
            }
        }
        File::create(path)
            .and_then(|disk| disk.set_len(DISK_BYTES))
            .map_err(at(path))?;
        // A directory for lambent's default root, and no journal: every run
        // starts with the same image.
        run(Command::new("mkfs.ext4")
            .args([
                "-q",
                "-F",
                "-O",
                "^has_journal",
                "-E",
                "lazy_itable_init=1",
                "-d",
            ])
            .arg(&tree)
            .arg(path))?;
        remove(&tree)
    })
}

/// A path for what the image is made of.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("tree")
}

/// Copies a file or a tree as hard links, within the target directory.
fn copy_links(from: &Path, to: &Path) -> Result<(), Error> {
    run(Command::new("cp")
        .args(["--archive", "--link"])
        .arg(from)
        .arg(to))
}

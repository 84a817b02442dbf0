//! The guest's kernel: the distribution's own for clouds, unpacked and never
//! installed, so that nothing of this machine's boot is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::modules;
use crate::fixtures::cache::{Cache, remove};
use crate::fixtures::command::{run, text};
use crate::fixtures::stamp::Stamp;
use crate::fixtures::{Error, at};

/// The package that depends on the newest kernel of its kind.
pub(super) const PACKAGE: &str = "linux-image-cloud-amd64";

/// For the disk, for images in both forms, and for `/tmp`.
const MODULES: [&str; 6] = [
    "virtio_pci",
    "virtio_blk",
    "ext4",
    "overlay",
    "erofs",
    "loop",
];

/// An unpacked kernel package.
#[derive(Debug)]
pub(super) struct Kernel {
    /// What is booted.
    pub(super) image: PathBuf,
    /// What is loaded then, in this order.
    pub(super) modules: Vec<PathBuf>,
}

/// The kernel that `package` (see [`PACKAGE`]) stands for.
pub(super) fn kernel(cache: &Cache, package: &str) -> Result<Kernel, Error> {
    let current = dependency(&text(Command::new("apt-cache").args([
        "depends",
        "--important",
        "--no-recommends",
        package,
    ]))?)
    .ok_or_else(|| {
        format!("apt knows no kernel package behind {package}; `apt-get update` may help")
    })?;
    let policy = text(Command::new("apt-cache").args(["policy", &current]))?;
    let stamp = Stamp::new().value(&current).value(candidate(&policy));
    let tree = cache.step(package, &stamp, |tree| unpack(&current, tree))?;
    let version = only_entry(&tree.join("lib/modules"))?;
    let directory = tree.join("lib/modules").join(&version);
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read_to_string(&path).map_err(at(&path))
    };
    let order = modules::load_order(&MODULES, &read("modules.dep")?, &read("modules.builtin")?)
        .map_err(|module| format!("{current} has no module {module}"))?;
    Ok(Kernel {
        image: tree.join(format!("boot/vmlinuz-{version}")),
        modules: order.iter().map(|path| directory.join(path)).collect(),
    })
}

/// Downloads a package into `tree` and unpacks it there.
fn unpack(package: &str, tree: &Path) -> Result<(), Error> {
    fs::create_dir_all(tree).map_err(at(tree))?;
    run(Command::new("apt-get")
        .args(["download", "-qq", "-o", "APT::Sandbox::User=root", package])
        .current_dir(tree))
    .map_err(|error| format!("{error}\n(`apt-get update` may help)"))?;
    let archive = tree.join(only_entry(tree)?);
    run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(tree))?;
    remove(&archive)?;
    let version = only_entry(&tree.join("lib/modules"))?;
    // As the package's own script would do.
    run(Command::new("busybox")
        .args(["depmod", "-b"])
        .arg(tree)
        .arg(version))
}

/// The package that the output of `apt-cache depends` names first.
fn dependency(depends: &str) -> Option<String> {
    depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .map(str::to_owned)
}

/// The version in the output of `apt-cache policy`.
fn candidate(policy: &str) -> &str {
    policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))
        .unwrap_or_default()
}

/// The name of the only entry of a directory.
fn only_entry(directory: &Path) -> Result<String, Error> {
    let mut names = fs::read_dir(directory)
        .map_err(at(directory))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>, Error>>()?;
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        _ => Err(format!("{} has not exactly one entry", directory.display()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_apt_is_understood() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(
            dependency(depends).as_deref(),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(dependency("linux-image-cloud-amd64\n"), None);
        let policy = "x:\n  Installed: (none)\n  Candidate: 6.1.192-2\n  Version table:\n";
        assert_eq!(candidate(policy), "6.1.192-2");
        assert_eq!(candidate(""), "");
    }
}

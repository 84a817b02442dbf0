//! What the kernel starts with: busybox, the modules for the disk, and the task.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::kernel::Kernel;
use super::task::Task;
use crate::fixtures::cache::remove;
use crate::fixtures::command::{copy, run};
use crate::fixtures::{Error, at};

/// The initramfs' process 1, which goes to the disk.
const INIT: &str = include_str!("guest/init.sh");

/// Process 1 from then on.
const GUEST: &str = include_str!("guest/guest.sh");

/// Where Debian's package has the static busybox.
const BUSYBOX: &str = "/bin/busybox";

/// Writes the archive to `path`. `work` is a directory to make it in.
pub(super) fn write(
    path: &Path,
    kernel: &Kernel,
    task: &Task<'_>,
    work: &Path,
) -> Result<(), Error> {
    remove(work)?;
    for directory in ["bin", "dev", "modules", "proc", "root"] {
        let directory = work.join(directory);
        fs::create_dir_all(&directory).map_err(at(&directory))?;
    }
    copy(Path::new(BUSYBOX), &work.join("bin/busybox"))?;
    for (index, module) in kernel.modules.iter().enumerate() {
        // Loaded in the order of their names.
        let name = format!(
            "{index:02}-{}",
            module.file_name().unwrap_or_default().display()
        );
        copy(module, &work.join("modules").join(name))?;
    }
    script(&work.join("init"), INIT)?;
    script(&work.join("guest"), GUEST)?;
    script(&work.join("task"), &task.script())?;
    run(Command::new("sh")
        .arg("-c")
        .arg("find . | busybox cpio -o -H newc >\"$0\"")
        .arg(path)
        .current_dir(work))?;
    remove(work)
}

fn script(path: &Path, text: &str) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).map_err(at(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(at(path))
}

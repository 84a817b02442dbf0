//! The machine: QEMU without acceleration, which works wherever programs run.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::kernel::Kernel;
use super::monitor::Monitor;
use super::task::Hierarchies;
use super::watch::{self, Limits};
use crate::fixtures::{Error, at};

/// MB of memory: a function with its files in the page cache, and the tests.
const MEMORY_MB: u32 = 2_048;

/// Bytes of swap space.
const SWAP_BYTES: u64 = 1 << 30;

/// No newer than programs need: string instructions that are meant to be fast, wide
/// vectors and a fifth level of page tables are slow to emulate.
const CPU: &str = "Nehalem,rdrand=on";

/// How long the machine may say nothing at all: a dozen signs of life of
/// `guest/guest.sh`, so that a slow machine is not taken for one that stands still.
const SILENCE: Duration = Duration::from_secs(120);

/// The kernel's arguments: output to the serial port; a panic ends the machine;
/// without what costs an emulated CPU time and proves nothing here.
const ARGUMENTS: &str = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr audit=0 apparmor=0 \
                         cryptomgr.notests tsc=reliable clocksource=tsc no_timer_check \
                         random.trust_cpu=on 8250.nr_uarts=1";

/// What a machine consists of.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) initramfs: &'a Path,
    /// The disk, which stays as it is: what is written goes into `work`.
    pub(super) disk: &'a Path,
    /// Where the guest writes its results.
    pub(super) results: &'a Path,
    /// A directory for temporary files.
    pub(super) work: &'a Path,
}

/// Runs a machine to its end, with its serial port on standard output.
///
/// # Errors
/// It did not end within `limit`, or stands still: then with what its CPUs do.
pub(super) fn run(
    parts: &Parts<'_>,
    hierarchies: Hierarchies,
    limit: Duration,
) -> Result<(), Error> {
    let swap = parts.work.join("swap");
    File::create(&swap)
        .and_then(|file| file.set_len(SWAP_BYTES))
        .map_err(at(&swap))?;
    let (console, its_console) = UnixStream::pair()?;
    let (monitor, its_monitor) = UnixStream::pair()?;
    let mut machine = command(parts, &swap, hierarchies)
        .stdin(OwnedFd::from(its_monitor))
        .stdout(OwnedFd::from(its_console))
        .spawn()
        .map_err(|error| format!("qemu-system-x86_64: {error} (`make deps` installs it)"))?;
    let limits = Limits {
        whole: limit,
        silence: SILENCE,
    };
    let status = watch::to_the_end(&mut machine, console, Monitor::new(monitor), limits)?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("qemu-system-x86_64: {status}").into())
    }
}

fn command(parts: &Parts<'_>, swap: &Path, hierarchies: Hierarchies) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none"])
        // Standard input is a socket for its monitor, standard output one for the
        // serial port.
        .args(["-chardev", "socket,id=monitor,fd=0"])
        .args(["-mon", "chardev=monitor,mode=control"])
        .args(["-chardev", "socket,id=console,fd=1"])
        .args(["-serial", "chardev:console"])
        .args(["-machine", "q35", "-accel", "tcg,thread=multi"])
        .args(["-cpu", CPU, "-smp", "2"])
        .args(["-m", &format!("{MEMORY_MB}M")])
        .arg("-kernel")
        .arg(&parts.kernel.image)
        .arg("-initrd")
        .arg(parts.initramfs)
        .arg("-append")
        .arg(format!("{ARGUMENTS} {}", hierarchies.kernel_argument()))
        // The files behind snapshots are there.
        .env("TMPDIR", parts.work);
    for (path, options) in [
        (parts.disk, ",snapshot=on"),
        (parts.results, ""),
        (swap, ""),
    ] {
        command.arg("-drive").arg(format!(
            "file={},if=virtio,format=raw,cache=unsafe{options}",
            // A comma ends the name unless it is doubled.
            path.display().to_string().replace(',', ",,")
        ));
    }
    command
}

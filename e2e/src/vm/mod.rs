//! `make test-v2`, `make test-v1`: the end-to-end tests in a virtual machine, with
//! other cgroup hierarchies and another kernel than this machine's.
//!
//! Everything is made from the distribution's packages, as an ordinary user would
//! unpack them: nothing is mounted, and no kernel is installed. The disk is made
//! again only when what is on it has changed, and the machine writes to a snapshot
//! of it.
//!
//! | file | does |
//! |---|---|
//! | `options`, `task`, `modules` | pure: the command line, what the guest is told, the order of modules |
//! | `kernel`, `programs`, `disk`, `initramfs` | make what the machine consists of |
//! | `machine`, `watch`, `monitor` | run it, within limits of time; what its CPUs do when it stands still |
//! | `guest/init.sh`, `guest/guest.sh` | process 1 in there, before and on the disk |
//! | `results` | what comes back, and whether it is good |

mod disk;
mod initramfs;
mod kernel;
mod machine;
mod modules;
mod monitor;
mod options;
mod programs;
mod results;
mod task;
mod watch;

use std::fs::{self, File};
use std::time::Instant;

use self::machine::Parts;
use self::task::Task;
use crate::fixtures::cache::Cache;
use crate::fixtures::{Error, at, target_directory};

/// An emulated CPU is this many times slower than the one below it, about.
const PATIENCE: u32 = 6;

/// Does what the words of a command line ask for. Says what came of it.
///
/// # Errors
/// The machine did not come up, did not end, or not all of its tests passed.
pub fn run(words: impl IntoIterator<Item = String>) -> Result<String, Error> {
    let options = options::parse(words).ok_or(options::USAGE)?;
    let started = Instant::now();
    let programs = programs::build()?;
    let directory = target_directory().join("vm");
    let cache = Cache::open(&directory)?;
    let directory = directory.canonicalize().map_err(at(&directory))?;
    let kernel = kernel::kernel(&cache, &options.kernel)?;
    let disk = disk::disk(&cache, &programs)?;
    let work = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(&directory)
        .map_err(at(&directory))?;
    let task = Task {
        hierarchies: options.hierarchies,
        profile: if options.all { "vm-all" } else { "vm" },
        only: options.only.as_deref(),
        patience: PATIENCE,
    };
    let initramfs = work.path().join("initramfs");
    initramfs::write(&initramfs, &kernel, &task, &work.path().join("tree"))?;
    let disk_of_results = work.path().join("results");
    File::create(&disk_of_results)
        .and_then(|file| file.set_len(results::DISK_BYTES))
        .map_err(at(&disk_of_results))?;
    let prepared = started.elapsed().as_secs();
    machine::run(
        &Parts {
            kernel: &kernel,
            initramfs: &initramfs,
            disk: &disk,
            results: &disk_of_results,
            work: work.path(),
        },
        options.hierarchies,
        options.limit,
    )?;
    let files = results::read(&disk_of_results)?;
    if let Some(report) = files.get(results::REPORT) {
        let path = directory.join(format!("junit-{}.xml", options.hierarchies.name()));
        fs::write(&path, report).map_err(at(&path))?;
    }
    let count = results::judge(&files)?;
    Ok(format!(
        "{count} tests passed on cgroup {}, in {} s after {prepared} s of preparation",
        options.hierarchies.name(),
        started.elapsed().as_secs() - prepared
    ))
}

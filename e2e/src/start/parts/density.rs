//! Memory of frozen environments, beside what the functions themselves have.
//!
//! What an environment costs is what the service, its launcher and all inits have got
//! more of, and what the kernel has got more of for all of it: slab, stacks, page tables
//! and per-CPU memory. The functions' own pages are not in it.

use std::fs;
use std::path::Path;
use std::thread::sleep;

use super::super::Scene;
use super::super::figures::Results;
use super::super::host::{QUIET, memory_kb};
use super::super::images::Files;
use super::super::promises::{DENSITY, LAMBENT};
use super::super::service::Service;
use super::{LEAST_MB, command};
use crate::fixtures::{Error, at};
use crate::leftovers;

const ENVIRONMENTS: usize = 500;
const SMOKE_ENVIRONMENTS: usize = 3;
/// Containers of the peer.
const CONTAINERS: usize = 20;
const KERNEL: [&str; 4] = ["Slab", "KernelStack", "PageTables", "Percpu"];
const CONMON: &str = "conmon + runc";

/// Kilobytes at a moment.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// Of all processes that are not functions.
    ours: u64,
    functions: u64,
    kernel: u64,
    available: u64,
}

pub(in super::super) fn run(scene: &Scene, results: &mut Results) -> Result<(), Error> {
    let mut service = Service::start()?;
    let smoke = scene.options.smoke;
    let wanted = if smoke {
        SMOKE_ENVIRONMENTS
    } else {
        ENVIRONMENTS
    };
    let count = service.room(wanted)?;
    if count < wanted {
        results.remark(format!(
            "{count} frozen environments instead of {wanted}: the service admits no more of 128 MB"
        ));
    }
    service.create("dense", &Files::reference(&scene.files.small), LEAST_MB)?;
    // What the first one costs, all others have for nothing.
    service.invoke("dense", "{}")?.json()?;
    let before = of_service(&service)?;
    service.provision("dense", count)?;
    // The last of them is frozen by now.
    sleep(QUIET);
    let after = of_service(&service)?;
    results.add(DENSITY, LAMBENT, each(before, after, count));
    results.remark(parts(LAMBENT, before, after, count));
    drop(service);
    let Some(podman) = command::podman(scene, results)? else {
        return Ok(());
    };
    let count = if smoke {
        SMOKE_ENVIRONMENTS
    } else {
        CONTAINERS
    };
    let first = podman.start()?;
    let mut containers = vec![];
    let before = of_kernel(&[first.monitor], &[first.program])?;
    for _ in 0..count {
        containers.push(podman.start()?);
    }
    let all = || containers.iter().chain([&first]);
    let monitors: Vec<u32> = all().map(|container| container.monitor).collect();
    let programs: Vec<u32> = all().map(|container| container.program).collect();
    let after = of_kernel(&monitors, &programs)?;
    for container in all() {
        podman.end(container)?;
    }
    results.add(DENSITY, CONMON, each(before, after, count));
    results.remark(parts(CONMON, before, after, count));
    Ok(())
}

/// Of a service with all of its environments.
fn of_service(service: &Service) -> Result<Memory, Error> {
    let [service, launcher] = service.processes();
    let inits = leftovers::children(launcher);
    let functions: Vec<u32> = inits
        .iter()
        .flat_map(|init| leftovers::children(*init))
        .collect();
    let ours: Vec<u32> = [service, launcher].into_iter().chain(inits).collect();
    of_kernel(&ours, &functions)
}

/// Of these processes, and the whole kernel.
fn of_kernel(ours: &[u32], functions: &[u32]) -> Result<Memory, Error> {
    let sum = |pids: &[u32]| {
        pids.iter()
            .map(|pid| share_kb(*pid))
            .sum::<Result<u64, Error>>()
    };
    let kernel: Result<Vec<u64>, Error> = KERNEL.into_iter().map(memory_kb).collect();
    Ok(Memory {
        ours: sum(ours)?,
        functions: sum(functions)?,
        kernel: kernel?.iter().sum(),
        available: memory_kb("MemAvailable")?,
    })
}

/// A process's part of all memory that it has mapped: nothing if it has just ended, as
/// one that was making a sandbox may.
fn share_kb(pid: u32) -> Result<u64, Error> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = match fs::read_to_string(&path) {
        Err(error) if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::SRCH) => {
            return Ok(0);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        other => other.map_err(at(Path::new(&path)))?,
    };
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok());
    number.ok_or_else(|| format!("{path} has no Pss").into())
}

#[expect(clippy::cast_precision_loss, reason = "gigabytes at most")]
fn each_mb(before: u64, after: u64, count: usize) -> f64 {
    (after as f64 - before as f64) / 1024.0 / count as f64
}

fn each(before: Memory, after: Memory, count: usize) -> f64 {
    each_mb(
        before.ours + before.kernel,
        after.ours + after.kernel,
        count,
    )
}

fn parts(of: &str, before: Memory, after: Memory, count: usize) -> String {
    let of_each = |of: fn(&Memory) -> u64| each_mb(of(&before), of(&after), count);
    format!(
        "{of}: of {count}, each has {:.3} MB in its processes, {:.3} MB in the kernel, {:.3} MB of \
         its own; the host has {:.3} MB less available for each",
        of_each(|memory| memory.ours),
        of_each(|memory| memory.kernel),
        of_each(|memory| memory.functions),
        -of_each(|memory| memory.available),
    )
}

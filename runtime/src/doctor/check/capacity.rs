//! Whether there is as much of everything as Lambda has.

use super::super::facts::{Facts, Place};
use super::super::finding::{Check, Finding, Status};
use super::super::remedy;
use super::Asked;
use crate::model::{EphemeralStorage, MB_PER_VCPU, MemorySize};

/// Processes and threads that Lambda gives to an environment.
const PROCESSES: u64 = 1_024;

/// Environments for whose keys there should be room. Fewer is worth a word: a
/// burst of invocations starts as many.
const ENVIRONMENTS: u64 = 64;

/// What the kernel gives to each user by default.
const INOTIFY_INSTANCES: u64 = 128;

pub(super) fn cpus(facts: &Facts, asked: Asked<'_>) -> Finding {
    let id = Check::Cpus;
    let host = facts.cpus;
    let count = if host == 1 {
        "1 CPU".to_owned()
    } else {
        format!("{host} CPUs")
    };
    let size = match asked {
        Asked::Everything => MemorySize::MAX,
        Asked::Function(function) => function.memory_size,
    };
    // No host has so many that an f64 cannot count them.
    #[expect(clippy::cast_precision_loss, reason = "a handful of CPUs")]
    let missing = size.vcpus() > host as f64;
    if !missing {
        return Finding::enforced(id, count);
    }
    let gap = match asked {
        Asked::Everything => Finding::gap(
            id,
            Status::Degraded,
            count,
            format!(
                "a function of more than {} MB may be slower here than on Lambda, and time out \
                 only here",
                host * MB_PER_VCPU as usize
            ),
        ),
        Asked::Function(_) => Finding::gap(
            id,
            Status::Degraded,
            format!(
                "{size} MB is {:.2} vCPUs on Lambda, but this host has {count}",
                size.vcpus()
            ),
            "the function may be slower here",
        ),
    };
    let more = match facts.place {
        Place::Docker => "docker run --cpus 6 …, on a host that has as many",
        Place::Podman => "podman run --cpus 6 …, on a host that has as many",
        _ => "a machine with 6 CPUs; or a smaller --memory",
    };
    gap.mended_by(more.to_owned())
}

pub(super) fn host_memory(facts: &Facts, asked: Asked<'_>) -> Finding {
    let id = Check::HostMemory;
    let Some(host) = facts.memory_mb else {
        return Finding::unknown(id);
    };
    let found = format!("{host} MB");
    match asked {
        Asked::Everything if host < u64::from(MemorySize::MAX.get()) => Finding::gap(
            id,
            Status::Degraded,
            found,
            format!(
                "a function of {host} MB or more may be killed here, for want of memory, where \
                 Lambda has it"
            ),
        ),
        Asked::Function(function) if host < u64::from(function.memory_size.get()) => Finding::gap(
            id,
            Status::Degraded,
            format!(
                "the function may use {} MB, but this host has {host} MB",
                function.memory_size
            ),
            "it may be killed here where Lambda has the memory",
        ),
        Asked::Everything | Asked::Function(_) => return Finding::enforced(id, found),
    }
    .mended_by(
        "a machine (or a container limit) with more memory; or a smaller --memory".to_owned(),
    )
}

pub(super) fn processes(facts: &Facts) -> Finding {
    let id = Check::Processes;
    let Some(left) = facts.shared.processes else {
        return Finding::unknown(id);
    };
    let found = format!("{left} more may be started on this host");
    if left >= PROCESSES {
        return Finding::enforced(id, found);
    }
    let remedy = match facts.place {
        Place::Docker => "docker run --pids-limit -1 …".to_owned(),
        Place::Podman => "podman run --pids-limit -1 …".to_owned(),
        _ => remedy::sysctl("kernel.pid_max", 4_194_304),
    };
    Finding::gap(
        id,
        Status::Degraded,
        found,
        format!("a function may have {PROCESSES} on Lambda, and fail to start as many here"),
    )
    .mended_by(remedy)
}

pub(super) fn disk_space(facts: &Facts, asked: Asked<'_>) -> Finding {
    let id = Check::DiskSpace;
    let Some(free) = facts.store.free_mb else {
        return Finding::unknown(id);
    };
    let directory = facts.store.directory.display();
    let size = match asked {
        Asked::Everything => EphemeralStorage::MAX,
        Asked::Function(function) => function.ephemeral_storage,
    };
    if free >= u64::from(size.get()) {
        return Finding::enforced(id, format!("{free} MB free in {directory}"));
    }
    let gap = match asked {
        Asked::Everything => Finding::gap(
            id,
            Status::Degraded,
            format!("{free} MB free in {directory}"),
            format!(
                "a function that writes more than {free} MB to /tmp gets an I/O error here where \
                 Lambda has space; images of up to 10 GB may not fit either"
            ),
        ),
        Asked::Function(_) => Finding::gap(
            id,
            Status::Degraded,
            format!("{directory} has {free} MB free, but the function's /tmp may take {size} MB"),
            "writes beyond that fail with an I/O error where Lambda has space",
        ),
    };
    gap.mended_by("lambent image prune --all; or another directory with --root".to_owned())
}

pub(super) fn environments(facts: &Facts) -> Finding {
    let id = Check::Environments;
    let shared = &facts.shared;
    let keys = "kernel.keys.maxkeys";
    match (shared.keys, shared.inotify_instances) {
        (None, None) => Finding::unknown(id),
        (Some(0), _) => Finding::gap(
            id,
            Status::Fatal,
            format!("{keys} leaves no key for uid 993, which functions run as"),
            "no function starts: each environment needs a keyring",
        )
        .mended_by(remedy::sysctl(keys, 20_000)),
        (Some(left), _) if left < ENVIRONMENTS => Finding::gap(
            id,
            Status::Missing,
            format!("{keys} leaves room for {left} more"),
            "further ones fail to start, which invoking one function after the other never needs",
        )
        .mended_by(remedy::sysctl(keys, 20_000)),
        (_, Some(instances)) if instances < INOTIFY_INSTANCES => Finding::gap(
            id,
            Status::Missing,
            format!("{instances} inotify instances for all of them together"),
            "functions that watch files may be refused one while others have them",
        )
        .mended_by(remedy::sysctl("fs.inotify.max_user_instances", 1_024)),
        (Some(left), _) => Finding::enforced(id, format!("room for {left} at once")),
        (None, Some(_)) => Finding::enforced(id, "no limit on keys"),
    }
}

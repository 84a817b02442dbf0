//! What cgroups limit and stop.

use super::super::facts::{CgroupLayout, Facts, Refusal, Tried};
use super::super::finding::{Check, Finding, Status};
use super::super::remedy;
use super::judge;
use crate::sandbox::user_namespace::{Ungrouped, UserNamespace};

/// What it means that nothing stops environments. SIGSTOP would, but a function can
/// see that it was sent, and SIGCONT wakes what the function itself has stopped.
const NOT_FROZEN: &str =
    "what a function leaves running after its answer goes on here, and stops on Lambda";

/// What is not limited for want of cgroups, and what that means.
fn unlimited(id: Check, ungrouped: &Ungrouped, meaning: &str, facts: &Facts) -> Finding {
    let what = if id == Check::MemoryLimit {
        "memory"
    } else {
        "CPU time"
    };
    let reason = &ungrouped.reason;
    let found = format!("nothing limits {what}: this user has no cgroups ({reason})");
    Finding::gap(id, Status::Degraded, found, meaning).mended_by(remedy::delegation(facts))
}

pub(super) fn hierarchy(facts: &Facts) -> Finding {
    let id = Check::Cgroups;
    if let Some(ungrouped) = facts.ungrouped() {
        return Finding::gap(
            id,
            Status::Missing,
            format!("none that this user may divide ({})", ungrouped.reason),
            "nothing by itself: what is not limited, other lines say",
        )
        .mended_by(remedy::delegation(facts));
    }
    let cgroups = &facts.cgroups;
    let found = match cgroups.layout {
        CgroupLayout::None => {
            let meaning = "no function runs here: nothing would limit it";
            return Finding::gap(
                id,
                Status::Fatal,
                "/sys/fs/cgroup has no hierarchy that Lambent can use",
                meaning,
            )
            .mended_by(remedy::hierarchy(facts));
        }
        CgroupLayout::Legacy => "v1",
        CgroupLayout::Hybrid => "v1, beside an empty v2",
        CgroupLayout::Unified => "v2",
    };
    let fatal = |refusal: &Refusal| {
        Finding::gap(
            id,
            Status::Fatal,
            format!("cgroup {found}: {refusal}"),
            "no function runs here: nothing would limit it",
        )
    };
    match (&cgroups.group, cgroups.devices.refusal()) {
        (Tried::Works, Some(devices)) => {
            fatal(devices).mended_by(remedy::controller(facts, "devices"))
        }
        (group, _) => judge(id, group, found, |refusal| {
            fatal(refusal).mended_by(remedy::writable_groups(facts, refusal))
        }),
    }
}

pub(super) fn memory_limit(facts: &Facts) -> Finding {
    let id = Check::MemoryLimit;
    if let Some(ungrouped) = facts.ungrouped() {
        let meaning = "a function may use more memory than it has on Lambda, which kills it then: \
                       here it is killed once its runtime's process is seen with more, and what \
                       its children use is not counted";
        return unlimited(id, ungrouped, meaning, facts);
    }
    judge(
        id,
        &facts.cgroups.memory,
        "a hard one, at MemorySize",
        |refusal| {
            let found = if facts.cgroups.memory_disabled {
                "the kernel's memory controller is turned off".to_owned()
            } else {
                refusal.to_string()
            };
            Finding::gap(
                id,
                Status::Fatal,
                found,
                "no function runs here: one without a memory limit would pass where Lambda kills it",
            )
            .mended_by(remedy::memory_controller(facts))
        },
    )
}

pub(super) fn swap(facts: &Facts) -> Finding {
    let id = Check::Swap;
    if facts.swap_mb == Some(0) {
        return Finding::enforced(id, "this host has none");
    }
    if facts.ungrouped().is_some() {
        return Finding::gap(
            id,
            Status::Missing,
            "functions may use it",
            "nothing more, where memory is not limited either",
        )
        .mended_by(remedy::swap(facts));
    }
    judge(
        id,
        &facts.cgroups.swap,
        "forbidden to functions",
        |refusal| {
            let size = facts
                .swap_mb
                .map_or_else(|| "swap".to_owned(), |size| format!("{size} MB of swap"));
            Finding::gap(
            id,
            Status::Degraded,
            format!("this host has {size}, and functions may use it ({refusal})"),
            "a function that needs more than its memory size may pass here, slowly, where Lambda \
             kills it",
        )
        .mended_by(remedy::swap(facts))
        },
    )
}

pub(super) fn cpu_limit(facts: &Facts) -> Finding {
    let id = Check::CpuLimit;
    if let Some(ungrouped) = facts.ungrouped() {
        let meaning = "a function has whole CPUs: it may be faster than on Lambda, and pass where \
                       Lambda times it out";
        return unlimited(id, ungrouped, meaning, facts);
    }
    judge(
        id,
        &facts.cgroups.cpu,
        "MemorySize / 1769 vCPUs, in periods of 20 ms",
        |refusal| {
            Finding::gap(
            id,
            Status::Fatal,
            refusal.to_string(),
            "no function runs here: one with all of the CPU would pass where Lambda times it out",
        )
        .mended_by(remedy::controller(facts, "cpu"))
        },
    )
}

pub(super) fn process_limit(facts: &Facts) -> Finding {
    let id = Check::ProcessLimit;
    if facts.ungrouped().is_some() {
        return process_rlimit(facts);
    }
    judge(
        id,
        &facts.cgroups.processes,
        "1024 processes and threads",
        |refusal| {
            Finding::gap(
                id,
                Status::Fatal,
                refusal.to_string(),
                "no function runs here: one that forks without end would take this host along",
            )
            .mended_by(remedy::controller(facts, "pids"))
        },
    )
}

/// The limit that stands in for the controller's: the kernel counts the processes of
/// a user in each user namespace (Linux 5.14). With a single id each environment has
/// a namespace of its own.
fn process_rlimit(facts: &Facts) -> Finding {
    let id = Check::ProcessLimit;
    let limit = "1024 processes and threads, by RLIMIT_NPROC";
    if facts
        .namespace
        .as_ref()
        .is_some_and(UserNamespace::has_one_id)
    {
        return Finding::enforced(id, limit);
    }
    Finding::gap(
        id,
        Status::Degraded,
        format!("{limit}, for all environments of a service together"),
        "where several environments run at once, one may be refused a process that Lambda lets it \
         start",
    )
    .mended_by(remedy::delegation(facts))
}

pub(super) fn freezer(facts: &Facts) -> Finding {
    let id = Check::Freezer;
    if let Some(ungrouped) = facts.ungrouped() {
        let found = format!(
            "environments cannot be frozen: this user has no cgroups ({})",
            ungrouped.reason
        );
        return Finding::gap(id, Status::Degraded, found, NOT_FROZEN)
            .mended_by(remedy::delegation(facts));
    }
    judge(
        id,
        &facts.cgroups.freezer,
        "stops environments between invocations",
        |refusal| {
            let mend = (facts.cgroups.layout == CgroupLayout::Legacy
                && !facts.place.is_container())
            .then(|| {
                "sudo mkdir -p /sys/fs/cgroup/unified && sudo mount -t cgroup2 cgroup2 \
                 /sys/fs/cgroup/unified"
                    .to_owned()
            });
            Finding::gap(
                id,
                Status::Degraded,
                format!("environments cannot be frozen ({refusal})"),
                NOT_FROZEN,
            )
            .mended_by(mend.or_else(|| remedy::container(facts.place)))
        },
    )
}

//! What cgroups limit and stop.

use super::super::facts::{CgroupLayout, Facts, Refusal, Tried};
use super::super::finding::{Check, Finding, Status};
use super::super::remedy;
use super::judge;

pub(super) fn hierarchy(facts: &Facts) -> Finding {
    let id = Check::Cgroups;
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

pub(super) fn freezer(facts: &Facts) -> Finding {
    let id = Check::Freezer;
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
                "what a function leaves running after its answer goes on here, and stops on Lambda",
            )
            .mended_by(mend.or_else(|| remedy::container(facts.place)))
        },
    )
}

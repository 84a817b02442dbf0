//! What functions see of files: `/tmp`, the root file system, and the store that
//! both come from.

use super::super::facts::{CgroupLayout, Facts, Place, Refusal, Tried};
use super::super::finding::{Check, Finding, Status};
use super::super::remedy;
use super::{Asked, judge};
use crate::model::FunctionConfiguration;

pub(super) fn tmp_tools(facts: &Facts, asked: Asked<'_>) -> Finding {
    let id = Check::TmpTools;
    let ready = &facts.storage.ready_mb;
    if facts.namespace.is_some() {
        return Finding::enforced(id, "not needed: a user namespace has no loop devices");
    }
    judge(
        id,
        &facts.storage.mkfs,
        "makes the file system of /tmp",
        |refusal| {
            let gap = match asked {
                Asked::Function(function)
                    if ready.contains(&function.ephemeral_storage.get().into()) =>
                {
                    return Finding::enforced(id, "not needed: there is one of this size already");
                }
                Asked::Everything if !ready.is_empty() => {
                    let sizes: Vec<_> = ready.iter().map(u64::to_string).collect();
                    Finding::gap(
                        id,
                        Status::Degraded,
                        refusal.to_string(),
                        format!(
                            "only functions with a /tmp that was used here before run: {} MB",
                            sizes.join(", ")
                        ),
                    )
                }
                Asked::Everything | Asked::Function(_) => Finding::gap(
                    id,
                    Status::Fatal,
                    refusal.to_string(),
                    "no function runs here: none gets a /tmp",
                ),
            };
            gap.mended_by(remedy::e2fsprogs(facts))
        },
    )
}

/// The short form of a `/tmp` that is charged to the function's memory, for who
/// learns of it only when the function has started.
pub(crate) fn tmp_is_charged(function: &FunctionConfiguration) -> String {
    charged("this host offers no loop device", Asked::Function(function)).short()
}

fn charged(found: &str, asked: Asked<'_>) -> Finding {
    let raised = match asked {
        Asked::Everything => "its size".to_owned(),
        Asked::Function(function) => format!("{} MB", function.ephemeral_storage),
    };
    Finding::gap(
        Check::TmpSize,
        Status::Degraded,
        found,
        format!(
            "/tmp is charged to the function's memory, whose limit is raised by {raised}: a \
             function may use up to that much more memory than Lambda would give it, for as \
             long as it takes until that is seen and it is killed (20 ms)"
        ),
    )
}

pub(super) fn tmp_size(facts: &Facts, asked: Asked<'_>) -> Finding {
    let id = Check::TmpSize;
    let storage = &facts.storage;
    if facts.ungrouped().is_some() {
        return Finding::enforced(id, "a tmpfs of its size, in this host's memory");
    }
    if facts.namespace.is_some() {
        return charged("a user namespace has no loop devices", asked)
            .mended_by(remedy::root(facts));
    }
    let mend = |module: &str| {
        remedy::container(facts.place).unwrap_or_else(|| remedy::module(facts, module))
    };
    let fatal = |refusal: &Refusal, module: &str| {
        Finding::gap(
            id,
            Status::Fatal,
            refusal.to_string(),
            "no function runs here: none gets a /tmp",
        )
        .mended_by(mend(module))
    };
    match (&storage.loop_device, &storage.ext4) {
        (Tried::Untried, _) => Finding::unknown(id),
        (Tried::Fails(refusal), _) if storage.loop_broken => fatal(refusal, "loop"),
        (Tried::Fails(refusal), _) => {
            let found = format!("this host offers no loop device ({refusal})");
            charged(&found, asked).mended_by(mend("loop"))
        }
        (Tried::Works, Tried::Fails(refusal)) => fatal(refusal, "ext4"),
        (Tried::Works, _)
            if facts.store.file_system == "tmpfs"
                && facts.cgroups.layout == CgroupLayout::Unified =>
        {
            Finding::gap(
                id,
                Status::Degraded,
                format!("{} is on tmpfs", facts.store.directory.display()),
                "what a function writes to /tmp is charged to its memory: it may be killed here \
                 where Lambda lets it write",
            )
            .mended_by(remedy::another_store(facts))
        }
        (Tried::Works, Tried::Untried) => Finding::enforced(id, "a loop device of its size"),
        (Tried::Works, Tried::Works) => Finding::enforced(
            id,
            "ext4 of its size on a loop device, not charged to memory",
        ),
    }
}

pub(super) fn store(facts: &Facts) -> Finding {
    let id = Check::Store;
    let store = &facts.store;
    let found = format!("{} on {}", store.directory.display(), store.file_system);
    if store.writable.works() && store.file_system == "tmpfs" {
        return Finding::gap(
            id,
            Status::Missing,
            found,
            "images, and what functions write to /tmp, take this host's memory and are gone after \
             a reboot",
        )
        .mended_by(remedy::another_store(facts));
    }
    if !facts.mounts.erofs.works()
        && let Some(refusal) = store.whiteout.refusal()
    {
        return Finding::gap(
            id,
            Status::Degraded,
            format!("{found} ({refusal})"),
            "an image of which one layer deletes a file of another cannot be imported here",
        )
        .mended_by(remedy::another_store(facts));
    }
    judge(id, &store.writable, found, |refusal| {
        Finding::gap(
            id,
            Status::Fatal,
            refusal.to_string(),
            "no function runs here: there is no place for images and for /tmp",
        )
        .mended_by(remedy::another_store(facts))
    })
}

pub(super) fn root_file_system(facts: &Facts) -> Finding {
    let id = Check::RootFileSystem;
    let mounts = &facts.mounts;
    let (Tried::Fails(erofs), Tried::Works) = (&mounts.erofs, &mounts.overlay) else {
        return judge(
            id,
            &mounts.erofs,
            "EROFS, over layers as they are",
            |erofs| {
                let overlay = mounts
                    .overlay
                    .refusal()
                    .map_or_else(|| "overlayfs was not tried".to_owned(), Refusal::to_string);
                Finding::gap(
                    id,
                    Status::Fatal,
                    format!("{overlay}; {erofs}"),
                    "no function runs here: there is no way to mount an image",
                )
                .mended_by(
                    remedy::container(facts.place)
                        .unwrap_or_else(|| remedy::module(facts, "overlay")),
                )
            },
        );
    };
    let remedy = match facts.store.file_system.as_str() {
        "overlay" | "tmpfs" => remedy::another_store(facts),
        _ if facts.namespace.is_some() => remedy::root(facts),
        _ if facts.place == Place::Machine => {
            "sudo modprobe erofs, on Linux 6.12 or later".to_owned()
        }
        _ => "sudo modprobe erofs on the host, with Linux 6.12 or later".to_owned(),
    };
    Finding::gap(
        id,
        Status::Missing,
        format!("overlayfs ({erofs})"),
        "nothing for verdicts: images are unpacked first, which takes longer and more room",
    )
    .mended_by(remedy)
}

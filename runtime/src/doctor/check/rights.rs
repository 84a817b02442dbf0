//! Whether Lambent may do at all what starting a function takes.

use super::super::facts::{Facts, Tried};
use super::super::finding::{Check, Finding, Status};
use super::super::remedy;
use super::judge;

/// What is said of everything without which nothing starts.
const NOTHING_RUNS: &str = "no function runs here";

pub(super) fn privileges(facts: &Facts) -> Finding {
    let id = Check::Privileges;
    let user = &facts.user;
    if !user.may_try() {
        let found = if user.uid == 0 {
            "root, but without CAP_SYS_ADMIN".to_owned()
        } else {
            format!("uid {}, not root", user.uid)
        };
        let meaning = "no function runs here, for want of the rights to make namespaces, mounts \
                       and cgroups; images can be imported and looked at";
        return Finding::gap(id, Status::Fatal, found, meaning).mended_by(remedy::root(facts));
    }
    let outside = facts
        .namespace
        .as_ref()
        .map_or(0, |namespace| namespace.user);
    if user.in_user_namespace || facts.namespace.is_some() {
        let found = match outside {
            0 => "root of a user namespace, not of the host".to_owned(),
            uid => format!("uid {uid}, as root of a user namespace"),
        };
        return Finding::gap(
            id,
            Status::Missing,
            found,
            "nothing by itself: what the kernel refuses to such a root, other lines say",
        )
        .mended_by(remedy::root(facts));
    }
    Finding::enforced(id, "root, with CAP_SYS_ADMIN")
}

/// Only of interest to whoever is not the host's root.
pub(super) fn user_namespaces(facts: &Facts) -> Option<Finding> {
    let id = Check::UserNamespaces;
    let namespaces = &facts.user_namespaces;
    if facts.namespace.is_some() {
        return Some(Finding::enforced(id, "this command is in one of its own"));
    }
    if facts.user.may_try() {
        return None;
    }
    let mended_by = if namespaces.max == Some(0) {
        remedy::sysctl("user.max_user_namespaces", 15_000)
    } else if namespaces.unprivileged_clone == Some(0) {
        remedy::sysctl("kernel.unprivileged_userns_clone", 1)
    } else if namespaces.apparmor_restricts.is_some_and(|value| value > 0) {
        remedy::sysctl("kernel.apparmor_restrict_unprivileged_userns", 0)
    } else {
        remedy::nested(facts.place).unwrap_or_else(|| remedy::root(facts))
    };
    Some(judge(
        id,
        &namespaces.tried,
        "an ordinary user may make them",
        |refusal| {
            Finding::gap(
                id,
                Status::Fatal,
                refusal.to_string(),
                "no function runs here without root, which a user namespace would stand in for",
            )
            .mended_by(mended_by)
        },
    ))
}

/// Whom files can belong to, where that is not everybody.
pub(super) fn file_owners(facts: &Facts) -> Option<Finding> {
    let id = Check::FileOwners;
    let namespace = facts.namespace.as_ref()?;
    let Some(reason) = &namespace.single else {
        return Some(Finding::enforced(id, "as in the image"));
    };
    Some(
        Finding::gap(
            id,
            Status::Degraded,
            format!("there is one id for all files ({reason})"),
            "each file shows Lambda's user as its owner, with the rights that this user has in the \
             image: a function that looks at owners or modes sees others than on Lambda",
        )
        .mended_by(remedy::subordinate_ids(namespace.user)),
    )
}

pub(super) fn kernel(facts: &Facts) -> Finding {
    let id = Check::Kernel;
    if facts.missing_calls.is_empty() {
        return Finding::enforced(id, format!("Linux {}", facts.kernel));
    }
    let found = format!(
        "Linux {} has no {}",
        facts.kernel,
        facts.missing_calls.join(", no ")
    );
    let remedy = if facts.place.is_container() {
        "boot the host with Linux 5.11 or later, or let the container's seccomp profile pass them \
         (--security-opt seccomp=unconfined)"
    } else {
        "sudo apt-get install linux-image-generic || sudo apt-get install linux-image-amd64; sudo \
         reboot (into Linux 5.11 or later)"
    };
    Finding::gap(id, Status::Fatal, found, NOTHING_RUNS).mended_by(remedy.to_owned())
}

/// What lets a container mount and make namespaces: all rights, or less where a user
/// namespace is there already.
fn namespace_rights(facts: &Facts) -> String {
    let namespace = facts.namespace.as_ref();
    let nested = namespace.and_then(|_| remedy::nested(facts.place));
    nested
        .or_else(|| remedy::container(facts.place))
        .unwrap_or_else(|| remedy::root(facts))
}

pub(super) fn namespaces(facts: &Facts) -> Finding {
    let id = Check::Namespaces;
    let names: Vec<_> = facts
        .namespaces
        .iter()
        .map(|namespace| namespace.name.as_str())
        .collect();
    let worst = facts
        .namespaces
        .iter()
        .map(|namespace| &namespace.tried)
        .find(|tried| !tried.works())
        .unwrap_or(if names.is_empty() {
            &Tried::Untried
        } else {
            &Tried::Works
        });
    judge(id, worst, names.join(", "), |refusal| {
        Finding::gap(id, Status::Fatal, refusal.to_string(), NOTHING_RUNS)
            .mended_by(namespace_rights(facts))
    })
}

pub(super) fn mounts(facts: &Facts) -> Finding {
    let id = Check::Mounts;
    let mounts = &facts.mounts;
    let worst = [&mounts.tmpfs, &mounts.proc, &mounts.sysfs]
        .into_iter()
        .find(|tried| !tried.works())
        .unwrap_or(&Tried::Works);
    judge(id, worst, "tmpfs, proc, sysfs", |refusal| {
        Finding::gap(id, Status::Fatal, refusal.to_string(), NOTHING_RUNS)
            .mended_by(namespace_rights(facts))
    })
}

pub(super) fn seccomp(facts: &Facts) -> Finding {
    let id = Check::Seccomp;
    judge(id, &facts.seccomp, "installed in a process", |refusal| {
        Finding::gap(
            id,
            Status::Fatal,
            refusal.to_string(),
            "no function runs here: none starts without its filter",
        )
        .mended_by(remedy::container(facts.place).unwrap_or_else(|| {
            "boot a kernel with CONFIG_SECCOMP_FILTER: grep SECCOMP /boot/config-$(uname -r)"
                .to_owned()
        }))
    })
}

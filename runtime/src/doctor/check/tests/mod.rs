//! Many hosts, none of them real.

mod hosts;

use std::collections::BTreeSet;
use std::path::PathBuf;

use self::hosts::HOSTS;
use super::super::facts::{
    CgroupLayout, Cgroups, Facts, Mounts, Namespace, Shared, Storage, Store, User,
};
use super::super::finding::{Check, Finding, Status};
use super::*;
use crate::model::{EphemeralStorage, MemorySize};
use crate::sandbox::user_namespace::{Ungrouped, UserNamespace};
use lambent_images::Owners;

fn fails(step: &str, errno: i32) -> Tried {
    let error = std::io::Error::from_raw_os_error(errno);
    Tried::Fails(Refusal::new(step, &error))
}

/// A large machine with systemd, on which everything is as on Lambda.
fn sound() -> Facts {
    let works = || Tried::Works;
    Facts {
        kernel: "6.12.0".to_owned(),
        user: User {
            uid: 0,
            sys_admin: true,
            in_user_namespace: false,
        },
        namespaces: vec![Namespace {
            name: "mount".to_owned(),
            tried: works(),
        }],
        mounts: Mounts {
            tmpfs: works(),
            proc: works(),
            sysfs: works(),
            overlay: works(),
            erofs: works(),
        },
        seccomp: works(),
        cgroups: Cgroups {
            layout: CgroupLayout::Unified,
            group: works(),
            delegation: works(),
            memory: works(),
            swap: works(),
            cpu: works(),
            processes: works(),
            freezer: works(),
            ..Cgroups::default()
        },
        storage: Storage {
            mkfs: works(),
            loop_device: works(),
            ext4: works(),
            ..Storage::default()
        },
        store: Store {
            directory: PathBuf::from("/var/lib/lambent"),
            file_system: "ext4".to_owned(),
            free_mb: Some(100_000),
            writable: works(),
            whiteout: works(),
        },
        cpus: 8,
        memory_mb: Some(64_000),
        swap_mb: Some(0),
        shared: Shared {
            keys: Some(20_000),
            processes: Some(30_000),
            inotify_instances: Some(128),
        },
        ..Facts::default()
    }
}

/// Everything that needs rights, untried.
fn without_rights(uid: u32) -> Facts {
    let sound = sound();
    Facts {
        user: User {
            uid,
            ..User::default()
        },
        namespaces: vec![],
        mounts: Mounts::default(),
        cgroups: Cgroups {
            layout: CgroupLayout::Unified,
            ..Cgroups::default()
        },
        storage: Storage {
            mkfs: Tried::Works,
            ..Storage::default()
        },
        store: Store {
            writable: Tried::Untried,
            whiteout: Tried::Untried,
            ..sound.store
        },
        ..sound
    }
}

/// Why a rootless host has no cgroups for functions.
const UNGROUPED: Option<&str> = Some("make a cgroup: Permission denied");

/// The host of an ordinary user, with one id or many, with or without cgroups.
fn rootless(single: Option<&str>, ungrouped: Option<&str>) -> Facts {
    let mut facts = sound();
    facts.user.in_user_namespace = true;
    facts.namespace = Some(UserNamespace {
        user: 1_000,
        owners: match single {
            Some(_) => Owners::One {
                user: 993,
                group: 990,
            },
            None => Owners::Any,
        },
        single: single.map(str::to_owned),
        ungrouped: ungrouped.map(|reason| Ungrouped {
            reason: reason.to_owned(),
            shared: false,
        }),
    });
    facts.mounts.erofs = fails("mount EROFS", libc::EPERM);
    facts.storage.loop_device = fails("open /dev/loop-control", libc::EACCES);
    facts.storage.ext4 = Tried::Untried;
    if ungrouped.is_some() {
        facts.cgroups = Cgroups::default();
    }
    facts
}

fn function(memory: u32, tmp: u32) -> FunctionConfiguration {
    FunctionConfiguration {
        memory_size: MemorySize::new(memory).unwrap(),
        ephemeral_storage: EphemeralStorage::new(tmp).unwrap(),
        ..FunctionConfiguration::default()
    }
}

fn gaps(facts: &Facts) -> Vec<Finding> {
    let mut findings = examine(facts, Asked::Everything);
    findings.retain(Finding::is_gap);
    findings
}

fn host(change: fn(&mut Facts)) -> Facts {
    let mut facts = sound();
    change(&mut facts);
    facts
}

#[test]
fn each_host_has_the_gaps_that_it_has_and_no_others() {
    for (name, change, expected) in HOSTS {
        let gaps = gaps(&host(*change));
        let found: Vec<_> = gaps.iter().map(|gap| (gap.id, gap.status)).collect();
        let wanted: Vec<_> = expected.iter().map(|gap| (gap.0, gap.1)).collect();
        assert_eq!(found, wanted, "{name}: {gaps:#?}");
        for (gap, (_, _, meaning, remedy)) in gaps.iter().zip(*expected) {
            let told = gap.meaning.clone().unwrap_or_default();
            assert!(told.contains(meaning), "{name}: {gap:#?}");
            let mend = gap.remedy.clone().unwrap_or_default();
            assert!(mend.contains(remedy), "{name}: {gap:#?}");
        }
    }
}

#[test]
fn every_gap_is_explained_and_mended_and_nothing_else_is() {
    for (name, change, _) in HOSTS {
        let findings = examine(&host(*change), Asked::Everything);
        let ids: BTreeSet<_> = findings.iter().map(|finding| finding.id.title()).collect();
        assert_eq!(ids.len(), findings.len(), "{name}: a check is there twice");
        for finding in findings {
            let explained = finding.meaning.is_some() && finding.remedy.is_some();
            assert_eq!(explained, finding.is_gap(), "{name}: {finding:#?}");
            assert!(!finding.found.is_empty(), "{name}: {finding:#?}");
        }
    }
}

#[test]
fn without_rights_nothing_is_claimed_that_was_not_tried() {
    let findings = examine(&without_rights(1_000), Asked::Everything);
    let unknown: Vec<_> = findings
        .iter()
        .filter(|finding| finding.status == Status::Unknown)
        .map(|finding| finding.id)
        .collect();
    assert_eq!(
        unknown,
        [
            Check::UserNamespaces,
            Check::Namespaces,
            Check::Mounts,
            Check::Cgroups,
            Check::MemoryLimit,
            Check::CpuLimit,
            Check::ProcessLimit,
            Check::Freezer,
            Check::TmpSize,
            Check::Store,
            Check::RootFileSystem,
        ]
    );
}

/// A change to a sound host, and the gaps of a small and of a large function on it.
type Case = (fn(&mut Facts), &'static [Check], &'static [Check]);

#[test]
fn a_function_is_told_only_of_gaps_that_concern_it() {
    let small = function(128, 512);
    let large = function(4_096, 2_048);
    let ids = |facts: &Facts, function: &FunctionConfiguration| -> Vec<Check> {
        unenforced(facts, function)
            .iter()
            .map(|gap| gap.id)
            .collect()
    };
    let cases: [Case; 8] = [
        (|_| {}, &[], &[]),
        (|facts| facts.cpus = 2, &[], &[Check::Cpus]),
        (
            |facts| facts.memory_mb = Some(2_000),
            &[],
            &[Check::HostMemory],
        ),
        (
            |facts| facts.store.free_mb = Some(1_000),
            &[],
            &[Check::DiskSpace],
        ),
        (
            |facts| {
                facts.storage.mkfs = fails("make an ext4", libc::ENOENT);
                facts.storage.ready_mb = vec![512];
            },
            &[],
            &[Check::TmpTools],
        ),
        (
            |facts| facts.cgroups.freezer = fails("freeze a process", libc::ENOENT),
            &[Check::Freezer],
            &[Check::Freezer],
        ),
        (
            |facts| facts.storage.loop_device = fails("attach a loop device", libc::ENOENT),
            &[Check::TmpSize],
            &[Check::TmpSize],
        ),
        // What no verdict depends on is no reason to refuse.
        (
            |facts| facts.mounts.erofs = fails("mount EROFS", libc::ENODEV),
            &[],
            &[],
        ),
    ];
    for (change, of_small, of_large) in cases {
        let facts = host(change);
        assert_eq!(ids(&facts, &small), of_small, "{facts:#?}");
        assert_eq!(ids(&facts, &large), of_large, "{facts:#?}");
    }
}

#[test]
fn what_is_not_known_before_the_start_is_no_warning() {
    let looked_at = Facts {
        user: sound().user,
        cgroups: Cgroups {
            layout: CgroupLayout::Unified,
            ..Cgroups::default()
        },
        store: Store {
            free_mb: Some(100_000),
            ..Store::default()
        },
        cpus: 8,
        memory_mb: Some(64_000),
        swap_mb: Some(1_000),
        shared: sound().shared,
        ..Facts::default()
    };
    assert_eq!(unenforced(&looked_at, &function(128, 512)), []);
}

#[test]
fn an_ordinary_user_is_warned_of_each_limit_that_is_not_there() {
    let ids = |facts: &Facts| -> Vec<Check> {
        let function = function(128, 512);
        // What is known before anything was tried is enough.
        let looked_at = Facts {
            namespaces: vec![],
            mounts: Mounts::default(),
            seccomp: Tried::Untried,
            ..facts.clone()
        };
        unenforced(&looked_at, &function)
            .iter()
            .map(|gap| gap.id)
            .collect()
    };
    let limits = [
        Check::MemoryLimit,
        Check::CpuLimit,
        Check::ProcessLimit,
        Check::Freezer,
    ];
    assert_eq!(ids(&rootless(None, UNGROUPED)), limits);
    assert_eq!(
        ids(&rootless(Some("one"), UNGROUPED)),
        [
            Check::FileOwners,
            Check::MemoryLimit,
            Check::CpuLimit,
            Check::Freezer
        ]
    );
    assert_eq!(ids(&rootless(None, None)), [Check::TmpSize]);
}

#[test]
fn warnings_name_the_numbers_of_the_function() {
    let facts = host(|facts| {
        facts.cpus = 2;
        facts.store.free_mb = Some(600);
    });
    let told: Vec<_> = unenforced(&facts, &function(4_096, 2_048))
        .iter()
        .map(Finding::short)
        .collect();
    assert_eq!(
        told,
        [
            "4096 MB is 2.32 vCPUs on Lambda, but this host has 2 CPUs: the function may be slower \
             here",
            "/var/lib/lambent has 600 MB free, but the function's /tmp may take 2048 MB: writes \
             beyond that fail with an I/O error where Lambda has space",
        ]
    );
    let charged = tmp_is_charged(&function(128, 700));
    assert!(charged.contains("raised by 700 MB"), "{charged}");
}

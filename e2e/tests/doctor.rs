//! What a host enforces, told of real ones: this one, and this one with something
//! taken away in a mount namespace.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::leftovers::Leftovers;
use lambent_e2e::ordinary::{self, Ids};
use lambent_e2e::{Lambent, Run, privileged, program, wait};
use serde_json::{Value, json};

/// What `lambent doctor --output json` said.
struct Told {
    status: i32,
    document: Value,
}

impl Told {
    fn of(run: &Run) -> Self {
        Self {
            status: run.status,
            document: serde_json::from_str(&run.stdout)
                .unwrap_or_else(|error| panic!("{error}: {run:?}")),
        }
    }

    fn finding(&self, id: &str) -> &Value {
        self.document["findings"]
            .as_array()
            .unwrap()
            .iter()
            .find(|finding| finding["id"] == id)
            .unwrap_or_else(|| panic!("no finding {id}: {:#}", self.document))
    }

    fn status_of(&self, id: &str) -> &str {
        self.finding(id)["status"].as_str().unwrap()
    }

    /// The exit status is that of the worst finding.
    fn assert_consistent(&self) {
        let findings = self.document["findings"].as_array().unwrap();
        let is = |status: &'static str| move |finding: &&Value| finding["status"] == status;
        let fatal = findings.iter().any(|finding| finding["status"] == "fatal");
        assert_eq!(self.document["version"], 1);
        assert_eq!(self.document["functionsRun"], !fatal, "{:#}", self.document);
        assert_eq!(
            self.status,
            if fatal { 4 } else { 0 },
            "{:#}",
            self.document
        );
        let sound = findings.iter().filter(is("enforced")).count();
        let unknown = findings.iter().filter(is("unknown")).count();
        assert_eq!(self.document["gaps"], findings.len() - sound - unknown);
    }
}

/// What probing could leave on this host: groups, mounts, loop devices, and the
/// installation's own directory.
fn left_behind(lambent: &Lambent) -> (Vec<PathBuf>, Leftovers, Vec<PathBuf>) {
    let entries = |directory: PathBuf| -> Vec<PathBuf> {
        fs::read_dir(directory)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default()
    };
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let groups = mounts
        .lines()
        .filter(|line| {
            line.split(' ')
                .nth(2)
                .is_some_and(|kind| kind.starts_with("cgroup"))
        })
        .filter_map(|line| line.split(' ').nth(1))
        .flat_map(|root| entries(Path::new(root).join("lambent")))
        .filter(|group| {
            group
                .file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("probe-")
        })
        .collect();
    (
        groups,
        Leftovers::of(lambent.root(), &[]),
        entries(lambent.root().to_owned()),
    )
}

#[track_caller]
fn assert_nothing_left(lambent: &Lambent) {
    // A device detaches itself, a moment after its last user is gone.
    wait::until("nothing is left of the probes", || {
        left_behind(lambent) == (vec![], Leftovers::default(), vec![])
    });
}

/// `lambent doctor` where `change`, a shell script, has changed a mount namespace.
/// In it, $ROOT is the installation's directory.
fn where_changed(lambent: &Lambent, change: &str, arguments: &[&str]) -> Run {
    let script = format!("set -e; {change}; exec \"$@\"");
    Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(program())
        .args(arguments)
        .env("LAMBENT_ROOT", lambent.root())
        .env("ROOT", lambent.root())
        .output()
        .unwrap()
        .into()
}

/// An event that the sample function answers.
const EVENT: &str = r#"{"action": "counter"}"#;

/// `mkfs.ext4` cannot be run.
const NO_MKFS: &str = "mount --bind /dev/null \
    \"$(readlink -f \"$(PATH=$PATH:/usr/sbin:/sbin command -v mkfs.ext4)\")\"";

/// As in a container without privileges.
const READ_ONLY_CGROUPS: &str = "for root in $(awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts); do \
    mount -o remount,bind,ro $root; done";

/// v2 alone, on a host whose controllers are v1's.
const V2_WITHOUT_CONTROLLERS: &str = "umount -a -t cgroup; umount /sys/fs/cgroup/unified || true; \
    umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup";

/// v1's controllers can be taken away one by one.
fn has_v1_controllers() -> bool {
    Path::new("/sys/fs/cgroup/memory").is_dir()
}

const DOCTOR: &[&str] = &["doctor", "--output", "json"];

#[test]
fn privileged_this_host_is_told_as_it_is() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let told = Told::of(&lambent.run(DOCTOR));
    told.assert_consistent();
    assert_nothing_left(&lambent);
    assert_eq!(told.status_of("privileges"), "enforced");
    let unknown = told.document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["status"] == "unknown");
    assert_eq!(unknown, None, "root tries everything");

    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(told.document["host"]["kernel"], kernel.trim());
    let cpus = std::thread::available_parallelism().unwrap().get();
    let found = told.finding("cpus")["found"].as_str().unwrap().to_owned();
    assert!(found.starts_with(&cpus.to_string()), "{found}");
    assert_eq!(
        told.status_of("cpus"),
        if cpus < 6 { "degraded" } else { "enforced" }
    );
    let has_swap = fs::read_to_string("/proc/swaps").is_ok_and(|swaps| swaps.lines().count() > 1);
    if !has_swap {
        assert_eq!(told.status_of("swap"), "enforced");
    }
    let expected = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        "unified"
    } else if Path::new("/sys/fs/cgroup/unified/cgroup.controllers").exists() {
        "hybrid"
    } else {
        "legacy"
    };
    assert_eq!(told.document["host"]["cgroups"], expected);

    // The proof of the verdict.
    let run = lambent.invoke(
        &Fixture::RustOciArchive.reference(),
        &json!({"action": "counter"}),
        &["--timeout", "30"],
    );
    assert_eq!(run.status, told.status, "{run:?}");
}

#[test]
fn privileged_the_text_says_the_same() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let told = Told::of(&lambent.run(DOCTOR));
    let run = lambent.run(["doctor"]);
    assert_eq!(run.status, told.status);
    assert_eq!(run.stderr, "");
    for finding in told.document["findings"].as_array().unwrap() {
        let status = finding["status"].as_str().unwrap();
        // Free space, processes and room for environments come and go.
        if ["disk-space", "environments", "processes"].contains(&finding["id"].as_str().unwrap()) {
            continue;
        }
        let found = finding["found"].as_str().unwrap();
        assert!(
            run.stdout
                .lines()
                .any(|line| line.starts_with(status) && line.ends_with(found)),
            "{finding}: {}",
            run.stdout
        );
    }
}

#[test]
fn privileged_what_is_taken_away_is_missed() {
    if !privileged() {
        return;
    }
    // (what is taken away, the finding, its status, what it says)
    let cases = [
        (
            "mount --bind /dev/null /dev/loop-control",
            "tmp-size",
            "degraded",
            "loop device",
        ),
        (NO_MKFS, "tmp-tools", "fatal", "mkfs.ext4"),
        (
            READ_ONLY_CGROUPS,
            "cgroups",
            "fatal",
            "Read-only file system",
        ),
        (
            "mount -t tmpfs none /sys/fs/cgroup && mount --bind /proc /sys/fs/cgroup",
            "cgroups",
            "fatal",
            "no hierarchy that Lambent can use",
        ),
        ("mount -t tmpfs none $ROOT", "store", "missing", "tmpfs"),
        (
            "mount -t tmpfs none $ROOT",
            "root-file-system",
            "missing",
            "overlayfs",
        ),
        (
            "mount -t tmpfs -o ro none $ROOT",
            "store",
            "fatal",
            "Read-only file system",
        ),
        (
            "mount -t tmpfs none /mnt && mkdir /mnt/lower /mnt/upper /mnt/work && \
             mount -t overlay -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work \
             none $ROOT",
            "store",
            "degraded",
            "whiteout",
        ),
    ];
    for (change, id, status, says) in cases {
        let lambent = Lambent::new();
        let told = Told::of(&where_changed(&lambent, change, DOCTOR));
        told.assert_consistent();
        let finding = told.finding(id);
        assert_eq!(finding["status"], status, "{change}: {finding:#}");
        let found = finding["found"].as_str().unwrap();
        assert!(found.contains(says), "{change}: {finding:#}");
        assert!(!finding["meaning"].is_null(), "{finding:#}");
        assert!(!finding["remedy"].is_null(), "{finding:#}");
        assert_nothing_left(&lambent);
    }
}

#[test]
fn privileged_what_is_fatal_to_the_doctor_is_fatal_to_functions() {
    if !privileged() {
        return;
    }
    // (what is taken away, the finding that says so)
    let mut cases = vec![(NO_MKFS, "tmp-tools"), (READ_ONLY_CGROUPS, "cgroups")];
    if has_v1_controllers() {
        cases.extend([
            ("umount /sys/fs/cgroup/memory", "memory-limit"),
            ("umount /sys/fs/cgroup/cpu", "cpu-limit"),
            ("umount /sys/fs/cgroup/pids", "process-limit"),
            ("umount /sys/fs/cgroup/devices", "cgroups"),
            (V2_WITHOUT_CONTROLLERS, "memory-limit"),
        ]);
    }
    let image = Fixture::RustOciArchive.reference();
    for (change, id) in cases {
        let lambent = Lambent::new();
        let told = Told::of(&where_changed(&lambent, change, DOCTOR));
        told.assert_consistent();
        assert_eq!(told.status_of(id), "fatal", "{change}: {:#}", told.document);
        assert_nothing_left(&lambent);
        let run = where_changed(&lambent, change, &["invoke", &image, "--payload", EVENT]);
        assert_eq!(run.status, 4, "{change}: {run:?}");
    }
}

#[test]
fn privileged_what_mends_a_gap_mends_it() {
    if !privileged() {
        return;
    }
    // (what is taken away, the finding that says so); only what a mount brings back.
    let mut cases = vec![(READ_ONLY_CGROUPS, "cgroups")];
    if has_v1_controllers() {
        cases.extend([
            ("umount /sys/fs/cgroup/memory", "memory-limit"),
            ("umount /sys/fs/cgroup/pids", "process-limit"),
            ("umount /sys/fs/cgroup/devices", "cgroups"),
            (
                "umount /sys/fs/cgroup/unified /sys/fs/cgroup/freezer",
                "freezer",
            ),
        ]);
    }
    for (change, id) in cases {
        let lambent = Lambent::new();
        let told = Told::of(&where_changed(&lambent, change, DOCTOR));
        assert_ne!(
            told.status_of(id),
            "enforced",
            "{change}: {:#}",
            told.document
        );
        if told.document["host"]["place"] != "machine" {
            // There it is who starts the container that can mend it.
            continue;
        }
        let remedy = told.finding(id)["remedy"].as_str().unwrap();
        // Root needs no sudo, and may not have it.
        let mended = format!("{change}; sudo() {{ \"$@\"; }}; {remedy}");
        let after = Told::of(&where_changed(&lambent, &mended, DOCTOR));
        assert_eq!(
            after.status_of(id),
            "enforced",
            "{mended}: {:#}",
            after.document
        );
        assert_nothing_left(&lambent);
    }
}

#[test]
fn privileged_without_a_freezer_functions_run_with_a_warning() {
    // Pure v2 cannot be without one.
    if !privileged() || !has_v1_controllers() {
        return;
    }
    let change = "umount /sys/fs/cgroup/unified /sys/fs/cgroup/freezer";
    let lambent = Lambent::new();
    let told = Told::of(&where_changed(&lambent, change, DOCTOR));
    told.assert_consistent();
    assert_eq!(told.status_of("freezer"), "degraded", "{:#}", told.document);
    assert_eq!(told.document["host"]["cgroups"], "legacy");
    let meaning = told.finding("freezer")["meaning"].as_str().unwrap();

    let image = Fixture::RustOciArchive.reference();
    let invoke = ["invoke", &image, "--payload", EVENT, "--output", "json"];
    let warned = where_changed(&lambent, change, &invoke);
    assert_eq!(warned.status, 0, "{warned:?}");
    let warning = warned.result()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.ends_with(meaning), "{warning}");
    assert!(warned.stderr.contains(&warning), "{warned:?}");

    let strict = where_changed(&lambent, change, &[&invoke[..], &["--strict"]].concat());
    assert_eq!(strict.status, 4, "{strict:?}");
    assert!(strict.stderr.contains(meaning), "{strict:?}");
}

/// Runs the program as root without what mounting takes.
fn without_sys_admin(lambent: &Lambent, change: &str, arguments: &[&str]) -> Run {
    let script = format!(
        "set -e; {change}; exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin \"$@\""
    );
    Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", &script, "sh"])
        .arg(program())
        .args(arguments)
        .env("LAMBENT_ROOT", lambent.root())
        .output()
        .unwrap()
        .into()
}

#[test]
fn privileged_who_gets_no_namespaces_is_told_so() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let change = "echo 0 > /proc/sys/user/max_user_namespaces";
    let told = Told::of(&without_sys_admin(&lambent, change, DOCTOR));
    told.assert_consistent();
    assert_eq!(told.status, 4);
    assert_eq!(told.status_of("privileges"), "fatal");
    let found = told.finding("privileges")["found"].as_str().unwrap();
    assert!(found.contains("CAP_SYS_ADMIN"), "{found}");
    let namespaces = told.finding("user-namespaces");
    assert_eq!(namespaces["status"], "fatal", "{namespaces:#}");
    let remedy = namespaces["remedy"].as_str().unwrap();
    assert!(remedy.contains("user.max_user_namespaces"), "{remedy}");
    for id in ["namespaces", "cgroups", "tmp-size", "root-file-system"] {
        assert_eq!(told.status_of(id), "unknown", "{id}");
    }
    // What needs no rights is tried.
    assert_eq!(told.status_of("seccomp"), "enforced");
    assert_nothing_left(&lambent);
    let image = Fixture::RustOciArchive.reference();
    let run = without_sys_admin(&lambent, change, &["invoke", &image]);
    assert_eq!(run.status, 4, "{run:?}");
    assert!(
        run.stderr.contains("a user namespace of its own"),
        "{run:?}"
    );
    let run = without_sys_admin(&lambent, change, &["validate", &image]);
    assert_eq!(run.status, 0, "{run:?}");
}

#[test]
fn privileged_root_of_a_user_namespace_runs_functions() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let told = Told::of(&without_sys_admin(&lambent, "true", DOCTOR));
    told.assert_consistent();
    assert_eq!(told.status, 0, "{:#}", told.document);
    let privileges = told.finding("privileges");
    assert_eq!(privileges["status"], "missing");
    assert_eq!(
        privileges["found"],
        "root of a user namespace, not of the host"
    );
    assert_nothing_left(&lambent);
    let image = Fixture::RustOciArchive.reference();
    let run = without_sys_admin(&lambent, "true", &["invoke", &image, "--payload", EVENT]);
    assert_eq!(run.status, 0, "{run:?}");
}

#[test]
fn privileged_an_ordinary_user_is_told_what_is_missing() {
    if !privileged() {
        return;
    }
    for (ids, owners) in [(Ids::Subordinate, "enforced"), (Ids::Single, "degraded")] {
        let lambent = Lambent::of_ordinary_user(ids);
        let told = Told::of(&lambent.run(DOCTOR));
        told.assert_consistent();
        assert_eq!(told.status, 0, "{:#}", told.document);
        let privileges = told.finding("privileges");
        assert_eq!(privileges["status"], "missing");
        assert_eq!(
            privileges["found"],
            format!("uid {}, as root of a user namespace", ordinary::USER)
        );
        assert_eq!(told.status_of("user-namespaces"), "enforced");
        assert_eq!(told.status_of("file-owners"), owners);
        // Nobody delegates anything to who is not in a session of systemd.
        for id in ["memory-limit", "cpu-limit", "freezer"] {
            assert_eq!(told.status_of(id), "degraded", "{id}");
            let remedy = told.finding(id)["remedy"].as_str().unwrap();
            assert!(remedy.contains("Delegate=yes"), "{id}: {remedy}");
        }
        for id in [
            "namespaces",
            "mounts",
            "seccomp",
            "tmp-tools",
            "tmp-size",
            "store",
        ] {
            assert_eq!(told.status_of(id), "enforced", "{id}");
        }
        let text = lambent.run(["doctor"]);
        assert_eq!(text.status, 0);
        assert!(
            text.stdout.contains("Functions run here, with "),
            "{text:?}"
        );
    }
}

#[test]
fn privileged_strict_refuses_before_anything_runs() {
    if !privileged() {
        return;
    }
    let image = Fixture::RustOciArchive.reference();
    let one_cpu = |lambent: &Lambent, arguments: &[&str]| -> Run {
        Command::new("taskset")
            .args(["--cpu-list", "0"])
            .arg(program())
            .args(["invoke", &image, "--timeout", "30", "--payload", EVENT])
            .args(arguments)
            .env("LAMBENT_ROOT", lambent.root())
            .output()
            .unwrap()
            .into()
    };
    let lambent = Lambent::new();
    let refused = one_cpu(&lambent, &["--memory", "2048", "--strict"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert_eq!(refused.stdout, "");
    let said = "2048 MB is 1.16 vCPUs on Lambda, but this host has 1 CPU: the function may be \
                slower here";
    assert!(refused.stderr.contains(said), "{refused:?}");
    assert!(refused.stderr.contains("--strict"), "{refused:?}");
    assert_nothing_left(&lambent);

    // The same, as a warning.
    let warned = one_cpu(&lambent, &["--memory", "2048", "--output", "json"]);
    assert_eq!(warned.status, 0, "{warned:?}");
    assert!(warned.stderr.contains(said), "{warned:?}");
    assert_eq!(warned.result()["warnings"], json!([said]));

    // What the host does for a function, it does strictly.
    let strict = one_cpu(
        &lambent,
        &["--memory", "512", "--strict", "--output", "json"],
    );
    assert_eq!(strict.status, 0, "{strict:?}");
    assert_eq!(strict.result()["warnings"], json!([]));
}

#[test]
fn privileged_strict_names_all_that_is_not_enforced() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let refused = where_changed(
        &lambent,
        "mount --bind /dev/null /dev/loop-control",
        &[
            "invoke",
            &Fixture::RustOciArchive.reference(),
            "--memory",
            "10240",
            "--strict",
        ],
    );
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("/tmp: this host offers no loop device"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("to mend it: "), "{refused:?}");
    let cpus = std::thread::available_parallelism().unwrap().get();
    assert_eq!(
        cpus < 6,
        refused.stderr.contains("CPUs: 10240 MB is 5.79 vCPUs"),
        "{refused:?}"
    );
    assert_nothing_left(&lambent);
}

#[test]
fn privileged_killing_the_doctor_at_any_moment_leaves_nothing() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    for milliseconds in [0, 2, 5, 10, 20, 40, 80] {
        let mut child = lambent.command(DOCTOR).spawn().unwrap();
        sleep(Duration::from_millis(milliseconds));
        // It may have ended already.
        let _ = child.kill();
        child.wait().unwrap();
        assert_nothing_left(&lambent);
    }
}

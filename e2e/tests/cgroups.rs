//! Groups that are not as a whole machine has them.

use std::fs;
use std::path::Path;
use std::process::Command;

use lambent_e2e::delegated::unified;
use lambent_e2e::fixtures::Fixture;
use lambent_e2e::{Lambent, Run, privileged};

#[test]
fn privileged_a_root_group_with_processes_is_explained() {
    if !privileged() || !unified() {
        return;
    }
    let lambent = Lambent::new();
    // What a container with a cgroup namespace of its own sees: the group that it
    // is in is the root, and has processes.
    let hierarchy = Path::new("/sys/fs/cgroup");
    fs::write(
        hierarchy.join("cgroup.subtree_control"),
        "+cpu +memory +pids",
    )
    .unwrap();
    let group = hierarchy.join(format!("lambent-e2e-{}", std::process::id()));
    fs::create_dir(&group).unwrap();
    let command = format!(
        "echo $$ >{}/cgroup.procs && exec unshare --cgroup --mount sh -c \
         \"umount {hierarchy} && mount -t cgroup2 cgroup2 {hierarchy} && \
         exec {} invoke {} --payload '{{}}'\"",
        group.display(),
        lambent_e2e::program().display(),
        Fixture::RustOciArchive.reference(),
        hierarchy = hierarchy.display(),
    );
    let run: Run = Command::new("sh")
        .args(["-c", &command])
        .env("LAMBENT_ROOT", lambent.root())
        .output()
        .unwrap()
        .into();
    fs::remove_dir(&group).unwrap();
    assert_eq!(run.status, 4, "{run:?}");
    for part in ["/sys/fs/cgroup", "controller memory", "--cgroupns=host"] {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
}

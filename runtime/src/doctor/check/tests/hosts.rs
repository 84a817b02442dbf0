//! The hosts, each with what is expected of it.

use super::super::super::facts::{CgroupLayout, Cgroups, Facts, Namespace, Place, Tried};
use super::super::super::finding::{Check, Status};
use super::{UNGROUPED, fails, rootless, without_rights};

/// One made-up host: its name, what is different from a sound one, and the gaps
/// that are expected of it, each with parts of its meaning and of what mends it.
pub(super) type Host = (
    &'static str,
    fn(&mut Facts),
    &'static [(Check, Status, &'static str, &'static str)],
);

pub(super) const HOSTS: &[Host] = &[
    ("v2 with everything", |_| {}, &[]),
    (
        "hybrid v1 with everything",
        |facts| {
            facts.cgroups.layout = CgroupLayout::Hybrid;
            facts.cgroups.devices = Tried::Works;
        },
        &[],
    ),
    (
        "v1 without a swap limit, but without swap",
        |facts| {
            facts.cgroups.layout = CgroupLayout::Legacy;
            facts.cgroups.swap = fails("write memory.memsw.limit_in_bytes", libc::ENOENT);
        },
        &[],
    ),
    (
        "v1 without a swap limit, with swap",
        |facts| {
            facts.cgroups.layout = CgroupLayout::Legacy;
            facts.cgroups.swap = fails("write memory.memsw.limit_in_bytes", libc::ENOENT);
            facts.swap_mb = Some(2_048);
        },
        &[(
            Check::Swap,
            Status::Degraded,
            "may pass here, slowly, where Lambda kills it",
            "swapaccount=1",
        )],
    ),
    (
        "v2 that does not limit swap, with swap",
        |facts| {
            facts.cgroups.swap = fails("write memory.swap.max", libc::ENOENT);
            facts.swap_mb = Some(2_048);
        },
        &[(
            Check::Swap,
            Status::Degraded,
            "Lambda kills it",
            "swapoff -a",
        )],
    ),
    (
        "v1 without the devices controller",
        |facts| {
            facts.cgroups.layout = CgroupLayout::Legacy;
            facts.cgroups.devices = fails("write devices.deny", libc::ENOENT);
        },
        &[(
            Check::Cgroups,
            Status::Fatal,
            "no function runs",
            "mount -t cgroup -o devices devices",
        )],
    ),
    (
        "v1 whose controllers are not mounted",
        |facts| {
            facts.cgroups.layout = CgroupLayout::Hybrid;
            facts.cgroups.memory = fails("write memory.limit_in_bytes", 0);
            facts.cgroups.cpu = fails("write cpu.cfs_period_us", 0);
            facts.cgroups.processes = fails("write pids.max", 0);
        },
        &[
            (
                Check::MemoryLimit,
                Status::Fatal,
                "Lambda kills it",
                "mount -t cgroup -o memory memory",
            ),
            (
                Check::CpuLimit,
                Status::Fatal,
                "Lambda times it out",
                "mount -t cgroup -o cpu cpu",
            ),
            (
                Check::ProcessLimit,
                Status::Fatal,
                "forks without end",
                "mount -t cgroup -o pids pids",
            ),
        ],
    ),
    (
        "v2 without the controllers that v1 has taken",
        |facts| facts.cgroups.cpu = fails("write cpu.max", libc::ENOENT),
        &[(
            Check::CpuLimit,
            Status::Fatal,
            "Lambda times it out",
            "cgroup_no_v1=all",
        )],
    ),
    (
        "v1 without v2 and without a freezer",
        |facts| {
            facts.cgroups.layout = CgroupLayout::Legacy;
            facts.cgroups.freezer = fails("freeze a process", libc::ENOENT);
        },
        &[(
            Check::Freezer,
            Status::Degraded,
            "goes on here, and stops on Lambda",
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
        )],
    ),
    (
        "a machine with read-only cgroups",
        |facts| facts.cgroups.group = fails("make a group", libc::EROFS),
        &[(
            Check::Cgroups,
            Status::Fatal,
            "no function runs",
            "remount,bind,rw",
        )],
    ),
    (
        "no cgroups at all",
        |facts| {
            facts.cgroups = Cgroups::default();
        },
        &[(
            Check::Cgroups,
            Status::Fatal,
            "nothing would limit it",
            "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        )],
    ),
    (
        "a Raspberry Pi as it comes",
        |facts| {
            facts.raspberry_pi = true;
            facts.cgroups.memory_disabled = true;
            facts.cgroups.memory = fails("write memory.max", libc::ENOENT);
        },
        &[(
            Check::MemoryLimit,
            Status::Fatal,
            "would pass where Lambda kills it",
            "cgroup_enable=memory cgroup_memory=1/' /boot/firmware/cmdline.txt && sudo reboot",
        )],
    ),
    (
        "a machine whose kernel turns the memory controller off",
        |facts| {
            facts.cgroups.memory_disabled = true;
            facts.cgroups.memory = fails("write memory.max", libc::ENOENT);
        },
        &[(
            Check::MemoryLimit,
            Status::Fatal,
            "Lambda kills it",
            "update-grub",
        )],
    ),
    (
        "a privileged container with its own cgroup namespace, on v2",
        |facts| {
            facts.place = Place::Docker;
            facts.cgroups.delegation = fails("write +memory", libc::EBUSY);
            facts.cgroups.memory = fails("write memory.max", libc::ENOENT);
            facts.cgroups.cpu = fails("write cpu.max", libc::ENOENT);
            facts.cgroups.processes = fails("write pids.max", libc::ENOENT);
        },
        &[
            (
                Check::MemoryLimit,
                Status::Fatal,
                "Lambda kills it",
                "init/cgroup.procs",
            ),
            (
                Check::CpuLimit,
                Status::Fatal,
                "Lambda times it out",
                "cgroup.subtree_control",
            ),
            (
                Check::ProcessLimit,
                Status::Fatal,
                "forks without end",
                "cgroup.subtree_control",
            ),
        ],
    ),
    (
        "a container with read-only cgroups",
        |facts| {
            facts.place = Place::Docker;
            facts.cgroups.group = fails("make a group", libc::EROFS);
        },
        &[(
            Check::Cgroups,
            Status::Fatal,
            "no function runs",
            "docker run --user 0 --privileged",
        )],
    ),
    (
        "a container without privileges",
        |facts| {
            *facts = Facts {
                place: Place::Docker,
                ..without_rights(0)
            };
        },
        &[(
            Check::Privileges,
            Status::Fatal,
            "want of the rights",
            "--cgroupns=host -v /dev:/dev",
        )],
    ),
    (
        "a container of Podman without privileges",
        |facts| {
            *facts = Facts {
                place: Place::Podman,
                ..without_rights(0)
            };
        },
        &[(
            Check::Privileges,
            Status::Fatal,
            "want of the rights",
            "sudo podman run",
        )],
    ),
    (
        "a pod without privileges",
        |facts| {
            *facts = Facts {
                place: Place::Kubernetes,
                ..without_rights(1_000)
            };
            facts.user_namespaces.tried = Tried::Works;
        },
        &[(
            Check::Privileges,
            Status::Fatal,
            "want of the rights",
            "securityContext",
        )],
    ),
    (
        "a job of GitHub Actions in a container",
        |facts| {
            *facts = Facts {
                place: Place::GithubContainer,
                ..without_rights(0)
            };
        },
        &[(
            Check::Privileges,
            Status::Fatal,
            "want of the rights",
            "options: --user 0 --privileged",
        )],
    ),
    (
        "an ordinary user",
        |facts| {
            *facts = without_rights(1_000);
            facts.user_namespaces.tried = Tried::Works;
        },
        &[(
            Check::Privileges,
            Status::Fatal,
            "images can be imported",
            "sudo lambent",
        )],
    ),
    (
        "an ordinary user of a Debian that forbids user namespaces",
        |facts| {
            *facts = without_rights(1_000);
            facts.user_namespaces.tried = fails("make a user namespace", libc::EPERM);
            facts.user_namespaces.unprivileged_clone = Some(0);
        },
        &[
            (Check::Privileges, Status::Fatal, "", "sudo"),
            (
                Check::UserNamespaces,
                Status::Fatal,
                "no function runs here without root",
                "kernel.unprivileged_userns_clone=1",
            ),
        ],
    ),
    (
        "an ordinary user of an Ubuntu whose AppArmor restricts user namespaces",
        |facts| {
            *facts = without_rights(1_000);
            facts.user_namespaces.tried = fails("make a user namespace", libc::EPERM);
            facts.user_namespaces.apparmor_restricts = Some(1);
        },
        &[
            (Check::Privileges, Status::Fatal, "", "sudo"),
            (
                Check::UserNamespaces,
                Status::Fatal,
                "",
                "kernel.apparmor_restrict_unprivileged_userns=0",
            ),
        ],
    ),
    (
        "an ordinary user where there are no user namespaces",
        |facts| {
            *facts = without_rights(1_000);
            facts.user_namespaces.tried = fails("make a user namespace", libc::ENOSPC);
            facts.user_namespaces.max = Some(0);
        },
        &[
            (Check::Privileges, Status::Fatal, "", "sudo"),
            (
                Check::UserNamespaces,
                Status::Fatal,
                "",
                "user.max_user_namespaces=15000",
            ),
        ],
    ),
    (
        "an ordinary user with subordinate ids",
        |facts| *facts = rootless(None, UNGROUPED),
        &[
            (Check::Privileges, Status::Missing, "by itself", "sudo"),
            (Check::Cgroups, Status::Missing, "by itself", "Delegate=yes"),
            (
                Check::MemoryLimit,
                Status::Degraded,
                "what its children use",
                "systemd-run --user",
            ),
            (
                Check::CpuLimit,
                Status::Degraded,
                "Lambda times it out",
                "systemd-run --user",
            ),
            (
                Check::ProcessLimit,
                Status::Degraded,
                "several environments",
                "systemd-run --user",
            ),
            (
                Check::Freezer,
                Status::Degraded,
                "stops on Lambda",
                "systemd-run --user",
            ),
            (
                Check::RootFileSystem,
                Status::Missing,
                "unpacked first",
                "sudo",
            ),
        ],
    ),
    (
        "an ordinary user with one id, and groups of its own",
        |facts| *facts = rootless(Some("/etc/subuid has none for ann"), None),
        &[
            (Check::Privileges, Status::Missing, "by itself", "sudo"),
            (
                Check::FileOwners,
                Status::Degraded,
                "Lambda's user as its owner",
                "--add-subuids 100000-165535",
            ),
            (
                Check::TmpSize,
                Status::Degraded,
                "charged to the function's memory",
                "sudo",
            ),
            (
                Check::RootFileSystem,
                Status::Missing,
                "unpacked first",
                "sudo",
            ),
        ],
    ),
    (
        "a container of Podman whose /proc is masked",
        |facts| {
            *facts = rootless(None, None);
            facts.place = Place::Podman;
            if let Some(namespace) = &mut facts.namespace {
                namespace.user = 0;
            }
            facts.mounts.proc = fails("mount proc", libc::EPERM);
        },
        &[
            (
                Check::Privileges,
                Status::Missing,
                "by itself",
                "podman run",
            ),
            (
                Check::Mounts,
                Status::Fatal,
                "no function runs",
                "--security-opt unmask=ALL",
            ),
            (Check::TmpSize, Status::Degraded, "charged", "podman run"),
            (
                Check::RootFileSystem,
                Status::Missing,
                "unpacked first",
                "podman run",
            ),
        ],
    ),
    (
        "a container of Docker that may not make namespaces",
        |facts| {
            *facts = Facts {
                place: Place::Docker,
                ..without_rights(0)
            };
            facts.user_namespaces.tried = fails("make a user namespace", libc::EPERM);
        },
        &[
            (Check::Privileges, Status::Fatal, "", "docker run"),
            (
                Check::UserNamespaces,
                Status::Fatal,
                "no function runs here without root",
                "systempaths=unconfined",
            ),
        ],
    ),
    (
        "root of a user namespace",
        |facts| {
            facts.user.in_user_namespace = true;
            facts.mounts.erofs = fails("mount EROFS", libc::EPERM);
            facts.store.whiteout = fails("make a whiteout", libc::EPERM);
            facts.storage.loop_device = fails("open /dev/loop-control", libc::EACCES);
            facts.storage.ext4 = Tried::Untried;
        },
        &[
            (
                Check::Privileges,
                Status::Missing,
                "other lines say",
                "sudo",
            ),
            (
                Check::TmpSize,
                Status::Degraded,
                "charged to the function's memory",
                "modprobe loop",
            ),
            (
                Check::Store,
                Status::Degraded,
                "cannot be imported",
                "--root",
            ),
            (
                Check::RootFileSystem,
                Status::Missing,
                "unpacked first",
                "modprobe erofs",
            ),
        ],
    ),
    (
        "Linux 5.4",
        |facts| {
            facts.kernel = "5.4.0".to_owned();
            facts.missing_calls = vec!["openat2 (Linux 5.6): not implemented".to_owned()];
            facts.mounts.erofs = fails("mount EROFS", libc::ENOTBLK);
        },
        &[
            (Check::Kernel, Status::Fatal, "no function runs", "5.11"),
            (
                Check::RootFileSystem,
                Status::Missing,
                "unpacked first",
                "Linux 6.12",
            ),
        ],
    ),
    (
        "no pid namespaces",
        |facts| {
            facts.namespaces.push(Namespace {
                name: "pid".to_owned(),
                tried: fails("make a pid namespace", libc::EINVAL),
            });
        },
        &[(Check::Namespaces, Status::Fatal, "no function runs", "")],
    ),
    (
        "a container in which nothing may be mounted",
        |facts| {
            facts.place = Place::Docker;
            facts.mounts.tmpfs = fails("mount a tmpfs", libc::EACCES);
        },
        &[(
            Check::Mounts,
            Status::Fatal,
            "no function runs",
            "--privileged",
        )],
    ),
    (
        "a kernel without filters",
        |facts| facts.seccomp = fails("install a system-call filter", libc::EINVAL),
        &[(
            Check::Seccomp,
            Status::Fatal,
            "none starts without its filter",
            "CONFIG_SECCOMP_FILTER",
        )],
    ),
    (
        "no loop devices",
        |facts| {
            facts.storage.loop_device = fails("open /dev/loop-control", libc::ENOENT);
            facts.storage.ext4 = Tried::Untried;
        },
        &[(
            Check::TmpSize,
            Status::Degraded,
            "more memory than Lambda would give it",
            "sudo modprobe loop",
        )],
    ),
    (
        "a container without loop devices",
        |facts| {
            facts.place = Place::Docker;
            facts.storage.loop_device = fails("open /dev/loop-control", libc::ENOENT);
            facts.storage.ext4 = Tried::Untried;
        },
        &[(Check::TmpSize, Status::Degraded, "", "-v /dev:/dev")],
    ),
    (
        "loop devices that take no file",
        |facts| {
            facts.storage.loop_device = fails("attach a loop device", libc::EINVAL);
            facts.storage.loop_broken = true;
            facts.storage.ext4 = Tried::Untried;
        },
        &[(
            Check::TmpSize,
            Status::Fatal,
            "none gets a /tmp",
            "modprobe loop",
        )],
    ),
    (
        "no ext4",
        |facts| facts.storage.ext4 = fails("mount ext4", libc::ENODEV),
        &[(
            Check::TmpSize,
            Status::Fatal,
            "none gets a /tmp",
            "modprobe ext4",
        )],
    ),
    (
        "no mkfs.ext4",
        |facts| {
            facts.storage.mkfs = fails("make an ext4", libc::ENOENT);
            facts.storage.ext4 = Tried::Untried;
        },
        &[(
            Check::TmpTools,
            Status::Fatal,
            "none gets a /tmp",
            "apt-get install -y e2fsprogs",
        )],
    ),
    (
        "no mkfs.ext4 any more",
        |facts| {
            facts.storage.mkfs = fails("make an ext4", libc::ENOENT);
            facts.storage.ready_mb = vec![512, 1_024];
            facts.storage.ext4 = Tried::Untried;
        },
        &[(
            Check::TmpTools,
            Status::Degraded,
            "512, 1024 MB",
            "e2fsprogs",
        )],
    ),
    (
        "no overlayfs, which nobody needs with EROFS",
        |facts| facts.mounts.overlay = fails("mount an overlay", libc::ENODEV),
        &[],
    ),
    (
        "neither overlayfs nor EROFS",
        |facts| {
            facts.mounts.overlay = fails("mount an overlay", libc::ENODEV);
            facts.mounts.erofs = fails("mount EROFS", libc::ENODEV);
        },
        &[(
            Check::RootFileSystem,
            Status::Fatal,
            "no way to mount an image",
            "modprobe overlay",
        )],
    ),
    (
        "a store in a container's own file system",
        |facts| {
            facts.place = Place::Docker;
            facts.store.file_system = "overlay".to_owned();
            facts.store.whiteout = fails("make a whiteout", libc::EPERM);
            facts.mounts.erofs = fails("mount EROFS", libc::EINVAL);
        },
        &[
            (
                Check::Store,
                Status::Degraded,
                "cannot be imported here",
                "-v lambent:",
            ),
            (
                Check::RootFileSystem,
                Status::Missing,
                "unpacked first",
                "-v lambent:",
            ),
        ],
    ),
    (
        "a store on a tmpfs, on v2",
        |facts| {
            facts.store.file_system = "tmpfs".to_owned();
            facts.mounts.erofs = fails("mount EROFS", libc::EINVAL);
        },
        &[
            (
                Check::TmpSize,
                Status::Degraded,
                "killed here where Lambda lets it write",
                "--root",
            ),
            (
                Check::Store,
                Status::Missing,
                "gone after a reboot",
                "--root",
            ),
            (
                Check::RootFileSystem,
                Status::Missing,
                "unpacked first",
                "--root",
            ),
        ],
    ),
    (
        "a store on a tmpfs, on v1",
        |facts| {
            facts.cgroups.layout = CgroupLayout::Hybrid;
            facts.store.file_system = "tmpfs".to_owned();
        },
        &[(
            Check::Store,
            Status::Missing,
            "gone after a reboot",
            "--root",
        )],
    ),
    (
        "a store on a disk that is read-only",
        |facts| {
            facts.store.writable = fails("make a file in /var/lib", libc::EROFS);
            facts.storage.loop_device = Tried::Untried;
            facts.storage.ext4 = Tried::Untried;
        },
        &[(
            Check::Store,
            Status::Fatal,
            "no place for images",
            "--root DIR",
        )],
    ),
    (
        "a disk that is nearly full",
        |facts| facts.store.free_mb = Some(300),
        &[(
            Check::DiskSpace,
            Status::Degraded,
            "more than 300 MB to /tmp gets an I/O error",
            "prune",
        )],
    ),
    (
        "two CPUs",
        |facts| facts.cpus = 2,
        &[(
            Check::Cpus,
            Status::Degraded,
            "more than 3538 MB may be slower",
            "6 CPUs",
        )],
    ),
    (
        "less memory than the largest function may have",
        |facts| facts.memory_mb = Some(2_000),
        &[(
            Check::HostMemory,
            Status::Degraded,
            "2000 MB or more may be killed here",
            "more memory",
        )],
    ),
    (
        "few processes left",
        |facts| facts.shared.processes = Some(500),
        &[(
            Check::Processes,
            Status::Degraded,
            "1024 on Lambda",
            "kernel.pid_max=4194304",
        )],
    ),
    (
        "few processes left to a container",
        |facts| {
            facts.place = Place::Docker;
            facts.shared.processes = Some(500);
        },
        &[(
            Check::Processes,
            Status::Degraded,
            "1024 on Lambda",
            "--pids-limit -1",
        )],
    ),
    (
        "few keys left",
        |facts| facts.shared.keys = Some(20),
        &[(
            Check::Environments,
            Status::Missing,
            "fail to start",
            "kernel.keys.maxkeys=20000",
        )],
    ),
    (
        "no keys left",
        |facts| facts.shared.keys = Some(0),
        &[(
            Check::Environments,
            Status::Fatal,
            "no function starts",
            "kernel.keys.maxkeys=20000",
        )],
    ),
    (
        "few inotify instances",
        |facts| facts.shared.inotify_instances = Some(16),
        &[(
            Check::Environments,
            Status::Missing,
            "watch files",
            "max_user_instances=1024",
        )],
    ),
];

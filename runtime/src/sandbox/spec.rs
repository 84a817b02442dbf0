//! The OCI runtime spec of a sandbox. Pure: settings in, spec out.

use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capabilities, Capability, Linux, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder,
    LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxMemory, LinuxMemoryBuilder, LinuxNamespace,
    LinuxNamespaceBuilder, LinuxNamespaceType, LinuxPidsBuilder, LinuxResourcesBuilder, Mount,
    MountBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, ProcessBuilder,
    RootBuilder, Spec, SpecBuilder, UserBuilder,
};

use super::protocol::{HOST_SHELL, SandboxSpec};
use crate::model::{CPU_PERIOD_US, GROUP_ID, USER_ID};

/// Open descriptors, soft and hard.
const MAX_DESCRIPTORS: u64 = 1_024;

/// Processes and threads together. Through the pids cgroup: an rlimit would be
/// shared by all environments, because they share the user.
pub(super) const MAX_PROCESSES: u32 = 1_024;

/// Makes a function the first choice of the host's OOM killer, before anything
/// that the user cares about more.
const OOM_SCORE_ADJ: i32 = 500;

/// Of a function's memory, what buffers of TCP and UDP may come to where they count
/// apart from it: as much as a kernel gives them of the memory of its machine.
const SOCKET_SHARE: (i64, i64) = (3, 32);

/// What a function's host is called.
pub(super) const HOSTNAME: &str = "localhost";

/// What containers must not read (Docker's list, 2026), beside what there is for each
/// CPU.
const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What containers must not write (Docker's list).
const READONLY_PATHS: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Where the worker has put things, and what it found out.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a finding of its own about the host"
)]
#[derive(Debug, Clone)]
pub(crate) struct Placement<'a> {
    /// The mounted root file system.
    pub(crate) rootfs: &'a Path,
    /// What becomes `/tmp`.
    pub(crate) tmp: &'a Path,
    /// Absolute path below the root of each cgroup hierarchy.
    pub(crate) cgroup: &'a Path,
    /// The CPUs to confine it to, as the cpuset controller writes them.
    pub(crate) cpuset: Option<String>,
    /// Further paths that must not be read, whether they exist or not.
    pub(crate) masked: &'a [String],
    /// Files, and the path that each one covers.
    pub(crate) covers: Vec<(PathBuf, String)>,
    /// Bytes that `/tmp` may charge to the memory limit: 0 when it is exact.
    pub(crate) tmp_charged_bytes: u64,
    /// Whether there are cgroups to put limits into.
    pub(crate) limited: bool,
    /// There is one id only: the executor gives it the function's number, for which
    /// it needs a right until then.
    pub(crate) one_id: bool,
    /// The worker has made the namespace of the host name, as far as it may.
    pub(crate) named: bool,
    /// The worker has mounted what becomes `/sys`. A container whose own is read-only
    /// may have another only if it is so from the start, and libcontainer changes it
    /// afterwards.
    pub(crate) sysfs: Option<&'a Path>,
    /// Whether this host can deny swap; where it cannot, asking for it would be an
    /// error, and the service has warned.
    pub(crate) limits_swap: bool,
    /// Whether buffers of sockets count apart from the memory, and can be limited.
    pub(crate) limits_sockets: bool,
}

/// Builds the spec of a sandbox.
///
/// There is no network namespace in it: the worker has already moved into a new
/// one, where it bound the Runtime API's socket, and the container inherits it.
pub(crate) fn build(
    sandbox: &SandboxSpec,
    placement: &Placement<'_>,
) -> Result<Spec, OciSpecError> {
    let mut spec = SpecBuilder::default()
        .version("1.2.0")
        .root(
            RootBuilder::default()
                .path(placement.rootfs)
                // The overlay has no upper directory: it is read-only below
                // the mount flag, and a remount would cost time for nothing.
                .readonly(false)
                .build()?,
        )
        .process(process(sandbox, placement.one_id)?)
        .mounts(mounts(sandbox.host_shell.as_deref(), placement)?)
        .linux(linux(sandbox, placement)?)
        .build()?;
    // The builder has a name of its own.
    spec.set_hostname((!placement.named).then(|| HOSTNAME.to_owned()));
    Ok(spec)
}

fn process(sandbox: &SandboxSpec, one_id: bool) -> Result<Process, OciSpecError> {
    let (user, group) = if one_id { (0, 0) } else { (USER_ID, GROUP_ID) };
    let rights: &[Capability] = if one_id { &[Capability::Setfcap] } else { &[] };
    ProcessBuilder::default()
        .terminal(false)
        .user(
            UserBuilder::default()
                .uid(user)
                .gid(group)
                .additional_gids([])
                .umask(0o022_u32)
                .build()?,
        )
        .args(sandbox.args.clone())
        .env(sandbox.env.clone())
        .cwd(sandbox.working_directory.clone())
        .capabilities(
            LinuxCapabilitiesBuilder::default()
                .bounding(rights.iter().copied().collect::<Capabilities>())
                .effective(rights.iter().copied().collect::<Capabilities>())
                .inheritable([])
                .permitted(rights.iter().copied().collect::<Capabilities>())
                .ambient([])
                .build()?,
        )
        .rlimits([
            rlimit(PosixRlimitType::RlimitNofile, MAX_DESCRIPTORS)?,
            // A core file would be the host's business: core_pattern is global.
            rlimit(PosixRlimitType::RlimitCore, 0)?,
        ])
        .no_new_privileges(true)
        .oom_score_adj(OOM_SCORE_ADJ)
        .build()
}

fn rlimit(kind: PosixRlimitType, value: u64) -> Result<PosixRlimit, OciSpecError> {
    PosixRlimitBuilder::default()
        .typ(kind)
        .soft(value)
        .hard(value)
        .build()
}

/// No `/dev/shm` and no `/dev/mqueue`: Lambda has none, and functions that need
/// them fail there. No `/dev/pts`: there are no terminals.
fn mounts(
    host_shell: Option<&Path>,
    placement: &Placement<'_>,
) -> Result<Vec<Mount>, OciSpecError> {
    let mount = |destination: &str, kind: &str, source: PathBuf, options: &[&str]| {
        MountBuilder::default()
            .destination(destination)
            .typ(kind)
            .source(source)
            .options(
                options
                    .iter()
                    .map(|option| (*option).to_owned())
                    .collect::<Vec<_>>(),
            )
            .build()
    };
    let mut mounts = vec![
        mount(
            "/proc",
            "proc",
            "proc".into(),
            &["nosuid", "noexec", "nodev"],
        )?,
        mount(
            "/dev",
            "tmpfs",
            "tmpfs".into(),
            &["nosuid", "noexec", "mode=755", "size=64k", "nr_inodes=64"],
        )?,
        match placement.sysfs {
            None => mount(
                "/sys",
                "sysfs",
                "sysfs".into(),
                &["nosuid", "noexec", "nodev", "ro"],
            )?,
            Some(mounted) => mount(
                "/sys",
                "bind",
                mounted.to_owned(),
                &["bind", "nosuid", "noexec", "nodev", "ro"],
            )?,
        },
        mount(
            "/tmp",
            "bind",
            placement.tmp.to_owned(),
            &["bind", "nosuid", "nodev"],
        )?,
    ];
    for (file, covered) in &placement.covers {
        let options = ["bind", "ro", "nosuid", "nodev", "noexec"];
        mounts.push(mount(covered, "bind", file.clone(), &options)?);
    }
    if let Some(program) = host_shell {
        let options = ["bind", "ro", "nosuid", "nodev"];
        mounts.push(mount(HOST_SHELL, "bind", program.to_owned(), &options)?);
    }
    Ok(mounts)
}

fn linux(sandbox: &SandboxSpec, placement: &Placement<'_>) -> Result<Linux, OciSpecError> {
    let memory =
        i64::try_from(sandbox.memory_bytes + placement.tmp_charged_bytes).unwrap_or(i64::MAX);
    let mut cpu = LinuxCpuBuilder::default()
        .period(CPU_PERIOD_US)
        .quota(i64::try_from(sandbox.init_cpu_quota_us).unwrap_or(i64::MAX));
    if let Some(cpus) = &placement.cpuset {
        cpu = cpu.cpus(cpus.clone());
    }
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces(placement.named)?)
        .cgroups_path(placement.cgroup);
    if placement.limited {
        linux = linux.resources(
            LinuxResourcesBuilder::default()
                .devices([deny_all_devices()?])
                .memory(memory_limits(memory, placement)?)
                .cpu(cpu.build()?)
                .pids(
                    LinuxPidsBuilder::default()
                        .limit(i64::from(MAX_PROCESSES))
                        .build()?,
                )
                .build()?,
        );
    }
    linux
        .masked_paths(
            MASKED_PATHS
                .iter()
                .map(|path| (*path).to_owned())
                .chain(placement.masked.iter().cloned())
                .collect::<Vec<_>>(),
        )
        .readonly_paths(
            READONLY_PATHS
                .iter()
                .map(|path| (*path).to_owned())
                .collect::<Vec<_>>(),
        )
        .build()
}

/// Equal limits for memory and memory with swap: no swap.
fn memory_limits(bytes: i64, placement: &Placement<'_>) -> Result<LinuxMemory, OciSpecError> {
    let mut limits = LinuxMemoryBuilder::default().limit(bytes);
    if placement.limits_swap {
        limits = limits.swap(bytes);
    }
    if placement.limits_sockets {
        let (parts, whole) = SOCKET_SHARE;
        limits = limits.kernel_tcp(bytes / whole * parts);
    }
    limits.build()
}

fn namespaces(named: bool) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    [
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Cgroup,
    ]
    .into_iter()
    .filter(|kind| !named || *kind != LinuxNamespaceType::Uts)
    .map(|kind| LinuxNamespaceBuilder::default().typ(kind).build())
    .collect()
}

/// libcontainer adds the few devices that every container has.
fn deny_all_devices() -> Result<LinuxDeviceCgroup, OciSpecError> {
    LinuxDeviceCgroupBuilder::default()
        .allow(false)
        .access("rwm")
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambent_images::RootMount;

    fn sandbox() -> SandboxSpec {
        SandboxSpec {
            root: RootMount::Overlay { lower_dirs: vec![] },
            attachments: vec![],
            args: vec!["/main".to_owned()],
            env: vec!["A=b".to_owned()],
            working_directory: "/var/task".into(),
            memory_bytes: 128 << 20,
            init_cpu_quota_us: 20_000,
            visible_cpus: 2,
            slice_excess_ns: 0,
            tmp_bytes: 512 << 20,
            host_shell: None,
        }
    }

    fn built(tmp_charged_bytes: u64) -> serde_json::Value {
        built_at(&Placement {
            tmp_charged_bytes,
            ..placement()
        })
    }

    fn built_at(placement: &Placement<'_>) -> serde_json::Value {
        serde_json::to_value(build(&sandbox(), placement).unwrap()).unwrap()
    }

    fn placement() -> Placement<'static> {
        Placement {
            rootfs: Path::new("/mnt/rootfs"),
            tmp: Path::new("/mnt/tmp"),
            cgroup: Path::new("/lambent/s/1"),
            cpuset: Some("1,3".to_owned()),
            masked: &[],
            covers: vec![("/mnt/cpuinfo".into(), "/proc/cpuinfo".to_owned())],
            tmp_charged_bytes: 0,
            limited: true,
            one_id: false,
            named: false,
            sysfs: None,
            limits_swap: true,
            limits_sockets: true,
        }
    }

    #[test]
    fn without_cgroups_nothing_asks_for_them() {
        let spec = built_at(&Placement {
            limited: false,
            ..placement()
        });
        // The builder leaves an empty list of rules for devices.
        let resources = &spec["linux"]["resources"];
        assert_eq!(resources, &serde_json::json!({"devices": []}));
        assert_eq!(spec["process"]["user"]["uid"], 993);
    }

    #[test]
    fn what_the_worker_has_made_is_not_made_again() {
        let spec = built_at(&Placement {
            named: true,
            sysfs: Some(Path::new("/mnt/sys")),
            ..placement()
        });
        assert_eq!(spec["mounts"][2]["destination"], "/sys");
        assert_eq!(spec["mounts"][2]["source"], "/mnt/sys");
        assert!(spec["hostname"].is_null(), "{spec}");
        let namespaces = spec["linux"]["namespaces"].to_string();
        assert!(!namespaces.contains("uts"), "{namespaces}");
    }

    #[test]
    fn what_tells_of_the_host_is_masked() {
        let further = ["/sys/cpu0/thermal_throttle".to_owned()];
        let spec = built_at(&Placement {
            masked: &further,
            ..placement()
        });
        let masked = spec["linux"]["maskedPaths"].as_array().unwrap();
        for path in ["/proc/interrupts", "/sys/firmware", &further[0]] {
            assert!(masked.iter().any(|one| one == path), "{path}: {masked:?}");
        }
    }

    #[test]
    fn a_single_id_keeps_the_right_to_become_lambdas() {
        let spec = built_at(&Placement {
            one_id: true,
            ..placement()
        });
        let process = &spec["process"];
        assert_eq!(process["user"]["uid"], 0);
        for set in ["bounding", "effective", "permitted"] {
            let rights = &process["capabilities"][set];
            assert_eq!(rights, &serde_json::json!(["CAP_SETFCAP"]), "{set}");
        }
        assert_eq!(process["capabilities"]["ambient"], serde_json::json!([]));
    }

    #[test]
    fn the_sandbox_is_lambdas() {
        let spec = built(0);
        let process = &spec["process"];
        assert_eq!(process["user"]["uid"], 993);
        assert_eq!(process["user"]["gid"], 990);
        assert_eq!(process["noNewPrivileges"], true);
        for set in [
            "bounding",
            "effective",
            "inheritable",
            "permitted",
            "ambient",
        ] {
            assert_eq!(process["capabilities"][set], serde_json::json!([]), "{set}");
        }
        let resources = &spec["linux"]["resources"];
        assert_eq!(resources["memory"]["limit"], 128 << 20);
        assert_eq!(resources["memory"]["swap"], 128 << 20);
        assert_eq!(resources["memory"]["kernelTCP"], 12 << 20);
        assert_eq!(resources["cpu"]["quota"], 20_000);
        assert_eq!(resources["cpu"]["period"], 20_000);
        assert_eq!(resources["cpu"]["cpus"], "1,3");
        assert_eq!(resources["pids"]["limit"], 1_024);
        let destinations: Vec<_> = spec["mounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mount| mount["destination"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            destinations,
            ["/proc", "/dev", "/sys", "/tmp", "/proc/cpuinfo"]
        );
        let namespaces: Vec<_> = spec["linux"]["namespaces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|namespace| namespace["type"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(namespaces, ["uts", "pid", "mount", "ipc", "cgroup"]);
        assert_eq!(spec["hostname"], "localhost");
    }

    #[test]
    fn what_cannot_be_limited_is_left_out() {
        for (limits_swap, limits_sockets) in [(false, true), (true, false)] {
            let spec = built_at(&Placement {
                limits_swap,
                limits_sockets,
                ..placement()
            });
            let memory = &spec["linux"]["resources"]["memory"];
            assert_eq!(memory["limit"], 128 << 20);
            assert_eq!(memory["swap"].is_null(), !limits_swap, "{memory}");
            assert_eq!(memory["kernelTCP"].is_null(), !limits_sockets, "{memory}");
        }
    }

    #[test]
    fn a_charged_tmp_raises_the_memory_limit_by_its_size() {
        let spec = built(512 << 20);
        assert_eq!(spec["linux"]["resources"]["memory"]["limit"], 640 << 20);
    }
}

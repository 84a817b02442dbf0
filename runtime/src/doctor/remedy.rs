//! The commands that mend gaps, for the place where Lambent runs. Commands, not
//! advice: each can be pasted, or put into the file that it names.

use super::facts::{CgroupLayout, Facts, Place, Refusal};

/// How the container that this is gets all that functions need; none outside of
/// containers. In all of them functions need the rights to mount and to make
/// namespaces, a writable cgroup hierarchy whose root may have controllers (a
/// private cgroup namespace on v2 has processes there, which forbids it), the
/// nodes of loop devices that come and go, and a store that is not on overlayfs.
pub(super) fn container(place: Place) -> Option<String> {
    const OPTIONS: &str =
        "--user 0 --privileged --cgroupns=host -v /dev:/dev -v lambent:/var/lib/lambent";
    match place {
        Place::Machine | Place::Wsl => None,
        Place::Docker => Some(format!("docker run {OPTIONS} IMAGE lambent …")),
        Place::Podman => Some(format!("sudo podman run {OPTIONS} IMAGE lambent …")),
        Place::GithubContainer => Some(format!(
            "in the workflow, `container: {{image: IMAGE, options: {OPTIONS}}}`; or a job without \
             `container`, with `sudo lambent …`"
        )),
        Place::Kubernetes => Some(
            "in the pod, `securityContext: {runAsUser: 0, privileged: true}`, hostPath volumes at \
             /dev and /sys/fs/cgroup, and an emptyDir at /var/lib/lambent"
                .to_owned(),
        ),
        Place::Container => Some(
            "start the container as root, privileged, with the host's cgroup namespace, the \
             host's /dev, and a volume at /var/lib/lambent"
                .to_owned(),
        ),
    }
}

/// How a container without privileges gets what a user namespace in it needs: the
/// system calls that make one, and a `/proc` and `/sys` that nothing is mounted over,
/// without which the kernel gives no new ones. None outside of containers.
pub(super) fn nested(place: Place) -> Option<String> {
    match place {
        Place::Machine | Place::Wsl => None,
        Place::Docker => Some(
            "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
             --security-opt systempaths=unconfined IMAGE lambent …"
                .to_owned(),
        ),
        Place::Podman => Some("podman run --security-opt unmask=ALL IMAGE lambent …".to_owned()),
        Place::GithubContainer => Some(
            "in the workflow, `container: {image: IMAGE, options: --security-opt \
             seccomp=unconfined --security-opt apparmor=unconfined --security-opt \
             systempaths=unconfined}`; or a job without `container`"
                .to_owned(),
        ),
        Place::Kubernetes => Some(
            "in the pod, `hostUsers: false` and `securityContext: {procMount: Unmasked, \
             seccompProfile: {type: Unconfined}}`"
                .to_owned(),
        ),
        Place::Container => Some(
            "start the container without a seccomp profile that forbids `unshare` and `mount`, \
             and with /proc and /sys unmasked"
                .to_owned(),
        ),
    }
}

/// How an ordinary user gets ids besides its own.
pub(super) fn subordinate_ids(uid: u32) -> String {
    format!(
        "sudo apt-get install -y uidmap && sudo usermod --add-subuids 100000-165535 \
         --add-subgids 100000-165535 $(id -un {uid}) (with a range that nobody else has)"
    )
}

/// How an ordinary user gets cgroups: systemd delegates them, v1 never does.
pub(super) fn delegation(facts: &Facts) -> String {
    if facts.place.is_container() {
        return root(facts);
    }
    "systemd-run --user --scope -p Delegate=yes lambent …, on cgroup v2; or sudo lambent …"
        .to_owned()
}

/// How to get root.
pub(super) fn root(facts: &Facts) -> String {
    let outside = facts
        .namespace
        .as_ref()
        .map_or(facts.user.uid, |namespace| namespace.user);
    let own = if outside == 0 {
        "sudo lambent …, as another user of the host"
    } else {
        "sudo lambent …"
    };
    container(facts.place).unwrap_or_else(|| own.to_owned())
}

/// Kernel parameters that last, with a reboot.
fn kernel_parameters(facts: &Facts, parameters: &str) -> String {
    if facts.raspberry_pi {
        // One line, whose later words win over what the firmware puts first.
        return format!(
            "sudo sed -i '1s/$/ {parameters}/' /boot/firmware/cmdline.txt && sudo reboot"
        );
    }
    format!(
        "echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {parameters}\"' | sudo tee -a \
         /etc/default/grub.d/lambent.cfg && sudo update-grub && sudo reboot"
    )
}

/// The memory controller turned on.
pub(super) fn memory_controller(facts: &Facts) -> String {
    if facts.cgroups.memory_disabled {
        let parameters = "cgroup_enable=memory cgroup_memory=1";
        return kernel_parameters(facts, parameters);
    }
    controller(facts, "memory")
}

/// A cgroup hierarchy that can be used.
pub(super) fn hierarchy(facts: &Facts) -> String {
    container(facts.place)
        .unwrap_or_else(|| "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup".to_owned())
}

/// A hierarchy in which groups can be made.
pub(super) fn writable_groups(facts: &Facts, refusal: &Refusal) -> String {
    container(facts.place).unwrap_or_else(|| {
        if refusal.errno == libc::EROFS {
            "for root in $(awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts); do sudo mount -o \
             remount,bind,rw $root; done"
                .to_owned()
        } else {
            root(facts)
        }
    })
}

/// A controller for groups of one's own. `EBUSY` is v2's answer where processes
/// are in the group that is to hand its controllers on.
pub(super) fn controller(facts: &Facts, name: &str) -> String {
    let cgroups = &facts.cgroups;
    let delegation = cgroups.delegation.refusal();
    if delegation.is_some_and(|refusal| refusal.errno == libc::EBUSY) {
        return "cd /sys/fs/cgroup && mkdir -p init && for pid in $(cat cgroup.procs); do echo \
                $pid > init/cgroup.procs; done 2>/dev/null; echo '+cpu +memory +pids' > \
                cgroup.subtree_control"
            .to_owned();
    }
    container(facts.place).unwrap_or_else(|| match cgroups.layout {
        CgroupLayout::Legacy | CgroupLayout::Hybrid => {
            let directory = format!("/sys/fs/cgroup/{name}");
            format!(
                "sudo mkdir -p {directory} && sudo mount -t cgroup -o {name} {name} {directory}"
            )
        }
        // One that v1 has taken is none of v2's.
        CgroupLayout::Unified | CgroupLayout::None => {
            kernel_parameters(facts, "cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1")
        }
    })
}

/// Swap that is limited, or none.
pub(super) fn swap(facts: &Facts) -> String {
    let off = "sudo swapoff -a";
    if facts.place.is_container() || facts.cgroups.layout == CgroupLayout::Unified {
        return format!("{off} (on the host; until the next boot)");
    }
    format!(
        "{off} (until the next boot), or {}",
        kernel_parameters(facts, "swapaccount=1")
    )
}

/// A module that the kernel may have, but not loaded.
pub(super) fn module(facts: &Facts, module: &str) -> String {
    let load = format!("sudo modprobe {module}");
    if facts.place.is_container() {
        format!("{load} (on the host)")
    } else {
        load
    }
}

/// A setting of the kernel, for good.
pub(super) fn sysctl(name: &str, value: u64) -> String {
    format!(
        "echo {name}={value} | sudo tee -a /etc/sysctl.d/60-lambent.conf && sudo sysctl --system"
    )
}

/// The programs that make the file system of `/tmp`.
pub(super) fn e2fsprogs(facts: &Facts) -> String {
    if facts.user.uid == 0 {
        "apt-get install -y e2fsprogs".to_owned()
    } else {
        "sudo apt-get install -y e2fsprogs".to_owned()
    }
}

/// Another file system for the store.
pub(super) fn another_store(facts: &Facts) -> String {
    match facts.place {
        Place::Docker => "docker run -v lambent:/var/lib/lambent …".to_owned(),
        Place::Podman => "podman run -v lambent:/var/lib/lambent …".to_owned(),
        Place::GithubContainer => {
            "in the workflow, `container: {volumes: [\"lambent:/var/lib/lambent\"]}`".to_owned()
        }
        Place::Kubernetes => "in the pod, an emptyDir at /var/lib/lambent".to_owned(),
        Place::Machine | Place::Wsl | Place::Container => {
            "lambent --root DIR …, with a directory on ext4 or xfs".to_owned()
        }
    }
}

//! Which cgroup hierarchies this host has mounted, and where.

use std::io;
use std::path::{Path, PathBuf};

use super::super::user_namespace;

/// Where a hierarchy is mounted for a user namespace, which is where libcontainer
/// looks for it.
pub(crate) const OWN_VIEW: &str = "/sys/fs/cgroup";

/// The mounted hierarchies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hierarchies {
    /// v1: (controllers or name, mount point).
    v1: Vec<(Vec<String>, PathBuf)>,
    /// v2: mount point.
    v2: Option<PathBuf>,
}

impl Hierarchies {
    /// Reads this process's mount table. In a user namespace there is one hierarchy
    /// that counts, or none.
    pub(crate) fn discover() -> io::Result<Self> {
        if let Some(namespace) = user_namespace::current() {
            return Ok(match namespace.ungrouped {
                Some(_) => Self::default(),
                None => Self::own_view(),
            });
        }
        Ok(parse_mounts(&std::fs::read_to_string("/proc/self/mounts")?))
    }

    /// The one that is mounted over all others where this process's own group is the
    /// root of it.
    pub(crate) fn own_view() -> Self {
        Self {
            v1: vec![],
            v2: Some(OWN_VIEW.into()),
        }
    }

    /// Whether there are none: then nothing limits, counts or freezes.
    pub(crate) fn is_empty(&self) -> bool {
        self.v1.is_empty() && self.v2.is_none()
    }

    /// Whether the controllers are v2's. Mixed hosts have theirs in v1.
    pub(crate) fn unified(&self) -> bool {
        !self.v1.iter().any(|(controllers, _)| {
            controllers
                .iter()
                .any(|controller| controller == "memory" || controller == "cpu")
        })
    }

    /// The v2 hierarchy, wherever it is mounted.
    pub(crate) fn v2(&self) -> Option<&Path> {
        self.v2.as_deref()
    }

    /// The v1 hierarchy of a controller.
    pub(crate) fn v1(&self, controller: &str) -> Option<&Path> {
        self.v1
            .iter()
            .find(|(controllers, _)| controllers.iter().any(|name| name == controller))
            .map(|(_, path)| path.as_path())
    }

    /// Whether the controller can be used, in whichever version it is.
    pub(crate) fn has(&self, controller: &str) -> bool {
        if !self.unified() {
            return self.v1(controller).is_some();
        }
        let available = self
            .v2()
            .and_then(|root| std::fs::read_to_string(root.join("cgroup.controllers")).ok());
        available.is_some_and(|list| list.split_whitespace().any(|name| name == controller))
    }

    /// Whether groups can be denied swap. v1 counts swap only where the kernel was
    /// told to (`swapaccount=1`), v2 always.
    pub(crate) fn limits_swap(&self) -> bool {
        self.v1("memory")
            .is_none_or(|root| root.join("memory.memsw.limit_in_bytes").exists())
    }

    /// Whether buffers of TCP and UDP count apart from a group's memory, and can be
    /// limited. v1 does not count them at all until they are; v2 counts them as memory.
    pub(crate) fn limits_sockets(&self) -> bool {
        self.v1("memory")
            .is_some_and(|root| root.join("memory.kmem.tcp.limit_in_bytes").exists())
    }

    /// Every mount point, each once.
    pub(crate) fn mount_points(&self) -> impl Iterator<Item = &Path> {
        self.v1
            .iter()
            .map(|(_, path)| path.as_path())
            .chain(self.v2.as_deref())
    }
}

/// Parses a mount table in the form of `/proc/self/mounts`. The first mount of
/// a hierarchy wins.
fn parse_mounts(table: &str) -> Hierarchies {
    let mut found = Hierarchies::default();
    for line in table.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(path), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        // Spaces and the like are octal escapes, which no cgroup mount uses.
        let path = PathBuf::from(path);
        match kind {
            "cgroup2" if found.v2.is_none() => found.v2 = Some(path),
            "cgroup" => {
                let controllers: Vec<String> = options
                    .split(',')
                    .filter(|option| !GENERIC_OPTIONS.contains(option))
                    .map(str::to_owned)
                    .collect();
                if !found.v1.iter().any(|(known, _)| *known == controllers) {
                    found.v1.push((controllers, path));
                }
            }
            _ => {}
        }
    }
    found
}

/// Mount options that are not controllers.
const GENERIC_OPTIONS: &[&str] = &[
    "rw",
    "ro",
    "nosuid",
    "nodev",
    "noexec",
    "relatime",
    "noatime",
    "seclabel",
    "xattr",
    "clone_children",
    "noprefix",
    "favordynmods",
    "nofavordynmods",
];

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
proc /proc proc rw,relatime 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
";
    const UNIFIED: &str =
        "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate 0 0\n";
    const COMOUNTED: &str = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,nodev,noexec,relatime,cpu,cpuacct 0 0\n";

    #[test]
    fn the_three_layouts() {
        let hybrid = parse_mounts(HYBRID);
        assert!(!hybrid.unified());
        assert_eq!(
            hybrid.v1("memory"),
            Some(Path::new("/sys/fs/cgroup/memory"))
        );
        assert_eq!(hybrid.v1("freezer"), None);
        assert_eq!(hybrid.v2(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(hybrid.mount_points().count(), 4);

        let unified = parse_mounts(UNIFIED);
        assert!(unified.unified());
        assert_eq!(unified.v2(), Some(Path::new("/sys/fs/cgroup")));

        let comounted = parse_mounts(COMOUNTED);
        assert_eq!(comounted.v1("cpuacct"), comounted.v1("cpu"));
        assert_eq!(comounted.v2(), None);
    }
}

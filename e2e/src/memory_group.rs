//! The memory cgroup of an environment, as whoever looks after the host sees it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// The group that a process's memory counts in, in either version.
#[derive(Debug)]
pub struct MemoryGroup {
    path: PathBuf,
}

impl MemoryGroup {
    /// That of a process.
    ///
    /// # Panics
    /// If there is none.
    pub fn of(pid: u32) -> Self {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("groups");
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the mount table");
        let found = groups.lines().filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let root = mounts.lines().find_map(|mount| {
                let fields: Vec<_> = mount.split(' ').collect();
                let ours = if controllers.is_empty() {
                    fields[2] == "cgroup2"
                } else {
                    fields[2] == "cgroup" && fields[3].split(',').any(|name| name == "memory")
                };
                ours.then(|| Path::new(fields[1]))
            })?;
            let path = root.join(path.trim_start_matches('/'));
            let ours =
                controllers.is_empty() || controllers.split(',').any(|name| name == "memory");
            (ours && (is_v1(&path) || path.join("memory.current").exists())).then_some(path)
        });
        let path = found.into_iter().next().expect("a memory group");
        Self { path }
    }

    /// Bytes that count in it.
    ///
    /// # Panics
    /// If it is gone.
    pub fn charged(&self) -> u64 {
        let file = if is_v1(&self.path) {
            "memory.usage_in_bytes"
        } else {
            "memory.current"
        };
        let text = fs::read_to_string(self.path.join(file)).expect("a group");
        text.trim().parse().expect("a number")
    }

    /// Has the kernel look for somebody to kill in it, which is limited to so many
    /// megabytes. Who wants them is to be waited for, if there is anybody.
    ///
    /// # Panics
    /// If it cannot be done.
    pub fn exhaust(&self, limit_mb: u32) -> Option<Child> {
        if !is_v1(&self.path) {
            // Whoever came in here would be frozen too.
            fs::write(self.path.join("memory.max"), "0").expect("a limit");
            return None;
        }
        // More than all of it, and for a while, but nobody alone has as much as its rank
        // takes a function to have: that goes first.
        let hog_mb = limit_mb / 4;
        let script = format!(
            "echo $$ >\"$1\" || exit; \
             for n in 1 2 3 4 5; do (head -c {hog_mb}M /dev/zero; sleep 30) | tail >/dev/null & done; \
             wait"
        );
        let mut hogs = Command::new("sh");
        hogs.args(["-c", &script, "sh"])
            .arg(self.path.join("cgroup.procs"));
        Some(hogs.spawn().expect("a shell"))
    }
}

/// Whether groups here count buffers of sockets as memory, as v2 does.
pub fn counts_sockets() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn is_v1(group: &Path) -> bool {
    group.join("memory.usage_in_bytes").exists()
}

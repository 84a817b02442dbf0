//! The program as an ordinary user starts it: without any right, with or without
//! subordinate ids, in a mount namespace in which the user exists.
//!
//! Nothing of the host changes: `/etc` gets its additions as an overlay, and the
//! program and the images, which may be in a directory of somebody else, are bound
//! to a place that the user can read.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{fixtures, leftovers, program};

/// A number that no host gives to anybody by itself.
pub const USER: u32 = 20_001;

/// The first subordinate id, and how many there are.
const SUBORDINATE: (u32, u32) = (300_000_000, 65_536);

/// The ids that the user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// A range for users and groups each.
    Subordinate,
    /// None but its own.
    Single,
}

/// One user, with a home directory.
#[derive(Debug)]
pub(crate) struct Ordinary {
    place: PathBuf,
    ids: Ids,
    /// The cgroup that its programs are started in.
    group: Option<PathBuf>,
}

/// What is done as root, before the program starts without any right. $1 is the
/// place, $2 the program, $3 the images, $4 the user, $5 its cgroup or nothing.
const SCRIPT: &str = r#"
set -e
place=$1 user=$4
[ -z "$5" ] || echo $$ >"$5/cgroup.procs"
mount --bind "$2" "$place/lambent"
mount --bind "$3" "$place/fixtures"
mount -t overlay -o "lowerdir=$place/etc:/etc" none /etc
shift 5
exec setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all "$place/lambent" "$@"
"#;

impl Ordinary {
    /// Makes the user's things in the directory `place`.
    pub(crate) fn new(place: &Path, ids: Ids) -> Self {
        let directory = |name: &str| {
            let path = place.join(name);
            fs::create_dir(&path).expect("a directory");
            path
        };
        let etc = directory("etc");
        directory("fixtures");
        let home = directory("home");
        fs::write(place.join("lambent"), "").expect("a file");
        // A machine that is made for tests may have no users.
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let line = format!("lambent-e2e:x:{USER}:{USER}::/:/bin/sh\n");
        fs::write(etc.join("passwd"), passwd + &line).expect("a file");
        let (first, count) = SUBORDINATE;
        let range = match ids {
            Ids::Subordinate => format!("lambent-e2e:{first}:{count}\n"),
            Ids::Single => String::new(),
        };
        for name in ["subuid", "subgid"] {
            fs::write(etc.join(name), &range).expect("a file");
        }
        for path in [place, &etc] {
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("permissions");
        }
        chown(&home, Some(USER), Some(USER)).expect("a home directory");
        Self {
            place: place.to_owned(),
            ids,
            group: None,
        }
    }

    /// The same, in this cgroup.
    pub(crate) fn within(self, group: &Path) -> Self {
        let group = Some(group.to_owned());
        Self { group, ..self }
    }

    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", SCRIPT, "sh"])
            .arg(&self.place)
            .arg(program())
            .arg(fixtures::directory())
            .arg(USER.to_string())
            .arg(self.group.as_deref().unwrap_or_else(|| Path::new("")))
            .args(arguments)
            .env("HOME", self.place.join("home"))
            .env_remove("LAMBENT_ROOT")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_RUNTIME_DIR");
        command
    }

    /// Where the installation is.
    pub(crate) fn root(&self) -> PathBuf {
        self.place.join("home/.local/share/lambent")
    }

    /// Where the user sees a file of the fixtures.
    pub(crate) fn fixtures(&self) -> PathBuf {
        self.place.join("fixtures")
    }

    /// The ids that the user has.
    pub(crate) fn ids(&self) -> Ids {
        self.ids
    }
}

/// The processes of the user and of its subordinate ids.
///
/// # Panics
/// If `/proc` cannot be read.
pub fn processes() -> Vec<String> {
    let (first, count) = SUBORDINATE;
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
            let uid: u32 = uid.split_whitespace().next()?.parse().ok()?;
            let is_users = uid == USER || (first..first + count).contains(&uid);
            (is_users && leftovers::alive(pid))
                .then(|| format!("{pid}: {}", status.replace('\n', "; ")))
        })
        .collect()
}

//! Moving this process into a user namespace in which it is root.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::pipe::PipeFlags;
use rustix::process::{Pid, WaitOptions};
use rustix::thread::{CapabilitySet, UnshareFlags};

use super::{UserNamespace, adopt, groups, ids, refuse};
use crate::sys::{self, Fork};

/// What is new besides the user namespace: mounts, and the view of cgroups that
/// makes the own one the root.
const WITH_IT: UnshareFlags = UnshareFlags::NEWNS.union(UnshareFlags::NEWCGROUP);

/// Moves this process, which has one thread, to where it may make what functions
/// need: nowhere if it is the host's root; into new namespaces else, if it may. If
/// not, what the command can do without goes on, and the rest says why.
pub(crate) fn enter_if_needed() {
    let map = read("/proc/self/uid_map");
    let user = rustix::process::geteuid();
    let administers = user.is_root() && has(CapabilitySet::SYS_ADMIN);
    if administers && ids::is_whole(&map) {
        return;
    }
    let entered = if administers {
        // Somebody has made a user namespace already.
        sys::unshare(WITH_IT).map(|()| None)
    } else {
        enter()
    };
    match entered {
        Ok(failed) => {
            let users = ids::inside(&read("/proc/self/uid_map"));
            let owners = ids::owners(users, ids::inside(&read("/proc/self/gid_map")));
            let mut namespace = UserNamespace {
                user: user.as_raw(),
                owners,
                single: None,
                ungrouped: groups::divide().err(),
            };
            if namespace.has_one_id() {
                let reason = failed.unwrap_or_else(|| {
                    "the user namespace that this runs in has too few".to_owned()
                });
                namespace.single = Some(reason);
            }
            adopt(namespace);
        }
        Err(error) => refuse(error.to_string()),
    }
}

/// How the ids of the new namespace come about.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, at the start of a process"
)]
enum Plan {
    /// This process may map all ids that it has: root of a container.
    Identity { users: String, groups: String },
    /// newuidmap and newgidmap map what `/etc/subuid` and `/etc/subgid` have.
    Subordinate {
        users: [String; 6],
        groups: [String; 6],
    },
    /// One id is all that there is, for this reason.
    Single(String),
}

impl Plan {
    fn new() -> Self {
        let rights = [
            CapabilitySet::SETUID,
            CapabilitySet::SETGID,
            CapabilitySet::SETFCAP,
        ];
        if rights.into_iter().all(has) {
            let map = |name: &str| ids::identity(&ids::inside(&read(name)));
            return Self::Identity {
                users: map("/proc/self/uid_map"),
                groups: map("/proc/self/gid_map"),
            };
        }
        let uid = rustix::process::geteuid().as_raw();
        let passwd = read("/etc/passwd");
        let name = ids::name_of(&passwd, uid);
        let range = |table: &str| -> Result<Range<u32>, String> {
            ids::subordinate(&read(table), name, uid).ok_or_else(|| {
                format!(
                    "{table} has none for {}",
                    name.map_or_else(|| format!("uid {uid}"), str::to_owned)
                )
            })
        };
        match (range("/etc/subuid"), range("/etc/subgid")) {
            (Ok(users), Ok(groups)) => Self::Subordinate {
                users: ids::arguments(uid, &users),
                groups: ids::arguments(rustix::process::getegid().as_raw(), &groups),
            },
            (Err(reason), _) | (_, Err(reason)) => Self::Single(reason),
        }
    }

    /// Maps the ids of the process `pid`, which is in a new namespace, from the old.
    fn map(&self, pid: u32) -> Result<(), String> {
        match self {
            Self::Identity { users, groups } => {
                let write = |file: &str, map: &str| {
                    let path = format!("/proc/{pid}/{file}");
                    fs::write(&path, map).map_err(|error| format!("write {file}: {error}"))
                };
                write("gid_map", groups)?;
                write("uid_map", users)
            }
            Self::Subordinate { users, groups } => {
                run("newgidmap", pid, groups)?;
                run("newuidmap", pid, users)
            }
            Self::Single(reason) => Err(reason.clone()),
        }
    }
}

fn run(program: &str, pid: u32, arguments: &[String]) -> Result<(), String> {
    let output = Command::new(program)
        .arg(pid.to_string())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program} (package uidmap): {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} failed: {}", said.trim()))
}

/// Makes the namespaces. Returns why there is a single id, if there is.
fn enter() -> io::Result<Option<String>> {
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    attempt(uid, gid)?;
    let plan = Plan::new();
    let failed = if let Plan::Single(reason) = plan {
        unshare()?;
        Some(reason)
    } else {
        let mapper = Mapper::start(&plan)?;
        let unshared = unshare();
        let outcome = mapper.finish(unshared.is_ok());
        unshared?;
        outcome.err()
    };
    if failed.is_some() {
        map_own(uid, gid)?;
    }
    Ok(failed)
}

/// Does it in a child first: a process that is in a new namespace and not its root is
/// less than it was, and cannot return. `AppArmor` lets some make one in which they
/// may do nothing; root without `CAP_SETFCAP` may make one that it cannot be in.
fn attempt(uid: u32, gid: u32) -> io::Result<()> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    match sys::fork()? {
        Fork::Child => {
            let tried = unshare()
                .and_then(|()| map_own(uid, gid))
                .and_then(|()| groups::keep_mounts_here());
            let text = tried.err().map(|error| error.to_string());
            let _ = File::from(writer).write_all(text.unwrap_or_default().as_bytes());
            sys::exit_now(0)
        }
        Fork::Parent(pid) => {
            drop(writer);
            let mut text = String::new();
            let taken = File::from(reader).read_to_string(&mut text);
            let reaped = || rustix::process::waitpid(Some(pid), WaitOptions::empty());
            let _ = rustix::io::retry_on_intr(reaped);
            taken?;
            if text.is_empty() {
                Ok(())
            } else {
                Err(io::Error::other(text))
            }
        }
    }
}

fn unshare() -> io::Result<()> {
    sys::unshare(UnshareFlags::NEWUSER | WITH_IT)
        .map_err(|error| io::Error::new(error.kind(), format!("make a user namespace: {error}")))
}

/// Makes this process's own ids root of the new namespace, which needs no rights.
fn map_own(uid: u32, gid: u32) -> io::Result<()> {
    let write = |name: &str, text: String| {
        fs::write(format!("/proc/self/{name}"), text)
            .map_err(|error| io::Error::new(error.kind(), format!("write {name}: {error}")))
    };
    // Those of newgidmap, if newuidmap has failed after it.
    if ids::inside(&read("/proc/self/gid_map")).is_empty() {
        write("setgroups", "deny".to_owned())?;
        write("gid_map", format!("0 {gid} 1"))?;
    }
    write("uid_map", format!("0 {uid} 1"))
}

/// A child that stays in the old namespace, from where alone several ids can be
/// mapped.
struct Mapper {
    pid: Pid,
    go: OwnedFd,
    result: OwnedFd,
}

impl Mapper {
    fn start(plan: &Plan) -> io::Result<Self> {
        let (wait, go) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (result, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let parent = std::process::id();
        match sys::fork()? {
            Fork::Child => {
                drop(go);
                let mut told = [0];
                // The end without a word: there is nothing to map.
                if File::from(wait).read_exact(&mut told).is_ok() {
                    let text = plan.map(parent).err().unwrap_or_default();
                    let _ = File::from(writer).write_all(text.as_bytes());
                }
                sys::exit_now(0)
            }
            Fork::Parent(pid) => Ok(Self { pid, go, result }),
        }
    }

    fn finish(self, unshared: bool) -> Result<(), String> {
        let Self { pid, go, result } = self;
        let talk = || -> io::Result<String> {
            let mut text = String::new();
            let mut go = File::from(go);
            if unshared {
                go.write_all(b"!")?;
                File::from(result).read_to_string(&mut text)?;
            }
            Ok(text)
        };
        let talked = talk();
        let reaped = || rustix::process::waitpid(Some(pid), WaitOptions::empty());
        let _ = rustix::io::retry_on_intr(reaped);
        match talked {
            Ok(text) if text.is_empty() => Ok(()),
            Ok(text) => Err(text),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn has(capability: CapabilitySet) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(capability))
}

/// What is not there says nothing.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

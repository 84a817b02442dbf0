//! What lets an ordinary user run functions: a user namespace in which the whole
//! command is root, with a mount and a cgroup namespace of its own.
//!
//! The command moves itself there before it has a second thread, as Podman and
//! Buildah do without root, so that everything after that (store, launcher, probes)
//! is written once, for root. What such a root lacks is known here, and asked for
//! where it matters: whom files can belong to, and whether there are cgroups.
//!
//! | module | does |
//! |---|---|
//! | `ids` | pure: which ids there can be, from the system's tables |
//! | `enter` | makes the namespaces and maps the ids |
//! | `groups` | looks whether the command's own cgroup is the user's to divide |

mod enter;
mod groups;
mod ids;

use std::sync::OnceLock;

use lambent_images::Owners;
use serde::{Deserialize, Serialize};

pub(crate) use self::enter::enter_if_needed;

/// A user namespace that this process is the root of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserNamespace {
    /// Who that root is outside; 0 in containers.
    pub(crate) user: u32,
    /// Whom files can belong to.
    pub(crate) owners: Owners,
    /// Why there is a single id, where there is.
    pub(crate) single: Option<String>,
    /// Why there are no cgroups that could limit functions, if there are none.
    pub(crate) ungrouped: Option<Ungrouped>,
}

/// Why the command's own cgroup cannot be divided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ungrouped {
    /// The kernel's reason.
    pub(crate) reason: String,
    /// Other processes are in the group, which else would do.
    pub(crate) shared: bool,
}

impl UserNamespace {
    /// Whether there is a single id, which a function shares with everything.
    pub(crate) fn has_one_id(&self) -> bool {
        matches!(self.owners, Owners::One { .. })
    }
}

static CURRENT: OnceLock<UserNamespace> = OnceLock::new();
static REFUSED: OnceLock<String> = OnceLock::new();

/// The namespace of this process, unless it is the host's root, or an ordinary user
/// who has none.
pub(crate) fn current() -> Option<&'static UserNamespace> {
    CURRENT.get()
}

/// Why this process has none although it needs one.
pub(crate) fn refused() -> Option<&'static str> {
    REFUSED.get().map(String::as_str)
}

/// For the processes that a command starts: they are in its namespace.
pub(crate) fn adopt(namespace: UserNamespace) {
    lambent_images::set_owners(namespace.owners.clone());
    let _adopted_already = CURRENT.set(namespace);
}

fn refuse(reason: String) {
    let _refused_already = REFUSED.set(reason);
}

/// The user whose installation this is: who started the command.
pub(crate) fn user() -> u32 {
    current().map_or_else(
        || rustix::process::geteuid().as_raw(),
        |namespace| namespace.user,
    )
}

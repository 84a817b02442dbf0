//! Finding out what a host does, by doing it.
//!
//! What changes a process or needs a fork happens in a process of its own, a run
//! of this program with [`PROBE_COMMAND`]: it has one thread, as forks need, and
//! what it leaves undone ends with it. It tries what the worker and the launcher
//! do when they start a function, in the same order and with their own code where
//! that can be had apart.

mod cgroups;
mod child;
mod host;
mod process;
mod run;
mod storage;
mod views;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use crate::sandbox::user_namespace::{self, UserNamespace};
use crate::state::StateDirectories;

pub(crate) use run::ask;
pub use run::{PROBE_COMMAND, answer};

/// What the probing process needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Request {
    /// Where everything is kept.
    store: PathBuf,
    /// Where the file systems for `/tmp` are.
    storage: PathBuf,
    /// The user namespace of who asks.
    namespace: Option<UserNamespace>,
    /// Why there is none although it is needed.
    refused: Option<String>,
}

impl Request {
    fn of(directories: &StateDirectories) -> Self {
        Self {
            store: directories.persistent().to_owned(),
            storage: directories.storage(),
            namespace: user_namespace::current().cloned(),
            refused: user_namespace::refused().map(str::to_owned),
        }
    }
}

/// What can be seen without trying anything: cheap, and safe in any process.
pub(crate) fn look_around(directories: &StateDirectories) -> Facts {
    host::look_around(&Request::of(directories))
}

/// Everything. For a process with one thread.
fn try_everything(request: &Request) -> Facts {
    let mut facts = host::look_around(request);
    process::probe(&mut facts);
    if facts.user.may_try() {
        cgroups::probe(&mut facts.cgroups);
        storage::probe(request, &mut facts);
        views::probe(request, &mut facts);
    } else {
        facts.storage.mkfs = storage::probe_tools();
    }
    facts
}

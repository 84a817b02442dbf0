//! How many files and connections a command may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for all connections that a service accepts, and for hundreds of environments
/// whose functions connect as often as they may; and not so many that a program which
/// closes all that it might have inherited takes long.
const ENOUGH: u64 = 65_536;

/// Raises the soft limit of this process and of all that it starts. It is 1,024 in most
/// sessions, for the sake of programs that use select(2): a few clients and functions
/// that only connect would use that up, and everybody else's environments could not be
/// started. Functions have Lambda's limit, whatever this one is.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    if limit.current.is_some_and(|current| current < most) {
        let raised = Rlimit {
            current: Some(most),
            ..limit
        };
        // Without the right to it, it is what it was.
        let _ = setrlimit(Resource::Nofile, raised);
    }
}

//! What Lambent is compared with.
//!
//! | peer | what it is here |
//! |---|---|
//! | runc, crun, youki | `run` of the same image as a bundle, its own state directory |
//! | [`emulator`] | Lambda's runtime interface emulator and the function in a container of runc, with the host's network |
//! | [`echo`] | a server of hyper that gives back what it gets: no sandbox, no function |
//! | [`floor`] | system calls alone |
//! | [`podman`] | `podman run` of the same image, in a storage of its own |

pub(super) mod bundle;
pub(super) mod echo;
pub(super) mod emulator;
pub(super) mod floor;
pub(super) mod oci;
pub(super) mod podman;

use std::env;

/// Whether a program is on this machine's path.
pub(super) fn is_installed(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).any(|path| path.join(program).is_file())
}

//! The functions of a configuration file in a running service, which follow what
//! the file, their code and their images are on disk.
//!
//! | file | what |
//! |---|---|
//! | `file.rs` | which file, and what it wants |
//! | `source.rs` | where code is, and whether it has changed |
//! | `deployer.rs` | makes what the file wants, all or nothing |
//! | `look.rs` | looks again and again |
//! | `follower.rs` | follows the file and all that it names |
//! | `runtimes.rs` | follows the images of runtimes |

mod deployer;
mod file;
mod follower;
mod look;
mod runtimes;
mod source;

pub(crate) use self::file::{ConfigurationFile, TOML};
pub(crate) use self::follower::{Configured, Listener, Start};
pub(crate) use self::runtimes::RuntimeFollower;
pub(crate) use self::source::{Identity, image};

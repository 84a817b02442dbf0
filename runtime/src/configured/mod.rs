//! What a running service follows: a configuration file with the code and images of its
//! functions, the image of the command line, and those of runtimes.
//!
//! | file | what |
//! |---|---|
//! | `file.rs` | which file, and what it wants |
//! | `source.rs` | where code is, and whether it has changed |
//! | `deployer.rs` | makes what the file wants, all or nothing |
//! | `look.rs` | looks again and again |
//! | `follower.rs` | follows the file and all that it names |
//! | `image.rs` | follows the image of the command line |
//! | `runtimes.rs` | follows the images of runtimes |
//! | `retry.rs` | when to try again what could not be served |

mod deployer;
mod file;
mod follower;
mod image;
mod look;
mod retry;
mod runtimes;
mod source;

pub(crate) use self::file::{ConfigurationFile, TOML};
pub(crate) use self::follower::{Configured, Listener, Start};
pub(crate) use self::image::{ImageFollower, ImageSource};
pub(crate) use self::runtimes::RuntimeFollower;
pub(crate) use self::source::{Identity, image};

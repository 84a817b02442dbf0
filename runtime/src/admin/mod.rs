//! What commands ask of a running service: `lambent ps`, `logs` and `stop`.
//!
//! HTTP over a Unix socket that only root can use. Both ends are the same program,
//! so [`protocol`] has the types of both.

pub(crate) mod client;
pub(crate) mod protocol;
pub(crate) mod server;
pub(crate) mod socket;
mod status;

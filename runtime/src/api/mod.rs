//! The HTTP interfaces inside an environment: parsing and rendering only. What
//! a call means is decided by the environment's actor, to which each call goes.

mod error;
mod extensions;
mod respond;
mod runtime;
mod server;
mod stream;
mod subscriptions;

pub(crate) use error::ApiError;
pub(crate) use extensions::{EventForExtension, ExtensionRequest, Registered, SubscribeRefusal};
pub(crate) use runtime::{ApiCall, NextEvent, Posting};
pub(crate) use server::serve;
pub(crate) use stream::Content;
pub use stream::{ResponsePart, StreamError};

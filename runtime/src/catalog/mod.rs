//! The functions of an installation and what is decided about them: a request and
//! the state in, a new state and an answer, or Lambda's exception, out. Pure: times
//! and identifiers come in as a [`Moment`], files are somebody else's.
//!
//! | file | what |
//! |---|---|
//! | `record.rs` | what is kept of a function, as it is kept on disk |
//! | `settings.rs` | members of requests, their defaults and their checks |
//! | `functions.rs` | create, update, delete, publish |
//! | `configured.rs` | functions that a configuration file wants |
//! | `deployment.rs` | how a deployment ended |
//! | `aliases.rs`, `attributes.rs` | names for versions; concurrency, tags, URLs |
//! | `event_invoke.rs` | what happens to asynchronous events |
//! | `provisioned.rs` | provisioned concurrency |
//! | `permissions.rs` | resource policies |
//! | `without_effect.rs` | settings that are only kept |
//! | `layers.rs` | the versions of a layer |
//! | `shape.rs` | answers as Lambda words them |
//! | `paging.rs` | `Marker` and `MaxItems` |

mod account;
mod aliases;
mod attributes;
mod configured;
mod deployment;
mod event_invoke;
mod functions;
mod layers;
mod paging;
mod permissions;
mod provisioned;
mod record;
mod refusal;
mod settings;
mod shape;
#[cfg(test)]
mod tests;
mod without_effect;

pub(crate) use self::aliases::{CreateAlias, UpdateAlias};
pub(crate) use self::attributes::{UrlRequest, unqualified};
pub(crate) use self::configured::Wanted;
pub(crate) use self::deployment::Failed;
pub(crate) use self::event_invoke::EventInvokeRequest;
pub(crate) use self::functions::{PublishVersion, UpdateCode, check_code};
pub(crate) use self::layers::{LayerBook, LayerVersionArn, NewLayer, PublishLayer, layer_name};
pub(crate) use self::paging::Page;
pub(crate) use self::provisioned::Ready;
pub(crate) use self::record::{
    Catalog, Code, FunctionRecord, LayerUse, PackageSettings, Route, Settings, State, UrlRecord,
    VersionRecord,
};
pub(crate) use self::refusal::{Refusal, RefusalKind};
pub(crate) use self::settings::{
    CodeRequest, CreateFunction, UpdateConfiguration, check_layer_count, required,
};
pub(crate) use self::shape::Arns;
pub(crate) use self::without_effect::KeptSetting;

/// Lambda's limit on code and layers of a function together, unzipped, in bytes.
pub(crate) const UNZIPPED_LIMIT: u64 = 262_144_000;

/// Lambda's limit on an archive in a request, in bytes.
pub(crate) const ZIPPED_LIMIT: usize = 52_428_800;

/// Layers of one function.
pub(crate) const LAYERS_LIMIT: usize = 5;

/// What a decision takes from the clock and from chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Now, as `2026-01-01T00:00:00.000+0000`.
    pub(crate) at: String,
    /// A new `RevisionId`.
    pub(crate) revision_id: String,
}

impl Moment {
    /// This one.
    pub(crate) fn now() -> Self {
        Self {
            at: chrono::Utc::now()
                .format("%Y-%m-%dT%H:%M:%S%.3f+0000")
                .to_string(),
            revision_id: uuid::Uuid::new_v4().to_string(),
        }
    }
}

//! How deployments end: what was pending is active, or failed.

use super::Moment;
use super::record::{Catalog, Code, LastUpdate, State, VersionRecord};
use crate::model::{FunctionName, Version};

/// Why a deployment failed: `StateReasonCode` and `StateReason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) code: &'static str,
    pub(crate) reason: String,
}

impl Failed {
    /// The image, or an archive, was there once.
    pub(crate) const GONE: &'static str = "ImageDeleted";
    /// This host cannot do it.
    pub(crate) const HOST: &'static str = "InternalError";
}

impl Catalog {
    /// A deployment succeeded: what was pending is active. `digest` is that of the
    /// image.
    pub(crate) fn deployed(&mut self, name: &FunctionName, digest: &str, moment: &Moment) {
        let Some(function) = self.functions.get_mut(name) else {
            return;
        };
        function.previous = None;
        let versions = function.versions.values_mut();
        for record in std::iter::once(&mut function.latest).chain(versions) {
            if !record.is_unsettled() {
                continue;
            }
            record.state = State::Active;
            record.last_update = Some(LastUpdate::Successful);
            record.revision_id.clone_from(&moment.revision_id);
            if let Code::Image { digest: slot, .. } = &mut record.code {
                *slot = Some(digest.to_owned());
            }
        }
    }

    /// A service has begun, and made a version ready again or found that it cannot:
    /// its image is gone, or this host lacks something.
    pub(crate) fn restored(
        &mut self,
        name: &FunctionName,
        version: Version,
        outcome: Result<(), &Failed>,
    ) {
        let Some(function) = self.functions.get_mut(name) else {
            return;
        };
        let record = match version {
            // What serves during an update.
            Version::Latest => Some(
                function
                    .previous
                    .as_deref_mut()
                    .unwrap_or(&mut function.latest),
            ),
            Version::Number(number) => function.versions.get_mut(&number),
        };
        if let Some(record) = record {
            record.state = match outcome {
                Ok(()) => State::Active,
                Err(failed) => State::Failed {
                    code: failed.code.to_owned(),
                    reason: failed.reason.clone(),
                },
            };
        }
    }

    /// A deployment failed: a new function is `Failed`, an updated one is what it
    /// was.
    pub(crate) fn failed(&mut self, name: &FunctionName, failed: &Failed, moment: &Moment) {
        let Some(function) = self.functions.get_mut(name) else {
            return;
        };
        let (code, reason) = (failed.code.to_owned(), failed.reason.clone());
        if let Some(previous) = function.previous.take() {
            function.latest = *previous;
            function.latest.last_update = Some(LastUpdate::Failed {
                code: code.clone(),
                reason: reason.clone(),
            });
        } else {
            function.latest.state = State::Failed {
                code: code.clone(),
                reason: reason.clone(),
            };
            function.latest.last_update = None;
        }
        function.latest.revision_id.clone_from(&moment.revision_id);
        for version in function.versions.values_mut() {
            if version.is_unsettled() {
                version.state = State::Failed {
                    code: code.clone(),
                    reason: reason.clone(),
                };
                version.last_update = None;
            }
        }
    }
}

impl VersionRecord {
    /// Whether a service that begins is to make it ready: it was, or only something
    /// around it was missing.
    pub(crate) fn is_restorable(&self) -> bool {
        match &self.state {
            State::Active => true,
            State::Pending => false,
            State::Failed { code, .. } => code == Failed::GONE || code == Failed::HOST,
        }
    }
}

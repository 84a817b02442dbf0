//! From a record to something that can be invoked, in the background.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use lambent_images::{ImageReference, PackageLease, Platform};

use super::ControlPlane;
use crate::catalog::{
    Code, Failed, FunctionRecord, LayerUse, Moment, PackageSettings, State, VersionRecord,
};
use crate::images::{Display, ImageRequest, missing};
use crate::model::{FunctionName, Version};
use crate::service::{PreparedCode, PreparedImage};
use crate::service_error::ServiceError;

/// How long a registry may take to say that it has no such image, before a function is
/// made all the same: clients give up after a minute.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// The role of functions that have none: those of the command line.
pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/lambent";

impl ControlPlane {
    /// Makes everything ready that was so before, and begins with what was not.
    /// One line for each version that cannot be used any more.
    pub async fn restore(self: &Arc<Self>) -> Vec<String> {
        let functions = self.lock().catalog.functions.clone();
        let mut lost = vec![];
        for (name, record) in functions {
            self.functions.expect(&name);
            // An update that was not finished begins again; until then the old
            // code serves.
            let serving = record.previous.as_deref().unwrap_or(&record.latest);
            let numbered = record.versions.iter();
            let numbered = numbered.map(|(number, version)| (Version::Number(*number), version));
            for (version, kept) in std::iter::once((Version::Latest, serving)).chain(numbered) {
                if !kept.is_restorable() {
                    continue;
                }
                let outcome = match self.prepare(kept).await {
                    Ok(code) => {
                        self.put(&name, version, kept, &code, record.reserved);
                        Ok(())
                    }
                    Err(ServiceError::Interrupted) => return lost,
                    Err(error) => {
                        lost.push(format!("{name}:{version} cannot be invoked: {error}"));
                        Err(failure(&error, Failed::GONE))
                    }
                };
                self.restored(&name, version, kept, outcome.as_ref().copied());
            }
            self.follow(&name);
            if record.all().any(|(_, version)| version.is_unsettled()) {
                self.deploy(name);
            }
        }
        lost
    }

    /// Writes down what became of a version, if it is not what it was.
    fn restored(
        &self,
        name: &FunctionName,
        version: Version,
        kept: &VersionRecord,
        outcome: Result<(), &Failed>,
    ) {
        if outcome.is_ok() == (kept.state == State::Active) {
            return;
        }
        let changed = self.change(|catalog| {
            catalog.restored(name, version, outcome);
            Ok(())
        });
        if let Err(refusal) = changed {
            tracing::error!(function = %name, %refusal, "the functions cannot be written");
        }
    }

    /// Begins to make a function ready.
    pub(super) fn deploy(self: &Arc<Self>, name: FunctionName) {
        let control = Arc::clone(self);
        tokio::spawn(async move {
            let record = control.lock().catalog.functions.get(&name).cloned();
            let Some(record) = record else { return };
            let prepared = control.prepare(&record.latest).await;
            let work = move || control.settle(&name, &record, prepared);
            // Writes a file.
            let _gone_with_the_service = tokio::task::spawn_blocking(work).await;
        });
    }

    /// The end of a deployment of what `deployed` was when it began.
    fn settle(
        &self,
        name: &FunctionName,
        deployed: &FunctionRecord,
        prepared: Result<Arc<PreparedCode>, ServiceError>,
    ) {
        let moment = Moment::now();
        let outcome = match &prepared {
            Ok(code) => Ok(code.image.image.manifest_digest.to_string()),
            Err(ServiceError::Interrupted) => return,
            Err(error) => Err(failure(
                error,
                match &deployed.latest.code {
                    Code::Image { .. } => "InvalidImage",
                    Code::Zip { .. } => "InvalidRuntime",
                },
            )),
        };
        if let Err(failed) = &outcome {
            let reason = &failed.reason;
            self.sink
                .notice(&format!("warning: {name} cannot be invoked: {reason}"));
        }
        let turn = self.turn();
        let changed = self.change(|catalog| {
            let current = catalog.functions.get(name);
            // Deleted meanwhile, and perhaps made again.
            let same = current
                .is_some_and(|record| record.latest.revision_id == deployed.latest.revision_id);
            if !same {
                return Ok(None);
            }
            match &outcome {
                Ok(digest) => catalog.deployed(name, digest, &moment),
                Err(failed) => catalog.failed(name, failed, &moment),
            }
            Ok(catalog.functions.get(name).cloned())
        });
        let record = match changed {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(refusal) => {
                tracing::error!(function = %name, %refusal, "the functions cannot be written");
                return;
            }
        };
        if let Ok(code) = prepared {
            let missing = |version: Version| !self.functions.has(name, version);
            for (version, kept) in record.all() {
                let is_new = version == Version::Latest || missing(version);
                if is_new && kept.state == State::Active && kept.code == record.latest.code {
                    self.put(name, version, kept, &code, record.reserved);
                }
            }
        }
        self.follow(name);
        drop(turn);
        // What the code was before, unless something still runs from it.
        if let Err(refusal) = self.layers.collect() {
            tracing::warn!(%refusal, "archives that nothing needs stay behind");
        }
    }

    /// Makes `$LATEST` invocable under a version's number too.
    pub(super) fn put_version(&self, name: &FunctionName, number: u64) {
        let record = self.lock().catalog.functions.get(name).cloned();
        let version = Version::Number(number);
        let code = self.functions.code(name, Version::Latest);
        if let (Some(record), Some(code)) = (record, code)
            && let Some(kept) = record.version(version)
            && kept.state == State::Active
            && !self.functions.has(name, version)
        {
            self.put(name, version, kept, &code, record.reserved);
        }
    }

    pub(super) fn put(
        &self,
        name: &FunctionName,
        version: Version,
        record: &VersionRecord,
        code: &Arc<PreparedCode>,
        reserved: Option<usize>,
    ) {
        let configuration = record.configuration(name, version);
        let sink = Arc::clone(&self.sink);
        let deployed = self
            .pools
            .deploy(configuration, Arc::clone(code), reserved, sink);
        if let Some(old) = self.functions.put(deployed) {
            self.pools.retire(&old);
        }
    }

    pub(super) async fn prepare(
        &self,
        record: &VersionRecord,
    ) -> Result<Arc<PreparedCode>, ServiceError> {
        let settings = &record.settings;
        let service = self.pools.service();
        let image = match (&record.code, &settings.package) {
            (Code::Image { uri, digest }, _) => {
                let kept = digest.as_deref().map(|digest| service.stored(digest));
                let image = match kept.transpose()?.flatten() {
                    Some(image) => image,
                    None => self.fetch(uri, &settings.architecture).await?,
                };
                let found = image.image.manifest_digest.to_string();
                if let Some(digest) = digest.as_ref().filter(|digest| **digest != found) {
                    return Err(ServiceError::Image(format!(
                        "image {digest} is not in the store any more, and {uri} is another one \
                         by now ({found}): update the function's code"
                    )));
                }
                Arc::new(image)
            }
            (Code::Zip { .. }, PackageSettings::Zip { runtime, .. }) => {
                let image = self.runtime(runtime, &settings.architecture).await?;
                return self.zip_code(record, image);
            }
            (Code::Zip { .. }, PackageSettings::Image { .. }) => {
                return Err(ServiceError::Host(
                    "the record of the function has an archive for an image".to_owned(),
                ));
            }
        };
        self.code_on(record, image, None)
    }

    /// The code of a zip function on this image.
    pub(super) fn zip_code(
        &self,
        record: &VersionRecord,
        image: Arc<PreparedImage>,
    ) -> Result<Arc<PreparedCode>, ServiceError> {
        let task = match &record.code {
            Code::Zip { digest, .. } => Some(self.layers.lease(digest)?),
            Code::Image { .. } => None,
        };
        self.code_on(record, image, task)
    }

    fn code_on(
        &self,
        record: &VersionRecord,
        image: Arc<PreparedImage>,
        task: Option<PackageLease>,
    ) -> Result<Arc<PreparedCode>, ServiceError> {
        let lease = |layer: &LayerUse| self.layers.lease(&layer.digest);
        let layers = record.settings.layers.iter().map(lease);
        let layers = layers.collect::<Result<_, _>>()?;
        let code = PreparedCode::new(self.layers.packages(), image, task, layers)?;
        Ok(Arc::new(code))
    }

    async fn fetch(&self, uri: &str, architecture: &str) -> Result<PreparedImage, ServiceError> {
        let reference = uri
            .parse()
            .map_err(|error| ServiceError::Image(format!("ImageUri: {error}")))?;
        self.import(reference, architecture, &super::no_display())
            .await
    }

    /// Why there is no image where a reference says. A registry that takes its time is
    /// asked again when the image is fetched. Blocks.
    pub(super) fn missing_image(self: &Arc<Self>, reference: &ImageReference) -> Option<String> {
        let (said, answer) = mpsc::channel();
        let (control, reference) = (Arc::clone(self), reference.clone());
        // Ends by itself; nobody waits for more than a moment.
        let asking = std::thread::Builder::new().spawn(move || {
            let store = control.pools.service().images().content();
            let _nobody_waits = said.send(missing(store, &reference));
        });
        asking.ok()?;
        answer.recv_timeout(LOOK_MAX).ok().flatten()
    }

    pub(super) async fn import(
        &self,
        reference: ImageReference,
        architecture: &str,
        display: &Display,
    ) -> Result<PreparedImage, ServiceError> {
        let request = ImageRequest {
            reference: self.registries.current(reference),
            platform: platform(architecture)?,
            name: None,
        };
        let service = self.pools.service();
        service.prepare(request, Arc::clone(display)).await
    }
}

/// What a failed deployment is called; `image` is the code for one that is the
/// image's or the archive's fault.
fn failure(error: &ServiceError, image: &'static str) -> Failed {
    Failed {
        code: match error {
            ServiceError::Setting(_) | ServiceError::Image(_) | ServiceError::Unusable(_) => image,
            ServiceError::Host(_) | ServiceError::Interrupted => Failed::HOST,
        },
        reason: error.to_string(),
    }
}

/// Lambda's word for this machine's architecture.
pub(super) fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

fn platform(architecture: &str) -> Result<Platform, ServiceError> {
    let name = match architecture {
        "x86_64" => "linux/amd64",
        "arm64" => "linux/arm64",
        _ => return Ok(Platform::host()),
    };
    Ok(name.parse()?)
}

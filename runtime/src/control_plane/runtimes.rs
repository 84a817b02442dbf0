//! The images of runtimes, on which zip functions run: wanted when a service starts,
//! and followed by all that run on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use lambent_images::ImageReference;

use super::ControlPlane;
use super::deploy::host_architecture;
use crate::catalog::{FunctionRecord, PackageSettings, State, VersionRecord};
use crate::images::Display;
use crate::model::{FunctionName, TASK_ROOT, Version, brings_bootstrap};
use crate::service::{PreparedCode, PreparedImage};
use crate::service_error::ServiceError;
use crate::validate::{Severity, validate_runtime};

/// Images that have the runtimes of zip functions, by `Runtime`.
pub type RuntimeImages = BTreeMap<String, ImageReference>;

/// Those images, and what they were prepared as.
#[derive(Debug)]
pub(super) struct Runtimes {
    images: RuntimeImages,
    /// Those that are in use already, by runtime and architecture.
    prepared: tokio::sync::Mutex<BTreeMap<(String, String), Arc<PreparedImage>>>,
}

impl Runtimes {
    pub(super) fn new(images: RuntimeImages) -> Self {
        Self {
            images,
            prepared: tokio::sync::Mutex::default(),
        }
    }
}

impl ControlPlane {
    /// The images of runtimes, as the service was told of them.
    pub(crate) fn runtime_images(&self) -> &RuntimeImages {
        &self.runtimes.images
    }

    /// Fetches the images of all runtimes.
    ///
    /// # Errors
    /// One of them is unusable, and which.
    pub(crate) async fn prepare_runtimes(&self, display: &Display) -> Result<(), ServiceError> {
        let architecture = host_architecture();
        for (runtime, reference) in &self.runtimes.images {
            let image = self
                .import_runtime(runtime, reference, architecture, display)
                .await?;
            let key = (runtime.clone(), architecture.to_owned());
            self.runtimes.prepared.lock().await.insert(key, image);
        }
        Ok(())
    }

    /// The image of a runtime, which is fetched once.
    pub(super) async fn runtime(
        &self,
        runtime: &str,
        architecture: &str,
    ) -> Result<Arc<PreparedImage>, ServiceError> {
        let mut prepared = self.runtimes.prepared.lock().await;
        let key = (runtime.to_owned(), architecture.to_owned());
        if let Some(image) = prepared.get(&key) {
            return Ok(Arc::clone(image));
        }
        let reference = self.runtimes.images.get(runtime).ok_or_else(|| {
            ServiceError::Image(format!(
                "there is no image for the runtime {runtime}: start `lambent serve` with \
                 --runtime-image {runtime}=IMAGE"
            ))
        })?;
        let display = super::no_display();
        let image = self
            .import_runtime(runtime, reference, architecture, &display)
            .await?;
        prepared.insert(key, Arc::clone(&image));
        Ok(image)
    }

    /// Fetches the image of a runtime again, and serves all functions on it that run on
    /// the one before. Their names; `None` if it is the same image.
    ///
    /// # Errors
    /// It is unusable, or one of the functions cannot run on it. Then nothing has
    /// changed.
    pub(crate) async fn renew_runtime(
        &self,
        runtime: &str,
    ) -> Result<Option<Vec<FunctionName>>, ServiceError> {
        let Some(reference) = self.runtimes.images.get(runtime) else {
            return Ok(None);
        };
        let mut prepared = self.runtimes.prepared.lock().await;
        let in_use = prepared
            .iter()
            .filter(|((known, _), _)| known == runtime)
            .map(|((_, architecture), image)| (architecture.clone(), image.digest()));
        let in_use: Vec<_> = in_use.collect();
        let display = super::no_display();
        let mut renewed = BTreeMap::new();
        for (architecture, before) in in_use {
            let image = self
                .import_runtime(runtime, reference, &architecture, &display)
                .await?;
            if image.digest() != before {
                renewed.insert(architecture, image);
            }
        }
        if renewed.is_empty() {
            return Ok(None);
        }
        let mut ready = vec![];
        for (name, record) in self.lock().catalog.functions.clone() {
            for (version, kept) in record.all() {
                if let Some(image) = image_for(runtime, &renewed, kept) {
                    let code = self.zip_code(kept, Arc::clone(image));
                    let code = code.map_err(|error| error.about(&name))?;
                    ready.push((name.clone(), version, kept.clone(), code));
                }
            }
        }
        for (architecture, image) in renewed {
            prepared.insert((runtime.to_owned(), architecture), image);
        }
        drop(prepared);
        Ok(Some(self.serve_on(ready)))
    }

    /// Serves versions with other code than before. The names of those that are still
    /// what they were when that was made ready.
    fn serve_on(
        &self,
        ready: Vec<(FunctionName, Version, VersionRecord, Arc<PreparedCode>)>,
    ) -> Vec<FunctionName> {
        let _turn = self.turn();
        let mut served = vec![];
        for (name, version, kept, code) in ready {
            let record = self.lock().catalog.functions.get(&name).cloned();
            let same = |record: &FunctionRecord| {
                let now = record.version(version);
                now.is_some_and(|now| now.revision_id == kept.revision_id)
            };
            if let Some(record) = record.filter(same) {
                self.put(&name, version, &kept, &code, record.reserved);
                self.follow(&name);
                if served.last() != Some(&name) {
                    served.push(name);
                }
            }
        }
        served
    }

    async fn import_runtime(
        &self,
        runtime: &str,
        reference: &ImageReference,
        architecture: &str,
        display: &Display,
    ) -> Result<Arc<PreparedImage>, ServiceError> {
        let what = format!("the image of the runtime {runtime}, {reference}");
        let image = self.import(reference.clone(), architecture, display).await;
        let image = image.and_then(|image| usable(runtime, image));
        let image = image.map_err(|error| error.about(&what))?;
        // A function brings its own program.
        if !brings_bootstrap(runtime) {
            self.examine(&image, &what).await?;
        }
        Ok(image)
    }

    /// Looks for what the functions of a runtime start with, and says what they may miss.
    ///
    /// # Errors
    /// None of them can start.
    async fn examine(&self, image: &Arc<PreparedImage>, what: &str) -> Result<(), ServiceError> {
        let looked_at = Arc::clone(image);
        let store = self.pools.service().images();
        let findings = store.run(super::no_display(), move |store, _| {
            let image = &looked_at.image;
            Ok(validate_runtime(image, &store.files(image)?)?)
        });
        for finding in findings.await? {
            let (message, mend) = (&finding.message, finding.rule.mend);
            if finding.severity == Severity::Error {
                let reason = format!("no function starts on it: {message}. {mend}");
                return Err(ServiceError::Image(reason).about(what));
            }
            self.sink.notice(&format!(
                "warning: {what}: {message}, so that functions do not start unless their code or \
                 layers bring it. {mend}"
            ));
        }
        Ok(())
    }
}

/// An image that zip functions can run on.
fn usable(runtime: &str, image: PreparedImage) -> Result<Arc<PreparedImage>, ServiceError> {
    image.require_directory(TASK_ROOT)?;
    if image.image.config.entrypoint.is_empty() && !brings_bootstrap(runtime) {
        return Err(ServiceError::Image(
            "the image has no ENTRYPOINT, which is what runs a function's handler: set the \
             runtime interface client as one, such as [\"/usr/bin/python3\", \"-m\", \
             \"awslambdaric\"]"
                .to_owned(),
        ));
    }
    Ok(Arc::new(image))
}

/// The new image of a version that runs on this runtime.
fn image_for<'a>(
    wanted: &str,
    renewed: &'a BTreeMap<String, Arc<PreparedImage>>,
    version: &VersionRecord,
) -> Option<&'a Arc<PreparedImage>> {
    match &version.settings.package {
        PackageSettings::Zip { runtime, .. }
            if runtime == wanted && version.state == State::Active =>
        {
            renewed.get(&version.settings.architecture)
        }
        _ => None,
    }
}

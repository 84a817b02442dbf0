//! Follows the image of the command line, and what is laid over it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::look::changed_or_due;
use super::retry::{Retry, stays};
use super::source::{Identity, Source, image_identity};
use crate::control_plane::ControlPlane;
use crate::images::ImageRequest;
use crate::model::FunctionName;
use crate::pool::Pools;
use crate::service::{PreparedCode, PreparedImage};
use crate::service_error::ServiceError;

/// Makes a function's code of its image. Blocks.
pub(crate) type MakeCode =
    Arc<dyn Fn(Arc<PreparedImage>) -> Result<PreparedCode, ServiceError> + Send + Sync>;

/// What a function of the command line is made of.
#[derive(Clone)]
pub(crate) struct ImageSource {
    pub(crate) name: FunctionName,
    pub(crate) image: ImageRequest,
    /// Directories and archives that `make` reads.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) make: MakeCode,
}

/// The image that a service was started with.
pub(crate) struct ImageFollower {
    source: ImageSource,
    control: Arc<ControlPlane>,
    pools: Arc<Pools>,
    say: Arc<dyn Fn(&str) + Send + Sync>,
    seen: Vec<Identity>,
}

/// What an image is, with all that is laid over it.
type Digests = Vec<String>;

impl ImageFollower {
    /// Looks at it. Before it is fetched: what changes meanwhile is then seen as a
    /// change.
    pub(crate) async fn new(
        source: ImageSource,
        control: Arc<ControlPlane>,
        pools: Arc<Pools>,
        say: Arc<dyn Fn(&str) + Send + Sync>,
    ) -> Self {
        let mut follower = Self {
            source,
            control,
            pools,
            say,
            seen: vec![],
        };
        follower.seen = follower.look().await;
        follower
    }

    /// Follows it until this is dropped, from what it was when it was served as `code`.
    pub(crate) async fn follow(mut self, code: Arc<PreparedCode>) {
        let mut served = digests(&code);
        // It would keep the image in the store.
        drop(code);
        let mut retry = Retry::default();
        loop {
            self.seen = changed_or_due(&self.seen, &mut retry, || self.look()).await;
            let begun = Instant::now();
            match self.serve(&served).await {
                Ok(Some(now)) => {
                    served = now;
                    retry.succeeded();
                }
                Ok(None) | Err(ServiceError::Interrupted) => retry.succeeded(),
                Err(error) => {
                    if retry.failed(begun.elapsed()) {
                        (self.say)(&stays(&error.to_string()));
                    }
                }
            }
        }
    }

    /// Serves what is there now, unless it is what is `served`, or the function is gone.
    async fn serve(&self, served: &Digests) -> Result<Option<Digests>, ServiceError> {
        let image = self.control.fetch_again(self.source.image.clone()).await?;
        let (source, control) = (self.source.clone(), Arc::clone(&self.control));
        let before = served.clone();
        let work = move || {
            let code = Arc::new((source.make)(image)?);
            let now = digests(&code);
            let is_new = now != before;
            let uri = &source.image.reference;
            if !is_new || !control.adopt_again(&source.name, uri, &code)? {
                return Ok(None);
            }
            Ok(Some((now, code.image.image.warnings.clone())))
        };
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.unwrap_or_else(|panic| {
            Err(ServiceError::Host(format!("serving it failed: {panic}")))
        })?;
        let Some((now, warnings)) = done else {
            return Ok(None);
        };
        for warning in warnings {
            (self.say)(&format!("warning: {warning}"));
        }
        let what = if now.first() == served.first() {
            "a layer"
        } else {
            &self.source.image.reference.to_string()
        };
        (self.say)(&format!(
            "{what} has changed: updated {}. New invocations meet what is there now",
            self.source.name
        ));
        Ok(Some(now))
    }

    async fn look(&self) -> Vec<Identity> {
        let (control, pools) = (Arc::clone(&self.control), Arc::clone(&self.pools));
        let source = self.source.clone();
        let work = move || {
            let (images, registries) = (pools.service().images().content(), control.registries());
            let image = image_identity(&source.image.reference, images, registries);
            let files = source.files.into_iter().map(Source::Files);
            let files = files.map(|source| source.identity(images, registries));
            std::iter::once(image).chain(files).collect()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(seen) => seen,
            // As before.
            Err(_) => self.seen.clone(),
        }
    }
}

/// The image first.
fn digests(code: &PreparedCode) -> Digests {
    let layers = code.layers.iter();
    let layers = layers.map(|layer| layer.package().digest.to_string());
    std::iter::once(code.image.digest().to_string())
        .chain(layers)
        .collect()
}

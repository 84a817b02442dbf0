//! Makes what a file wants: code into the store, images prepared, and then all of it
//! served at once.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lambent_images::PackageLease;

use super::source::{self, Identity, Source};
use crate::catalog::{Code, LayerUse, Refusal, Wanted};
use crate::configuration::{CodeSource, Configuration, ConfiguredFunction, LayerSource};
use crate::control_plane::{ControlPlane, Ready, Request};
use crate::model::FunctionName;
use crate::pool::Pools;
use crate::service_error::ServiceError;

/// What is served of a file.
#[derive(Debug)]
pub(super) struct Deployer {
    control: Arc<ControlPlane>,
    pools: Arc<Pools>,
    base: PathBuf,
    served: BTreeMap<FunctionName, Served>,
}

#[derive(Debug)]
struct Served {
    configured: ConfiguredFunction,
    identities: Vec<Identity>,
    wanted: Wanted,
}

/// What became of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) added: Vec<FunctionName>,
    pub(super) updated: Vec<FunctionName>,
    pub(super) removed: Vec<FunctionName>,
    /// About the images of those.
    pub(super) warnings: Vec<String>,
}

impl Changes {
    /// Whether nothing is different.
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.updated.is_empty() && self.removed.is_empty()
    }

    /// `updated a, b; added c`.
    pub(super) fn summary(&self) -> String {
        let part = |word: &str, names: &[FunctionName]| {
            let names: Vec<&str> = names.iter().map(FunctionName::as_str).collect();
            (!names.is_empty()).then(|| format!("{word} {}", names.join(", ")))
        };
        let parts = [
            part("updated", &self.updated),
            part("added", &self.added),
            part("removed", &self.removed),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

impl Deployer {
    /// Nothing is served yet.
    pub(super) fn new(control: Arc<ControlPlane>, pools: Arc<Pools>, base: PathBuf) -> Self {
        Self {
            control,
            pools,
            base,
            served: BTreeMap::new(),
        }
    }

    /// Serves what a file wants, instead of what it wanted before. Functions that
    /// are what they were go on with their environments.
    ///
    /// # Errors
    /// Something cannot be served; then nothing has changed.
    pub(super) async fn deploy(
        &mut self,
        configuration: &Configuration,
    ) -> Result<Changes, ServiceError> {
        let mut packed = Packed::default();
        let mut ready = vec![];
        let mut served = vec![];
        for function in &configuration.functions {
            let identities = self.identities(function).await?;
            let before = self.served.get(&function.name);
            if before.is_some_and(|before| {
                before.identities == identities && before.configured == *function
            }) {
                continue;
            }
            let gathered;
            (gathered, packed) = self.gather(function, packed).await?;
            let made = self
                .control
                .make_ready(function.name.clone(), gathered)
                .await
                .map_err(|error| error.about(&function.place))?;
            served.push(Served {
                configured: function.clone(),
                identities,
                wanted: made.wanted.clone(),
            });
            // Only its times are new, or how it is written.
            if before.is_none_or(|before| before.wanted != made.wanted) {
                ready.push(made);
            }
        }
        let wants = |name: &FunctionName| {
            let mut functions = configuration.functions.iter();
            functions.any(|function| function.name == *name)
        };
        let removed = self.served.keys().filter(|name| !wants(name)).cloned();
        let mut changes = Changes {
            removed: removed.collect(),
            ..Changes::default()
        };
        for made in &ready {
            let list = if self.served.contains_key(&made.name) {
                &mut changes.updated
            } else {
                &mut changes.added
            };
            list.push(made.name.clone());
            let warnings = made.warnings().iter();
            let warnings = warnings.map(|warning| format!("{}: {warning}", made.name));
            changes.warnings.extend(warnings);
        }
        if !changes.is_empty() {
            self.serve(ready, changes.removed.clone()).await?;
        }
        for name in &changes.removed {
            self.served.remove(name);
        }
        for one in served {
            self.served.insert(one.configured.name.clone(), one);
        }
        Ok(changes)
    }

    async fn serve(
        &self,
        ready: Vec<Ready>,
        removed: Vec<FunctionName>,
    ) -> Result<(), ServiceError> {
        let control = Arc::clone(&self.control);
        blocking(move || control.configure(&ready, &removed).map_err(refused)).await
    }

    async fn identities(
        &self,
        function: &ConfiguredFunction,
    ) -> Result<Vec<Identity>, ServiceError> {
        let sources = Source::of(function, &self.base);
        let pools = Arc::clone(&self.pools);
        let control = Arc::clone(&self.control);
        blocking(move || {
            let images = pools.service().images().content();
            let identify = |source: &Source| source.identity(images, control.registries());
            Ok(sources.iter().map(identify).collect())
        })
        .await
    }

    /// Packs what a function needs, unless another one had it packed.
    async fn gather(
        &self,
        function: &ConfiguredFunction,
        mut packed: Packed,
    ) -> Result<(Wanted, Packed), ServiceError> {
        let control = Arc::clone(&self.control);
        let function = function.clone();
        let base = self.base.clone();
        blocking(move || {
            let (code, layers) = gather(&control, &function, &base, &mut packed)
                .map_err(|error| error.about(&function.place))?;
            Ok((want(&function, code, layers)?, packed))
        })
        .await
    }
}

/// Archives, which stay in the store for as long as this lives.
#[derive(Debug, Default)]
struct Packed {
    by_path: BTreeMap<PathBuf, Arc<PackageLease>>,
    /// Of programs that are in the file itself.
    inline: Vec<PackageLease>,
}

/// The code and the layers of a function.
fn gather(
    control: &ControlPlane,
    function: &ConfiguredFunction,
    base: &Path,
    packed: &mut Packed,
) -> Result<(Code, Vec<LayerUse>), ServiceError> {
    let mut layers = vec![];
    for layer in &function.layers {
        layers.push(match layer {
            LayerSource::Files { name, content } => {
                let lease = pack(control, &base.join(content), packed)?;
                control.layer_use(name, &lease)
            }
            LayerSource::Arn(arn) => published(control, arn)?,
        });
    }
    let code = match &function.code {
        CodeSource::Image(uri) => Code::Image {
            uri: source::image(uri, base),
            digest: None,
        },
        CodeSource::Files(path) => {
            let lease = pack(control, &base.join(path), packed)?;
            zip(&lease)
        }
        CodeSource::Inline { file, text } => {
            let lease = pack_text(control, file, text)?;
            let code = zip(&lease);
            packed.inline.push(lease);
            code
        }
    };
    Ok((code, layers))
}

/// The function with them. What breaks a rule is named with its own place.
fn want(
    function: &ConfiguredFunction,
    code: Code,
    layers: Vec<LayerUse>,
) -> Result<Wanted, ServiceError> {
    let request = Request {
        members: &function.request,
        reserved: function.reserved,
        provisioned: function.provisioned,
        alias: function.alias.as_deref(),
        url: function.url.as_ref(),
    };
    ControlPlane::want(request, code, layers).map_err(|refusal| {
        let place = function.place_of(refusal.member.as_deref());
        ServiceError::Setting(format!("{place}: {}", refusal.message))
    })
}

fn zip(lease: &PackageLease) -> Code {
    let package = lease.package();
    Code::Zip {
        digest: package.digest.hex(),
        size: package.size,
        unpacked_size: package.unpacked_size,
    }
}

/// An archive of one file.
fn pack_text(control: &ControlPlane, file: &str, text: &str) -> Result<PackageLease, ServiceError> {
    let failed = |error: std::io::Error| ServiceError::Host(format!("write {file}: {error}"));
    let directory = tempfile::tempdir().map_err(failed)?;
    let path = directory.path().join(file);
    fs::write(&path, text).map_err(failed)?;
    // Functions have another user.
    fs::set_permissions(&path, Permissions::from_mode(0o644)).map_err(failed)?;
    control.pack(directory.path())
}

fn published(control: &ControlPlane, arn: &str) -> Result<LayerUse, ServiceError> {
    // Its archive stays for as long as the layer version does.
    let (layer, _lease) = control.published_layer(arn).map_err(refused)?;
    Ok(layer)
}

fn pack(
    control: &ControlPlane,
    path: &Path,
    packed: &mut Packed,
) -> Result<Arc<PackageLease>, ServiceError> {
    if let Some(lease) = packed.by_path.get(path) {
        return Ok(Arc::clone(lease));
    }
    let lease = Arc::new(control.pack(path)?);
    packed.by_path.insert(path.to_owned(), Arc::clone(&lease));
    Ok(lease)
}

fn refused(refusal: Refusal) -> ServiceError {
    ServiceError::Image(refusal.message)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(ServiceError::Host(format!("the work failed: {panic}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_one_line() {
        let names = |text: &str| {
            text.split_whitespace()
                .map(|name| name.parse().unwrap())
                .collect()
        };
        let changes = Changes {
            added: names("c"),
            updated: names("a b"),
            ..Changes::default()
        };
        assert_eq!(changes.summary(), "updated a, b; added c");
        assert!(Changes::default().is_empty());
        assert!(!changes.is_empty());
    }
}

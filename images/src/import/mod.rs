//! An import: resolve, plan, read the missing layers in parallel, publish.
//!
//! Nothing becomes visible before every layer has been verified, and nothing
//! counts before it is on disk: see the rules in `store::layout`.

mod kept;
mod layer;
mod pipe;
mod plan;
mod publish;
mod stream;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::layer::Ingestion;
use self::plan::{Item, Plan};
use self::publish::publish;
use crate::error::{Error, Result};
use crate::manifest::Descriptor;
use crate::rootfs::built;
use crate::source::{Resolved, Source, resolve};
use crate::store::chain::Chain;
use crate::store::index;
use crate::store::ingested::Ingested;
use crate::store::layout::Layout;
use crate::store::lock::{Lock, Mode};
use crate::store::staging::Staging;
use crate::store::stored;
use crate::unpack::limits::{Budget, IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX};
use crate::{
    ContentStore, Digest, Form, Image, ImageReference, Layer, LayerProgress, Platform, Progress,
    source,
};

impl ContentStore {
    /// Brings an image into the store, ready to be mounted.
    ///
    /// Layers that the store has are not read again. On failure nothing of the
    /// image is left, except for what another image shares with it.
    ///
    /// # Errors
    ///
    /// `NotFound`, `NotAnImage`, `WrongPlatform` and so on about the image; `Io`
    /// about this machine.
    pub fn import(
        &self,
        reference: &ImageReference,
        platform: &Platform,
        progress: &dyn Progress,
    ) -> Result<Image> {
        import(&self.layout, self.form(), reference, platform, progress)
    }
}

pub(crate) fn import(
    layout: &Layout,
    form: Form,
    reference: &ImageReference,
    platform: &Platform,
    progress: &dyn Progress,
) -> Result<Image> {
    let source = source::open(reference)?;
    let resolved = resolve(source.as_ref(), platform)?;
    let chain = Chain::new(&resolved.diff_ids);
    let _store = Lock::acquire_for(&layout.lock("store"), Mode::Shared, progress)?;
    // Held until the records are written: who gets them next sees what they stand
    // for as complete.
    let (mut plan, _locks) = locked_plan(layout, form, &resolved, &chain, progress)?;
    plan.budget.interrupt = progress.interrupt();
    for item in &plan.stored {
        progress.layer(&item.digest, LayerProgress::AlreadyStored);
    }
    let has_root = chain.is_stored(layout, form);
    if !plan.missing.is_empty() || !has_root || !is_listed(layout, &resolved)? {
        let staging = Staging::new(layout)?;
        let ingestion = Ingestion {
            source: source.as_ref(),
            staging: &staging,
            budget: &plan.budget,
            progress,
            form,
        };
        let ingested = ingest_all(ingestion, &plan)?;
        let interrupt = &plan.budget.interrupt;
        let root = match form {
            _ if has_root => None,
            Form::Erofs => Some(built::erofs(&chain, layout, &ingested)?),
            Form::Directory => {
                let place = staging.path().join("joint");
                Some(built::joint(&chain, layout, &ingested, &place, interrupt)?)
            }
        };
        interrupt.check()?;
        publish(layout, &staging, &resolved, &ingested, root.as_ref())?;
    }
    Ok(describe(layout, form, resolved))
}

/// Plans the import, and locks what it is going to write: in the order of their
/// names, so that two imports never wait for each other. What the store has is not
/// locked.
fn locked_plan(
    layout: &Layout,
    form: Form,
    resolved: &Resolved,
    chain: &Chain,
    progress: &dyn Progress,
) -> Result<(Plan, Vec<Lock>)> {
    let plan = Plan::new(layout, form, resolved)?;
    let mut names: Vec<_> = plan
        .missing
        .iter()
        .map(|item| format!("layer-{}", item.diff_id.hex()))
        .collect();
    // An EROFS image is one file, which can be replaced while it is in use.
    if form == Form::Directory && !chain.is_stored(layout, form) {
        names.push(format!("root-{}", chain.digest().hex()));
    }
    if names.is_empty() {
        return Ok((plan, Vec::new()));
    }
    names.sort();
    names.dedup();
    let locks = names
        .iter()
        .map(|name| Lock::acquire_for(&layout.lock(name), Mode::Exclusive, progress))
        .collect::<Result<_>>()?;
    // Others may have written some of it until the locks were free.
    Ok((Plan::new(layout, form, resolved)?, locks))
}

/// True if the image is in the index and its two documents are there.
fn is_listed(layout: &Layout, resolved: &Resolved) -> Result<bool> {
    let documents = [&resolved.descriptor, &resolved.manifest.config];
    let there = documents
        .into_iter()
        .all(|document| plan::has_blob(layout, document));
    let digest = resolved.descriptor.digest;
    Ok(there
        && index::read(layout)?
            .iter()
            .any(|entry| entry.digest == digest))
}

/// Reads all missing layers on as many threads as there are processors.
fn ingest_all(ingestion: Ingestion<'_>, plan: &Plan) -> Result<Vec<Ingested>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Ok(Vec::new()));
    let work = || {
        while let Some(item) = plan.missing.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = ingestion
                .layer(item)
                .map_err(|error| error.within(&format!("layer {}", item.descriptor.digest)));
            if !collect(&results, &plan.budget, result) {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(plan.missing.len()) {
            scope.spawn(work);
        }
        work();
    });
    results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Reads one layer as an import does, into the staging directory only.
pub(crate) fn reread(
    source: &dyn Source,
    staging: &Staging,
    descriptor: Descriptor,
    diff_id: Digest,
    progress: &dyn Progress,
) -> Result<Ingested> {
    let mut budget = Budget::new(IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX);
    budget.interrupt = progress.interrupt();
    let item = Item {
        descriptor,
        diff_id,
        wants_content: true,
    };
    let ingestion = Ingestion {
        source,
        staging,
        budget: &budget,
        progress,
        form: Form::Directory,
    };
    ingestion.layer(&item)
}

/// Adds a result; keeps the first error, since later ones come from stopping.
fn collect(
    results: &Mutex<Result<Vec<Ingested>>>,
    budget: &Budget,
    result: Result<Ingested>,
) -> bool {
    let mut results = results
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    match (results.as_mut(), result) {
        (Ok(done), Ok(layer)) => done.push(layer),
        (Ok(_), Err(error)) => {
            budget.cancel();
            *results = Err(error);
        }
        (Err(_), _) => {}
    }
    results.is_ok()
}

/// What the caller gets to know.
pub(crate) fn describe(layout: &Layout, form: Form, resolved: Resolved) -> Image {
    let layers: Vec<_> = resolved
        .manifest
        .layers
        .iter()
        .zip(&resolved.diff_ids)
        .map(|(layer, &diff_id)| Layer {
            digest: layer.digest,
            diff_id,
            size: layer.size,
            media_type: layer.media_type.clone(),
        })
        .collect();
    let mut warnings = resolved.warnings;
    for layer in &layers {
        let lines = stored::warnings(layout, form, &layer.diff_id).unwrap_or_default();
        warnings.extend(
            lines
                .into_iter()
                .map(|line| format!("layer {}: {line}", layer.digest)),
        );
    }
    warnings.extend(Chain::new(&resolved.diff_ids).warnings(layout, form));
    Image {
        manifest_digest: resolved.descriptor.digest,
        index: resolved.index,
        manifest_size: resolved.manifest_bytes.len() as u64,
        config: resolved.config,
        layers,
        warnings,
    }
}

/// Fails early when another thread has.
fn check_cancelled(budget: &Budget) -> Result<()> {
    if budget.is_cancelled() {
        return Err(Error::invalid("another layer failed"));
    }
    Ok(())
}

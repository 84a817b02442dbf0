//! An import: resolve, plan, read the missing layers in parallel, publish.
//!
//! Nothing becomes visible before every layer has been verified, and nothing
//! counts before it is on disk: see the rules in `store::layout`.

mod layer;
mod plan;
mod stream;

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use self::layer::{Ingested, ingest};
use self::plan::{Item, Plan};
use crate::error::{Error, IoContext, Result, quoted_path};
use crate::manifest::Descriptor;
use crate::source::{Resolved, Source, resolve};
use crate::store::index;
use crate::store::layout::{Layout, private_file};
use crate::store::lock::{Lock, Mode};
use crate::store::record::{self, BlobRecord, LayerRecord};
use crate::store::staging::Staging;
use crate::unique::unique;
use crate::unpack::limits::Budget;
use crate::{
    ContentStore, Image, ImageReference, Layer, LayerProgress, Platform, Progress, rootfs, source,
};

impl ContentStore {
    /// Brings an image into the store and unpacks it.
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
        import(&self.layout, reference, platform, progress)
    }
}

fn import(
    layout: &Layout,
    reference: &ImageReference,
    platform: &Platform,
    progress: &dyn Progress,
) -> Result<Image> {
    let source = source::open(reference)?;
    let resolved = resolve(source.as_ref(), platform)?;
    let _store = Lock::acquire(&layout.lock("store"), Mode::Shared)?;
    // Held until the records are written: who gets them next sees the layers as
    // complete. Only layers that are missing are locked.
    let _layers = lock_missing(layout, &resolved)?;
    let plan = Plan::new(layout, &resolved)?;
    for item in &plan.stored {
        progress.layer(&item.digest, LayerProgress::AlreadyStored);
    }
    if !plan.missing.is_empty() || !is_listed(layout, &resolved)? {
        let staging = Staging::new(layout)?;
        let ingested = ingest_all(source.as_ref(), &plan, &staging, progress)?;
        publish(layout, &staging, &resolved, &ingested)?;
    }
    describe(layout, resolved)
}

/// Locks the layers that are not in the store, in the order of their names, so
/// that two imports never wait for each other.
fn lock_missing(layout: &Layout, resolved: &Resolved) -> Result<Vec<Lock>> {
    let plan = Plan::new(layout, resolved)?;
    let mut names: Vec<_> = plan
        .missing
        .iter()
        .map(|item| format!("layer-{}", item.diff_id.hex()))
        .collect();
    names.sort();
    names.dedup();
    names
        .iter()
        .map(|name| Lock::acquire(&layout.lock(name), Mode::Exclusive))
        .collect()
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
fn ingest_all(
    source: &dyn Source,
    plan: &Plan,
    staging: &Staging,
    progress: &dyn Progress,
) -> Result<Vec<Ingested>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Ok(Vec::new()));
    let work = || {
        while let Some(item) = plan.missing.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = ingest(source, item, staging, &plan.budget, progress)
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

/// Moves what was verified into its place, and then records it.
fn publish(
    layout: &Layout,
    staging: &Staging,
    resolved: &Resolved,
    ingested: &[Ingested],
) -> Result<()> {
    for layer in ingested {
        rename(&layer.blob, &layout.blob(&layer.digest))?;
        if let Some(directory) = &layer.directory {
            rename(directory, &layout.layer(&layer.diff_id))?;
        }
    }
    document(
        layout,
        staging,
        &resolved.descriptor,
        &resolved.manifest_bytes,
    )?;
    document(
        layout,
        staging,
        &resolved.manifest.config,
        &resolved.config_bytes,
    )?;
    rustix::fs::syncfs(layout.root_fd()).doing(|| "syncing the image store".to_owned())?;
    for layer in ingested {
        if layer.directory.is_some() {
            let record = LayerRecord::new(layer.size, layer.warnings.clone());
            record::write(staging, &layout.layer_record(&layer.diff_id), &record)?;
        }
        let record = BlobRecord::new(layer.diff_id);
        record::write(staging, &layout.blob_record(&layer.digest), &record)?;
    }
    index::add(
        layout,
        staging,
        &resolved.descriptor,
        &resolved.config.platform(),
    )
}

fn document(layout: &Layout, staging: &Staging, blob: &Descriptor, bytes: &[u8]) -> Result<()> {
    let failed = || format!("writing blob {}", blob.digest);
    let temporary = staging.path().join(format!("document-{}", unique()));
    let mut file = private_file(&temporary).doing(failed)?;
    std::io::Write::write_all(&mut file, bytes).doing(failed)?;
    fs::rename(&temporary, layout.blob(&blob.digest)).doing(failed)
}

/// Renames; a directory that is there already has no record, and is swapped out
/// into the staging directory, where it will be removed.
fn rename(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("moving a layer to {}", quoted_path(to));
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE).doing(failed),
        // A file system without these flags, such as NFS.
        Err(Errno::INVAL) => {
            if to.is_dir() {
                let aside = from.with_extension("replaced");
                fs::rename(to, aside).doing(failed)?;
            }
            fs::rename(from, to).doing(failed)
        }
        other => other.doing(failed),
    }
}

/// What the caller gets to know.
fn describe(layout: &Layout, resolved: Resolved) -> Result<Image> {
    let layers: Vec<_> = resolved
        .manifest
        .layers
        .iter()
        .zip(&resolved.diff_ids)
        .map(|(layer, &diff_id)| Layer {
            digest: layer.digest,
            diff_id,
            size: layer.size,
        })
        .collect();
    let mut warnings = resolved.warnings;
    for layer in &layers {
        let record: Option<LayerRecord> = record::read(&layout.layer_record(&layer.diff_id));
        let lines = record.map(|record| record.warnings).unwrap_or_default();
        warnings.extend(
            lines
                .into_iter()
                .map(|line| format!("layer {}: {line}", layer.digest)),
        );
    }
    let directories: Vec<_> = layers
        .iter()
        .rev()
        .map(|layer| layout.layer(&layer.diff_id))
        .collect();
    warnings.extend(rootfs::covered_by_skeleton(&directories)?);
    Ok(Image {
        manifest_digest: resolved.descriptor.digest,
        config: resolved.config,
        layers,
        warnings,
    })
}

/// Fails early when another thread has.
fn check_cancelled(budget: &Budget) -> Result<()> {
    if budget.is_cancelled() {
        return Err(Error::invalid("another layer failed"));
    }
    Ok(())
}

/// True for a layer that is to be unpacked.
fn wants_directory(item: &Item) -> bool {
    item.unpack
}

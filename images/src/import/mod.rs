//! An import: resolve, plan, read the missing layers in parallel, publish.
//!
//! Nothing becomes visible before every layer has been verified, and nothing
//! counts before it is on disk: see the rules in `store::layout`.

mod kept;
mod layer;
pub(crate) mod partial;
mod pipe;
mod plan;
mod publish;
mod stream;
mod survey;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::kept::KeptFile;
use self::layer::Ingestion;
use self::partial::Partials;
use self::plan::{Item, Plan};
use self::publish::{EROFS, publish};
pub use self::survey::Surveyed;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::manifest::Descriptor;
use crate::rootfs::built;
use crate::source::{Resolved, Source, resolve};
use crate::store::chain::Chain;
use crate::store::index;
use crate::store::ingested::Ingested;
use crate::store::layout::Layout;
use crate::store::listed::listed;
use crate::store::lock::{Lock, Mode};
use crate::store::staging::Staging;
use crate::store::stored::{self, Stored};
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

/// Where the layers of an image come from.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// Where the image was found.
    Source(&'a dyn Source),
    /// A store that has the image: what it keeps of a layer is read.
    Store(&'a Layout),
}

impl<'a> Origin<'a> {
    /// What to read of a layer.
    fn archive(self, layer: &Descriptor, diff_id: &Digest) -> Descriptor {
        match self {
            Self::Source(_) => None,
            Self::Store(layout) => stored::archive(layout, layer, diff_id),
        }
        .unwrap_or_else(|| layer.clone())
    }

    fn is_store(self) -> bool {
        matches!(self, Self::Store(_))
    }

    fn source(self) -> Box<dyn Source + 'a> {
        match self {
            Self::Source(source) => Box::new(source),
            Self::Store(layout) => Box::new(Stored(layout)),
        }
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
    let origin = Origin::Source(source.as_ref());
    bring_in(layout, form, origin, &resolved, progress)
}

/// Brings an image whose documents are known into a store.
pub(crate) fn bring_in(
    layout: &Layout,
    form: Form,
    origin: Origin<'_>,
    resolved: &Resolved,
    progress: &dyn Progress,
) -> Result<Image> {
    let chain = Chain::new(&resolved.diff_ids);
    let _store = Lock::acquire_for(&layout.lock("store"), Mode::Shared, progress)?;
    // Held until the records are written: who gets them next sees what they stand
    // for as complete.
    let (plan, _locks) = locked_plan(layout, form, origin, resolved, &chain, progress)?;
    for digest in &plan.stored {
        progress.layer(digest, LayerProgress::AlreadyStored);
    }
    let work = Work {
        layout,
        form,
        origin,
        resolved,
        chain: &chain,
        progress,
    };
    let is_done = plan.missing.is_empty() && chain.is_stored(layout, form);
    if !is_done || !is_listed(layout, resolved)? {
        work.perform(plan)?;
    }
    Ok(describe(layout, form, resolved))
}

/// What an import does when it knows what is missing.
#[derive(Clone, Copy)]
struct Work<'a> {
    layout: &'a Layout,
    form: Form,
    origin: Origin<'a>,
    resolved: &'a Resolved,
    chain: &'a Chain,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    /// Reads, builds and publishes, and decides what becomes of the downloads.
    fn perform(self, plan: Plan) -> Result<()> {
        let source = self.origin.source();
        if source.is_remote() {
            partial::sweep(self.layout)?;
        }
        let partials = Partials::new(self.layout);
        let mut result = self.try_once(source.as_ref(), plan, &partials);
        if result.as_ref().is_err_and(speaks_of_bytes) && partials.have_helped() {
            tracing::info!("what an earlier pull has left is damaged; downloading it again");
            partials.remove();
            result = Plan::new(self.layout, self.form, self.origin, self.resolved)
                .and_then(|plan| self.try_once(source.as_ref(), plan, &partials));
        }
        // Only what may go on another time is worth its room.
        if !result
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::Unreachable)
        {
            partials.remove();
        }
        result
    }

    fn try_once(self, source: &dyn Source, mut plan: Plan, partials: &Partials<'_>) -> Result<()> {
        plan.budget.interrupt = self.progress.interrupt();
        let staging = Staging::new(self.layout)?;
        let ingestion = Ingestion {
            source,
            staging: &staging,
            partials,
            budget: &plan.budget,
            progress: self.progress,
            form: self.form,
            keeps: true,
        };
        let ingested = ingest_all(ingestion, &plan)?;
        let interrupt = &plan.budget.interrupt;
        let (layout, chain) = (self.layout, self.chain);
        let root = match self.form {
            form if chain.is_stored(layout, form) => None,
            Form::Erofs => {
                let failed = || "making a file for the EROFS image".to_owned();
                let file = KeptFile::create(&staging.path().join(EROFS)).doing(failed)?;
                Some(built::erofs(chain, layout, &ingested, file)?)
            }
            Form::Directory => {
                let place = staging.path().join("joint");
                Some(built::joint(chain, layout, &ingested, &place, interrupt)?)
            }
        };
        interrupt.check()?;
        publish(layout, &staging, self.resolved, &ingested, root.as_ref())
    }
}

/// True for an error that other bytes of the same blob would not have given.
fn speaks_of_bytes(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::Interrupted
            | ErrorKind::Unreachable
            | ErrorKind::Denied
            | ErrorKind::NotFound
    )
}

/// Plans the import, and locks what it is going to write: in the order of their
/// names, so that two imports never wait for each other. What the store has is not
/// locked.
fn locked_plan(
    layout: &Layout,
    form: Form,
    origin: Origin<'_>,
    resolved: &Resolved,
    chain: &Chain,
    progress: &dyn Progress,
) -> Result<(Plan, Vec<Lock>)> {
    let plan = Plan::new(layout, form, origin, resolved)?;
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
    Ok((Plan::new(layout, form, origin, resolved)?, locks))
}

/// True if the image is in the index, as it is to be, and its documents are there.
fn is_listed(layout: &Layout, resolved: &Resolved) -> Result<bool> {
    let listed = listed(layout, resolved)?.descriptor;
    let documents = [&resolved.descriptor, &resolved.manifest.config, &listed];
    let there = documents
        .into_iter()
        .all(|document| stored::has_blob(layout, document));
    let entries = index::read(layout)?;
    Ok(there && index::is_listed(&entries, &resolved.descriptor.digest, &listed.digest))
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
                .map_err(|error| error.within(&format!("layer {}", item.digest)));
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

/// Reads one layer of a store as an import does, into a directory in `staging`.
pub(crate) fn reread(
    layout: &Layout,
    staging: &Staging,
    descriptor: Descriptor,
    diff_id: Digest,
    progress: &dyn Progress,
) -> Result<Ingested> {
    let mut budget = Budget::new(IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX);
    budget.interrupt = progress.interrupt();
    let item = Item {
        digest: descriptor.digest,
        descriptor,
        diff_id,
        wants_content: true,
        keeps_blob: false,
    };
    let ingestion = Ingestion {
        source: &Stored(layout),
        staging,
        partials: &Partials::new(layout),
        budget: &budget,
        progress,
        form: Form::Directory,
        keeps: true,
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

/// What an image's documents say of it.
fn known(resolved: &Resolved) -> Image {
    let layers = resolved.manifest.layers.iter().zip(&resolved.diff_ids);
    Image {
        manifest_digest: resolved.descriptor.digest,
        index: resolved.index,
        manifest_size: resolved.manifest_bytes.len() as u64,
        config: resolved.config.clone(),
        layers: layers
            .map(|(layer, &diff_id)| Layer {
                digest: layer.digest,
                diff_id,
                size: layer.size,
                media_type: layer.media_type.clone(),
            })
            .collect(),
        warnings: resolved.warnings.clone(),
    }
}

/// What the caller gets to know.
pub(crate) fn describe(layout: &Layout, form: Form, resolved: &Resolved) -> Image {
    let mut image = known(resolved);
    for layer in &image.layers {
        let lines = stored::warnings(layout, form, &layer.diff_id).unwrap_or_default();
        image.warnings.extend(
            lines
                .into_iter()
                .map(|line| format!("layer {}: {line}", layer.digest)),
        );
    }
    let chain = Chain::new(&resolved.diff_ids);
    image.warnings.extend(chain.warnings(layout, form));
    image
}

/// Fails early when another thread has.
fn check_cancelled(budget: &Budget) -> Result<()> {
    if budget.is_cancelled() {
        return Err(Error::invalid("another layer failed"));
    }
    Ok(())
}

//! A survey: what is in an image that the store does not have, by the headers of its
//! layers. They are read and verified as by an import, and nothing of them is kept.

use super::layer::Ingestion;
use super::partial::Partials;
use super::plan::{Item, Plan};
use super::stream::{BlobStream, Copy};
use super::{Origin, bring_in, describe, ingest_all, is_listed, known};
use crate::error::Result;
use crate::files::{ImageFiles, Surroundings};
use crate::source::{Resolved, Source, resolve};
use crate::store::chain::Chain;
use crate::store::ingested::Ingested;
use crate::store::lock::{Lock, Mode};
use crate::store::staging::Staging;
use crate::{ContentStore, Form, Image, ImageReference, LayerProgress, Platform, Progress, source};

/// What a survey has seen.
#[derive(Debug)]
pub struct Surveyed {
    /// What its documents say.
    pub image: Image,
    /// All that is in it; none if that was not wanted.
    pub files: Option<ImageFiles>,
}

impl Surveyed {
    fn whole(image: Image, files: ImageFiles) -> Self {
        Self {
            image,
            files: Some(files),
        }
    }
}

impl ContentStore {
    /// The files of an image wherever it is: of the store if it has them, else from where
    /// the image is, leaving the store as it was. On this machine all of the image is read
    /// and verified nevertheless. Of an image in a registry `wanted` is asked before
    /// anything of its layers is downloaded.
    ///
    /// # Errors
    ///
    /// Those of [`Self::import`].
    pub fn survey(
        &self,
        reference: &ImageReference,
        platform: &Platform,
        progress: &dyn Progress,
        wanted: &dyn Fn(&Image) -> bool,
    ) -> Result<Surveyed> {
        let source = source::open(reference)?;
        let resolved = resolve(source.as_ref(), platform)?;
        if source.is_remote() {
            let image = known(&resolved);
            if !wanted(&image) {
                return Ok(Surveyed { image, files: None });
            }
        }
        let store = Lock::acquire_for(&self.layout.lock("store"), Mode::Shared, progress)?;
        let origin = Origin::Source(source.as_ref());
        let form = self.form();
        let mut plan = Plan::new(&self.layout, form, origin, &resolved)?;
        for digest in &plan.stored {
            progress.layer(digest, LayerProgress::AlreadyStored);
        }
        if !source.is_remote() {
            verify(source.as_ref(), &resolved, &plan, progress)?;
        }
        let chain = Chain::new(&resolved.diff_ids);
        let is_stored = plan.missing.is_empty()
            && chain.is_stored(&self.layout, form)
            && is_listed(&self.layout, &resolved)?;
        if is_stored {
            drop(store);
            let image = describe(&self.layout, form, &resolved);
            let files = self.files(&image)?;
            return Ok(Surveyed::whole(image, files));
        }
        plan.budget.interrupt = progress.interrupt();
        // Nothing but indexes is put into it.
        let staging = Staging::new(&self.layout)?;
        let ingestion = Ingestion {
            source: source.as_ref(),
            staging: &staging,
            partials: &Partials::new(&self.layout),
            budget: &plan.budget,
            progress,
            form: Form::Erofs,
            keeps: false,
        };
        for item in &mut plan.missing {
            item.keeps_blob = false;
            item.wants_content = !has_index(self, item);
        }
        let ingested = ingest_all(ingestion, &plan)?;
        let image = described(&resolved, &ingested);
        let surroundings = Surroundings::new(source, resolved.manifest.layers);
        let files = ImageFiles::surveyed(&self.layout, &chain, &ingested, surroundings)?;
        Ok(Surveyed::whole(image, files))
    }

    /// As [`Self::import`], and what that leaves unread because the store has it, those
    /// layers, is read where the image is, if that is this machine.
    ///
    /// # Errors
    ///
    /// One of them is damaged or missing there; else those of [`Self::import`].
    pub fn import_verified(
        &self,
        reference: &ImageReference,
        platform: &Platform,
        progress: &dyn Progress,
    ) -> Result<Image> {
        let (layout, form) = (&self.layout, self.form());
        let source = source::open(reference)?;
        let resolved = resolve(source.as_ref(), platform)?;
        let origin = Origin::Source(source.as_ref());
        if !source.is_remote() {
            let _store = Lock::acquire_for(&layout.lock("store"), Mode::Shared, progress)?;
            let plan = Plan::new(layout, form, origin, &resolved)?;
            verify(source.as_ref(), &resolved, &plan, progress)?;
        }
        bring_in(layout, form, origin, &resolved, progress)
    }
}

/// Reads the layers that the store has where the image is: they may be damaged there.
fn verify(
    source: &dyn Source,
    resolved: &Resolved,
    plan: &Plan,
    progress: &dyn Progress,
) -> Result<()> {
    let layers = resolved.manifest.layers.iter();
    for descriptor in layers.filter(|layer| plan.stored.contains(&layer.digest)) {
        let digest = descriptor.digest;
        let blob = source.open(descriptor)?;
        BlobStream::new(blob, Copy::None, descriptor, digest, progress)
            .verify()
            .map_err(|error| error.within(&format!("layer {digest}")))?;
    }
    Ok(())
}

/// Whether the store can tell what is in a layer, though not that it is this blob.
fn has_index(store: &ContentStore, item: &Item) -> bool {
    !item.wants_content && store.layout.index_of(&item.diff_id).is_file()
}

/// What the documents and the headers say.
fn described(resolved: &Resolved, ingested: &[Ingested]) -> Image {
    let mut image = known(resolved);
    for layer in ingested {
        let lines = layer.warnings.iter();
        let lines = lines.map(|line| format!("layer {}: {line}", layer.digest));
        image.warnings.extend(lines);
    }
    image
}

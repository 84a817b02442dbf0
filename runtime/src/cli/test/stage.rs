//! The images of all cases, imported once each, with the code over them.

use std::path::PathBuf;
use std::sync::Arc;

use lambent_images::{ImageReference, Platform};

use super::super::args::LayerSource;
use super::super::exit_status::CommandError;
use super::super::{extra_layers, output};
use super::files::SelectedCase;
use crate::control_plane::LayerStore;
use crate::images::{Display, ImageRequest};
use crate::service::{PreparedCode, PreparedImage, Service};

/// Code, ready to run.
#[derive(Debug)]
pub(super) struct Stage {
    codes: Vec<(Source, Arc<PreparedCode>)>,
}

/// What code is made of.
type Source = (ImageReference, Option<PathBuf>, Vec<LayerSource>);

impl Stage {
    /// Prepares what the cases need.
    pub(super) async fn set(
        service: &Service,
        store: Option<&LayerStore>,
        cases: &[SelectedCase],
        platform: &Platform,
        display: Display,
    ) -> Result<Self, CommandError> {
        let mut images: Vec<(ImageReference, Arc<PreparedImage>)> = vec![];
        let mut stage = Self { codes: vec![] };
        for case in cases {
            let source = source(case);
            if stage.codes.iter().any(|(other, _)| *other == source) {
                continue;
            }
            let known = images.iter().find(|(other, _)| *other == case.image);
            let image = if let Some((_, image)) = known {
                Arc::clone(image)
            } else {
                let request = ImageRequest {
                    reference: case.image.clone(),
                    platform: platform.clone(),
                    name: None,
                };
                let prepared = service.prepare(request, Arc::clone(&display)).await;
                let image = Arc::new(prepared.map_err(|error| error.about(&case.named_by))?);
                for warning in &image.image.warnings {
                    output::diagnostic(&format!("warning: {warning}"));
                }
                images.push((case.image.clone(), Arc::clone(&image)));
                image
            };
            let code = match store {
                Some(store) if case.needs_store() => {
                    let task_root = case.task_root.as_deref();
                    extra_layers::attach(store, task_root, &case.layers, image)
                        .map_err(|error| error.about(&case.case.name.escape_debug()))?
                }
                _ => image.into(),
            };
            stage.codes.push((source, Arc::new(code)));
        }
        Ok(stage)
    }

    /// The code of a case.
    pub(super) fn code(&self, case: &SelectedCase) -> Result<Arc<PreparedCode>, CommandError> {
        let source = source(case);
        let found = self.codes.iter().find(|(other, _)| *other == source);
        let (_, code) =
            found.ok_or_else(|| CommandError::Internal("a case was not prepared".to_owned()))?;
        Ok(Arc::clone(code))
    }
}

fn source(case: &SelectedCase) -> Source {
    (
        case.image.clone(),
        case.task_root.clone(),
        case.layers.clone(),
    )
}

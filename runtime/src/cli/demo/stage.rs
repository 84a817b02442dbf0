//! The sample image, and environments made from it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use lambent_images::writer::{ImageBuilder, LayerBuilder};
use lambent_images::{ImageReference, NoProgress, Platform};
use serde_json::Value;

use super::super::exit_status::CommandError;
use super::super::sink::Quiet;
use crate::environment::{Invocation, InvocationResult};
use crate::images::ImageRequest;
use crate::model::{FunctionConfiguration, InitializationType};
use crate::service::{FunctionEnvironment, PreparedImage, Service};

/// The file name of the sample function's program.
const PROGRAM: &str = "lambent-demo-function";

/// The image, imported.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    service: &'a Service,
    image: Arc<PreparedImage>,
}

impl<'a> Stage<'a> {
    /// Packs the sample function into an image and imports it.
    pub(super) async fn set(service: &'a Service) -> Result<Self, CommandError> {
        let program = program()?;
        let host = |error: std::io::Error| CommandError::Host(format!("pack the sample: {error}"));
        let directory = tempfile::tempdir().map_err(host)?;
        let archive = directory.path().join("demo.tar");
        ImageBuilder::new(Platform::host())
            .entrypoint(["/var/runtime/bootstrap"])
            .working_dir("/var/task")
            .layer(
                LayerBuilder::new()
                    .directory("var", 0o755)
                    .directory("var/runtime", 0o755)
                    .directory("var/task", 0o755)
                    .file_from("var/runtime/bootstrap", 0o755, &program),
            )
            .write_oci_archive(&archive, "demo")
            .map_err(|error| CommandError::Host(format!("pack the sample: {error}")))?;
        let request = ImageRequest {
            reference: ImageReference::OciArchive {
                path: archive,
                tag: None,
            },
            platform: Platform::host(),
            name: None,
        };
        let image = service.prepare(request, Arc::new(NoProgress)).await?;
        Ok(Self {
            service,
            image: Arc::new(image),
        })
    }

    /// A new environment of the sample with these settings.
    pub(super) fn environment(
        &self,
        function: FunctionConfiguration,
    ) -> Result<FunctionEnvironment, CommandError> {
        let code = Arc::new(Arc::clone(&self.image).into());
        let on_demand = InitializationType::OnDemand;
        let quiet = Arc::new(Quiet);
        Ok(self.service.environment(code, function, on_demand, quiet)?)
    }
}

/// Invokes the sample with one event.
pub(super) async fn invoke(
    environment: &FunctionEnvironment,
    event: &Value,
) -> Result<InvocationResult, CommandError> {
    environment
        .environment
        .invoke(Invocation::new(Bytes::from(event.to_string())))
        .await
        .map_err(|gone| CommandError::Host(gone.to_string()))
}

/// The sample's program: beside our own, where `make build` and an installation
/// put it, or where `LAMBENT_DEMO_FUNCTION` says.
fn program() -> Result<PathBuf, CommandError> {
    if let Some(program) = std::env::var_os("LAMBENT_DEMO_FUNCTION") {
        return Ok(program.into());
    }
    let own = std::env::current_exe()
        .map_err(|error| CommandError::Host(format!("find the own program: {error}")))?;
    let program = own.with_file_name(PROGRAM);
    if program.is_file() {
        Ok(program)
    } else {
        Err(CommandError::Host(format!(
            "the sample function {} is missing: build it with `make build`, or install it beside \
             lambent",
            program.display()
        )))
    }
}

//! Answers requests about functions.

use std::io::Cursor;
use std::sync::Arc;

use lambent_images::{ImageReference, PackageLease};
use serde_json::{Value, json};

use super::ControlPlane;
use super::answer::{Answer, archive, listed};
use super::deploy::host_architecture;
use crate::catalog::{
    Code, CodeRequest, CreateFunction, Moment, Page, Refusal, UpdateCode, UpdateConfiguration,
    VersionRecord, check_code, check_layer_count, required,
};
use crate::model::{FunctionReference, Version};

impl ControlPlane {
    pub(super) fn create_function(
        self: &Arc<Self>,
        request: &CreateFunction,
    ) -> Result<Answer, Refusal> {
        let text = request.function_name.as_deref();
        let reference =
            FunctionReference::parse(text.ok_or_else(|| required("functionName"))?, None)?;
        let name = &reference.name;
        let asked = request.code.as_ref().ok_or_else(|| required("code"))?;
        let arns = request.configuration.layers.clone().unwrap_or_default();
        check_layer_count(&arns)?;
        self.lock().catalog.check_free(name)?;
        // Held until the function is on disk.
        let (layers, _leases): (Vec<_>, Vec<_>) = self.layers.resolve(&arns)?.into_iter().unzip();
        let settings = request.settings(layers, host_architecture())?;
        check_code(&settings.package, asked)?;
        let (code, _lease) = self.code(asked)?;
        let shape = self.change(|catalog| {
            let record = catalog.create(name, request, settings, code, &Moment::now())?;
            let version = match record.last_version {
                0 => Version::Latest,
                number => Version::Number(number),
            };
            Ok(record.latest.shape(self.arns(), name, version, None))
        })?;
        self.deploy(name.clone());
        Ok(Answer::created(shape))
    }

    /// Checks that there is an image, as far as that is known at once: to fetch it is for
    /// later. Blocks.
    fn check_image(self: &Arc<Self>, uri: &str) -> Result<(), Refusal> {
        let reference: ImageReference = uri.parse().map_err(|error: lambent_images::Error| {
            Refusal::invalid(format!(
                "Source image {uri} is not valid. Provide a valid source image. ({error})"
            ))
        })?;
        match self.missing_image(&reference) {
            None => Ok(()),
            Some(reason) => Err(Refusal::invalid(format!(
                "Source image {uri} does not exist. Provide a valid source image. ({reason})"
            ))),
        }
    }

    /// The code that a request has; an archive is unpacked and stays for as long as
    /// the second lives.
    fn code(
        self: &Arc<Self>,
        request: &CodeRequest,
    ) -> Result<(Code, Option<PackageLease>), Refusal> {
        match (&request.image_uri, &request.zip_file) {
            (Some(uri), _) => {
                self.check_image(uri)?;
                let uri = uri.clone();
                Ok((Code::Image { uri, digest: None }, None))
            }
            (None, Some(zip)) => {
                let lease = self.layers.unpack(Cursor::new(archive(zip)?))?;
                let package = lease.package();
                let code = Code::Zip {
                    digest: package.digest.hex(),
                    size: package.size,
                    unpacked_size: package.unpacked_size,
                };
                Ok((code, Some(lease)))
            }
            (None, None) => Err(Refusal::invalid(
                "Please provide a source for function code.",
            )),
        }
    }

    pub(super) fn list_functions(&self, page: &Page, every_version: bool) -> Answer {
        let held = self.lock();
        let all = held.catalog.functions.iter().flat_map(|(name, record)| {
            let versions = record.all();
            versions
                .filter(|(version, _)| every_version || *version == Version::Latest)
                .map(|(version, record)| {
                    let qualifier = every_version.then(|| version.to_string());
                    let shape = record.shape(self.arns(), name, version, qualifier.as_deref());
                    (format!("{name}:{version}"), shape)
                })
                .collect::<Vec<_>>()
        });
        listed("Functions", page.of(all))
    }

    pub(super) fn get_function(
        &self,
        function: &FunctionReference,
        endpoint: Option<&str>,
    ) -> Result<Answer, Refusal> {
        let held = self.lock();
        let (version, record) = held.catalog.resolve(function, self.arns())?;
        let qualifier = function.qualifier.as_deref();
        let mut answer = json!({
            "Configuration": record.shape(self.arns(), &function.name, version, qualifier),
            "Code": record.code_shape(|digest| self.layers.location(digest, endpoint)),
        });
        held.catalog
            .function(&function.name, self.arns())?
            .describe(&mut answer);
        Ok(Answer::ok(answer))
    }

    pub(super) fn configuration(&self, function: &FunctionReference) -> Result<Value, Refusal> {
        let held = self.lock();
        let (version, record) = held.catalog.resolve(function, self.arns())?;
        let qualifier = function.qualifier.as_deref();
        Ok(record.shape(self.arns(), &function.name, version, qualifier))
    }

    pub(super) fn update_code(
        self: &Arc<Self>,
        function: &FunctionReference,
        request: &UpdateCode,
    ) -> Result<Answer, Refusal> {
        let name = &function.name;
        let package = {
            let held = self.lock();
            let record = held.catalog.function(name, self.arns())?;
            record.latest.settings.package.clone()
        };
        check_code(&package, &request.code)?;
        let (code, _lease) = self.code(&request.code)?;
        let (version, record) = self.change(|catalog| {
            catalog.update_code(name, request, code, self.arns(), &Moment::now())
        })?;
        if request.dry_run != Some(true) {
            self.deploy(name.clone());
        }
        Ok(Answer::ok(record.shape(self.arns(), name, version, None)))
    }

    pub(super) fn update_configuration(
        self: &Arc<Self>,
        function: &FunctionReference,
        request: &UpdateConfiguration,
    ) -> Result<Answer, Refusal> {
        let name = &function.name;
        self.lock().catalog.function(name, self.arns())?;
        let mut leases = vec![];
        let layers = match &request.layers {
            None => None,
            Some(arns) => {
                check_layer_count(arns)?;
                let (layers, held): (Vec<_>, Vec<_>) =
                    self.layers.resolve(arns)?.into_iter().unzip();
                leases = held;
                Some(layers)
            }
        };
        let record: VersionRecord = self.change(|catalog| {
            catalog.update_configuration(name, request, layers, self.arns(), &Moment::now())
        })?;
        drop(leases);
        self.deploy(name.clone());
        Ok(Answer::ok(record.shape(
            self.arns(),
            name,
            Version::Latest,
            None,
        )))
    }

    pub(super) fn delete_function(&self, function: &FunctionReference) -> Result<Answer, Refusal> {
        {
            let _turn = self.turn();
            self.change(|catalog| catalog.delete(function, self.arns()))?;
            self.follow(&function.name);
        }
        self.layers.collect()?;
        Ok(Answer::empty())
    }
}

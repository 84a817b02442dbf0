//! Functions of a configuration file: made ready one by one, and then served all at
//! once or not at all.

use std::path::Path;
use std::sync::Arc;

use lambent_images::PackageLease;
use serde_json::Value;

use super::ControlPlane;
use super::deploy::host_architecture;
use crate::catalog::{
    Code, CreateFunction, LayerUse, Moment, Refusal, UrlRecord, UrlRequest, Wanted,
    check_layer_count,
};
use crate::model::{FunctionName, FunctionReference, Version};
use crate::service::PreparedCode;
use crate::service_error::ServiceError;

/// What the file says of one function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// Members of `CreateFunction`, without its code and layers.
    pub(crate) members: &'a Value,
    pub(crate) reserved: Option<i64>,
    pub(crate) provisioned: Option<i64>,
    pub(crate) alias: Option<&'a str>,
    /// Members of `CreateFunctionUrlConfig`.
    pub(crate) url: Option<&'a Value>,
}

/// A function that can be served.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) name: FunctionName,
    pub(crate) wanted: Wanted,
    code: Arc<PreparedCode>,
}

impl Ready {
    /// What Lambda would say of its image.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.code.image.image.warnings
    }
}

impl ControlPlane {
    /// Brings a directory or zip archive into the store of archives.
    ///
    /// # Errors
    /// It cannot be read, or Lambda would not take it.
    pub(crate) fn pack(&self, content: &Path) -> Result<PackageLease, ServiceError> {
        let archive = self.layers.archive_of(content)?;
        let named = |refusal: Refusal| {
            ServiceError::Image(format!("{}: {}", content.display(), refusal.message))
        };
        self.layers.unpack(archive).map_err(named)
    }

    /// A layer that a file names, as a function has it.
    pub(crate) fn layer_use(&self, name: &str, lease: &PackageLease) -> LayerUse {
        let package = lease.package();
        LayerUse {
            arn: self.arns().layer_version(name, 1),
            digest: package.digest.hex(),
            size: package.size,
            unpacked_size: package.unpacked_size,
        }
    }

    /// A layer version that was published.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn published_layer(&self, arn: &str) -> Result<(LayerUse, PackageLease), Refusal> {
        let mut found = self.layers.resolve(&[arn.to_owned()])?;
        found
            .pop()
            .ok_or_else(|| Refusal::service("the layer is not there"))
    }

    /// Checks what a file says of a function, as `CreateFunction` would.
    ///
    /// # Errors
    /// The first of Lambda's rules that it breaks.
    pub(crate) fn want(
        request: Request<'_>,
        code: Code,
        layers: Vec<LayerUse>,
    ) -> Result<Wanted, Refusal> {
        let parsed = |error: serde_json::Error| Refusal::body(&error.to_string());
        let mut create: CreateFunction =
            serde_json::from_value(request.members.clone()).map_err(parsed)?;
        let arns: Vec<String> = layers.iter().map(|layer| layer.arn.clone()).collect();
        check_layer_count(&arns)?;
        if !arns.is_empty() {
            // For the rule about images.
            create.configuration.layers = Some(arns);
        }
        let url: Option<UrlRequest> = request
            .url
            .map(|url| serde_json::from_value(url.clone()))
            .transpose()
            .map_err(parsed)?;
        Ok(Wanted {
            settings: create.settings(layers, host_architecture())?,
            code,
            tags: create.tags,
            reserved: request.reserved,
            provisioned: request.provisioned,
            alias: request.alias.map(str::to_owned),
            url,
        })
    }

    /// Makes a function ready to be served. Nothing is served yet.
    ///
    /// # Errors
    /// Its image or its layers are unusable.
    pub(crate) async fn make_ready(
        &self,
        name: FunctionName,
        mut wanted: Wanted,
    ) -> Result<Ready, ServiceError> {
        let code = self.prepare(&wanted.record(&Moment::now())).await?;
        if let Code::Image { digest, .. } = &mut wanted.code {
            *digest = Some(code.image.image.manifest_digest.to_string());
        }
        Ok(Ready { name, wanted, code })
    }

    /// Serves functions, and no more those that are `gone`: all of it or nothing.
    /// What runs goes on with the code that it has.
    ///
    /// # Errors
    /// One of them cannot be, and why.
    pub(crate) fn configure(
        &self,
        functions: &[Ready],
        gone: &[FunctionName],
    ) -> Result<(), Refusal> {
        let turn = self.turn();
        let published = self.change(|catalog| {
            for name in gone {
                catalog.withdraw(name);
            }
            let configure = |ready: &Ready| {
                let id = uuid::Uuid::new_v4().simple().to_string();
                let named = |refusal: Refusal| Refusal {
                    message: format!("{}: {}", ready.name, refusal.message),
                    ..refusal
                };
                catalog
                    .configure(&ready.name, &ready.wanted, &id, self.arns(), &Moment::now())
                    .map_err(named)
            };
            functions
                .iter()
                .map(configure)
                .collect::<Result<Vec<_>, Refusal>>()
        })?;
        for (ready, published) in functions.iter().zip(published) {
            let name = &ready.name;
            let record = self.lock().catalog.functions.get(name).cloned();
            if let Some(record) = record {
                let latest = &record.latest;
                self.put(name, Version::Latest, latest, &ready.code, record.reserved);
                if let Some(number) = published {
                    self.put_version(name, number);
                }
            }
            self.follow(name);
        }
        for name in gone {
            self.follow(name);
        }
        drop(turn);
        // What the code was before, unless something still runs from it.
        if let Err(refusal) = self.layers.collect() {
            tracing::warn!(%refusal, "archives that nothing needs stay behind");
        }
        Ok(())
    }

    /// Where a URL leads, by its ID or by the name of its function, and how it is
    /// configured; `None` if it is not.
    pub(crate) fn function_url(
        &self,
        name: &FunctionName,
    ) -> Option<(FunctionReference, UrlRecord)> {
        let held = self.lock();
        let (reference, url) = held.catalog.url_of(name)?;
        Some((reference, url.clone()))
    }
}

//! The function of the command line: served for as long as its service runs, in the
//! place of a stored one, and following its image.

use std::sync::Arc;

use lambent_images::ImageReference;

use super::ControlPlane;
use super::deploy::{ROLE, host_architecture};
use crate::catalog::{
    Code, FunctionRecord, LayerUse, Moment, PackageSettings, Refusal, Settings, State,
    VersionRecord,
};
use crate::images::ImageRequest;
use crate::model::{EventInvokeConfig, FunctionConfiguration, FunctionName, Package, Version};
use crate::service::{PreparedCode, PreparedImage};
use crate::service_error::ServiceError;

impl ControlPlane {
    /// Serves a function of the command line.
    ///
    /// # Errors
    /// There is a stored function of that name.
    pub fn adopt(
        &self,
        configuration: &FunctionConfiguration,
        uri: &ImageReference,
        code: &Arc<PreparedCode>,
        events: &EventInvokeConfig,
    ) -> Result<(), ServiceError> {
        let name = &configuration.function_name;
        let moment = Moment::now();
        let latest = VersionRecord {
            settings: Settings {
                layers: self.layers_of(code),
                ..settings(configuration)
            },
            code: image_code(uri, code),
            state: State::Active,
            last_update: None,
            revision_id: moment.revision_id,
            last_modified: moment.at,
        };
        self.change(|catalog| {
            if catalog.functions.contains_key(name) {
                return Err(Refusal::conflict(format!(
                    "there is a stored function {name}: delete it, or choose another --name"
                )));
            }
            let record = FunctionRecord::of_command_line(latest.clone(), events.clone());
            catalog.functions.insert(name.clone(), record);
            Ok(())
        })
        .map_err(|refusal| ServiceError::Host(refusal.message))?;
        let _turn = self.turn();
        self.put(name, Version::Latest, &latest, code, None);
        self.follow(name);
        Ok(())
    }

    /// Fetches an image as it is now: that of a tag which has moved from its registry,
    /// whatever the store calls by that name.
    ///
    /// # Errors
    /// It is unusable.
    pub(crate) async fn fetch_again(
        &self,
        request: ImageRequest,
    ) -> Result<Arc<PreparedImage>, ServiceError> {
        let request = ImageRequest {
            reference: self.registries.current(request.reference),
            ..request
        };
        let service = self.pools.service();
        let image = service.prepare(request, super::no_display()).await?;
        Ok(Arc::new(image))
    }

    /// Serves the function of the command line with other code, and with the settings
    /// that it has by now. Whether it is still there.
    ///
    /// # Errors
    /// The functions cannot be written.
    pub(crate) fn adopt_again(
        &self,
        name: &FunctionName,
        uri: &ImageReference,
        code: &Arc<PreparedCode>,
    ) -> Result<bool, ServiceError> {
        let moment = Moment::now();
        let _turn = self.turn();
        let renewed = self.change(|catalog| {
            let (image, layers) = (image_code(uri, code), self.layers_of(code));
            Ok(catalog.renew(name, image, layers, &moment).cloned())
        });
        let renewed = renewed.map_err(|refusal| ServiceError::Host(refusal.message))?;
        let Some(record) = renewed else {
            return Ok(false);
        };
        self.put(name, Version::Latest, &record.latest, code, record.reserved);
        self.follow(name);
        Ok(true)
    }

    /// So that they stay when a client changes the function.
    fn layers_of(&self, code: &PreparedCode) -> Vec<LayerUse> {
        let numbered = code.layers.iter().zip(1_u32..);
        let layer = numbered.map(|(lease, number)| (format!("layer-{number}"), lease));
        layer
            .map(|(name, lease)| self.layer_use(&name, lease))
            .collect()
    }
}

fn image_code(uri: &ImageReference, code: &PreparedCode) -> Code {
    Code::Image {
        uri: uri.to_string(),
        digest: Some(code.image.digest().to_string()),
    }
}

/// The settings of a function of the command line, as the catalog has them.
fn settings(configuration: &FunctionConfiguration) -> Settings {
    let image_config = &configuration.image_config;
    Settings {
        role: ROLE.to_owned(),
        description: String::new(),
        memory_size: configuration.memory_size,
        timeout: configuration.timeout,
        ephemeral_storage: configuration.ephemeral_storage,
        environment: configuration.environment.clone(),
        package: match &configuration.package {
            Package::Image => PackageSettings::Image {
                entry_point: image_config.entry_point.clone(),
                command: image_config.command.clone(),
                working_directory: image_config.working_directory.clone(),
            },
            Package::Zip { runtime, handler } => PackageSettings::Zip {
                runtime: runtime.clone(),
                handler: handler.clone(),
            },
        },
        layers: vec![],
        architecture: host_architecture().to_owned(),
        others: std::collections::BTreeMap::new(),
    }
}

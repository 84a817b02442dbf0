//! What is kept of functions, in the form in which it is on disk.
//!
//! A change of these types that an older file does not fit needs a new
//! [`VERSION`] and code that reads the old one; members that are added with a
//! default do not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{
    EphemeralStorage, EventInvokeConfig, FunctionConfiguration, FunctionName, ImageConfig, Logging,
    MemorySize, Package, Timeout, Version,
};

/// Version of the format.
pub(crate) const VERSION: u32 = 1;

/// All functions of an installation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Catalog {
    pub(crate) version: u32,
    pub(crate) functions: BTreeMap<FunctionName, FunctionRecord>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self {
            version: VERSION,
            functions: BTreeMap::new(),
        }
    }
}

/// One function with its versions and names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FunctionRecord {
    pub(crate) latest: VersionRecord,
    /// What `$LATEST` was before an update that has not succeeded yet: it serves
    /// until then, and comes back if the update fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<Box<VersionRecord>>,
    #[serde(default)]
    pub(crate) versions: BTreeMap<u64, VersionRecord>,
    /// The highest number that was ever given to a version.
    #[serde(default)]
    pub(crate) last_version: u64,
    #[serde(default)]
    pub(crate) aliases: BTreeMap<String, AliasRecord>,
    /// Reserved concurrency.
    #[serde(default)]
    pub(crate) reserved: Option<usize>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    /// Provisioned concurrency: of versions, by number, and of aliases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) provisioned: BTreeMap<String, ProvisionedRecord>,
    /// What happens to asynchronous events, by qualifier: `$LATEST` where there is
    /// none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) event_invoke: BTreeMap<String, EventInvokeRecord>,
    /// Who may do what with it: of the function under the empty name, and of its
    /// versions and aliases. Kept and shown, not enforced.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) policies: BTreeMap<String, PolicyRecord>,
    /// Settings that are kept and given back, and that have no effect here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) without_effect: BTreeMap<String, String>,
    /// URL configurations: of the function under the empty name, and of aliases.
    #[serde(default)]
    pub(crate) urls: BTreeMap<String, UrlRecord>,
    /// It comes from the command line and goes with it: it is not written.
    #[serde(skip)]
    pub(crate) transient: bool,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VersionRecord {
    pub(crate) settings: Settings,
    pub(crate) code: Code,
    pub(crate) state: State,
    #[serde(default)]
    pub(crate) last_update: Option<LastUpdate>,
    pub(crate) revision_id: String,
    pub(crate) last_modified: String,
}

/// What a caller can set, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Settings {
    pub(crate) role: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) memory_size: MemorySize,
    pub(crate) timeout: Timeout,
    pub(crate) ephemeral_storage: EphemeralStorage,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) package: PackageSettings,
    #[serde(default)]
    pub(crate) layers: Vec<LayerUse>,
    /// `x86_64` or `arm64`.
    pub(crate) architecture: String,
    /// Members that are kept and given back, and that have no effect here.
    #[serde(default)]
    pub(crate) others: BTreeMap<String, Value>,
}

/// What only functions of one package type have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PackageSettings {
    #[serde(rename_all = "camelCase")]
    Image {
        entry_point: Option<Vec<String>>,
        command: Option<Vec<String>>,
        working_directory: Option<String>,
    },
    Zip {
        runtime: String,
        handler: String,
    },
}

/// A layer version that a function has. Its content stays even if the layer version
/// is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayerUse {
    pub(crate) arn: String,
    /// Of the archive: 64 hexadecimal digits.
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) unpacked_size: u64,
}

/// The code of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Code {
    Image {
        uri: String,
        /// `sha256:…` of the manifest, once it is known. A tag that moves later
        /// changes nothing.
        digest: Option<String>,
    },
    #[serde(rename_all = "camelCase")]
    Zip {
        /// Of the archive: 64 hexadecimal digits.
        digest: String,
        size: u64,
        unpacked_size: u64,
    },
}

/// `State`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum State {
    Pending,
    Active,
    Failed { code: String, reason: String },
}

/// `LastUpdateStatus`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum LastUpdate {
    InProgress,
    Successful,
    Failed { code: String, reason: String },
}

/// A name for a version, or for two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AliasRecord {
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) route: Route,
    pub(crate) revision_id: String,
}

/// Which versions an alias leads to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) version: Version,
    /// Another version, and the share of invocations that it gets, 0 to 1.
    pub(crate) weighted: Option<(Version, f64)>,
}

impl Route {
    /// The version for a number between 0 and 1.
    pub(crate) fn choose(&self, chance: f64) -> Version {
        match self.weighted {
            Some((version, weight)) if chance < weight => version,
            _ => self.version,
        }
    }
}

/// `ProvisionedConcurrencyConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProvisionedRecord {
    /// Environments that are kept initialised, at least 1.
    pub(crate) requested: usize,
    pub(crate) modified: String,
}

/// `FunctionEventInvokeConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventInvokeRecord {
    #[serde(flatten)]
    pub(crate) config: EventInvokeConfig,
    pub(crate) modified: String,
}

/// A resource policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyRecord {
    pub(crate) revision_id: String,
    /// In the form of IAM, in the order in which they were added.
    pub(crate) statements: Vec<Value>,
}

/// `FunctionUrlConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UrlRecord {
    /// The first label of the URL's host.
    pub(crate) id: String,
    pub(crate) auth_type: String,
    pub(crate) invoke_mode: String,
    pub(crate) cors: Option<Value>,
    pub(crate) created: String,
    pub(crate) modified: String,
}

impl VersionRecord {
    /// The configuration with which it runs.
    pub(crate) fn configuration(
        &self,
        name: &FunctionName,
        version: Version,
    ) -> FunctionConfiguration {
        let settings = &self.settings;
        let (image_config, package) = match &settings.package {
            PackageSettings::Image {
                entry_point,
                command,
                working_directory,
            } => (
                ImageConfig {
                    entry_point: entry_point.clone(),
                    command: command.clone(),
                    working_directory: working_directory.clone(),
                },
                Package::Image,
            ),
            PackageSettings::Zip { runtime, handler } => (
                ImageConfig::default(),
                Package::Zip {
                    runtime: runtime.clone(),
                    handler: handler.clone(),
                },
            ),
        };
        FunctionConfiguration {
            function_name: name.clone(),
            memory_size: settings.memory_size,
            timeout: settings.timeout,
            ephemeral_storage: settings.ephemeral_storage,
            environment: settings.environment.clone(),
            image_config,
            package,
            // It was checked when it came.
            logging: settings
                .others
                .get("LoggingConfig")
                .and_then(|config| Logging::parse(config).ok())
                .unwrap_or_default(),
            version,
        }
    }

    /// Whether it is being made ready.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.state == State::Pending || self.last_update == Some(LastUpdate::InProgress)
    }
}

impl FunctionRecord {
    /// All versions, `$LATEST` first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Version, &VersionRecord)> {
        let numbered = self.versions.iter();
        std::iter::once((Version::Latest, &self.latest))
            .chain(numbered.map(|(number, record)| (Version::Number(*number), record)))
    }

    /// The digests of the archives that it needs.
    pub(crate) fn archives(&self) -> impl Iterator<Item = &str> {
        let previous = self.previous.as_deref();
        let records = self.all().map(|(_, record)| record).chain(previous);
        records.flat_map(|record| {
            let code = match &record.code {
                Code::Zip { digest, .. } => Some(digest.as_str()),
                Code::Image { .. } => None,
            };
            let layers = record.settings.layers.iter();
            code.into_iter()
                .chain(layers.map(|layer| layer.digest.as_str()))
        })
    }
}

//! Members of requests: their form, their defaults, and Lambda's checks of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::record::{LayerUse, PackageSettings, Settings};
use super::refusal::Refusal;
use super::{LAYERS_LIMIT, UNZIPPED_LIMIT};
use crate::model::{
    EnvironmentError, EphemeralStorage, Logging, LoggingError, MemorySize, Timeout,
    validate_user_environment,
};

/// Lambda's pattern for roles, as its error messages quote it.
const ROLE_PATTERN: &str = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+";

/// Longest `Description` and `Handler`.
const DESCRIPTION_MAX: usize = 256;
const HANDLER_MAX: usize = 128;

/// Members of the configuration that are kept and given back, most of them without
/// effect.
const OTHERS: [&str; 7] = [
    "DeadLetterConfig",
    "FileSystemConfigs",
    "KMSKeyArn",
    "LoggingConfig",
    "SnapStart",
    "TracingConfig",
    "VpcConfig",
];

/// `CreateFunction`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateFunction {
    pub(crate) function_name: Option<String>,
    pub(crate) code: Option<CodeRequest>,
    pub(crate) package_type: Option<String>,
    pub(crate) publish: Option<bool>,
    pub(crate) architectures: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    #[serde(flatten)]
    pub(crate) configuration: UpdateConfiguration,
}

/// `Code` of `CreateFunction`, and a part of `UpdateFunctionCode`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CodeRequest {
    /// In base64.
    pub(crate) zip_file: Option<String>,
    pub(crate) image_uri: Option<String>,
    #[serde(rename = "S3Bucket")]
    pub(crate) s3_bucket: Option<String>,
}

/// `UpdateFunctionConfiguration`; what is not there stays as it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateConfiguration {
    pub(crate) role: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) memory_size: Option<i64>,
    pub(crate) timeout: Option<i64>,
    pub(crate) ephemeral_storage: Option<StorageRequest>,
    pub(crate) environment: Option<EnvironmentRequest>,
    pub(crate) image_config: Option<ImageConfigRequest>,
    pub(crate) runtime: Option<String>,
    pub(crate) handler: Option<String>,
    /// ARNs of layer versions.
    pub(crate) layers: Option<Vec<String>>,
    pub(crate) revision_id: Option<String>,
    #[serde(flatten)]
    pub(crate) others: BTreeMap<String, Value>,
}

/// `EphemeralStorage`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StorageRequest {
    size: i64,
}

/// `Environment`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EnvironmentRequest {
    variables: Option<BTreeMap<String, String>>,
}

/// `ImageConfig`. One that is given replaces the whole of the old one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ImageConfigRequest {
    entry_point: Option<Vec<String>>,
    command: Option<Vec<String>>,
    working_directory: Option<String>,
}

impl CreateFunction {
    /// The settings of the new function; `layers` are those of the request.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn settings(
        &self,
        layers: Vec<LayerUse>,
        host_architecture: &str,
    ) -> Result<Settings, Refusal> {
        let asked = &self.configuration;
        let role = asked.role.clone().ok_or_else(|| required("role"))?;
        let package = match self.package_type.as_deref() {
            Some("Image") => {
                if asked.runtime.is_some() || asked.handler.is_some() || asked.layers.is_some() {
                    return Err(Refusal::invalid(
                        "Please don't provide Handler or Runtime or Layer when the intended \
                         function PackageType is Image",
                    ));
                }
                PackageSettings::Image {
                    entry_point: None,
                    command: None,
                    working_directory: None,
                }
            }
            None | Some("Zip") => match (&asked.runtime, &asked.handler) {
                (Some(runtime), Some(handler)) => PackageSettings::Zip {
                    runtime: runtime.clone(),
                    handler: handler.clone(),
                },
                _ => {
                    return Err(Refusal::invalid(
                        "Runtime and Handler are mandatory parameters for functions created \
                         with deployment packages.",
                    ));
                }
            },
            Some(other) => {
                let values = "Member must satisfy enum value set: [Zip, Image]";
                return Err(Refusal::constraint(other, "packageType", values));
            }
        };
        let mut settings = Settings {
            role,
            description: String::new(),
            memory_size: MemorySize::default(),
            timeout: Timeout::default(),
            ephemeral_storage: EphemeralStorage::default(),
            environment: BTreeMap::new(),
            package,
            layers: vec![],
            architecture: architecture(self.architectures.as_deref(), host_architecture)?,
            others: BTreeMap::new(),
        };
        asked.apply(&mut settings, Some(layers))?;
        Ok(settings)
    }
}

impl UpdateConfiguration {
    /// Changes what the request has; `layers` are the new ones, if it has any.
    ///
    /// # Errors
    /// The first rule that is broken; then `settings` are of no use.
    pub(crate) fn apply(
        &self,
        settings: &mut Settings,
        layers: Option<Vec<LayerUse>>,
    ) -> Result<(), Refusal> {
        if let Some(role) = &self.role {
            if !is_role(role) {
                let rule =
                    format!("Member must satisfy regular expression pattern: {ROLE_PATTERN}");
                return Err(Refusal::constraint(role, "role", &rule));
            }
            settings.role.clone_from(role);
        }
        if let Some(description) = &self.description {
            settings.description = description_of(description)?;
        }
        if let Some(value) = self.memory_size {
            settings.memory_size = memory_size(value)?;
        }
        if let Some(value) = self.timeout {
            let bounds = (i64::from(Timeout::MIN.get()), i64::from(Timeout::MAX.get()));
            settings.timeout = Timeout::new(ranged(value, "timeout", bounds)?)
                .map_err(|error| internal(&error))?;
        }
        if let Some(storage) = &self.ephemeral_storage {
            let bounds = (
                i64::from(EphemeralStorage::MIN.get()),
                i64::from(EphemeralStorage::MAX.get()),
            );
            let size = ranged(storage.size, "ephemeralStorage.size", bounds)?;
            settings.ephemeral_storage =
                EphemeralStorage::new(size).map_err(|error| internal(&error))?;
        }
        if let Some(environment) = &self.environment {
            let variables = environment.variables.clone().unwrap_or_default();
            validate_user_environment(&variables)
                .map_err(|error| environment_refusal(error).about("Environment"))?;
            settings.environment = variables;
        }
        self.apply_package(settings)?;
        if let Some(layers) = layers {
            check_layers(&layers)?;
            settings.layers = layers;
        }
        if let Some(config) = self.others.get("LoggingConfig") {
            Logging::parse(config)
                .map_err(|error| logging_refusal(error).about("LoggingConfig"))?;
        }
        for name in OTHERS {
            if let Some(value) = self.others.get(name) {
                settings.others.insert(name.to_owned(), value.clone());
            }
        }
        Ok(())
    }

    fn apply_package(&self, settings: &mut Settings) -> Result<(), Refusal> {
        match &mut settings.package {
            PackageSettings::Image {
                entry_point,
                command,
                working_directory,
            } => {
                if self.runtime.is_some() || self.handler.is_some() || self.layers.is_some() {
                    return Err(Refusal::invalid(
                        "Please don't provide Handler or Runtime or Layer when the intended \
                         function PackageType is Image",
                    ));
                }
                if let Some(config) = &self.image_config {
                    // An empty list means that there is no override.
                    let list =
                        |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
                    *entry_point = list(&config.entry_point);
                    *command = list(&config.command);
                    *working_directory = config
                        .working_directory
                        .clone()
                        .filter(|directory| !directory.is_empty());
                }
            }
            PackageSettings::Zip { runtime, handler } => {
                if self.image_config.is_some() {
                    let refusal = Refusal::invalid(
                        "Please don't provide ImageConfig when the intended function PackageType \
                         is Zip",
                    );
                    return Err(refusal.about("ImageConfig"));
                }
                if let Some(new) = &self.runtime {
                    runtime.clone_from(new);
                }
                if let Some(new) = &self.handler {
                    if new.is_empty() || new.contains(char::is_whitespace) {
                        let rule = "Member must satisfy regular expression pattern: [^\\s]+";
                        return Err(Refusal::constraint(new, "handler", rule));
                    }
                    if new.len() > HANDLER_MAX {
                        let rule = "Member must have length less than or equal to 128";
                        return Err(Refusal::constraint(new, "handler", rule));
                    }
                    handler.clone_from(new);
                }
            }
        }
        Ok(())
    }
}

/// `[x86_64]` or `[arm64]`; without one, that of this host.
pub(super) fn architecture(asked: Option<&[String]>, host: &str) -> Result<String, Refusal> {
    match asked {
        None => Ok(host.to_owned()),
        Some([one]) if one == "x86_64" || one == "arm64" => Ok(one.clone()),
        Some(other) => Err(Refusal::constraint(
            &format!("[{}]", other.join(", ")),
            "architectures",
            "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64]]",
        )),
    }
}

fn logging_refusal(error: LoggingError) -> Refusal {
    match error {
        LoggingError::Value(member, value, values) => {
            let rule = format!("Member must satisfy enum value set: [{values}]");
            Refusal::constraint(value.trim_matches('"'), member, &rule)
        }
        LoggingError::LevelOfText => Refusal::invalid(error.to_string()),
    }
}

/// Checks a `Description`.
pub(super) fn description_of(text: &str) -> Result<String, Refusal> {
    if text.chars().count() > DESCRIPTION_MAX {
        let rule = "Member must have length less than or equal to 256";
        return Err(Refusal::constraint(text, "description", rule));
    }
    Ok(text.to_owned())
}

/// Code and layers together, unzipped.
pub(super) fn check_size(code: u64, layers: &[LayerUse]) -> Result<(), Refusal> {
    let layers: u64 = layers.iter().map(|layer| layer.unpacked_size).sum();
    if code.saturating_add(layers) > UNZIPPED_LIMIT {
        return Err(Refusal::unzipped());
    }
    Ok(())
}

/// Two versions of one layer are refused.
fn check_layers(layers: &[LayerUse]) -> Result<(), Refusal> {
    for (index, one) in layers.iter().enumerate() {
        let layer = |arn: &str| arn.rsplit_once(':').map(|(layer, _)| layer.to_owned());
        let same = |other: &&LayerUse| layer(&other.arn) == layer(&one.arn);
        if let Some(other) = layers[index + 1..].iter().find(same) {
            return Err(Refusal::invalid(format!(
                "Two different versions of the same layer are not allowed to be referenced in \
                 the same function. {} and {} are versions of the same layer.",
                one.arn, other.arn
            )));
        }
    }
    Ok(())
}

/// The number of layers, before any of them is looked for.
pub(crate) fn check_layer_count(layers: &[String]) -> Result<(), Refusal> {
    if layers.len() > LAYERS_LIMIT {
        return Err(Refusal::invalid(format!(
            "Cannot reference more than {LAYERS_LIMIT} layers."
        )));
    }
    Ok(())
}

/// The model accepts more than Lambda does for an ordinary function, and the two
/// have different texts.
fn memory_size(value: i64) -> Result<MemorySize, Refusal> {
    const MODEL_MAX: i64 = 32_768;
    let (lowest, highest) = (MemorySize::MIN.get(), MemorySize::MAX.get());
    let size = ranged(value, "memorySize", (lowest.into(), MODEL_MAX))?;
    MemorySize::new(size).map_err(|_| {
        Refusal::invalid(format!(
            "'MemorySize' value failed to satisfy constraint: Member must have value less than \
             or equal to {highest}"
        ))
        .about("MemorySize")
    })
}

pub(super) fn ranged(
    value: i64,
    member: &str,
    (lowest, highest): (i64, i64),
) -> Result<u32, Refusal> {
    let bound = if value < lowest {
        format!("greater than or equal to {lowest}")
    } else {
        format!("less than or equal to {highest}")
    };
    u32::try_from(value)
        .ok()
        .filter(|_| (lowest..=highest).contains(&value))
        .ok_or_else(|| {
            let rule = format!("Member must have value {bound}");
            Refusal::constraint(&value.to_string(), member, &rule)
        })
}

/// A value that was checked before.
fn internal(error: &crate::model::LimitError) -> Refusal {
    Refusal::invalid(error.to_string())
}

fn environment_refusal(error: EnvironmentError) -> Refusal {
    match error {
        EnvironmentError::Reserved(name) => Refusal::invalid(format!(
            "Lambda was unable to configure your environment variables because the environment \
             variables you have provided contains reserved keys that are currently not supported \
             for modification. Reserved keys used in this request: {name}"
        )),
        other => Refusal::invalid(other.to_string()),
    }
}

/// A member that must be there.
pub(crate) fn required(member: &str) -> Refusal {
    Refusal::new(
        super::RefusalKind::Validation,
        format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: \
             Member must not be null"
        ),
    )
}

fn is_role(text: &str) -> bool {
    let Some((partition, rest)) = text
        .strip_prefix("arn:")
        .and_then(|rest| rest.split_once(":iam::"))
    else {
        return false;
    };
    let Some((account, role)) = rest.split_once(":role") else {
        return false;
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&byte);
    (partition.is_empty() || partition.starts_with("aws"))
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && !role.is_empty()
        && role.bytes().all(legal)
}

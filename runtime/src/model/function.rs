//! A function's configuration, with Lambda's field names.

use std::collections::BTreeMap;

use super::{EphemeralStorage, FunctionName, Logging, MemorySize, Timeout, Version};

/// Where the code of a function is, and where it starts unless its image says
/// otherwise.
pub const TASK_ROOT: &str = "/var/task";

/// Overrides of the image's own settings (`ImageConfig`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Replaces `ENTRYPOINT`.
    pub entry_point: Option<Vec<String>>,
    /// Replaces `CMD`.
    pub command: Option<Vec<String>>,
    /// Replaces `WORKDIR`.
    pub working_directory: Option<String>,
}

impl ImageConfig {
    /// The program and its arguments: `ENTRYPOINT` and `CMD` of an image, each unless
    /// it is replaced.
    pub fn arguments<'a>(
        &'a self,
        entry_point: &'a [String],
        command: &'a [String],
    ) -> impl Iterator<Item = &'a String> {
        let entry_point = self.entry_point.as_deref().unwrap_or(entry_point);
        let command = self.command.as_deref().unwrap_or(command);
        entry_point.iter().chain(command)
    }

    /// `WORKDIR` of an image unless it is replaced; none if that says nothing.
    pub fn working_directory<'a>(&'a self, of_image: Option<&'a str>) -> Option<&'a str> {
        let own = self.working_directory.as_deref();
        own.or(of_image).filter(|directory| !directory.is_empty())
    }
}

/// What the code of a function is (`PackageType`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Package {
    /// An image that brings its own runtime.
    #[default]
    Image,
    /// Files at `/var/task`, beside a runtime of Lambda's.
    Zip {
        /// `Runtime`, such as `python3.12`.
        runtime: String,
        /// `Handler`.
        handler: String,
    },
}

impl Package {
    /// Whether the runtime is the function's own program, called `bootstrap`.
    pub fn brings_bootstrap(&self) -> bool {
        matches!(self, Self::Zip { runtime, .. } if brings_bootstrap(runtime))
    }
}

/// Whether functions of this `Runtime` are programs of their own.
pub fn brings_bootstrap(runtime: &str) -> bool {
    runtime.starts_with("provided")
}

/// One version of a function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FunctionConfiguration {
    /// `FunctionName`.
    pub function_name: FunctionName,
    /// `MemorySize`.
    pub memory_size: MemorySize,
    /// `Timeout`.
    pub timeout: Timeout,
    /// `EphemeralStorage.Size`.
    pub ephemeral_storage: EphemeralStorage,
    /// `Environment.Variables`.
    pub environment: BTreeMap<String, String>,
    /// `ImageConfig`.
    pub image_config: ImageConfig,
    /// `PackageType`, with what only one of them has.
    pub package: Package,
    /// `LoggingConfig`.
    pub logging: Logging,
    /// `Version`.
    pub version: Version,
}

/// The ARN of a function without a qualifier.
pub fn function_arn(region: &str, name: &FunctionName) -> String {
    format!("arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{name}")
}

/// The account that local functions belong to: AWS's own example number.
pub const ACCOUNT_ID: &str = "123456789012";

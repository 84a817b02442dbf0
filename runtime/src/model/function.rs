//! A function's configuration, with Lambda's field names.

use std::collections::BTreeMap;

use super::{EphemeralStorage, FunctionName, MemorySize, Timeout};

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

/// One version of a function.
#[derive(Debug, Clone, Default)]
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
}

impl FunctionConfiguration {
    /// The function's ARN without a qualifier.
    pub fn arn(&self, region: &str) -> String {
        function_arn(region, &self.function_name)
    }
}

/// The ARN of a function without a qualifier.
pub fn function_arn(region: &str, name: &FunctionName) -> String {
    format!("arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{name}")
}

/// The account that local functions belong to: AWS's own example number.
pub const ACCOUNT_ID: &str = "123456789012";

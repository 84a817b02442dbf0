//! Answers in the shapes of Lambda's API.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::record::{
    AliasRecord, Catalog, Code, FunctionRecord, LastUpdate, PackageSettings, State, UrlRecord,
    VersionRecord,
};
use super::{UNZIPPED_LIMIT, ZIPPED_LIMIT};
use crate::model::{
    ACCOUNT_CONCURRENCY, ACCOUNT_ID, FunctionName, FunctionReference, Version, function_arn,
};

/// Lambda's limit on the code of an account, in bytes (300 GB).
const CODE_STORAGE: u64 = 300 * 1024 * 1024 * 1024;

/// Makes the names of resources in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arns {
    region: String,
}

impl Arns {
    pub(crate) fn new(region: &str) -> Self {
        Self {
            region: region.to_owned(),
        }
    }

    /// A function.
    pub(crate) fn function(&self, name: &FunctionName) -> String {
        function_arn(&self.region, name)
    }

    /// A version or alias.
    pub(crate) fn qualified(&self, name: &FunctionName, qualifier: &str) -> String {
        format!("{}:{qualifier}", self.function(name))
    }

    /// What a caller named, with the qualifier only if there was one.
    pub(crate) fn reference(&self, reference: &FunctionReference) -> String {
        match &reference.qualifier {
            Some(qualifier) => self.qualified(&reference.name, qualifier),
            None => self.function(&reference.name),
        }
    }

    /// A layer.
    pub(crate) fn layer(&self, name: &str) -> String {
        format!("arn:aws:lambda:{}:{ACCOUNT_ID}:layer:{name}", self.region)
    }

    /// A version of a layer.
    pub(crate) fn layer_version(&self, name: &str, version: u64) -> String {
        format!("{}:{version}", self.layer(name))
    }
}

/// A digest of 64 hexadecimal digits as Lambda writes those of archives.
pub(crate) fn base64_of_hex(hex: &str) -> Option<String> {
    let digit = |text: &[u8]| u8::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(digit).collect();
    Some(BASE64_STANDARD.encode(bytes?))
}

impl VersionRecord {
    /// `FunctionConfiguration`. `qualifier` is what the caller named it by, if at all.
    pub(crate) fn shape(
        &self,
        arns: &Arns,
        name: &FunctionName,
        version: Version,
        qualifier: Option<&str>,
    ) -> Value {
        let settings = &self.settings;
        let arn = match (qualifier, version) {
            (Some(qualifier), _) => arns.qualified(name, qualifier),
            (None, Version::Latest) => arns.function(name),
            (None, Version::Number(number)) => arns.qualified(name, &number.to_string()),
        };
        let mut shape = json!({
            "FunctionName": name,
            "FunctionArn": arn,
            "Role": settings.role,
            "CodeSize": self.code.size(),
            "Description": settings.description,
            "Timeout": settings.timeout,
            "MemorySize": settings.memory_size,
            "LastModified": self.last_modified,
            "Version": version,
            "TracingConfig": {"Mode": "PassThrough"},
            "RevisionId": self.revision_id,
            "Architectures": [settings.architecture],
            "EphemeralStorage": {"Size": settings.ephemeral_storage},
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": format!("/aws/lambda/{name}")},
        });
        if let Some(sha256) = self.code.sha256() {
            shape["CodeSha256"] = json!(sha256);
        }
        if !settings.environment.is_empty() {
            shape["Environment"] = json!({"Variables": settings.environment});
        }
        if !settings.layers.is_empty() {
            let layers = settings.layers.iter();
            let layers: Vec<Value> = layers
                .map(|layer| json!({"Arn": layer.arn, "CodeSize": layer.size}))
                .collect();
            shape["Layers"] = json!(layers);
        }
        for (member, value) in &settings.others {
            merge(&mut shape[member.as_str()], value);
        }
        self.package_shape(&mut shape);
        self.state_shape(&mut shape);
        shape
    }

    fn package_shape(&self, shape: &mut Value) {
        match &self.settings.package {
            PackageSettings::Image {
                entry_point,
                command,
                working_directory,
            } => {
                shape["PackageType"] = json!("Image");
                let mut config = json!({});
                for (member, value) in [
                    ("EntryPoint", json!(entry_point)),
                    ("Command", json!(command)),
                    ("WorkingDirectory", json!(working_directory)),
                ] {
                    if !value.is_null() {
                        config[member] = value;
                    }
                }
                if config != json!({}) {
                    shape["ImageConfigResponse"] = json!({"ImageConfig": config});
                }
            }
            PackageSettings::Zip { runtime, handler } => {
                shape["PackageType"] = json!("Zip");
                shape["Runtime"] = json!(runtime);
                shape["Handler"] = json!(handler);
            }
        }
    }

    fn state_shape(&self, shape: &mut Value) {
        let (state, code, reason) = match &self.state {
            State::Pending => (
                "Pending",
                Some("Creating"),
                Some("The function is being created."),
            ),
            State::Active => ("Active", None, None),
            State::Failed { code, reason } => {
                ("Failed", Some(code.as_str()), Some(reason.as_str()))
            }
        };
        shape["State"] = json!(state);
        let (status, update_code, update_reason) = match &self.last_update {
            None => (None, None, None),
            Some(LastUpdate::InProgress) => (
                Some("InProgress"),
                Some("Creating"),
                Some("The function is being created."),
            ),
            Some(LastUpdate::Successful) => (Some("Successful"), None, None),
            Some(LastUpdate::Failed { code, reason }) => {
                (Some("Failed"), Some(code.as_str()), Some(reason.as_str()))
            }
        };
        for (member, value) in [
            ("StateReasonCode", code),
            ("StateReason", reason),
            ("LastUpdateStatus", status),
            ("LastUpdateStatusReasonCode", update_code),
            ("LastUpdateStatusReason", update_reason),
        ] {
            if let Some(value) = value {
                shape[member] = json!(value);
            }
        }
    }

    /// `Code` of `GetFunction`; `location` says where an archive can be had.
    pub(crate) fn code_shape(&self, location: impl Fn(&str) -> Option<String>) -> Value {
        match &self.code {
            Code::Image { uri, digest } => {
                let mut shape = json!({"RepositoryType": "ECR", "ImageUri": uri});
                if let Some(digest) = digest {
                    shape["ResolvedImageUri"] = json!(resolved(uri, digest));
                }
                shape
            }
            Code::Zip { digest, .. } => {
                let mut shape = json!({"RepositoryType": "S3"});
                if let Some(location) = location(digest) {
                    shape["Location"] = json!(location);
                }
                shape
            }
        }
    }
}

/// The reference with the digest in the place of a tag.
fn resolved(uri: &str, digest: &str) -> String {
    let repository = uri.split('@').next().unwrap_or(uri);
    let tag = repository
        .rsplit_once(':')
        .filter(|(_, tag)| !tag.contains('/'));
    format!(
        "{}@{digest}",
        tag.map_or(repository, |(repository, _)| repository)
    )
}

impl Code {
    fn size(&self) -> u64 {
        match self {
            // Lambda gives none for images.
            Self::Image { .. } => 0,
            Self::Zip { size, .. } => *size,
        }
    }
}

/// Puts the members of an object into another one; anything else replaces it.
fn merge(into: &mut Value, value: &Value) {
    match (into.as_object_mut(), value.as_object()) {
        (Some(into), Some(members)) => {
            for (member, value) in members {
                into.insert(member.clone(), value.clone());
            }
        }
        _ => *into = value.clone(),
    }
}

impl AliasRecord {
    /// `AliasConfiguration`.
    pub(crate) fn shape(&self, arns: &Arns, function: &FunctionName, name: &str) -> Value {
        let mut shape = json!({
            "AliasArn": arns.qualified(function, name),
            "Name": name,
            "FunctionVersion": self.route.version,
            "Description": self.description,
            "RevisionId": self.revision_id,
        });
        if let Some((version, weight)) = self.route.weighted {
            let version = version.to_string();
            shape["RoutingConfig"] = json!({"AdditionalVersionWeights": {version: weight}});
        }
        shape
    }
}

impl UrlRecord {
    /// `FunctionUrlConfig`, for a client that knows this service as `endpoint`; `created`
    /// is the answer to its creation. The URL is a path there and not a host of its own,
    /// which the C library finds only with a module of systemd's.
    pub(crate) fn shape(
        &self,
        arns: &Arns,
        reference: &FunctionReference,
        endpoint: &str,
        created: bool,
    ) -> Value {
        let mut shape = json!({
            "FunctionUrl": format!("http://{endpoint}/lambda-url/{}/", self.id),
            "FunctionArn": arns.reference(reference),
            "AuthType": self.auth_type,
            "InvokeMode": self.invoke_mode,
            "CreationTime": self.created,
        });
        if !created {
            shape["LastModifiedTime"] = json!(self.modified);
        }
        if let Some(cors) = &self.cors {
            shape["Cors"] = cors.clone();
        }
        shape
    }
}

impl FunctionRecord {
    /// The rest of the answer of `GetFunction`.
    pub(crate) fn describe(&self, answer: &mut Value) {
        if !self.tags.is_empty() {
            answer["Tags"] = json!(self.tags);
        }
        if let Some(reserved) = self.reserved {
            answer["Concurrency"] = json!({"ReservedConcurrentExecutions": reserved});
        }
    }
}

impl Catalog {
    /// The answer of `GetAccountSettings`.
    pub(crate) fn account_settings(&self) -> Value {
        let records = self.functions.values().flat_map(FunctionRecord::all);
        let size: u64 = records.map(|(_, record)| record.code.size()).sum();
        json!({
            "AccountLimit": {
                "TotalCodeSize": CODE_STORAGE,
                "CodeSizeUnzipped": UNZIPPED_LIMIT,
                "CodeSizeZipped": ZIPPED_LIMIT,
                "ConcurrentExecutions": ACCOUNT_CONCURRENCY,
                "UnreservedConcurrentExecutions": self.unreserved(),
            },
            "AccountUsage": {"TotalCodeSize": size, "FunctionCount": self.functions.len()},
        })
    }
}

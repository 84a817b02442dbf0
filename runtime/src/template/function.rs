//! `AWS::Serverless::Function`: its properties as members of `CreateFunction`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::globals::merged;
use super::resolve::{Scope, as_text};
use super::tree::{Kind, Node};
use crate::configuration::{
    CodeSource, ConfigurationError, ConfiguredFunction, Cors, LayerSource, Place,
};

type Result<T> = std::result::Result<T, ConfigurationError>;

/// Properties that have an effect.
const EFFECTIVE: [&str; 23] = [
    "Architectures",
    "AutoPublishAlias",
    "CodeUri",
    "Description",
    "Environment",
    "EphemeralStorage",
    "Events",
    "FunctionName",
    "FunctionUrlConfig",
    "Handler",
    "ImageConfig",
    "ImageUri",
    "InlineCode",
    "Layers",
    "LoggingConfig",
    "MemorySize",
    "PackageType",
    "ProvisionedConcurrencyConfig",
    "ReservedConcurrentExecutions",
    "Role",
    "Runtime",
    "Tags",
    "Timeout",
];

/// Properties that SAM knows and that have none: without IAM, a network, tracing,
/// deployments.
const INEFFECTIVE: [&str; 26] = [
    "AssumeRolePolicyDocument",
    "AutoPublishAliasAllProperties",
    "AutoPublishCodeSha256",
    "CapacityProviderConfig",
    "CodeSigningConfigArn",
    "DeadLetterQueue",
    "DeploymentPreference",
    "DurableConfig",
    "EventInvokeConfig",
    "FileSystemConfigs",
    "FunctionScalingConfig",
    "KmsKeyArn",
    "PermissionsBoundary",
    "Policies",
    "PropagateTags",
    "PublishToLatestPublished",
    "RecursiveLoop",
    "RolePath",
    "RuntimeManagementConfig",
    "SnapStart",
    "SourceKMSKeyArn",
    "TenancyConfig",
    "Tracing",
    "VersionDeletionPolicy",
    "VersionDescription",
    "VpcConfig",
];

/// What SAM does not take from `Globals`.
const OWN: [&str; 3] = ["Events", "FunctionName", "InlineCode"];

/// A function of a template.
pub(super) struct Function<'a> {
    pub(super) scope: &'a Scope<'a>,
    role: &'a str,
    logical: &'a str,
    metadata: Option<&'a Node>,
    pub(super) properties: Node,
    /// Of the properties.
    pub(super) place: Place,
}

/// The layers of a template: name and content by the ARN that refers to them.
#[derive(Debug, Default)]
pub(super) struct Layers(BTreeMap<String, (String, Place, Option<Value>)>);

impl Layers {
    pub(super) fn of(scope: &Scope<'_>, resources: &[(&str, &Node, Place)]) -> Result<Self> {
        let mut layers = BTreeMap::new();
        for (logical, resource, place) in resources {
            if resource.get("Type").and_then(Node::text) != Some("AWS::Serverless::LayerVersion") {
                continue;
            }
            let name = scope.layer_name(logical)?;
            let place = place.part("Properties").part("ContentUri");
            let content = resource
                .get("Properties")
                .and_then(|properties| properties.get("ContentUri"));
            let content = match content {
                Some(node) => scope.resolve(node, &place)?,
                None => None,
            };
            layers.insert(scope.layer_arn(&name), (name, place, content));
        }
        Ok(Self(layers))
    }

    fn source(&self, arn: String) -> Result<LayerSource> {
        match self.0.get(&arn) {
            None => Ok(LayerSource::Arn(arn)),
            Some((name, place, content)) => Ok(LayerSource::Files {
                name: name.clone(),
                content: local(content.as_ref(), place)?,
            }),
        }
    }
}

impl<'a> Function<'a> {
    pub(super) fn new(
        scope: &'a Scope<'a>,
        role: &'a str,
        logical: &'a str,
        resource: &'a Node,
        place: &Place,
    ) -> Result<Self> {
        let empty = || Node {
            kind: Kind::Map(vec![]),
            line: resource.line,
            source: None,
        };
        let own = resource.get("Properties").cloned().unwrap_or_else(empty);
        let globals = scope
            .root
            .get("Globals")
            .and_then(|all| all.get("Function"));
        if let Some(globals) = globals
            && let Some((key, node)) = globals
                .members()
                .iter()
                .find(|(key, _)| OWN.contains(&key.as_str()))
        {
            let place = Place::default().part("Globals.Function").part(key);
            return Err(place
                .at(node.line)
                .error("SAM takes this only of a function itself"));
        }
        Ok(Self {
            scope,
            role,
            logical,
            metadata: resource.get("Metadata"),
            properties: globals.map_or_else(|| own.clone(), |globals| merged(globals, &own)),
            place: place.part("Properties").at(own.line),
        })
    }

    /// The function as it is to be served.
    ///
    /// # Errors
    /// What keeps it from running as it is asked for.
    pub(super) fn configured(&self, layers: &Layers) -> Result<ConfiguredFunction> {
        self.warn_of_properties();
        let name = self.scope.function_name(self.logical)?;
        let mut request = Map::new();
        request.insert("FunctionName".to_owned(), json!(name));
        request.insert("Role".to_owned(), json!(self.role()));
        let code = self.code(&mut request)?;
        for property in ["Description", "Handler", "Runtime"] {
            if let Some(text) = self.text(property)? {
                request.insert(property.to_owned(), json!(text));
            }
        }
        for property in ["MemorySize", "Timeout"] {
            if let Some(number) = self.integer(property)? {
                request.insert(property.to_owned(), json!(number));
            }
        }
        if let Some(storage) = self.value("EphemeralStorage")? {
            let place = self.at("EphemeralStorage");
            let size = storage.get("Size").and_then(integer_of);
            let size = size.ok_or_else(|| place.part("Size").error("is not a whole number"))?;
            request.insert("EphemeralStorage".to_owned(), json!({"Size": size}));
        }
        if let Some(variables) = self.environment()? {
            request.insert("Environment".to_owned(), json!({"Variables": variables}));
        }
        if self
            .value("LoggingConfig")?
            .is_some_and(|config| config.get("LogGroup").is_some())
        {
            let message = "logs are not kept by group here: without effect";
            let place = self.at("LoggingConfig").part("LogGroup");
            self.scope.warn(&place, message);
        }
        for property in ["Architectures", "ImageConfig", "LoggingConfig", "Tags"] {
            if let Some(value) = self.value(property)? {
                request.insert(property.to_owned(), value);
            }
        }
        Ok(ConfiguredFunction {
            name,
            place: self.place.clone(),
            request: Value::Object(request),
            code,
            layers: self.layers(layers)?,
            reserved: self.integer("ReservedConcurrentExecutions")?,
            provisioned: self.provisioned()?,
            alias: self.text("AutoPublishAlias")?,
            url: self.url()?,
        })
    }

    /// The package type, and where the code is.
    fn code(&self, request: &mut Map<String, Value>) -> Result<CodeSource> {
        let package = self.text("PackageType")?;
        let package = package.unwrap_or_else(|| "Zip".to_owned());
        request.insert("PackageType".to_owned(), json!(package));
        if package == "Image" {
            if let Some(uri) = self.text("ImageUri")? {
                return Ok(CodeSource::Image(uri));
            }
            let dockerfile = self.metadata.and_then(|metadata| {
                let file = metadata.get("Dockerfile")?.text()?;
                Some(format!("Metadata names {file}, but "))
            });
            return Err(self.place.error(format!(
                "there is no ImageUri: {}Lambent does not build images. Build it, and name it: \
                 ImageUri: docker-daemon:NAME:TAG, oci-archive:FILE, or the name of a stored image \
                 (`lambent image ls`)",
                dockerfile.unwrap_or_default()
            )));
        }
        if let Some(node) = self.properties.get("InlineCode") {
            let place = self.place.part("InlineCode").at(node.line);
            return Err(place.error(
                "code in a template is not read: write it into a file, and name its directory as \
                 CodeUri",
            ));
        }
        let code = self.value("CodeUri")?;
        if code.is_none() {
            return Err(self
                .place
                .error("there is no CodeUri: name the directory or zip archive of the code"));
        }
        local(code.as_ref(), &self.at("CodeUri")).map(CodeSource::Files)
    }

    /// Roles mean nothing here; one that is written out is given back.
    fn role(&self) -> &str {
        let role = self.properties.get("Role").and_then(Node::text);
        role.filter(|role| role.starts_with("arn:"))
            .unwrap_or(self.role)
    }

    /// Provisioned concurrency is the alias's, as SAM has it.
    fn provisioned(&self) -> Result<Option<i64>> {
        const MEMBER: &str = "ProvisionedConcurrentExecutions";
        let Some(value) = self.value("ProvisionedConcurrencyConfig")? else {
            return Ok(None);
        };
        let place = self.at("ProvisionedConcurrencyConfig");
        if self.text("AutoPublishAlias")?.is_none() {
            return Err(place.error("is of an alias: there is no AutoPublishAlias"));
        }
        let number = value.get(MEMBER).and_then(integer_of);
        let wrong = || place.part(MEMBER).error("is not a whole number");
        number.map(Some).ok_or_else(wrong)
    }

    fn environment(&self) -> Result<Option<Map<String, Value>>> {
        let place = self.at("Environment").part("Variables");
        let variables = self
            .properties
            .get("Environment")
            .and_then(|environment| environment.get("Variables"));
        let Some(variables) = variables else {
            return Ok(None);
        };
        let mut map = Map::new();
        for (name, node) in variables.members() {
            let place = place.part(name).at(node.line);
            if node.get("Fn::ImportValue").is_some() {
                let message = "other stacks are not known here: the variable is left out";
                self.scope.warn(&place, message);
                continue;
            }
            let Some(value) = self.scope.resolve(node, &place)? else {
                continue;
            };
            let text = match &value {
                Value::Null => Some(String::new()),
                value => as_text(Some(value)),
            };
            let text = text.ok_or_else(|| place.error("is not a text"))?;
            map.insert(name.clone(), text.into());
        }
        Ok(Some(map))
    }

    fn layers(&self, layers: &Layers) -> Result<Vec<LayerSource>> {
        let Some(value) = self.value("Layers")? else {
            return Ok(vec![]);
        };
        let place = self.at("Layers");
        let wrong = || place.error("is not a list of layer versions");
        let items = value.as_array().ok_or_else(wrong)?;
        items
            .iter()
            .map(|item| {
                let arn = as_text(Some(item)).ok_or_else(wrong)?;
                layers.source(arn)
            })
            .collect()
    }

    fn url(&self) -> Result<Option<Value>> {
        let Some(value) = self.value("FunctionUrlConfig")? else {
            return Ok(None);
        };
        let place = self.at("FunctionUrlConfig");
        let members = value
            .as_object()
            .ok_or_else(|| place.error("is not a map of AuthType, Cors and InvokeMode"))?;
        for (member, value) in members {
            match (member.as_str(), value) {
                ("Cors", Value::Object(cors)) => {
                    Cors::from_members(cors).map_err(|error| place.part("Cors").error(error))?;
                }
                ("AuthType", Value::String(kind)) if kind == "AWS_IAM" => {
                    let message = "signatures are not checked here: everybody may call the URL";
                    self.scope.warn(&place.part("AuthType"), message);
                }
                ("AuthType" | "InvokeMode", Value::String(_)) => {}
                _ => return Err(place.part(member).error("is not what a URL has there")),
            }
        }
        Ok(Some(value))
    }

    fn warn_of_properties(&self) {
        let mut without = vec![];
        for (name, node) in self.properties.members() {
            let name = name.as_str();
            if EFFECTIVE.contains(&name) {
                continue;
            }
            if INEFFECTIVE.contains(&name) {
                without.push(name);
            } else {
                let place = self.place.part(name).at(node.line);
                self.scope
                    .warn(&place, "SAM has no such property, and nor does Lambent");
            }
        }
        if !without.is_empty() {
            let list = without.join(", ");
            self.scope
                .warn(&self.place, &format!("without effect here: {list}"));
        }
    }

    /// Where a property is.
    pub(super) fn at(&self, property: &str) -> Place {
        let place = self.place.part(property);
        match self.properties.get(property) {
            Some(node) => place.at(node.line),
            None => place,
        }
    }

    /// A property; nothing, if it is not there or is `AWS::NoValue`.
    fn value(&self, property: &str) -> Result<Option<Value>> {
        match self.properties.get(property) {
            Some(node) if !node.is_null() => self.scope.resolve(node, &self.at(property)),
            _ => Ok(None),
        }
    }

    fn text(&self, property: &str) -> Result<Option<String>> {
        let value = self.value(property)?;
        let wrong = || self.at(property).error("is not a text");
        value
            .map(|value| as_text(Some(&value)).ok_or_else(wrong))
            .transpose()
    }

    fn integer(&self, property: &str) -> Result<Option<i64>> {
        let value = self.value(property)?;
        let wrong = || self.at(property).error("is not a whole number");
        value
            .map(|value| integer_of(&value).ok_or_else(wrong))
            .transpose()
    }
}

/// Parameters are texts, also those of type `Number`.
fn integer_of(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

/// A path of this machine.
fn local(value: Option<&Value>, place: &Place) -> Result<String> {
    let s3 = || {
        place.error(
            "there is no S3 here: name a directory or zip archive of this machine (such as what \
             `sam build` writes)",
        )
    };
    match value {
        Some(Value::String(text)) if text.starts_with("s3://") => Err(s3()),
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::Object(_)) => Err(s3()),
        _ => Err(place.error("names neither a directory nor a zip archive")),
    }
}

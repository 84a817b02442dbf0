//! Functions of a template: their properties as members of `CreateFunction`.

use serde_json::{Map, Value, json};

use super::globals::merged;
use super::kind::FunctionKind;
use super::layers::Layers;
use super::properties::OWN;
use super::resolve::{Result, Scope, as_text};
use super::tree::{Kind, Node};
use crate::configuration::{ConfiguredFunction, Place};

/// Where properties are that all functions have.
const GLOBALS: &str = "Globals.Function";

/// A function of a template.
pub(super) struct Function<'a> {
    pub(super) scope: &'a Scope<'a>,
    pub(super) kind: FunctionKind,
    role: &'a str,
    logical: &'a str,
    pub(super) metadata: Option<&'a Node>,
    pub(super) properties: Node,
    /// Of the properties.
    pub(super) place: Place,
    /// Those that it says itself, if any.
    own: Option<&'a Node>,
}

impl<'a> Function<'a> {
    pub(super) fn new(
        scope: &'a Scope<'a>,
        kind: FunctionKind,
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
            .and_then(|all| all.get("Function"))
            .filter(|_| kind == FunctionKind::Serverless);
        if let Some(globals) = globals
            && let Some((key, node)) = globals
                .members()
                .iter()
                .find(|(key, _)| OWN.contains(&key.as_str()))
        {
            let place = Place::default().part(GLOBALS).part(key);
            return Err(place
                .at(node.line)
                .error("SAM takes this only of a function itself"));
        }
        Ok(Self {
            scope,
            kind,
            role,
            logical,
            metadata: resource.get("Metadata"),
            properties: globals.map_or_else(|| own.clone(), |globals| merged(globals, &own)),
            place: place.part("Properties").at(own.line),
            own: resource.get("Properties"),
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
            let place = self.at_part(&["LoggingConfig", "LogGroup"]);
            self.scope.warn(&place, message);
        }
        for property in ["Architectures", "ImageConfig", "LoggingConfig"] {
            if let Some(value) = self.value(property)? {
                request.insert(property.to_owned(), value);
            }
        }
        if let Some(tags) = self.tags()? {
            request.insert("Tags".to_owned(), tags);
        }
        let place = |member: &String| (member.clone(), self.at(member));
        Ok(ConfiguredFunction {
            name,
            place: self.place.clone(),
            places: request.keys().map(place).collect(),
            request: Value::Object(request),
            code,
            layers: self.layers(layers)?,
            reserved: self.integer("ReservedConcurrentExecutions")?,
            provisioned: self.provisioned()?,
            alias: self.text("AutoPublishAlias")?,
            url: self.url()?,
        })
    }

    /// Roles mean nothing here; one that is written out is given back.
    fn role(&self) -> &str {
        let role = self.properties.get("Role").and_then(Node::text);
        role.filter(|role| role.starts_with("arn:"))
            .unwrap_or(self.role)
    }

    /// A map in SAM, and a list in `CloudFormation`.
    fn tags(&self) -> Result<Option<Value>> {
        let Some(value) = self.value("Tags")? else {
            return Ok(None);
        };
        if self.kind == FunctionKind::Serverless {
            return Ok(Some(value));
        }
        let wrong = || self.at("Tags").error("is not a list of Key and Value");
        let mut tags = Map::new();
        for tag in value.as_array().ok_or_else(wrong)? {
            let member = |name: &str| as_text(tag.get(name)).ok_or_else(wrong);
            tags.insert(member("Key")?, member("Value")?.into());
        }
        Ok(Some(Value::Object(tags)))
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
        let variables = self
            .properties
            .get("Environment")
            .and_then(|environment| environment.get("Variables"));
        let Some(variables) = variables else {
            return Ok(None);
        };
        let mut map = Map::new();
        for (name, node) in variables.members() {
            let place = self.at_part(&["Environment", "Variables", name]);
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

    /// Where a property is: of its own, or in `Globals`.
    pub(super) fn at(&self, property: &str) -> Place {
        self.at_part(&[property])
    }

    /// The same of a part of one.
    fn at_part(&self, path: &[&str]) -> Place {
        let find = |properties| {
            let mut path = path.iter();
            path.try_fold(properties, |node: &Node, name| node.get(name))
        };
        let name = path.join(".");
        let Some(node) = find(&self.properties) else {
            return self.place.part(&name);
        };
        let place = match self.own.and_then(find) {
            Some(_) => self.place.part(&name),
            None => Place::default().part(GLOBALS).part(&name),
        };
        place.at(node.line)
    }

    /// A property; nothing, if it is not there or is `AWS::NoValue`.
    pub(super) fn value(&self, property: &str) -> Result<Option<Value>> {
        match self.properties.get(property) {
            Some(node) if !node.is_null() => self.scope.resolve(node, &self.at(property)),
            _ => Ok(None),
        }
    }

    pub(super) fn text(&self, property: &str) -> Result<Option<String>> {
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

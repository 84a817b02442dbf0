//! What names in a template refer to: pseudo parameters, parameters, resources.

use serde_json::Value;

use super::generated::generated;
use super::kind::{FunctionKind, layer_content};
use super::resolve::{Result, Scope, as_text};
use super::tree::{Kind, Node};
use crate::configuration::{ConfigurationError, Place};
use crate::model::{ACCOUNT_ID, FunctionName, function_arn};

/// `AWS::StackName`: what `sam local` says, too.
const STACK: &str = "local";

impl<'a> Scope<'a> {
    /// The name of a function: `FunctionName`, else the resource's.
    ///
    /// # Errors
    /// It is no function name.
    pub(super) fn function_name(&self, logical: &str) -> Result<FunctionName> {
        self.name_of_function(logical, 0)
    }

    /// The name of a layer: `LayerName`, else the resource's.
    ///
    /// # Errors
    /// The property is not a text.
    pub(super) fn layer_name(&self, logical: &str) -> Result<String> {
        self.name_of_layer(logical, 0)
    }

    fn name_of_layer(&self, logical: &str, depth: usize) -> Result<String> {
        Ok(self
            .name_property(logical, "LayerName", depth)?
            .unwrap_or_else(|| logical.to_owned()))
    }

    /// The ARN by which functions of the template refer to one of its layers.
    pub(super) fn layer_arn(&self, name: &str) -> String {
        format!("arn:aws:lambda:{}:{ACCOUNT_ID}:layer:{name}:1", self.region)
    }

    pub(super) fn reference(
        &self,
        name: &str,
        place: &Place,
        depth: usize,
    ) -> Result<Option<Value>> {
        let region = self.region;
        let pseudo = match name {
            "AWS::NoValue" => return Ok(None),
            "AWS::Region" => region.to_owned(),
            "AWS::AccountId" => ACCOUNT_ID.to_owned(),
            "AWS::Partition" => "aws".to_owned(),
            "AWS::StackName" => STACK.to_owned(),
            "AWS::StackId" => {
                format!("arn:aws:cloudformation:{region}:{ACCOUNT_ID}:stack/{STACK}/0")
            }
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            other if other.starts_with("AWS::") => {
                return Err(place.error(format!("{other} is not known here")));
            }
            _ => return self.named(name, place, depth).map(Some),
        };
        Ok(Some(pseudo.into()))
    }

    /// A parameter or a resource.
    fn named(&self, name: &str, place: &Place, depth: usize) -> Result<Value> {
        let parameters = self.root.get("Parameters");
        if let Some(parameter) = parameters.and_then(|all| all.get(name)) {
            return self.parameter(name, parameter, place);
        }
        match self.resource_type(name) {
            Some(kind) if FunctionKind::of(kind).is_some() => {
                Ok(self.name_of_function(name, depth)?.as_str().into())
            }
            Some(kind) if layer_content(kind).is_some() => {
                Ok(self.layer_arn(&self.name_of_layer(name, depth)?).into())
            }
            Some(other) => {
                self.warn(
                    place,
                    &format!("{name} ({other}) is not made here: its Ref is \"{name}\""),
                );
                Ok(name.into())
            }
            None => Err(nothing(name, place)),
        }
    }

    /// Checks that a `Ref` leads somewhere, whatever that is.
    ///
    /// # Errors
    /// There is neither a parameter nor a resource of that name.
    pub(super) fn check_reference(&self, name: &str, place: &Place) -> Result<()> {
        let is_parameter = || {
            let parameters = self.root.get("Parameters");
            parameters.is_some_and(|all| all.get(name).is_some())
        };
        if name.starts_with("AWS::") || self.is_resource(name) || is_parameter() {
            return Ok(());
        }
        Err(nothing(name, place))
    }

    /// Checks that there is a resource, whatever its attributes are.
    ///
    /// # Errors
    /// There is none of that name.
    pub(super) fn check_resource(&self, name: &str, place: &Place) -> Result<()> {
        if self.is_resource(name) {
            return Ok(());
        }
        Err(no_resource(name, place))
    }

    fn is_resource(&self, name: &str) -> bool {
        self.root.get("Resources").is_some_and(|resources| {
            resources.get(name).is_some() || generated(resources, name).is_some()
        })
    }

    fn parameter(&self, name: &str, parameter: &Node, place: &Place) -> Result<Value> {
        let default = || parameter.get("Default").and_then(Node::text);
        let text = self.given.get(name).map(String::as_str).or_else(default);
        let Some(text) = text else {
            return Err(place.error(format!(
                "the parameter {name} has no value: give it with --parameter {name}=VALUE"
            )));
        };
        if let Some(Kind::List(allowed)) = parameter.get("AllowedValues").map(|node| &node.kind) {
            let allowed: Vec<&str> = allowed.iter().filter_map(Node::text).collect();
            if !allowed.contains(&text) {
                return Err(place.error(format!(
                    "the parameter {name} is \"{text}\", which is none of {}",
                    allowed.join(", ")
                )));
            }
        }
        let kind = parameter.get("Type").and_then(Node::text);
        if kind.is_some_and(|kind| kind == "CommaDelimitedList" || kind.starts_with("List<")) {
            return Ok(text
                .split(',')
                .map(|item| Value::from(item.trim()))
                .collect());
        }
        Ok(text.into())
    }

    pub(super) fn get_att(
        &self,
        resource: &str,
        attribute: &str,
        place: &Place,
        depth: usize,
    ) -> Result<Value> {
        match (self.resource_type(resource), attribute) {
            (Some(kind), "Arn") if FunctionKind::of(kind).is_some() => {
                let name = self.name_of_function(resource, depth)?;
                Ok(function_arn(self.region, &name).into())
            }
            (Some(kind), "LayerVersionArn" | "Arn") if layer_content(kind).is_some() => {
                Ok(self.layer_arn(&self.name_of_layer(resource, depth)?).into())
            }
            (Some(other), _) => {
                let text = format!("{resource}.{attribute}");
                self.warn(
                    place,
                    &format!("{text} of {other} is not known here: it is \"{text}\""),
                );
                Ok(text.into())
            }
            (None, _) => Err(no_resource(resource, place)),
        }
    }

    fn name_of_function(&self, logical: &str, depth: usize) -> Result<FunctionName> {
        let name = self.name_property(logical, "FunctionName", depth)?;
        let name = name.unwrap_or_else(|| logical.to_owned());
        name.parse()
            .map_err(|error: crate::model::InvalidFunctionName| {
                Place::default()
                    .part("Resources")
                    .part(logical)
                    .error(error.to_string())
            })
    }

    fn name_property(&self, logical: &str, property: &str, depth: usize) -> Result<Option<String>> {
        let node = self
            .root
            .get("Resources")
            .and_then(|all| all.get(logical)?.get("Properties")?.get(property));
        let Some(node) = node else { return Ok(None) };
        let place = Place::default().part("Resources").part(logical);
        let place = place.part("Properties").part(property).at(node.line);
        let value = self.value(node, &place, depth + 1)?;
        match value {
            None => Ok(None),
            some => as_text(some.as_ref())
                .map(Some)
                .ok_or_else(|| place.error("is not a text")),
        }
    }

    fn resource_type(&self, logical: &str) -> Option<&'a str> {
        let resources = self.root.get("Resources")?;
        match resources.get(logical) {
            Some(resource) => resource.get("Type")?.text(),
            None => generated(resources, logical),
        }
    }
}

fn nothing(name: &str, place: &Place) -> ConfigurationError {
    let name = name.escape_debug();
    place.error(format!(
        "there is neither a parameter nor a resource \"{name}\""
    ))
}

fn no_resource(name: &str, place: &Place) -> ConfigurationError {
    let name = name.escape_debug();
    place.error(format!("there is no resource \"{name}\""))
}

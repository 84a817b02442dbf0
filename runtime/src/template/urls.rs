//! URLs of functions: a property of SAM's, and a resource of its own.

use serde_json::{Map, Value};

use super::function::Function;
use super::kind::URL;
use super::resolve::{Result, Scope, as_text};
use super::tree::Node;
use crate::configuration::{ConfiguredFunction, Cors, Place};
use crate::model::FunctionReference;

impl Function<'_> {
    /// `FunctionUrlConfig`.
    ///
    /// # Errors
    /// It has what no URL has.
    pub(super) fn url(&self) -> Result<Option<Value>> {
        let Some(value) = self.value("FunctionUrlConfig")? else {
            return Ok(None);
        };
        let place = self.at("FunctionUrlConfig");
        let members = value
            .as_object()
            .ok_or_else(|| place.error("is not a map of AuthType, Cors and InvokeMode"))?;
        check(self.scope, members, &place)?;
        Ok(Some(value))
    }
}

/// Gives functions the URLs that are resources of the template.
///
/// # Errors
/// One has what no URL has, or a function would have two.
pub(super) fn add(
    scope: &Scope<'_>,
    resources: &[(&str, &Node, Place)],
    functions: &mut [ConfiguredFunction],
) -> Result<()> {
    for (_, resource, place) in resources {
        if resource.get("Type").and_then(Node::text) != Some(URL) {
            continue;
        }
        let place = place.part("Properties");
        let properties = resource.get("Properties");
        let value = properties.map(|properties| scope.resolve(properties, &place));
        let Some(Value::Object(mut members)) = value.transpose()?.flatten() else {
            return Err(place.error("there is no TargetFunctionArn"));
        };
        let target = as_text(members.remove("TargetFunctionArn").as_ref());
        let qualifier = as_text(members.remove("Qualifier").as_ref());
        check(scope, &members, &place)?;
        let target = target.ok_or_else(|| place.error("there is no TargetFunctionArn"))?;
        let place = place.part("TargetFunctionArn");
        let reference = FunctionReference::parse(&target, qualifier.as_deref())
            .map_err(|error| place.error(error.to_string()))?;
        let mut named = functions.iter_mut();
        let Some(function) = named.find(|function| function.name == reference.name) else {
            let message = format!("no function of this template is {target}: it has no URL here");
            scope.warn(&place, &message);
            continue;
        };
        if function.url.is_some() {
            let message = format!("{} has another URL already", function.name);
            return Err(place.error(message));
        }
        if reference.qualifier != function.alias {
            let leads = function.alias.as_deref().unwrap_or("$LATEST");
            let wanted = reference.qualifier.as_deref().unwrap_or("$LATEST");
            let message = format!("the URL leads to {leads} here, and not to {wanted}");
            scope.warn(&place, &message);
        }
        function.url = Some(Value::Object(members));
    }
    Ok(())
}

fn check(scope: &Scope<'_>, members: &Map<String, Value>, place: &Place) -> Result<()> {
    for (member, value) in members {
        match (member.as_str(), value) {
            ("Cors", Value::Object(cors)) => {
                Cors::from_members(cors).map_err(|error| place.part("Cors").error(error))?;
            }
            ("AuthType", Value::String(kind)) if kind == "AWS_IAM" => {
                let message = "signatures are not checked here: everybody may call the URL";
                scope.warn(&place.part("AuthType"), message);
            }
            ("AuthType" | "InvokeMode", Value::String(_)) => {}
            _ => return Err(place.part(member).error("is not what a URL has there")),
        }
    }
    Ok(())
}

//! `Events` of a function that are HTTP routes, and what the APIs add to them.

use serde_json::Value;

use super::function::Function;
use super::globals::merged;
use super::resolve::{Scope, as_text};
use super::tree::Node;
use crate::configuration::{
    Api, ApiKind, ConfigurationError, ConfiguredFunction, Cors, Place, Route, RouteKey,
};
use crate::model::FunctionReference;

type Result<T> = std::result::Result<T, ConfigurationError>;

/// Properties of such events that say which API a route is of: all are served at
/// one address.
const WHICH: [&str; 2] = ["ApiId", "RestApiId"];

impl Function<'_> {
    /// Adds the routes of its events.
    ///
    /// # Errors
    /// An event is no route, or another function has it.
    pub(super) fn routes(&self, function: &ConfiguredFunction, api: &mut Api) -> Result<()> {
        let Some(events) = self.properties.get("Events") else {
            return Ok(());
        };
        for (name, event) in events.members() {
            let place = self.place.part("Events").part(name).at(event.line);
            let kind = event.get("Type").and_then(Node::text).unwrap_or_default();
            if !matches!(kind, "HttpApi" | "Api") {
                let message = format!(
                    "events of {kind} do not come by themselves here: invoke the function with one"
                );
                self.scope.warn(&place, &message);
                continue;
            }
            let route = Route {
                key: self.key(event, kind, &place)?,
                function: FunctionReference {
                    name: function.name.clone(),
                    qualifier: function.alias.clone(),
                },
                kind: self.kind(event, kind, &place)?,
            };
            self.warn_of_event(event, &place);
            api.add(route).map_err(|error| place.error(error))?;
        }
        Ok(())
    }

    fn key(&self, event: &Node, kind: &str, place: &Place) -> Result<RouteKey> {
        let path = self.property(event, "Path", place)?;
        let method = self.property(event, "Method", place)?;
        match (path, method) {
            (Some(path), Some(method)) => {
                // Each with its own line: whatever the method, the path has to be one.
                let at = |name: &str| property_place(event, name, place);
                RouteKey::new("ANY", &path).map_err(|error| at("Path").error(error))?;
                RouteKey::new(&method, &path).map_err(|error| at("Method").error(error))
            }
            // As SAM has it.
            (None, None) if kind == "HttpApi" => Ok(RouteKey::default_route()),
            _ => Err(place.error("a route needs Path and Method")),
        }
    }

    fn kind(&self, event: &Node, kind: &str, place: &Place) -> Result<ApiKind> {
        if kind == "Api" {
            return Ok(ApiKind::Rest);
        }
        let version = self.property(event, "PayloadFormatVersion", place)?;
        match version.as_deref() {
            None | Some("2.0" | "2") => Ok(ApiKind::Http),
            Some("1.0" | "1") => Ok(ApiKind::HttpVersion1),
            Some(other) => Err(place.error(format!(
                "PayloadFormatVersion is 1.0 or 2.0, not \"{other}\""
            ))),
        }
    }

    fn warn_of_event(&self, event: &Node, place: &Place) {
        const EFFECTIVE: [&str; 3] = ["Method", "Path", "PayloadFormatVersion"];
        let properties = event.get("Properties").map_or(&[][..], Node::members);
        let without: Vec<&str> = properties
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !EFFECTIVE.contains(name) && !WHICH.contains(name))
            .collect();
        if !without.is_empty() {
            let message = format!("without effect here: {}", without.join(", "));
            self.scope.warn(place, &message);
        }
    }

    fn property(&self, event: &Node, name: &str, place: &Place) -> Result<Option<String>> {
        let node = event
            .get("Properties")
            .and_then(|properties| properties.get(name));
        let Some(node) = node else { return Ok(None) };
        let place = property_place(event, name, place);
        match self.scope.resolve(node, &place)? {
            None => Ok(None),
            Some(value) => match as_text(Some(&value)) {
                Some(text) => Ok(Some(text)),
                None => Err(place.error("is not a text")),
            },
        }
    }
}

/// Where a property of an event at `place` is.
fn property_place(event: &Node, name: &str, place: &Place) -> Place {
    let place = place.part("Properties").part(name);
    match event.get("Properties").and_then(|all| all.get(name)) {
        Some(node) => place.at(node.line),
        None => place,
    }
}

/// `CorsConfiguration` of the HTTP APIs. They share an address, and so the first
/// that has one.
pub(super) fn cors(scope: &Scope<'_>, resources: &[(&str, &Node, Place)]) -> Result<Option<Cors>> {
    let globals = |kind: &str| scope.root.get("Globals").and_then(|all| all.get(kind));
    let mut found: Option<Cors> = None;
    let mut own = vec![];
    for (_, resource, place) in resources {
        let kind = resource.get("Type").and_then(Node::text);
        let properties = resource.get("Properties");
        match kind {
            Some("AWS::Serverless::HttpApi") => {
                own.extend(properties.map(|node| (node, place.part("Properties"))));
            }
            Some("AWS::Serverless::Api")
                if properties.is_some_and(|it| it.get("Cors").is_some()) =>
            {
                scope.warn(&place.part("Properties.Cors"), REST_CORS);
            }
            _ => {}
        }
    }
    if globals("Api").is_some_and(|api| api.get("Cors").is_some()) {
        scope.warn(&Place::default().part("Globals.Api.Cors"), REST_CORS);
    }
    let global = globals("HttpApi");
    let mut candidates: Vec<(Node, Place)> = own
        .iter()
        .map(|(node, place)| {
            let node = global.map_or_else(|| (*node).clone(), |global| merged(global, node));
            (node, place.clone())
        })
        .collect();
    candidates.extend(global.map(|node| (node.clone(), Place::default().part("Globals.HttpApi"))));
    for (properties, place) in candidates {
        let Some(node) = properties.get("CorsConfiguration") else {
            continue;
        };
        let place = place.part("CorsConfiguration").at(node.line);
        let cors = match scope.resolve(node, &place)? {
            None | Some(Value::Null | Value::Bool(false)) => continue,
            Some(Value::Bool(true)) => Cors::any(),
            Some(Value::String(origin)) => Cors {
                allow_origins: vec![origin],
                ..Cors::default()
            },
            Some(Value::Object(members)) => {
                Cors::from_members(&members).map_err(|error| place.error(error))?
            }
            Some(_) => return Err(place.error("is neither true nor a map")),
        };
        match &found {
            None => found = Some(cors),
            Some(first) if *first == cors => {}
            Some(_) => scope.warn(
                &place,
                "all APIs are at one address here, with the CORS of the first of them",
            ),
        }
    }
    Ok(found)
}

const REST_CORS: &str =
    "REST APIs answer no preflights here: let the function send the headers, or use an HttpApi";

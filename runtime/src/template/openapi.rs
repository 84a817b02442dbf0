//! Routes of an API's `DefinitionBody`: an `OpenAPI` document whose operations have API
//! Gateway's integration with a function of the template.

use serde_json::Value;

use super::resolve::{Result, Scope, as_text};
use super::tree::{Kind, Node};
use crate::configuration::{Api, ApiKind, ConfiguredFunction, Place, Route, RouteKey};
use crate::model::FunctionReference;

/// API Gateway's extensions of `OpenAPI`.
const INTEGRATION: &str = "x-amazon-apigateway-integration";
const ANY: &str = "x-amazon-apigateway-any-method";

/// Members of a path that are operations.
const OPERATIONS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", ANY,
];

/// What is in an operation's URI before and behind the ARN of a function.
const BEFORE_FUNCTION: &str = "/functions/";
const BEHIND_FUNCTION: &str = "/invocations";

/// Adds the routes of all definitions.
///
/// # Errors
/// A route that is none, or that another function has.
pub(super) fn routes(
    scope: &Scope<'_>,
    resources: &[(&str, &Node, Place)],
    functions: &[ConfiguredFunction],
    api: &mut Api,
) -> Result<()> {
    for (_, resource, place) in resources {
        let kind = match resource.get("Type").and_then(Node::text) {
            Some("AWS::Serverless::HttpApi") => ApiKind::Http,
            Some("AWS::Serverless::Api") => ApiKind::Rest,
            _ => continue,
        };
        let property = |name: &str| resource.get("Properties").and_then(|all| all.get(name));
        if let Some(body) = property("DefinitionBody") {
            let place = place.part("Properties.DefinitionBody").at(body.line);
            let definition = Definition {
                scope,
                kind,
                functions,
            };
            definition.add(body, &place, api)?;
        } else if property("DefinitionUri").is_some() {
            let place = place.part("Properties.DefinitionUri");
            scope.warn(&place, ELSEWHERE);
        }
    }
    Ok(())
}

const ELSEWHERE: &str = "a definition that is not in the template is not read: write its routes as \
                         Events, or the document as DefinitionBody";

struct Definition<'a> {
    scope: &'a Scope<'a>,
    kind: ApiKind,
    functions: &'a [ConfiguredFunction],
}

impl Definition<'_> {
    fn add(&self, body: &Node, place: &Place, api: &mut Api) -> Result<()> {
        if body.get("Fn::Transform").is_some() {
            self.scope.warn(place, ELSEWHERE);
            return Ok(());
        }
        require_map(body, place)?;
        let Some(paths) = body.get("paths") else {
            self.scope.warn(place, "it has no paths: no routes");
            return Ok(());
        };
        let place = place.part("paths").at(paths.line);
        require_map(paths, &place)?;
        for (path, operations) in paths.members() {
            let place = place.part(path).at(operations.line);
            require_map(operations, &place)?;
            if operations.get("$ref").is_some() {
                self.scope.warn(&place, "without effect here: $ref");
            }
            for (method, operation) in operations.members() {
                if OPERATIONS.contains(&method.to_ascii_lowercase().as_str()) {
                    let place = place.part(method).at(operation.line);
                    require_map(operation, &place)?;
                    self.operation(path, method, operation, &place, api)?;
                }
            }
        }
        Ok(())
    }

    fn operation(
        &self,
        path: &str,
        method: &str,
        operation: &Node,
        place: &Place,
        api: &mut Api,
    ) -> Result<()> {
        let integration = match operation.get(INTEGRATION) {
            Some(node) => self.scope.resolve(node, &place.part(INTEGRATION))?,
            None => None,
        };
        let Some(integration) = integration else {
            let message = format!("it has no {INTEGRATION}: no route");
            self.scope.warn(place, &message);
            return Ok(());
        };
        let kind = as_text(integration.get("type")).unwrap_or_default();
        if !kind.eq_ignore_ascii_case("aws_proxy") {
            let message = format!("integrations of the type \"{kind}\" are not served here");
            self.scope.warn(place, &message);
            return Ok(());
        }
        let uri = as_text(integration.get("uri")).unwrap_or_default();
        let Some(function) = self.function(&uri) else {
            let message = format!("no function of this template is \"{uri}\": no route");
            self.scope.warn(place, &message);
            return Ok(());
        };
        if operation.get("security").is_some() {
            self.scope.warn(place, "without effect here: security");
        }
        let path = if path == "/$default" {
            "$default"
        } else {
            path
        };
        let route = Route {
            key: RouteKey::new(method, path).map_err(|error| place.error(error))?,
            function,
            kind: self.payload(&integration, place)?,
        };
        // SAM has the operation and an event of the function for one route: the event is
        // its permission.
        match api.twin(&route.key) {
            Some(known) if known.key == route.key && known.function.name == route.function.name => {
                *known = route;
                Ok(())
            }
            _ => api.add(route).map_err(|error| place.error(error)),
        }
    }

    /// The function that a URI leads to: its ARN, alone or in that of its invocations.
    fn function(&self, uri: &str) -> Option<FunctionReference> {
        let arn = match uri.split_once(BEFORE_FUNCTION) {
            Some((_, rest)) => rest.strip_suffix(BEHIND_FUNCTION)?,
            None => uri,
        };
        let reference = FunctionReference::parse(arn, None).ok()?;
        let mut functions = self.functions.iter();
        let function = functions.find(|function| function.name == reference.name)?;
        Some(FunctionReference {
            qualifier: reference.qualifier.or_else(|| function.alias.clone()),
            ..reference
        })
    }

    fn payload(&self, integration: &Value, place: &Place) -> Result<ApiKind> {
        if self.kind == ApiKind::Rest {
            return Ok(ApiKind::Rest);
        }
        let version = as_text(integration.get("payloadFormatVersion"));
        match version.as_deref() {
            Some("2.0" | "2") => Ok(ApiKind::Http),
            Some("1.0" | "1") => Ok(ApiKind::HttpVersion1),
            other => {
                let found = other.unwrap_or("missing");
                Err(place.part(INTEGRATION).error(format!(
                    "payloadFormatVersion is {found}, and an HTTP API needs \"1.0\" or \"2.0\""
                )))
            }
        }
    }
}

/// Documents, paths and operations are maps: what is not one is a slip, and its routes
/// are missed.
fn require_map(node: &Node, place: &Place) -> Result<()> {
    match node.kind {
        Kind::Map(_) => Ok(()),
        _ => Err(place.error("it is not a map, as OpenAPI has it")),
    }
}

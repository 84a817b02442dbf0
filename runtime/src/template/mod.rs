//! SAM and `CloudFormation` templates: text in, a [`Configuration`] out. Pure.
//!
//! ```text
//! text ─► tree ─► globals ─► resolve ─► function, events ─► Configuration
//! ```
//!
//! | file | what |
//! |---|---|
//! | `tree.rs` | YAML with CloudFormation's short tags |
//! | `resolve.rs` | intrinsic functions |
//! | `names.rs` | what names refer to |
//! | `generated.rs` | names of resources that SAM makes by itself |
//! | `references.rs` | references to nothing, wherever they are |
//! | `condition.rs` | conditions |
//! | `kind.rs` | types of resources |
//! | `globals.rs` | what `Globals` adds to a resource |
//! | `function.rs` | the properties of a function |
//! | `properties.rs` | which of them mean something here |
//! | `code.rs`, `layers.rs`, `urls.rs` | its code, its layers, its URL |
//! | `events.rs` | its HTTP events, and the CORS of HTTP APIs |
//! | `openapi.rs` | routes of an API's own definition |

mod code;
mod condition;
mod events;
mod function;
mod generated;
mod globals;
mod kind;
mod layers;
mod names;
mod openapi;
mod properties;
mod references;
mod resolve;
mod tree;
mod urls;

use std::collections::{BTreeMap, BTreeSet};

use self::events::cors;
use self::function::Function;
use self::kind::{FUNCTION, FunctionKind, PLAIN_FUNCTION, is_served};
use self::layers::Layers;
use self::resolve::Scope;
use self::tree::Node;
use crate::configuration::{Configuration, ConfigurationError, Place};

/// What a template is read with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Values of parameters.
    pub(crate) parameters: &'a BTreeMap<String, String>,
    pub(crate) region: &'a str,
    /// Of functions whose role is not a plain ARN.
    pub(crate) role: &'a str,
}

/// Reads a template.
///
/// # Errors
/// What keeps a function from running as it is asked for, and where that is.
pub(crate) fn read(text: &str, context: Context<'_>) -> Result<Configuration, ConfigurationError> {
    let root = tree::parse(text)?;
    check_parameters(&root, context.parameters)?;
    let scope = Scope::new(&root, context.parameters, context.region);
    references::check(&scope)?;
    let place = Place::default().part("Resources");
    let mut resources = vec![];
    for (logical, resource) in root.get("Resources").map_or(&[][..], Node::members) {
        let place = place.part(logical).at(resource.line);
        if let Some(condition) = resource.get("Condition").and_then(Node::text)
            && !scope.condition(condition, &place)?
        {
            continue;
        }
        resources.push((logical.as_str(), resource, place));
    }
    let kind_of = |resource: &Node| {
        let kind = resource.get("Type").and_then(Node::text);
        kind.and_then(FunctionKind::of)
    };
    if !resources
        .iter()
        .any(|(_, resource, _)| kind_of(resource).is_some())
    {
        return Err(place.error(format!(
            "there is no {FUNCTION} and no {PLAIN_FUNCTION} in the template"
        )));
    }
    warn_of_others(&scope, &resources);
    let layers = Layers::of(&scope, &resources)?;
    let mut configuration = Configuration::default();
    let mut names = BTreeSet::new();
    for (logical, resource, place) in &resources {
        let Some(kind) = kind_of(resource) else {
            continue;
        };
        let function = Function::new(&scope, kind, context.role, logical, resource, place)?;
        let configured = function.configured(&layers)?;
        if !names.insert(configured.name.clone()) {
            return Err(place.error(format!(
                "there is another function with the name {}",
                configured.name
            )));
        }
        if kind == FunctionKind::Serverless {
            function.routes(&configured, &mut configuration.api)?;
        }
        configuration.functions.push(configured);
    }
    urls::add(&scope, &resources, &mut configuration.functions)?;
    openapi::routes(
        &scope,
        &resources,
        &configuration.functions,
        &mut configuration.api,
    )?;
    configuration.api.cors = cors(&scope, &resources)?;
    configuration.warnings = scope.warnings();
    Ok(configuration)
}

/// A value for a parameter that is not there is a mistyped name.
fn check_parameters(
    root: &Node,
    given: &BTreeMap<String, String>,
) -> Result<(), ConfigurationError> {
    let declared = root.get("Parameters").map_or(&[][..], Node::members);
    let names: Vec<&str> = declared.iter().map(|(name, _)| name.as_str()).collect();
    match given.keys().find(|name| !names.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Place::default().part("Parameters").error(format!(
            "there is no parameter \"{}\"; there are: {}",
            name.escape_debug(),
            names.join(", ")
        ))),
    }
}

fn warn_of_others(scope: &Scope<'_>, resources: &[(&str, &Node, Place)]) {
    let mut others = vec![];
    for (logical, resource, place) in resources {
        match resource.get("Type").and_then(Node::text) {
            Some(kind) if is_served(kind) => {}
            Some(other) => others.push(format!("{logical} ({other})")),
            None => scope.warn(place, "it has no Type"),
        }
    }
    if !others.is_empty() {
        let place = Place::default().part("Resources");
        scope.warn(&place, &format!("not made here: {}", others.join(", ")));
    }
}

#[cfg(test)]
mod tests;

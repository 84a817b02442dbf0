//! Parts of AWS's form that are written once for several tests: defaults, templates,
//! and resources that members with `.ref` name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::field::Field;
use super::read::{Outside, Result, file, filter};
use super::transform::{Counts, Transformation};
use crate::yaml::{Kind, Node};

/// Resources by name.
pub(super) type Resources = BTreeMap<String, Node>;

/// The resources of a suite.
pub(super) fn resources(suite: &Field<'_>, outside: Outside<'_>) -> Result<Resources> {
    let mut all = Resources::new();
    let Some(field) = suite.get("resources") else {
        return Ok(all);
    };
    for (name, resource) in field.members()? {
        all.insert(name.to_owned(), load(&resource, outside)?);
    }
    Ok(all)
}

fn load(resource: &Field<'_>, outside: Outside<'_>) -> Result<Node> {
    let kind = resource
        .get("contentType")
        .ok_or_else(|| resource.error("has no contentType"))?;
    let is_json = kind.text()? == "application/json";
    let value = match (resource.get("src"), resource.given("data")) {
        (Some(path), _) => {
            let bytes = file(&path, outside.files)?;
            if is_json {
                serde_json::from_slice(&bytes)
                    .map_err(|error| path.error(format!("is not JSON: {error}")))?
            } else {
                let text = String::from_utf8(bytes);
                Value::from(text.map_err(|error| path.error(format!("is no UTF-8: {error}")))?)
            }
        }
        (None, Some(data)) => data.value(),
        (None, None) => return Err(resource.error("has neither src nor data")),
    };
    let value = match resource.get("transform") {
        None => value,
        Some(field) => {
            let transformation = Transformation {
                filter: filter(&field)?,
                input: value,
                counts: Counts::First,
            };
            (outside.transform)(&transformation)
                .map_err(|error| field.error(format!("fails: {error}")))?
        }
    };
    Ok(Node::of(&value, resource.node.line))
}

/// Adds members that a map does not have.
pub(super) fn with_defaults(node: &Node, defaults: &[(String, Node)]) -> Node {
    let mut members = node.members().to_vec();
    for (name, default) in defaults {
        if node.get(name).is_none() {
            // Somebody else's text too.
            let source = None;
            let default = Node {
                source,
                ..default.clone()
            };
            members.push((name.clone(), default));
        }
    }
    Node {
        kind: Kind::Map(members),
        ..node.clone()
    }
}

/// A map whose members with `.ref` are the resources that they name.
pub(super) fn resolved(map: &Field<'_>, resources: &Resources) -> Result<Node> {
    let mut members: Vec<(String, Node)> = vec![];
    let mut referred = vec![];
    for (name, field) in map.members()? {
        if name.rsplit_once('.').is_none_or(|(_, end)| end != "ref") {
            members.push((name.to_owned(), field.node.clone()));
            continue;
        }
        let resource = field.text()?;
        let resource = resources
            .get(resource)
            .ok_or_else(|| field.error(format!("there is no resource \"{resource}\"")))?;
        let name = name.split('.').next().unwrap_or_default();
        let (line, source) = (field.node.line, None);
        referred.push((
            name.to_owned(),
            Node {
                line,
                source,
                ..resource.clone()
            },
        ));
    }
    members.retain(|(name, _)| !referred.iter().any(|(other, _)| other == name));
    members.extend(referred);
    Ok(Node {
        kind: Kind::Map(members),
        ..map.node.clone()
    })
}

/// The tests that a test stands for: one for each combination of a template's values,
/// of members that the test does not have itself.
pub(super) fn expanded(test: &Node, template: &Field<'_>) -> Result<Vec<Node>> {
    let mut fields: Vec<_> = template
        .members()?
        .into_iter()
        .filter(|(name, _)| test.get(name).is_none())
        .collect();
    fields.sort_by_key(|(name, _)| *name);
    let mut tests = vec![(test.clone(), vec![])];
    for (name, values) in fields {
        let values = values.items()?;
        tests = tests
            .into_iter()
            .flat_map(|(test, suffix): (Node, Vec<String>)| {
                let one = |value: &Field<'_>| {
                    let member = (name.to_owned(), value.node.clone());
                    let word = match value.value() {
                        Value::String(word) => word,
                        other => other.to_string(),
                    };
                    let suffix = [suffix.as_slice(), &[word]].concat();
                    (with_defaults(&test, &[member]), suffix)
                };
                values.iter().map(one).collect::<Vec<_>>()
            })
            .collect();
    }
    Ok(tests
        .into_iter()
        .map(|(test, suffix)| renamed(test, &suffix))
        .collect())
}

fn renamed(mut test: Node, suffix: &[String]) -> Node {
    if let Kind::Map(members) = &mut test.kind {
        for (name, node) in members {
            if let ("name", Kind::Scalar { text, .. }) = (name.as_str(), &mut node.kind) {
                for word in suffix {
                    text.push(':');
                    text.push_str(word);
                }
            }
        }
    }
    test
}

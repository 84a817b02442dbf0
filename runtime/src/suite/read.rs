//! A suite from its text: which form it has, and what is the same in both.

use serde_json::Value;

use super::field::Field;
use super::model::Suite;
use super::transform::Transform;
use super::{aws, own, transform};
use crate::configuration::{ConfigurationError, Place};
use crate::model::MAX_EVENT_BYTES;
use crate::yaml::{JsonAsYaml, Kind, Node, Tags, json_as_yaml, parse};

pub(super) type Result<T> = std::result::Result<T, ConfigurationError>;

/// Reads a file that a suite names by its path there; the error is a sentence's end.
pub(crate) type Files<'a> = &'a dyn Fn(&str) -> std::result::Result<Vec<u8>, String>;

/// What a suite is made of beside its own text.
#[derive(Clone, Copy)]
pub(crate) struct Outside<'a> {
    pub(crate) files: Files<'a>,
    /// Runs jq filters.
    pub(crate) transform: Transform<'a>,
}

#[cfg(test)]
impl<'a> Outside<'a> {
    /// These files, and filters that are trusted.
    pub(super) fn of(files: Files<'a>) -> Self {
        Self {
            files,
            transform: &super::transform::Transformation::run,
        }
    }
}

/// A suite in either form, YAML or JSON.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn read(text: &str, outside: Outside<'_>) -> Result<Suite> {
    let root = tree(text)?;
    let root = Field::root(&root);
    let has = |name: &str| root.node.get(name).is_some();
    match (has("cases"), has("tests")) {
        (true, true) => Err(root.error(
            "has both cases (Lambent's form) and tests (that of AWS's test runner): keep one",
        )),
        (true, false) => own::suite(&root, outside.files),
        (false, _) if has("index") => Err(root.error(
            "index, with which AWS's runner asks a function for its tests, is not supported: write \
             them below tests",
        )),
        (false, true) => aws::suite(&root, outside),
        (false, false) => Err(root.error(
            "has no cases: write a list of them below cases (or tests, in the form of AWS's test \
             runner)",
        )),
    }
}

/// The tree of a file; its places are those of the text.
pub(super) fn tree(text: &str) -> Result<Node> {
    let Some(json) = json_as_yaml(text) else {
        return parse(text, Tags::None);
    };
    let mut root = parse(&json.text, Tags::None)?;
    relocate(&mut root, &json);
    Ok(root)
}

fn relocate(node: &mut Node, json: &JsonAsYaml) {
    if let Some(source) = &mut node.source {
        *source = json.original(source.start)..json.original(source.end);
    }
    match &mut node.kind {
        Kind::Scalar { .. } => {}
        Kind::List(items) => items.iter_mut().for_each(|item| relocate(item, json)),
        Kind::Map(members) => members
            .iter_mut()
            .for_each(|(_, node)| relocate(node, json)),
    }
}

/// An event's bytes, which Lambda takes.
pub(super) fn payload(bytes: Vec<u8>, place: &Place) -> Result<bytes::Bytes> {
    if bytes.len() > MAX_EVENT_BYTES {
        return Err(place.error(format!(
            "the event has more than {MAX_EVENT_BYTES} bytes, Lambda's limit for a synchronous \
             invocation"
        )));
    }
    // Only whether it is JSON: the function gets the bytes as they are.
    serde_json::from_slice::<serde::de::IgnoredAny>(&bytes)
        .map_err(|error| place.error(format!("is not JSON, which Lambda requires: {error}")))?;
    Ok(bytes.into())
}

/// The content of a file that `field` names.
pub(super) fn file(field: &Field<'_>, files: Files<'_>) -> Result<Vec<u8>> {
    let path = field.text()?;
    files(path).map_err(|error| field.error(format!("cannot read {path}: {error}")))
}

/// A jq filter, checked.
pub(super) fn filter(field: &Field<'_>) -> Result<String> {
    let filter = field.text()?;
    transform::check(filter).map_err(|error| field.error(format!("is no jq filter: {error}")))?;
    Ok(filter.to_owned())
}

/// What a client context is made of.
pub(super) fn client_context(value: &Value, place: &Place) -> Result<crate::model::ClientContext> {
    crate::model::ClientContext::new(&value.to_string())
        .map_err(|error| place.error(error.to_string()))
}

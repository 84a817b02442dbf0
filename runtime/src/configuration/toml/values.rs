//! Values as they are written in the file, or what is wrong with them.

use serde_json::{Map, Value as Json, json};

use super::Result;
use super::tree::{Kind, Node, Table};
use crate::configuration::keys::unknown;
use crate::configuration::{Cors, Place};

/// What a whole number may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) lowest: u32,
    pub(super) highest: u32,
    /// What is counted.
    pub(super) unit: &'static str,
}

/// Where a member of a table is.
pub(super) fn member(place: &Place, key: &str, node: &Node) -> Place {
    place.part(key).at(node.line)
}

/// The members of `Cors` from their keys, and what they mean.
pub(super) fn cors(node: &Node, place: &Place) -> Result<(Json, Cors)> {
    const KEYS: [(&str, &str); 6] = [
        ("allow_credentials", "AllowCredentials"),
        ("allow_headers", "AllowHeaders"),
        ("allow_methods", "AllowMethods"),
        ("allow_origins", "AllowOrigins"),
        ("expose_headers", "ExposeHeaders"),
        ("max_age", "MaxAge"),
    ];
    const MAX_AGE: Range = Range {
        lowest: 0,
        highest: 86_400,
        unit: "seconds",
    };
    let table = table(node, place)?;
    check_keys(table, &KEYS.map(|(key, _)| key), place)?;
    let mut members = Map::new();
    for (key, name) in KEYS {
        if let Some(node) = table.get(key) {
            let place = member(place, key, node);
            let value = match &node.kind {
                Kind::Boolean(value) => json!(value),
                _ if key == "max_age" => json!(integer(node, &place, MAX_AGE)?),
                _ => json!(strings(node, &place)?),
            };
            members.insert(name.to_owned(), value);
        }
    }
    let cors = Cors::from_members(&members).map_err(|error| place.error(error))?;
    Ok((Json::Object(members), cors))
}

/// Variables are texts; numbers and truth values become what they look like.
pub(super) fn variables(node: &Node, place: &Place) -> Result<Map<String, Json>> {
    let one = |(name, node): (&String, &Node)| {
        let text = match &node.kind {
            Kind::Text(text) | Kind::Integer(text) => text.clone(),
            Kind::Boolean(value) => value.to_string(),
            _ => return Err(member(place, name, node).error("is not a text")),
        };
        Ok((name.clone(), Json::String(text)))
    };
    table(node, place)?.iter().map(one).collect()
}

pub(super) fn check_keys(table: &Table, known: &[&str], place: &Place) -> Result<()> {
    match table.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        Some((key, node)) => Err(place.clone().at(node.line).error(unknown(key, known))),
        None => Ok(()),
    }
}

pub(super) fn table<'a>(node: &'a Node, place: &Place) -> Result<&'a Table> {
    match &node.kind {
        Kind::Table(table) => Ok(table),
        _ => Err(place.error("is not a table of keys")),
    }
}

pub(super) fn string(node: &Node, place: &Place) -> Result<String> {
    match &node.kind {
        Kind::Text(text) => Ok(text.clone()),
        _ => Err(place.error("is not a text: put it in quotes")),
    }
}

pub(super) fn list<'a>(node: &'a Node, place: &Place, form: &str) -> Result<&'a [Node]> {
    match &node.kind {
        Kind::List(items) => Ok(items),
        _ => Err(place.error(format!("is not a list{form}"))),
    }
}

/// The texts of a list.
pub(super) fn strings(node: &Node, place: &Place) -> Result<Vec<String>> {
    let items = placed_strings(node, place)?;
    Ok(items.into_iter().map(|(text, _)| text).collect())
}

/// The texts of a list, each with its place.
pub(super) fn placed_strings(node: &Node, place: &Place) -> Result<Vec<(String, Place)>> {
    let one = |item: &Node| {
        let place = place.clone().at(item.line);
        Ok((string(item, &place)?, place))
    };
    let items = list(node, place, ": write [\"…\", \"…\"]")?;
    items.iter().map(one).collect()
}

/// A whole number of a range.
pub(super) fn integer(node: &Node, place: &Place, range: Range) -> Result<u32> {
    let Kind::Integer(written) = &node.kind else {
        return Err(place.error("is not a whole number"));
    };
    let Range {
        lowest,
        highest,
        unit,
    } = range;
    let number = written.parse().ok();
    number
        .filter(|number| (lowest..=highest).contains(number))
        .ok_or_else(|| {
            place.error(format!(
                "is {written}, and may be {lowest} to {highest} ({unit})"
            ))
        })
}

//! Values as they are written in the file, or what is wrong with them.

use serde_json::{Map, Value as Json, json};
use toml::{Table, Value};

use super::Result;
use crate::configuration::keys::unknown;
use crate::configuration::{Cors, Place};

/// The members of `Cors` from their keys, and what they mean.
pub(super) fn cors(value: &Value, place: &Place) -> Result<(Json, Cors)> {
    const KEYS: [(&str, &str); 6] = [
        ("allow_credentials", "AllowCredentials"),
        ("allow_headers", "AllowHeaders"),
        ("allow_methods", "AllowMethods"),
        ("allow_origins", "AllowOrigins"),
        ("expose_headers", "ExposeHeaders"),
        ("max_age", "MaxAge"),
    ];
    let table = table(value, place)?;
    check_keys(table, &KEYS.map(|(key, _)| key), place)?;
    let mut members = Map::new();
    for (key, member) in KEYS {
        if let Some(value) = table.get(key) {
            let value = match value {
                Value::Boolean(value) => json!(value),
                Value::Integer(value) => json!(value),
                other => json!(strings(other, &place.part(key))?),
            };
            members.insert(member.to_owned(), value);
        }
    }
    let cors = Cors::from_members(&members).map_err(|error| place.error(error))?;
    Ok((Json::Object(members), cors))
}

/// Variables are texts; numbers and truth values become what they look like.
pub(super) fn variables(value: &Value, place: &Place) -> Result<Map<String, Json>> {
    let one = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(value) => value.to_string(),
            _ => return Err(place.part(name).error("is not a text")),
        };
        Ok((name.clone(), Json::String(text)))
    };
    table(value, place)?.iter().map(one).collect()
}

pub(super) fn check_keys(table: &Table, known: &[&str], place: &Place) -> Result<()> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(place.error(unknown(key, known))),
        None => Ok(()),
    }
}

pub(super) fn table<'a>(value: &'a Value, place: &Place) -> Result<&'a Table> {
    value
        .as_table()
        .ok_or_else(|| place.error("is not a table of keys"))
}

pub(super) fn string(value: &Value, place: &Place) -> Result<String> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| place.error("is not a text: put it in quotes"))
}

pub(super) fn strings(value: &Value, place: &Place) -> Result<Vec<String>> {
    let items = value.as_array();
    items
        .ok_or_else(|| place.error("is not a list: write [\"…\", \"…\"]"))?
        .iter()
        .map(|item| string(item, place))
        .collect()
}

pub(super) fn integer(value: &Value, place: &Place) -> Result<i64> {
    value
        .as_integer()
        .ok_or_else(|| place.error("is not a whole number"))
}

//! Values of a suite's file, with their places for errors.

use std::time::Duration;

use serde_json::Value;

use super::read::Result;
use crate::configuration::{ConfigurationError, Place, unknown};
use crate::yaml::{Kind, Node};

/// A value.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    pub(super) node: &'a Node,
    pub(super) place: Place,
}

impl<'a> Field<'a> {
    /// The whole file.
    pub(super) fn root(node: &'a Node) -> Self {
        Self {
            node,
            place: Place::default().at(node.line),
        }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> ConfigurationError {
        self.place.error(message)
    }

    /// A member of a map, if there is something in it.
    pub(super) fn get(&self, name: &str) -> Option<Self> {
        self.given(name).filter(|field| !field.node.is_null())
    }

    /// A member of a map, be it null.
    pub(super) fn given(&self, name: &str) -> Option<Self> {
        self.node.get(name).map(|node| Self {
            node,
            place: self.place.part(name).at(node.line),
        })
    }

    /// Refuses members that are not known, and what is no map.
    pub(super) fn check_members(&self, known: &[&str]) -> Result<()> {
        let Kind::Map(members) = &self.node.kind else {
            return Err(self.error("is not a map of names and values"));
        };
        match members
            .iter()
            .find(|(name, _)| !known.contains(&name.as_str()))
        {
            Some((name, node)) => {
                let mut known = known.to_vec();
                known.sort_unstable();
                Err(self
                    .place
                    .clone()
                    .at(node.line)
                    .error(unknown(name, &known)))
            }
            None => Ok(()),
        }
    }

    pub(super) fn members(&self) -> Result<Vec<(&'a str, Self)>> {
        let Kind::Map(members) = &self.node.kind else {
            return Err(self.error("is not a map of names and values"));
        };
        let field = |(name, node): &'a (String, Node)| {
            let place = self.place.part(name).at(node.line);
            (name.as_str(), Self { node, place })
        };
        Ok(members.iter().map(field).collect())
    }

    pub(super) fn items(&self) -> Result<Vec<Self>> {
        let Kind::List(items) = &self.node.kind else {
            return Err(self.error("is not a list"));
        };
        let field = |(index, node): (usize, &'a Node)| Self {
            node,
            place: Place {
                path: format!("{}[{index}]", self.place.path),
                line: Some(node.line),
            },
        };
        Ok(items.iter().enumerate().map(field).collect())
    }

    pub(super) fn value(&self) -> Value {
        self.node.value()
    }

    /// A scalar as it was written.
    pub(super) fn text(&self) -> Result<&'a str> {
        self.node.text().ok_or_else(|| self.error("is not a text"))
    }

    /// A text, a number or a truth value, as it was written: what variables are.
    pub(super) fn variable(&self) -> Result<String> {
        if self.node.is_null() {
            return Err(self.error("has no value: write \"\" for an empty one"));
        }
        self.text().map(str::to_owned)
    }

    /// A list of texts.
    pub(super) fn texts(&self) -> Result<Vec<String>> {
        let items = self.items()?;
        items
            .iter()
            .map(|item| item.text().map(str::to_owned))
            .collect()
    }

    /// A list of texts, or one of them.
    pub(super) fn text_or_texts(&self) -> Result<Vec<String>> {
        match &self.node.kind {
            Kind::Scalar { text, .. } => Ok(vec![text.clone()]),
            _ => self.texts(),
        }
    }

    pub(super) fn whole(&self) -> Result<u32> {
        let number = self.value().as_u64();
        number
            .and_then(|number| number.try_into().ok())
            .ok_or_else(|| self.error("is not a whole number"))
    }

    /// A whole number from 1 on.
    pub(super) fn count(&self) -> Result<u32> {
        let number = self.whole()?;
        if number == 0 {
            return Err(self.error("is 0: write 1 or more"));
        }
        Ok(number)
    }

    pub(super) fn flag(&self) -> Result<bool> {
        let value = self.value().as_bool();
        value.ok_or_else(|| self.error("is neither true nor false"))
    }

    /// A time with its unit.
    pub(super) fn duration(&self) -> Result<Duration> {
        let text = self.text()?;
        duration(text).ok_or_else(|| {
            self.error(format!(
                "\"{}\" is not a time with its unit: write it as 250ms or 1.5s",
                text.escape_debug()
            ))
        })
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit_in_ms) = match text.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (text.strip_suffix('s')?, 1000.0),
    };
    let number = number.trim_end();
    // Not inf, NaN, or a sign.
    let grammatical = number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| grammatical)?;
    Duration::try_from_secs_f64(number * unit_in_ms / 1000.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, ms) in [
            ("250ms", Some(250)),
            ("1.5s", Some(1500)),
            ("2 s", Some(2000)),
            ("0ms", Some(0)),
            ("250", None),
            ("-1s", None),
            ("infs", None),
            ("1e3s", None),
            ("s", None),
            ("1m", None),
        ] {
            assert_eq!(duration(text), ms.map(Duration::from_millis), "{text}");
        }
    }
}

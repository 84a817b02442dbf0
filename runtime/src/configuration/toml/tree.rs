//! The file as a tree that knows its lines, with numbers of any size.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::Result;
use crate::configuration::Place;

/// A value and where it is.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Of its key, or of itself where it is in a list; from 1.
    pub(super) line: usize,
}

/// What it is.
#[derive(Debug)]
pub(super) enum Kind {
    Text(String),
    /// A whole number, in decimal digits: of any size, so that whoever wants it can say
    /// what it may be.
    Integer(String),
    Boolean(bool),
    /// A fraction or a date, which no key takes.
    Other,
    List(Vec<Node>),
    Table(Table),
}

/// Values by key.
pub(super) type Table = BTreeMap<String, Node>;

/// Parses a file.
///
/// # Errors
/// It is no TOML, and where.
pub(super) fn parse(text: &str) -> Result<Table> {
    let lines = Lines::of(text);
    let root = DeTable::parse(text).map_err(|error| {
        let place = Place {
            path: String::new(),
            line: error.span().map(|span| lines.at(span.start)),
        };
        place.error(error.message())
    })?;
    Ok(table(root.into_inner(), &lines))
}

fn table(table: DeTable<'_>, lines: &Lines) -> Table {
    let member = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
        let line = lines.at(key.span().start);
        let kind = kind(value.into_inner(), lines);
        (
            std::borrow::Cow::into_owned(key.into_inner()),
            Node { kind, line },
        )
    };
    table.into_iter().map(member).collect()
}

fn kind(value: DeValue<'_>, lines: &Lines) -> Kind {
    match value {
        DeValue::String(text) => Kind::Text(text.into_owned()),
        DeValue::Integer(number) => Kind::Integer(decimal(&number)),
        DeValue::Boolean(value) => Kind::Boolean(value),
        DeValue::Float(_) | DeValue::Datetime(_) => Kind::Other,
        DeValue::Array(items) => {
            let item = |item: Spanned<DeValue<'_>>| Node {
                line: lines.at(item.span().start),
                kind: kind(item.into_inner(), lines),
            };
            Kind::List(items.into_iter().map(item).collect())
        }
        DeValue::Table(members) => Kind::Table(table(members, lines)),
    }
}

/// As it is meant; beyond what a machine counts, as it was written.
fn decimal(number: &DeInteger<'_>) -> String {
    let value = i128::from_str_radix(number.as_str(), number.radix());
    value.map_or_else(|_| number.to_string(), |value| value.to_string())
}

/// Where the lines of a text begin, in bytes.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        Self(std::iter::once(0).chain(ends).collect())
    }

    /// The line that a byte is in, from 1.
    fn at(&self, byte: usize) -> usize {
        self.0.partition_point(|begin| *begin <= byte)
    }
}

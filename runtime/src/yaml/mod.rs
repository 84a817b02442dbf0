//! YAML (and so JSON) as a tree that knows its lines, for templates and suites. Pure.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the tree |
//! | `parse.rs` | from text, within bounds |
//! | `value.rs` | a tree as JSON, and JSON as text that YAML's parser reads alike |

mod parse;
mod value;

use std::ops::Range;

pub(crate) use self::parse::{Tags, parse};
#[cfg(test)]
pub(crate) use self::value::tests::any_json;
pub(crate) use self::value::{JsonAsYaml, json_as_yaml, scalar};

/// A value and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// From 1.
    pub(crate) line: usize,
    /// Where its text is, in characters, if changing it there changes nothing else:
    /// not of what an anchor names or an alias repeats.
    pub(crate) source: Option<Range<usize>>,
}

/// What it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// As it was written: `1.10` and `012` stay what they look like.
    Scalar {
        text: String,
        /// Not in quotes: it may be a number, a truth value or nothing.
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The members of a map; none of anything else.
    pub(crate) fn members(&self) -> &[(String, Node)] {
        match &self.kind {
            Kind::Map(members) => members,
            _ => &[],
        }
    }

    /// A member of a map.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let mut members = self.members().iter();
        members.find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether there is nothing, as after `Key:`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if is_null(text))
    }

    /// Says that changing the text would change something else too.
    fn share(&mut self) {
        self.source = None;
        match &mut self.kind {
            Kind::Scalar { .. } => {}
            Kind::List(items) => items.iter_mut().for_each(Self::share),
            Kind::Map(members) => members.iter_mut().for_each(|(_, node)| node.share()),
        }
    }

    fn size(&self) -> Size {
        let mut size = Size { nodes: 1, bytes: 0 };
        match &self.kind {
            Kind::Scalar { text, .. } => size.bytes += text.len(),
            Kind::List(items) => items.iter().for_each(|item| size.add(item.size())),
            Kind::Map(members) => {
                for (key, node) in members {
                    size.bytes += key.len();
                    size.add(node.size());
                }
            }
        }
        size
    }
}

/// What a tree costs.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    nodes: usize,
    /// Of scalars and keys.
    bytes: usize,
}

impl Size {
    fn add(&mut self, other: Self) {
        self.nodes += other.nodes;
        self.bytes += other.bytes;
    }
}

/// YAML's words for nothing.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

//! YAML (and so JSON) as a tree that knows its lines. `CloudFormation`'s short tags
//! become what they stand for: `!Ref x` is `{"Ref": x}`.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::configuration::{ConfigurationError, Place};

/// Nodes of a template, those that aliases repeat counted each time: it is
/// 1 MB of text at most.
const MAX_NODES: usize = 200_000;

/// Bytes of all its scalars and keys, counted the same way.
const MAX_BYTES: usize = 4 << 20;

/// How deep it may be.
const MAX_DEPTH: usize = 64;

/// A value and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// From 1.
    pub(super) line: usize,
}

/// What it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
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
    pub(super) fn members(&self) -> &[(String, Node)] {
        match &self.kind {
            Kind::Map(members) => members,
            _ => &[],
        }
    }

    /// A member of a map.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let mut members = self.members().iter();
        members.find(|(key, _)| key == name).map(|(_, node)| node)
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether there is nothing, as after `Key:`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if is_null(text))
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
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Parses the one document of a text.
///
/// # Errors
/// It is no YAML, or not a document that a template can be.
pub(super) fn parse(text: &str) -> Result<Node, ConfigurationError> {
    let mut loader = Loader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        size: Size::default(),
    };
    let mut document = None;
    loop {
        let (event, span) = loader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            first if document.is_none() => document = Some(loader.node(first, span, 0)?),
            _ => return Err(error(span, "there is a second document: a template is one")),
        }
    }
    document.ok_or_else(|| Place::default().error("is empty"))
}

struct Loader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Rc<Node>>,
    size: Size,
}

impl<'a> Loader<'a> {
    /// Counts what is about to be kept.
    fn count(&mut self, size: Size, span: Span) -> Result<(), ConfigurationError> {
        self.size.add(size);
        if self.size.nodes > MAX_NODES || self.size.bytes > MAX_BYTES {
            return Err(error(
                span,
                "the template has too many values, or too long ones, once its aliases are \
                 written out",
            ));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), ConfigurationError> {
        match self.parser.next_event() {
            Some(Ok(both)) => Ok(both),
            Some(Err(error)) => {
                let place = Place::default().at(error.marker().line());
                Err(place.error(format!("no YAML: {}", error.info())))
            }
            None => Err(Place::default().error("ends in the middle")),
        }
    }

    /// The node that begins with `event`.
    fn node(
        &mut self,
        event: Event<'a>,
        span: Span,
        depth: usize,
    ) -> Result<Node, ConfigurationError> {
        if depth > MAX_DEPTH {
            return Err(error(span, "the template is nested too deeply"));
        }
        let line = span.start.line();
        let bytes = match &event {
            Event::Scalar(text, ..) => text.len(),
            _ => 0,
        };
        let size = Size { nodes: 1, bytes };
        self.count(size, span)?;
        let (kind, anchor, tag) = match event {
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).map(Rc::clone) else {
                    return Err(error(span, "the alias refers to itself or to nothing"));
                };
                self.count(node.size(), span)?;
                return Ok(Node::clone(&node));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let text = text.into_owned();
                (Kind::Scalar { text, plain }, anchor, tag)
            }
            Event::SequenceStart(anchor, tag) => {
                let mut items = vec![];
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::SequenceEnd {
                        break;
                    }
                    items.push(self.node(event, span, depth + 1)?);
                }
                (Kind::List(items), anchor, tag)
            }
            Event::MappingStart(anchor, tag) => (self.map(depth)?, anchor, tag),
            _ => return Err(error(span, "the template ends in the middle")),
        };
        let node = tagged(Node { kind, line }, tag.as_deref(), span)?;
        if anchor != 0 {
            // A copy, too.
            self.count(node.size(), span)?;
            self.anchors.insert(anchor, Rc::new(node.clone()));
        }
        Ok(node)
    }

    fn map(&mut self, depth: usize) -> Result<Kind, ConfigurationError> {
        let mut members: Vec<(String, Node)> = vec![];
        let mut keys: HashSet<String> = HashSet::new();
        let mut merged: Vec<Node> = vec![];
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event, span, depth + 1)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?;
            if is_merge {
                merged.push(value);
                continue;
            }
            let Some(key) = key.text() else {
                return Err(error(span, "a key is not a text"));
            };
            if !keys.insert(key.to_owned()) {
                return Err(error(span, &format!("the key {key} is there twice")));
            }
            members.push((key.to_owned(), value));
        }
        // What the map says itself has precedence.
        for node in merged {
            let Kind::Map(more) = node.kind else {
                continue;
            };
            for (key, value) in more {
                if keys.insert(key.clone()) {
                    members.push((key, value));
                }
            }
        }
        Ok(Kind::Map(members))
    }
}

/// A node with what its tag stands for.
fn tagged(node: Node, tag: Option<&Tag>, span: Span) -> Result<Node, ConfigurationError> {
    let Some(tag) = tag else { return Ok(node) };
    if tag.is_yaml_core_schema() {
        return Ok(match node.kind {
            Kind::Scalar { text, .. } if tag.suffix == "str" => Node {
                kind: Kind::Scalar { text, plain: false },
                ..node
            },
            _ => node,
        });
    }
    let name = match tag.suffix.as_str() {
        "" => return Ok(node),
        name @ ("Ref" | "Condition") => name.to_owned(),
        name if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => format!("Fn::{name}"),
        other => return Err(error(span, &format!("the tag !{other} is no function"))),
    };
    let line = node.line;
    Ok(Node {
        kind: Kind::Map(vec![(name, node)]),
        line,
    })
}

fn error(span: Span, message: &str) -> ConfigurationError {
    Place::default().at(span.start.line()).error(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The tree as JSON-like text, scalars in quotes if they were.
    fn shown(node: &Node) -> String {
        match &node.kind {
            Kind::Scalar { text, plain: true } => text.clone(),
            Kind::Scalar { text, .. } => format!("{text:?}"),
            Kind::List(items) => {
                let items: Vec<_> = items.iter().map(shown).collect();
                format!("[{}]", items.join(", "))
            }
            Kind::Map(members) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(key, node)| format!("{key}: {}", shown(node)))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }
        }
    }

    #[test]
    fn short_tags_are_functions() {
        for (text, tree) in [
            ("a: !Ref B", "{a: {Ref: B}}"),
            ("a: !Sub \"${B}\"", "{a: {Fn::Sub: \"${B}\"}}"),
            ("a: !GetAtt B.Arn", "{a: {Fn::GetAtt: B.Arn}}"),
            (
                "a: !Join [x, [!Ref B, c]]",
                "{a: {Fn::Join: [x, [{Ref: B}, c]]}}",
            ),
            ("a: !Condition C", "{a: {Condition: C}}"),
            ("a: !If [C, !Ref X, 2]", "{a: {Fn::If: [C, {Ref: X}, 2]}}"),
            ("a: !Sub\n  - x\n  - {b: 1}", "{a: {Fn::Sub: [x, {b: 1}]}}"),
            ("{\"a\": [1, true, null]}", "{a: [1, true, null]}"),
            ("a: 012\nb: 1.10\nc: '1'", "{a: 012, b: 1.10, c: \"1\"}"),
            ("a: !!str 1", "{a: \"1\"}"),
            (
                "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}",
                "{x: {a: 1, b: 2}, y: {b: 3, a: 1}}",
            ),
        ] {
            assert_eq!(
                parse(text).map(|node| shown(&node)),
                Ok(tree.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn lines_are_known_and_errors_say_them() {
        let node = parse("a:\n  b:\n    c: 1\n").unwrap();
        let found = node.get("a").and_then(|a| a.get("b")?.get("c"));
        assert_eq!(found.map(|node| node.line), Some(3));
        for (text, part) in [
            ("a: [1\nb: 2", "line 2"),
            ("a: 1\nb: 2\na: 3", "line 3: the key a is there twice"),
            ("a: 1\n---\nb: 2", "second document"),
            ("", "is empty"),
            ("a: *b", "line 1"),
            ("? [1]\n: 2", "a key is not a text"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let mut bomb = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x]".to_owned()];
        for n in 1..9 {
            let before = n - 1;
            let nine = vec![format!("*a{before}"); 9].join(", ");
            bomb.push(format!("a{n}: &a{n} [{nine}]"));
        }
        let error = parse(&bomb.join("\n")).unwrap_err().to_string();
        assert!(error.contains("too many values"), "{error}");
        let long = "x".repeat(100_000);
        for (text, refused) in [
            (format!("a: &a {long}\nb: [*a, *a]"), false),
            // Few values, and much text.
            (
                format!("a: &a {long}\nb: [{}]", vec!["*a"; 50].join(", ")),
                true,
            ),
            (
                format!("a: &a {{{long}: 1}}\nb: [{}]", vec!["*a"; 50].join(", ")),
                true,
            ),
            (
                format!("a: &a {{k: {long}}}\nb: {{{}}}", {
                    let merges: Vec<_> = (0..50).map(|n| format!("k{n}: {{<<: *a}}")).collect();
                    merges.join(", ")
                }),
                true,
            ),
            // Each level of anchors keeps a copy.
            (
                (0..60).fold(long.clone(), |text, n| format!("&n{n} [{text}]")),
                true,
            ),
        ] {
            let begin = &text[..9];
            let error = parse(&text).map(drop).map_err(|error| error.to_string());
            match error {
                Err(error) => {
                    assert!(refused, "{begin}: {error}");
                    assert!(error.contains("or too long ones"), "{begin}: {error}");
                }
                Ok(()) => assert!(!refused, "{begin}"),
            }
        }
        let deep = "[".repeat(80) + &"]".repeat(80);
        let error = parse(&deep).unwrap_err().to_string();
        assert!(error.contains("nested"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-a-c:\\[\\]{}!&*#'\"|>,? \n0-9]{0,60}") {
            let _ = parse(&text);
        }
    }
}

//! Text to a tree.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{Kind, Node, Size};
use crate::configuration::{ConfigurationError, Place};

/// Nodes of a file, those that aliases repeat counted each time: it is a few MB of
/// text at most.
const MAX_NODES: usize = 200_000;

/// Bytes of all its scalars and keys, counted the same way.
const MAX_BYTES: usize = 4 << 20;

/// How deep it may be.
const MAX_DEPTH: usize = 64;

/// What tags other than YAML's own stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `CloudFormation`'s functions: `!Ref x` is `{"Ref": x}`.
    CloudFormation,
    /// Nothing: they are refused.
    None,
}

/// Parses the one document of a text.
///
/// # Errors
/// It is no YAML, or more than one document, or too much.
pub(crate) fn parse(text: &str, tags: Tags) -> Result<Node, ConfigurationError> {
    let mut loader = Loader {
        text: text.chars().collect(),
        parser: Parser::new_from_str(text),
        tags,
        anchors: HashMap::new(),
        size: Size::default(),
        end: 0,
    };
    let mut document = None;
    loop {
        let (event, span) = loader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            first if document.is_none() => document = Some(loader.node(first, span, 0)?),
            _ => return Err(error(span, "there is a second document: a file is one")),
        }
    }
    document.ok_or_else(|| Place::default().error("is empty"))
}

struct Loader<'a> {
    text: Vec<char>,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    tags: Tags,
    anchors: HashMap<usize, Rc<Node>>,
    size: Size,
    /// Where the last value ended, in characters.
    end: usize,
}

impl<'a> Loader<'a> {
    /// Counts what is about to be kept.
    fn count(&mut self, size: Size, span: Span) -> Result<(), ConfigurationError> {
        self.size.add(size);
        if self.size.nodes > MAX_NODES || self.size.bytes > MAX_BYTES {
            return Err(error(
                span,
                "the file has too many values, or too long ones, once its aliases are \
                 written out",
            ));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), ConfigurationError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                if let Some(end) = self.end_of(&event, span) {
                    self.end = end;
                }
                Ok((event, span))
            }
            Some(Err(error)) => {
                let place = Place::default().at(error.marker().line());
                Err(place.error(format!("no YAML: {}", error.info())))
            }
            None => Err(Place::default().error("ends in the middle")),
        }
    }

    /// Where a value ends: what the parser says counts comments on the line, and the
    /// begin of what follows a collection without brackets.
    fn end_of(&self, event: &Event<'_>, span: Span) -> Option<usize> {
        let begin = span.start.index();
        match event {
            Event::Scalar(_, ScalarStyle::SingleQuoted, ..) => {
                Some(quoted_end(&self.text, begin, '\''))
            }
            Event::Scalar(_, ScalarStyle::DoubleQuoted, ..) => {
                Some(quoted_end(&self.text, begin, '"'))
            }
            Event::Scalar(..) | Event::Alias(_) => (!span.is_empty()).then(|| span.end.index()),
            Event::SequenceEnd | Event::MappingEnd => {
                let bracket = self.text.get(begin).filter(|one| "]}".contains(**one));
                bracket.map(|_| begin + 1)
            }
            _ => None,
        }
    }

    /// Where a list begins: of one that is not indented, the parser says where its first
    /// item does.
    fn list_begin(&self, begin: usize) -> Option<usize> {
        let is_dash = |index: usize| {
            let next = self.text.get(index + 1);
            self.text.get(index) == Some(&'-') && next.is_none_or(|next| next.is_whitespace())
        };
        if self.text.get(begin) == Some(&'[') || is_dash(begin) {
            return Some(begin);
        }
        let before = self.text.get(..begin)?;
        let last = before.iter().rposition(|one| !one.is_whitespace())?;
        is_dash(last).then_some(last)
    }

    /// The node that begins with `event`.
    fn node(
        &mut self,
        event: Event<'a>,
        span: Span,
        depth: usize,
    ) -> Result<Node, ConfigurationError> {
        if depth > MAX_DEPTH {
            return Err(error(span, "the file is nested too deeply"));
        }
        let line = span.start.line();
        let is_block_text = matches!(
            event,
            Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..)
        );
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
                let mut node = Node::clone(&node);
                // The alias itself may give way to something else.
                node.source = Some(span.start.index()..span.end.index());
                return Ok(node);
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
            _ => return Err(error(span, "the file ends in the middle")),
        };
        let begin = match kind {
            // The parser does not say where their signs are.
            Kind::Scalar { .. } if is_block_text => None,
            Kind::List(_) => self.list_begin(span.start.index()),
            _ => Some(span.start.index()),
        };
        // Nothing has no text: it is said to be where the next value begins.
        let source = begin.filter(|begin| self.end > *begin);
        let source = source.map(|begin| begin..self.end);
        let node = Node { kind, line, source };
        let mut node = self.tagged(node, tag.as_deref(), span)?;
        if anchor != 0 {
            node.share();
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
            let key_end = self.end;
            let (event, value_span) = self.next()?;
            let is_anchored = matches!(&event, Event::Scalar(_, _, anchor, _) if *anchor != 0);
            let mut value = self.node(event, value_span, depth + 1)?;
            if value.text() == Some("") && value_span.is_empty() && !is_anchored {
                let colon = self.text.get(key_end) == Some(&':');
                value.source = colon.then_some(key_end + 1..key_end + 1);
            }
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

    /// A node with what its tag stands for.
    fn tagged(
        &self,
        node: Node,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Node, ConfigurationError> {
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
        let suffix = tag.suffix.as_str();
        if suffix.is_empty() {
            return Ok(node);
        }
        if self.tags == Tags::None {
            return Err(error(
                span,
                &format!("the tag !{suffix} has no meaning here"),
            ));
        }
        let name = match suffix {
            name @ ("Ref" | "Condition") => name.to_owned(),
            name if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => format!("Fn::{name}"),
            other => return Err(error(span, &format!("the tag !{other} is no function"))),
        };
        let (line, source) = (node.line, node.source.clone());
        Ok(Node {
            kind: Kind::Map(vec![(name, node)]),
            line,
            source,
        })
    }
}

/// Behind the quote that ends a text.
fn quoted_end(text: &[char], begin: usize, quote: char) -> usize {
    let mut index = begin + 1;
    while let Some(character) = text.get(index) {
        let doubled = quote == '\'' && text.get(index + 1) == Some(&quote);
        match *character {
            '\\' if quote == '"' => index += 2,
            other if other == quote && doubled => index += 2,
            other if other == quote => return index + 1,
            _ => index += 1,
        }
    }
    text.len()
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
                parse(text, Tags::CloudFormation).map(|node| shown(&node)),
                Ok(tree.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn lines_are_known_and_errors_say_them() {
        let node = parse("a:\n  b:\n    c: 1\n", Tags::None).unwrap();
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
            let error = parse(text, Tags::CloudFormation).unwrap_err().to_string();
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
        let error = parse(&bomb.join("\n"), Tags::None).unwrap_err().to_string();
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
            let error = parse(&text, Tags::None)
                .map(drop)
                .map_err(|error| error.to_string());
            match error {
                Err(error) => {
                    assert!(refused, "{begin}: {error}");
                    assert!(error.contains("or too long ones"), "{begin}: {error}");
                }
                Ok(()) => assert!(!refused, "{begin}"),
            }
        }
        let deep = "[".repeat(80) + &"]".repeat(80);
        let error = parse(&deep, Tags::None).unwrap_err().to_string();
        assert!(error.contains("nested"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-a-c:\\[\\]{}!&*#'\"|>,? \n0-9]{0,60}") {
            let _ = parse(&text, Tags::CloudFormation);
        }
    }

    /// The text that a node says is its own.
    fn own<'a>(text: &'a str, node: &Node) -> Option<&'a str> {
        let range = node.source.clone()?;
        let bytes = |index: usize| {
            let mut indices = text.char_indices().map(|(at, _)| at);
            indices.nth(index).unwrap_or(text.len())
        };
        Some(&text[bytes(range.start)..bytes(range.end)])
    }

    #[test]
    fn nodes_know_their_text() {
        for (text, own_text) in [
            ("ü: 1\nb: text # why\nc: 2", Some("text")),
            ("b: 'a b'\nc: 2", Some("'a b'")),
            ("b: \"a b\" # x\nc: 2", Some("\"a b\"")),
            ("b: 'it''s' # x\nc: 2", Some("'it''s'")),
            ("b: \"\\\"\\\\\" # x\nc: 2", Some("\"\\\"\\\\\"")),
            ("b: |\n  x\n# y\nc: 2", None),
            ("b: [] # x\nc: 2", Some("[]")),
            ("b:\n  c: {d: 1} # x\n# y\nc: 2", Some("c: {d: 1}")),
            (
                "b: {a: [1, 2],\n c: 3} # x\nc: 2",
                Some("{a: [1, 2],\n c: 3}"),
            ),
            (
                "b:\n  ä: 1\n  c:\n    - 2\n# x\nc: 2",
                Some("ä: 1\n  c:\n    - 2"),
            ),
            ("b:\n- 1\n- x: {}\n\nc: 2", Some("- 1\n- x: {}")),
            ("{\"b\": [ ], \"c\": 2}", Some("[ ]")),
            ("b:\nc: 2", Some("")),
            // What an anchor names is somebody else's too.
            ("b: &x {a: 1}\nc: *x", None),
            ("a: &x {a: 1}\nb: *x\nc: 1", Some("*x")),
        ] {
            let node = parse(text, Tags::None).unwrap();
            assert_eq!(own(text, node.get("b").unwrap()), own_text, "{text}");
        }
        let node = parse("a: &x {i: 1}\nb: *x\nc: {<<: *x}", Tags::None).unwrap();
        for name in ["a", "b", "c"] {
            let inner = node.get(name).and_then(|node| node.get("i")).unwrap();
            assert_eq!(inner.source, None, "{name}");
        }
    }

    #[test]
    fn tags_without_meaning_are_refused() {
        let error = parse("a: !Ref b", Tags::None).unwrap_err().to_string();
        assert!(error.contains("the tag !Ref has no meaning"), "{error}");
    }
}

//! A tree as JSON, and JSON as text that YAML's parser reads alike.

use serde_json::{Map, Number, Value};

use super::{Kind, Node, is_null};

/// A scalar as JSON: what is not in quotes and looks like a number of JSON, a truth
/// value or nothing is that; everything else stays the text that was written, such
/// as 012, which somebody may have meant as it is.
pub(crate) fn scalar(text: &str, plain: bool) -> Value {
    if !plain {
        return text.into();
    }
    if is_null(text) {
        return Value::Null;
    }
    match text {
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        _ => serde_json::from_str::<Number>(text).map_or_else(|_| text.into(), Value::Number),
    }
}

impl Node {
    /// As JSON.
    pub(crate) fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar { text, plain } => scalar(text, *plain),
            Kind::List(items) => items.iter().map(Self::value).collect(),
            Kind::Map(members) => {
                let pairs = members.iter();
                let pairs = pairs.map(|(key, node)| (key.clone(), node.value()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    /// JSON as a tree, all of it in one line of no text.
    pub(crate) fn of(value: &Value, line: usize) -> Self {
        let kind = match value {
            Value::String(text) => Kind::Scalar {
                text: text.clone(),
                plain: false,
            },
            Value::Array(items) => {
                Kind::List(items.iter().map(|item| Self::of(item, line)).collect())
            }
            Value::Object(members) => {
                let members = members.iter();
                let members = members.map(|(key, value)| (key.clone(), Self::of(value, line)));
                Kind::Map(members.collect())
            }
            other => Kind::Scalar {
                text: other.to_string(),
                plain: true,
            },
        };
        Self {
            kind,
            line,
            source: None,
        }
    }
}

/// JSON text as YAML, and where the two differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct JsonAsYaml {
    /// The text.
    pub(crate) text: String,
    /// Where in it the characters are that were pairs of escapes, in characters.
    pairs: Vec<usize>,
}

/// Of the twelve characters that such a pair has, one is left.
const SAVED: usize = 11;

impl JsonAsYaml {
    /// Where a place of the text is in the JSON, in characters.
    pub(crate) fn original(&self, index: usize) -> usize {
        index + SAVED * self.pairs.partition_point(|pair| *pair < index)
    }
}

/// JSON as YAML has it, line by line; `None` if the text is no JSON. YAML knows no
/// escapes of halves of a character (`\ud83e\udd80`), and no tabs before values.
pub(crate) fn json_as_yaml(json: &str) -> Option<JsonAsYaml> {
    serde_json::from_str::<serde::de::IgnoredAny>(json).ok()?;
    let mut yaml = JsonAsYaml::default();
    let mut length = 0;
    let mut in_string = false;
    let mut rest = json;
    while let Some(character) = rest.chars().next() {
        let taken = match character {
            '\t' if !in_string => {
                yaml.text.push(' ');
                1
            }
            '\\' if in_string => {
                if let Some(whole) = pair(rest) {
                    yaml.text.push(whole);
                    yaml.pairs.push(length);
                    length += 1;
                    rest = &rest[12..];
                } else {
                    // With what it escapes, which may be a quote.
                    yaml.text.push_str(&rest[..2]);
                    length += 2;
                    rest = &rest[2..];
                }
                continue;
            }
            other => {
                in_string ^= other == '"';
                yaml.text.push(other);
                other.len_utf8()
            }
        };
        length += 1;
        rest = &rest[taken..];
    }
    Some(yaml)
}

/// The character of two escapes of halves.
fn pair(text: &str) -> Option<char> {
    let half = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = half(text).filter(|half| (0xd800..0xdc00).contains(half))?;
    let halves = [first, half(text.get(6..)?)?];
    char::decode_utf16(halves).next()?.ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::{Tags, parse};
    use super::*;

    /// Any JSON that a suite may have.
    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
            "[ -~ä\u{1F980}\n\t\u{1}]{0,12}".prop_map(Value::from),
            prop_oneof![
                "null", "true", "12", "0x1", "- a", "a: b", "# c", "~", "!x", "&x"
            ]
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ -~ä]{0,6}", inner, 0..4)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    /// Everything beyond ASCII as escapes.
    fn escaped(json: &str) -> String {
        let mut text = String::new();
        for character in json.chars() {
            if character.is_ascii() {
                text.push(character);
            } else {
                let units = character.encode_utf16(&mut [0; 2]).to_vec();
                text.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
        text
    }

    #[test]
    fn scalars_are_what_they_look_like() {
        for (text, value) in [
            ("a: 1", json!(1)),
            ("a: 1.50", json!(1.5)),
            ("a: -1e3", json!(-1000.0)),
            ("a: '1'", json!("1")),
            ("a: 012", json!("012")),
            ("a: 0x1f", json!("0x1f")),
            ("a: True", json!(true)),
            ("a: yes", json!("yes")),
            ("a:", json!(null)),
            ("a: ~", json!(null)),
            ("a: !!str 1", json!("1")),
            ("a: |\n  x\n  y\n", json!("x\ny\n")),
        ] {
            let node = parse(text, Tags::None).unwrap();
            assert_eq!(node.value(), json!({"a": value}), "{text}");
        }
    }

    proptest! {
        #[test]
        fn json_is_read_as_json(value in any_json(), pretty: bool, ascii: bool, tabs: bool) {
            let mut text = if pretty { format!("{value:#}") } else { value.to_string() };
            if ascii {
                text = escaped(&text);
            }
            if tabs && pretty {
                text = text.replace("\n  ", "\n\t");
            }
            let yaml = json_as_yaml(&text).unwrap();
            prop_assert_eq!(parse(&yaml.text, Tags::None).unwrap().value(), value);
            prop_assert_eq!(yaml.original(yaml.text.chars().count()), text.chars().count());
        }

        #[test]
        fn trees_of_json_are_that_json(value in any_json()) {
            prop_assert_eq!(Node::of(&value, 1).value(), value);
        }
    }
}

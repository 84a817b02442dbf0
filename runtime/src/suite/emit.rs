//! JSON values as text for a suite's file: in YAML's block style, or in its flow style,
//! which is JSON.

use serde_json::Value;

use crate::yaml::scalar;

/// What fits on one line beside its key.
const WIDTH: usize = 80;

/// A step of indentation.
const STEP: usize = 2;

/// JSON, on one line if it fits. Later lines are indented by `indent` and more.
pub(super) fn flow(value: &Value, indent: usize) -> String {
    let line = compact(value);
    if line.chars().count() <= WIDTH {
        return line;
    }
    let inner = indent + STEP;
    let (open, items, close) = match value {
        Value::Array(items) => {
            let items = items.iter().map(|item| flow(item, inner));
            ('[', items.collect::<Vec<_>>(), ']')
        }
        Value::Object(members) => {
            let items = members
                .iter()
                .map(|(key, value)| format!("{}: {}", quoted(key), flow(value, inner)));
            ('{', items.collect(), '}')
        }
        _ => return line,
    };
    let separator = format!(",\n{}", pad(inner));
    let items = items.join(&separator);
    format!("{open}\n{}{items}\n{}{close}", pad(inner), pad(indent))
}

fn compact(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(compact).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let pairs: Vec<_> = members
                .iter()
                .map(|(key, value)| format!("{}: {}", quoted(key), compact(value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

/// YAML, without indentation for its first line, and by `indent` for all others.
pub(super) fn block(value: &Value, indent: usize) -> String {
    let lines: Vec<String> = match value {
        Value::Array(items) if !items.is_empty() => items
            .iter()
            .map(|item| format!("- {}", block(item, indent + STEP)))
            .collect(),
        Value::Object(members) if !members.is_empty() => members
            .iter()
            .map(|(key, value)| {
                let inner = indent + STEP;
                let key = word(key);
                if is_empty(value) {
                    format!("{key}: {}", block(value, inner))
                } else {
                    format!("{key}:\n{}{}", pad(inner), block(value, inner))
                }
            })
            .collect(),
        Value::String(text) => vec![word(text)],
        other => vec![other.to_string()],
    };
    lines.join(&format!("\n{}", pad(indent)))
}

/// Whether it has no values in it.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => true,
    }
}

/// A text as people write it in YAML: in quotes where it may be something else.
fn word(text: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "_./-".contains(character);
    let words = text.split(' ');
    let looks_plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && words
            .clone()
            .all(|word| !word.is_empty() && word.chars().all(is_plain));
    // YAML before 1.2 has more truth values.
    let old = ["y", "n", "yes", "no", "on", "off"];
    if looks_plain && scalar(text, true).is_string() && !old.contains(&text.to_lowercase().as_str())
    {
        text.to_owned()
    } else {
        quoted(text)
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn pad(indent: usize) -> String {
    " ".repeat(indent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::yaml::{Tags, any_json, parse};

    #[test]
    fn blocks_look_like_yaml() {
        let value = json!({
            "text": "two words", "number": 1.5, "word": "yes", "empty": {}, "list": [1, {"a": [], "b": "x: y"}, [2]],
        });
        let text = "empty: {}\n  list:\n    - 1\n    - a: []\n      b: \"x: y\"\n    - - 2\n  \
                    number: 1.5\n  text: two words\n  word: \"yes\"";
        assert_eq!(block(&value, 2), text);
    }

    #[test]
    fn long_values_have_lines() {
        let value = json!({"a": "x".repeat(60), "b": [1, "y".repeat(20)]});
        let text = format!(
            "{{\n    \"a\": \"{}\",\n    \"b\": [1, \"{}\"]\n  }}",
            "x".repeat(60),
            "y".repeat(20)
        );
        assert_eq!(flow(&value, 2), text);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in any_json(), indent in 1_usize..5) {
            let document = |text: String| format!("key:\n{}{text}\nlast: 1\n", pad(indent));
            for text in [block(&value, indent), flow(&value, indent)] {
                let text = document(text);
                let read = parse(&text, Tags::None).map(|node| node.value());
                prop_assert_eq!(read, Ok(json!({"key": value, "last": 1})), "{}", text);
            }
            let inline = format!("key: {}\nlast: 1\n", flow(&value, 2));
            let read = parse(&inline, Tags::None).map(|node| node.value());
            prop_assert_eq!(read, Ok(json!({"key": value, "last": 1})), "{}", inline);
        }
    }
}

//! Whether a value is what was expected, and where not.

use serde_json::{Map, Number, Value};
use similar::TextDiff;

/// Lines around a change.
const CONTEXT: usize = 3;

/// How much has to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All.
    Whole,
    /// What is expected: objects may have more members.
    Part,
}

/// The path, as jq has it, of the first place where a value is not what was expected,
/// if there is one. Numbers are compared by value: 1 is 1.0.
pub(super) fn difference(expected: &Value, actual: &Value, extent: Extent) -> Option<String> {
    let mut path = String::new();
    differs(expected, actual, extent, &mut path).then(|| {
        if path.starts_with('.') {
            path
        } else {
            format!(".{path}")
        }
    })
}

/// Whether they differ; if so, `path` is where.
fn differs(expected: &Value, actual: &Value, extent: Extent, path: &mut String) -> bool {
    let begin = path.len();
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (key, value) in expected {
                path.push_str(&step(key));
                if actual
                    .get(key)
                    .is_none_or(|actual| differs(value, actual, extent, path))
                {
                    return true;
                }
                path.truncate(begin);
            }
            let more = actual.keys().find(|key| !expected.contains_key(*key));
            match more {
                Some(key) if extent == Extent::Whole => {
                    path.push_str(&step(key));
                    true
                }
                _ => false,
            }
        }
        (Value::Array(expected), Value::Array(actual)) => {
            for (index, value) in expected.iter().enumerate() {
                path.push_str(&at(index));
                if actual
                    .get(index)
                    .is_none_or(|actual| differs(value, actual, extent, path))
                {
                    return true;
                }
                path.truncate(begin);
            }
            if actual.len() > expected.len() {
                path.push_str(&at(expected.len()));
                return true;
            }
            false
        }
        (Value::Number(one), Value::Number(other)) => !same_number(one, other),
        (one, other) => one != other,
    }
}

fn same_number(one: &Number, other: &Number) -> bool {
    // Whole numbers beyond 2^53 are not the same float.
    one == other || ((one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64())
}

/// An item as jq names it.
fn at(index: usize) -> String {
    format!("[{index}]")
}

/// A member as jq names it.
fn step(key: &str) -> String {
    let mut bytes = key.bytes();
    let plain = bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain {
        format!(".{key}")
    } else {
        format!("[{}]", Value::from(key))
    }
}

/// Of a value, what a partial expectation speaks of.
pub(super) fn part(expected: &Value, actual: &Value) -> Value {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            let members = expected.iter().filter_map(|(key, value)| {
                let actual = actual.get(key)?;
                Some((key.clone(), part(value, actual)))
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        (Value::Array(expected), Value::Array(actual)) => {
            let items = actual.iter().enumerate().map(|(index, item)| {
                let expected = expected.get(index);
                expected.map_or_else(|| item.clone(), |expected| part(expected, item))
            });
            items.collect()
        }
        (_, actual) => actual.clone(),
    }
}

/// What changes from the expected to the actual value, line by line.
pub(super) fn changes(expected: &Value, actual: &Value) -> String {
    let [expected, actual] = [expected, actual].map(|value| format!("{value:#}\n"));
    let diff = TextDiff::from_lines(&expected, &actual);
    diff.unified_diff()
        .context_radius(CONTEXT)
        .header("expected", "actual")
        .to_string()
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::yaml::any_json;

    #[test]
    fn differences_have_places() {
        for (expected, actual, whole, partial) in [
            (json!({"a": 1}), json!({"a": 1.0}), None, None),
            (json!({"a": 1}), json!({"a": 1, "b": 2}), Some(".b"), None),
            (json!({"a": 1}), json!({}), Some(".a"), Some(".a")),
            (json!({"a": null}), json!({}), Some(".a"), Some(".a")),
            (
                json!({"a": {"b c": 1}}),
                json!({"a": {"b c": 2}}),
                Some(".a[\"b c\"]"),
                Some(".a[\"b c\"]"),
            ),
            (
                json!([1, {"x": 1}]),
                json!([1, {"x": 1, "y": 2}]),
                Some(".[1].y"),
                None,
            ),
            (json!([1]), json!([1, 2]), Some(".[1]"), Some(".[1]")),
            (json!([1, 2]), json!([1]), Some(".[1]"), Some(".[1]")),
            (json!(true), json!(1), Some("."), Some(".")),
            (json!("1"), json!(1), Some("."), Some(".")),
            (
                json!(9_007_199_254_740_993_u64),
                json!(9_007_199_254_740_992_u64),
                Some("."),
                Some("."),
            ),
        ] {
            let found = |extent| difference(&expected, &actual, extent);
            assert_eq!(
                found(Extent::Whole).as_deref(),
                whole,
                "{expected} {actual}"
            );
            assert_eq!(
                found(Extent::Part).as_deref(),
                partial,
                "{expected} {actual}"
            );
        }
    }

    #[test]
    fn changes_are_lines() {
        let text = changes(&json!({"a": 1, "b": "x"}), &json!({"a": 1, "b": "y"}));
        assert!(
            text.contains("\n-  \"b\": \"x\"\n+  \"b\": \"y\"\n"),
            "{text}"
        );
        assert!(text.starts_with("--- expected\n+++ actual\n"), "{text}");
    }

    proptest! {
        #[test]
        fn a_value_is_itself(value in any_json()) {
            prop_assert_eq!(difference(&value, &value, Extent::Whole), None);
            prop_assert_eq!(difference(&value, &value, Extent::Part), None);
        }

        #[test]
        fn what_a_part_was_made_of_has_it(expected in any_json(), actual in any_json()) {
            let part = part(&expected, &actual);
            prop_assert_eq!(difference(&part, &actual, Extent::Part), None);
        }

        #[test]
        fn the_whole_is_stricter(expected in any_json(), actual in any_json()) {
            if difference(&expected, &actual, Extent::Part).is_some() {
                prop_assert!(difference(&expected, &actual, Extent::Whole).is_some());
            }
        }
    }
}

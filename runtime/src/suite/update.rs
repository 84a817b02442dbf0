//! New expectations in a suite's text, which otherwise stays as it is.

use std::ops::Range;

use serde_json::Value;

use super::emit::{block, flow};
use super::read::tree;
use crate::yaml::{Kind, Node, json_as_yaml};

/// A value to be replaced.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edit {
    /// Where its text is, in characters.
    pub(crate) source: Range<usize>,
    /// What is to be there.
    pub(crate) value: Value,
}

/// The text with these values.
///
/// # Errors
/// Two edits contradict each other, or the text would not say what it should.
pub(crate) fn updated(text: &str, edits: &[Edit]) -> Result<String, String> {
    let mut edits = edits.to_vec();
    edits.sort_by_key(|edit| edit.source.start);
    edits.dedup();
    if edits
        .windows(2)
        .any(|two| two[1].source.start < two[0].source.end || two[0].source == two[1].source)
    {
        return Err("the answers differ from invocation to invocation".to_owned());
    }
    let root = tree(text).map_err(|error| error.to_string())?;
    let offsets: Vec<usize> = text.char_indices().map(|(offset, _)| offset).collect();
    let byte = |index: usize| offsets.get(index).copied().unwrap_or(text.len());
    let is_json = json_as_yaml(text).is_some();
    let mut new = text.to_owned();
    for edit in edits.iter().rev() {
        let begin = byte(edit.source.start);
        let old = &text[begin..byte(edit.source.end)];
        let line = text[..begin].rfind('\n').map_or(0, |end| end + 1);
        let before = &text[line..begin];
        let is_block = !is_json
            && find(&root, &edit.source)
                .is_some_and(|node| !matches!(node.kind, Kind::Scalar { .. }))
            && !old.starts_with(['{', '[']);
        let mut written = if is_block {
            block(&edit.value, before.chars().count())
        } else {
            // Of a member in a list, where its name is.
            let lead = before.len() - before.trim_start_matches([' ', '\t', '-']).len();
            flow(&edit.value, if is_json { lead } else { lead + 2 })
        };
        if old.is_empty() && before.ends_with(':') {
            written.insert(0, ' ');
        }
        new.replace_range(begin..begin + old.len(), &written);
    }
    let reread = tree(&new).map_err(|error| error.to_string())?;
    if reread.value() == substituted(&root, &edits) {
        Ok(new)
    } else {
        Err("the file's form does not allow it: change it by hand".to_owned())
    }
}

/// The value that has its text there.
fn find<'a>(node: &'a Node, source: &Range<usize>) -> Option<&'a Node> {
    if node.source.as_ref() == Some(source) {
        return Some(node);
    }
    match &node.kind {
        Kind::Scalar { .. } => None,
        Kind::List(items) => items.iter().find_map(|item| find(item, source)),
        Kind::Map(members) => members.iter().find_map(|(_, node)| find(node, source)),
    }
}

/// What a tree should be after the edits.
fn substituted(node: &Node, edits: &[Edit]) -> Value {
    let own = |edit: &&Edit| node.source.as_ref() == Some(&edit.source);
    if let Some(edit) = edits.iter().find(own) {
        return edit.value.clone();
    }
    match &node.kind {
        Kind::Scalar { .. } => node.value(),
        Kind::List(items) => items.iter().map(|item| substituted(item, edits)).collect(),
        Kind::Map(members) => {
            let members = members.iter();
            let pairs = members.map(|(key, node)| (key.clone(), substituted(node, edits)));
            Value::Object(pairs.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::yaml::any_json;

    /// The edit of the value `b` of a file.
    fn edit(text: &str, value: Value) -> Edit {
        let root = tree(text).unwrap();
        let source = root.get("b").unwrap().source.clone();
        Edit {
            source: source.unwrap(),
            value,
        }
    }

    #[test]
    fn only_the_value_changes() {
        for (text, value, new) in [
            (
                "a: 1 # ü\nb: 2 # why\nc: 3\n",
                json!(4),
                "a: 1 # ü\nb: 4 # why\nc: 3\n",
            ),
            ("b: x\n", json!({"k": [1]}), "b: {\"k\": [1]}\n"),
            ("b:\nc: 1\n", json!("v"), "b: \"v\"\nc: 1\n"),
            ("b: null", json!([]), "b: []"),
            (
                "b:\n  # first\n  k: 1 # one\n  l: 2\n\n# end\nc: 3\n",
                json!({"k": 5, "m": "x y"}),
                "b:\n  # first\n  k: 5\n  m: x y\n\n# end\nc: 3\n",
            ),
            (
                "b:\n- 1\n- 2\nc: 3\n",
                json!([1, {"x": 2}]),
                "b:\n- 1\n- x: 2\nc: 3\n",
            ),
            (
                "b: {k: 1}\nc: 3\n",
                json!({"k": 2}),
                "b: {\"k\": 2}\nc: 3\n",
            ),
            (
                "{\n\t\"a\": \"\\ud83e\\udd80\",\n\t\"b\": {\"k\": 1}, \"c\": 2\n}\n",
                json!("ü"),
                "{\n\t\"a\": \"\\ud83e\\udd80\",\n\t\"b\": \"ü\", \"c\": 2\n}\n",
            ),
        ] {
            assert_eq!(
                updated(text, &[edit(text, value)]),
                Ok(new.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let text = "b: 1\n";
        let [one, other] = [json!(2), json!(3)].map(|value| edit(text, value));
        assert_eq!(
            updated(text, &[one.clone(), one.clone()]),
            Ok("b: 2\n".to_owned())
        );
        let error = updated(text, &[one, other]).unwrap_err();
        assert!(error.contains("differ from invocation"), "{error}");
        // A map cannot be where a list without indentation is.
        let text = "b:\n- 1\nc: 2\n";
        let error = updated(text, &[edit(text, json!({"k": 1}))]).unwrap_err();
        assert!(error.contains("by hand"), "{error}");
    }

    proptest! {
        #[test]
        fn an_update_says_what_it_should(old in any_json(), new in any_json(), style in 0_usize..3) {
            let text = match style {
                0 => format!("a: 1\nb:\n  {}\nc: 2 # last\n", block(&old, 2)),
                1 => format!("a: 1\nb: {} # why\nc: 2\n", flow(&old, 2)),
                _ => format!("{:#}\n", json!({"a": 1, "b": old, "c": 2})),
            };
            let edited = updated(&text, &[edit(&text, new.clone())]).unwrap();
            let expected = json!({"a": 1, "b": new, "c": 2});
            prop_assert_eq!(tree(&edited).unwrap().value(), expected);
            // Once more changes nothing.
            let again = updated(&edited, &[edit(&edited, new)]).unwrap();
            prop_assert_eq!(again, edited);
        }
    }
}

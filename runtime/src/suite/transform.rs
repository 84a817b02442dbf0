//! jq filters, by jaq.

use jaq_core::load::{Arena, Error, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};
use serde::{Deserialize, Serialize};
use serde_json::Value;

type Filter = jaq_core::Filter<data::JustLut<Val>>;

/// Whether a text is a filter.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(filter: &str) -> Result<(), String> {
    compile(filter).map(drop)
}

/// A filter, and what it is for. It comes from a file, and may take any time and memory:
/// who runs it limits both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Transformation {
    pub(crate) filter: String,
    pub(crate) input: Value,
    /// Whether outputs that are null do not count.
    pub(crate) skip_null: bool,
}

/// Runs a filter, as [`Transformation::run`] does.
pub(crate) type Transform<'a> = &'a dyn Fn(&Transformation) -> Result<Value, String>;

impl Transformation {
    /// The first output, or the first that is not null.
    ///
    /// # Errors
    /// It fails, or there is none.
    pub(crate) fn run(&self) -> Result<Value, String> {
        first(&self.filter, &self.input, self.skip_null)
    }
}

fn first(filter: &str, input: &Value, skip_null: bool) -> Result<Value, String> {
    let compiled = compile(filter)?;
    let input =
        read::parse_single(input.to_string().as_bytes()).map_err(|error| error.to_string())?;
    let context = Ctx::<data::JustLut<Val>>::new(&compiled.lut, Vars::new([]));
    for output in compiled.id.run((context, input)).map(unwrap_valr) {
        let output = output.map_err(|error| error.to_string())?.to_string();
        let output = serde_json::from_str(&output)
            .map_err(|_| format!("its output is not JSON: {output}"))?;
        if !(skip_null && output == Value::Null) {
            return Ok(output);
        }
    }
    Err(if skip_null {
        "it has no output but null".to_owned()
    } else {
        "it has no output".to_owned()
    })
}

fn compile(filter: &str) -> Result<Filter, String> {
    let definitions = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs());
    let functions = jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs());
    let arena = Arena::default();
    let program = File {
        code: filter,
        path: (),
    };
    let modules = Loader::new(definitions)
        .load(&arena, program)
        .map_err(|errors| {
            let first = errors.into_iter().next();
            first.map_or_else(String::new, |(_, error)| syntax(&error))
        })?;
    Compiler::default()
        .with_funs(functions)
        .compile(modules)
        .map_err(|errors| {
            let mut unknown = errors.into_iter().flat_map(|(_, errors)| errors);
            unknown.next().map_or_else(String::new, |(name, kind)| {
                format!("there is no {} {name}", kind.as_str())
            })
        })
}

fn syntax(error: &Error<&str>) -> String {
    let (expected, found) = match error {
        Error::Io(errors) => {
            return errors
                .first()
                .map_or_else(String::new, |(path, error)| format!("{path}: {error}"));
        }
        Error::Lex(errors) => match errors.first() {
            Some((expected, found)) => (expected.as_str(), *found),
            None => return String::new(),
        },
        Error::Parse(errors) => match errors.first() {
            Some((expected, found)) => (expected.as_str(), *found),
            None => return String::new(),
        },
    };
    if found.is_empty() {
        format!("it ends where {expected} should come")
    } else {
        format!("{expected} should come before \"{}\"", found.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::yaml::any_json;

    #[test]
    fn filters() {
        let input = json!({"body": "{\"n\": 1}", "list": [null, 2, 3], "ü": "ä"});
        for (filter, skip_null, output) in [
            (".body | fromjson | .n", false, json!(1)),
            (".list[]", false, json!(null)),
            (".list[]", true, json!(2)),
            (".missing", false, json!(null)),
            (
                "{n: (.list | length), u: .\"ü\"}",
                false,
                json!({"n": 3, "u": "ä"}),
            ),
            (".body | test(\"^.\\\"n\\\"\")", false, json!(true)),
            ("[.list[] | select(. != null)] | add / 2", false, json!(2.5)),
            (
                ".list | map(. // 0) | sort | @json",
                false,
                json!("[0,2,3]"),
            ),
        ] {
            assert_eq!(first(filter, &input, skip_null), Ok(output), "{filter}");
        }
        for (filter, skip_null, part) in [
            (".missing", true, "no output but null"),
            ("empty", false, "no output"),
            (".list.x", false, "index"),
            ("error(\"why\")", false, "why"),
        ] {
            let error = first(filter, &input, skip_null).unwrap_err();
            assert!(error.contains(part), "{filter}: {error}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (filter, part) in [
            (".a | nonsense", "there is no filter nonsense"),
            (".a |", "it ends where term should come"),
            ("$x", "there is no variable"),
            (".a )", "should come before"),
            ("\"a", "closing quote"),
            ("import \"m\" as m; 1", "not supported"),
        ] {
            let error = check(filter).unwrap_err();
            assert!(error.contains(part), "{filter}: {error}");
        }
    }

    proptest! {
        #[test]
        fn identity_changes_nothing(value in any_json()) {
            prop_assert_eq!(first(".", &value, false), Ok(value));
        }

        #[test]
        fn no_text_panics(text in "[-.a-c|\\[\\](){}\",:$ 0-9]{0,20}") {
            let _ = check(&text);
        }
    }
}

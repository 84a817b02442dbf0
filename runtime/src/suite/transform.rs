//! jq filters, by jaq.

use jaq_core::load::{Arena, Error, File, Loader};
use jaq_core::{Compiler, Ctx, Exn, Vars, data};
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
    pub(crate) counts: Counts,
}

/// Which output of a filter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Counts {
    /// The only one: more than one is an error.
    Only,
    /// The first one.
    First,
    /// The first one that is not null.
    FirstNotNull,
}

/// Runs a filter, as [`Transformation::run`] does.
pub(crate) type Transform<'a> = &'a dyn Fn(&Transformation) -> Result<Value, String>;

impl Transformation {
    /// The output that counts.
    ///
    /// # Errors
    /// It fails, or there is none, or more than one where only one may be.
    pub(crate) fn run(&self) -> Result<Value, String> {
        output(&self.filter, &self.input, self.counts)
    }
}

fn output(filter: &str, input: &Value, counts: Counts) -> Result<Value, String> {
    let compiled = compile(filter)?;
    let input =
        read::parse_single(input.to_string().as_bytes()).map_err(|error| error.to_string())?;
    let context = Ctx::<data::JustLut<Val>>::new(&compiled.lut, Vars::new([]));
    let mut only = None;
    for output in compiled.id.run((context, input)) {
        let output = output.map_err(failure)?.to_string();
        let output = serde_json::from_str(&output)
            .map_err(|_| format!("its output is not JSON: {output}"))?;
        match counts {
            Counts::FirstNotNull if output == Value::Null => {}
            Counts::First | Counts::FirstNotNull => return Ok(output),
            Counts::Only if only.is_some() => {
                return Err(format!(
                    "it has more than one output, and one is compared: [{filter}] makes a list \
                     of them, first({filter}) takes the first"
                ));
            }
            Counts::Only => only = Some(output),
        }
    }
    only.ok_or_else(|| match counts {
        Counts::FirstNotNull => "it has no output but null".to_owned(),
        Counts::Only | Counts::First => "it has no output".to_owned(),
    })
}

/// Why there is no output. What ends jq must not end who runs the filter.
fn failure(exception: Exn<'_, Val>) -> String {
    let error = match exception.get_halt() {
        Ok(_) => {
            return "it ends jq (halt, halt_error), which leaves nothing to compare".to_owned();
        }
        Err(other) => other.get_err(),
    };
    error.map_or_else(
        |_| "it breaks out of a label that is not there".to_owned(),
        |error| error.to_string(),
    )
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
        for (filter, counts, expected) in [
            (".body | fromjson | .n", Counts::Only, json!(1)),
            (".list[]", Counts::First, json!(null)),
            (".list[]", Counts::FirstNotNull, json!(2)),
            ("[.list[]]", Counts::Only, json!([null, 2, 3])),
            ("first(.list[])", Counts::Only, json!(null)),
            (".missing", Counts::Only, json!(null)),
            (
                "{n: (.list | length), u: .\"ü\"}",
                Counts::Only,
                json!({"n": 3, "u": "ä"}),
            ),
            (".body | test(\"^.\\\"n\\\"\")", Counts::Only, json!(true)),
            (
                "[.list[] | select(. != null)] | add / 2",
                Counts::Only,
                json!(2.5),
            ),
            (
                ".list | map(. // 0) | sort | @json",
                Counts::Only,
                json!("[0,2,3]"),
            ),
        ] {
            assert_eq!(output(filter, &input, counts), Ok(expected), "{filter}");
        }
        for (filter, counts, part) in [
            (".missing", Counts::FirstNotNull, "no output but null"),
            ("empty", Counts::Only, "no output"),
            ("empty", Counts::First, "no output"),
            (".list[]", Counts::Only, "compared: [.list[]] makes a list"),
            ("repeat(1)", Counts::Only, "more than one output"),
            (".list.x", Counts::Only, "index"),
            ("error(\"why\")", Counts::Only, "why"),
            ("halt", Counts::Only, "it ends jq"),
            ("1, halt_error", Counts::Only, "it ends jq"),
            ("\"x\" | halt_error(1)", Counts::First, "it ends jq"),
        ] {
            let error = output(filter, &input, counts).unwrap_err();
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
            prop_assert_eq!(output(".", &value, Counts::Only), Ok(value));
        }

        #[test]
        fn no_text_panics(text in "[-.a-c|\\[\\](){}\",:$ 0-9]{0,20}") {
            let _ = check(&text);
        }
    }
}

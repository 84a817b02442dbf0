//! What came against what was expected.

use std::ops::Range;
use std::time::Duration;

use serde_json::Value;

use super::lasting::{compared, lasting, tells};
use super::matching::{Extent, changes, difference, part};
use super::model::{Case, Check, Expectation, Form};
use super::transform::{Counts, Transform, Transformation};
use super::update::Edit;
use crate::configuration::Place;

/// What an invocation came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Actual {
    /// The body that the caller gets; a text where it is no JSON.
    pub(crate) body: Value,
    pub(crate) is_json: bool,
    /// Whether Lambda says so: `X-Amz-Function-Error`.
    pub(crate) is_error: bool,
    /// Of the invocation; it is in some errors.
    pub(crate) request_id: String,
    pub(crate) duration: Duration,
    pub(crate) init: Option<Duration>,
    /// As REPORT has it.
    pub(crate) max_memory_mb: u64,
    /// How long the CPU's limit held it up.
    pub(crate) throttled: Duration,
    pub(crate) cold_start: bool,
    pub(crate) log: String,
}

/// An expectation that does not hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mismatch {
    pub(crate) place: Place,
    /// What is wrong, as the end of a sentence about the place.
    pub(crate) message: String,
    /// The lines that differ.
    pub(crate) changes: Option<String>,
    /// What would make it hold.
    pub(crate) edit: Option<Edit>,
}

/// The expectations of a case that an invocation does not fit. `transform` runs jq
/// filters.
pub(crate) fn judge(case: &Case, actual: &Actual, transform: Transform<'_>) -> Vec<Mismatch> {
    let expectations = case.expectations.iter();
    expectations
        .filter_map(|expectation| {
            let judgement = Judgement {
                form: case.form,
                expectation,
                actual,
                transform,
            };
            judgement.mismatch()
        })
        .collect()
}

struct Judgement<'a> {
    form: Form,
    expectation: &'a Expectation,
    actual: &'a Actual,
    transform: Transform<'a>,
}

impl Judgement<'_> {
    fn mismatch(&self) -> Option<Mismatch> {
        let actual = self.actual;
        let failed = self.failed();
        match &self.expectation.check {
            Check::Response(_) | Check::Contains(_) | Check::Succeeds if failed => {
                self.says(format!("the function failed: {}", self.error()))
            }
            Check::Error(_) | Check::ErrorContains(_) | Check::ErrorType(_) if !failed => self
                .says(format!(
                    "the function answered instead: {}",
                    short(&actual.body)
                )),
            Check::Error(expected) if self.is_plain_error() => {
                let error = compared(&actual.body, expected, &actual.request_id);
                self.compare(expected, &error, Extent::Whole)
            }
            Check::Response(expected) | Check::Error(expected) => {
                self.compare(expected, &actual.body, Extent::Whole)
            }
            Check::ErrorContains(Value::String(text)) if self.expectation.transform.is_none() => {
                self.searched(text, &actual.body)
            }
            Check::Contains(expected) | Check::ErrorContains(expected) => {
                self.compare(expected, &actual.body, Extent::Part)
            }
            Check::ErrorType(expected) => {
                let kind = actual.body.get("errorType").unwrap_or(&Value::Null);
                self.compare(expected, kind, Extent::Whole)
            }
            Check::ContentType(expected) => {
                let kind = self.content_type().into();
                self.compare(&expected.as_str().into(), &kind, Extent::Whole)
            }
            Check::Log(text) if !actual.log.contains(text) => {
                self.says(format!("the log does not have \"{}\"", text.escape_debug()))
            }
            Check::MaxDuration(limit) if actual.duration > *limit => self.says(format!(
                "the invocation took {}, more than {}",
                ms(actual.duration),
                ms(*limit)
            )),
            Check::MaxInit(limit) => match actual.init {
                Some(init) if init <= *limit => None,
                Some(init) => {
                    self.says(format!("INIT took {}, more than {}", ms(init), ms(*limit)))
                }
                None => self.says("there was no INIT that succeeded".to_owned()),
            },
            Check::MaxMemory(limit) if actual.max_memory_mb > *limit => self.says(format!(
                "{} MB were used, more than {limit} MB",
                actual.max_memory_mb
            )),
            Check::Throttled(wanted) if *wanted == actual.throttled.is_zero() => {
                self.says(if *wanted {
                    "the CPU's limit did not hold the function up".to_owned()
                } else {
                    format!(
                        "the CPU's limit held the function up for {}: more memory brings more CPU",
                        ms(actual.throttled)
                    )
                })
            }
            Check::ColdStart(wanted) if *wanted != actual.cold_start => {
                self.says(if actual.cold_start {
                    "the start was cold".to_owned()
                } else {
                    "the start was warm".to_owned()
                })
            }
            Check::Succeeds
            | Check::Log(_)
            | Check::MaxDuration(_)
            | Check::MaxMemory(_)
            | Check::Throttled(_)
            | Check::ColdStart(_) => None,
        }
    }

    /// Whether what is compared is the error as it came. AWS's runner compares all of it.
    fn is_plain_error(&self) -> bool {
        let check = &self.expectation.check;
        let is_error = matches!(check, Check::Error(_) | Check::ErrorContains(_));
        is_error && self.form == Form::Own && self.expectation.transform.is_none()
    }

    /// AWS's runner goes by the body, since the emulator says it nowhere else.
    fn failed(&self) -> bool {
        match self.form {
            Form::Own => self.actual.is_error,
            Form::Aws => self.actual.body.get("errorType").is_some(),
        }
    }

    /// As AWS's runner works it out.
    fn content_type(&self) -> &'static str {
        let is_searchable = matches!(
            self.actual.body,
            Value::Object(_) | Value::Array(_) | Value::String(_)
        );
        if self.actual.is_json && is_searchable {
            "application/json"
        } else {
            "application/unknown"
        }
    }

    fn error(&self) -> String {
        let text = |name: &str| self.actual.body.get(name).and_then(Value::as_str);
        match (text("errorType"), text("errorMessage")) {
            (Some(kind), Some(message)) => format!("{kind}: {message}"),
            _ => short(&self.actual.body),
        }
    }

    /// A text is looked for in the message of the error.
    fn searched(&self, text: &str, error: &Value) -> Option<Mismatch> {
        let message = error.get("errorMessage").unwrap_or(&Value::Null);
        if message
            .as_str()
            .is_some_and(|message| message.contains(text))
        {
            return None;
        }
        self.says(format!(
            "the error's message does not have \"{}\": {}",
            text.escape_debug(),
            short(message)
        ))
    }

    fn compare(&self, expected: &Value, actual: &Value, extent: Extent) -> Option<Mismatch> {
        let transformed;
        let actual = match &self.expectation.transform {
            None => actual,
            Some(filter) => match self.transformed(filter, actual) {
                Ok(value) => {
                    transformed = value;
                    &transformed
                }
                Err(error) => {
                    return self.says(format!(
                        "the transform {filter} fails: {error}; it got {}",
                        short(actual)
                    ));
                }
            },
        };
        let path = difference(expected, actual, extent)?;
        let seen = match extent {
            Extent::Whole => actual.clone(),
            Extent::Part => part(expected, actual),
        };
        let mut message = "is not what came".to_owned();
        if path != "." {
            message = format!("{message}, from {path} on");
        }
        let changes = changes(expected, &seen);
        let request_id = &self.actual.request_id;
        let new = if self.is_plain_error() {
            lasting(&seen, request_id)
        } else {
            (!tells(&seen, request_id)).then_some(seen)
        };
        if new.is_none() {
            message.push_str("; the request's ID is in it, which is another one each time");
        }
        let source = self.expectation.source.clone();
        Some(Mismatch {
            place: self.expectation.place.clone(),
            message,
            changes: Some(changes),
            edit: source
                .zip(new)
                .map(|(source, value): (Range<usize>, Value)| Edit { source, value }),
        })
    }

    /// AWS's runner takes the first output that is not null.
    fn transformed(&self, filter: &str, actual: &Value) -> Result<Value, String> {
        (self.transform)(&Transformation {
            filter: filter.to_owned(),
            input: actual.clone(),
            counts: match self.form {
                Form::Own => Counts::Only,
                Form::Aws => Counts::FirstNotNull,
            },
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "what all of the arms return")]
    fn says(&self, message: String) -> Option<Mismatch> {
        Some(Mismatch {
            place: self.expectation.place.clone(),
            message,
            changes: None,
            edit: None,
        })
    }
}

/// A time in milliseconds, as REPORT has it.
fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

/// The begin of a value, on one line.
fn short(value: &Value) -> String {
    const MAX: usize = 300;
    let text = value.to_string();
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Outside, read};
    use super::*;

    fn actual(body: Value) -> Actual {
        Actual {
            is_json: true,
            is_error: body.get("errorType").is_some(),
            body,
            request_id: "277b8d2a-f59e-423e-990b-3052be486789".to_owned(),
            duration: Duration::from_millis(20),
            init: Some(Duration::from_millis(300)),
            max_memory_mb: 50,
            throttled: Duration::ZERO,
            cold_start: true,
            log: "START\nhello\nEND\n".to_owned(),
        }
    }

    fn mismatches(expect: &str, actual: &Actual) -> Vec<String> {
        let text = format!("cases:\n- name: n\n  expect: {expect}\n");
        let suite = read(&text, Outside::of(&|_| Err("no files".to_owned()))).unwrap();
        let found = judge(&suite.cases[0], actual, &Transformation::run);
        found.into_iter().map(|one| one.message).collect()
    }

    #[test]
    fn every_expectation_holds_or_says_why_not() {
        let response = actual(json!({"a": 1, "b": [1, 2]}));
        let error = actual(json!({"errorType": "T", "errorMessage": "m"}));
        let id = error.request_id.clone();
        let told =
            json!({"errorType": "T", "errorMessage": "m", "requestId": id, "stackTrace": []});
        let told = actual(told);
        for (expect, actual, part) in [
            ("{response: {a: 1, b: [1, 2]}}", &response, None),
            ("{response: {a: 1}}", &response, Some("from .b on")),
            ("{response: 1}", &error, Some("the function failed: T: m")),
            ("{contains: {a: 1}}", &response, None),
            ("{contains: {a: 2}}", &response, Some("from .a on")),
            ("{transform: '.b[1]', response: 2}", &response, None),
            (
                "{transform: '.b[]', response: 1}",
                &response,
                Some("transform .b[] fails: it has more than one output"),
            ),
            (
                "{transform: halt, response: 1}",
                &response,
                Some("transform halt fails: it ends jq"),
            ),
            (
                "{transform: '.b[1]', response: 3}",
                &response,
                Some("is not what came"),
            ),
            (
                "{transform: .a.b, response: 3}",
                &response,
                Some("transform .a.b fails"),
            ),
            ("{transform: .c, response: null}", &response, None),
            ("{}", &response, None),
            ("{}", &error, Some("the function failed: T: m")),
            ("{error: {errorType: T, errorMessage: m}}", &error, None),
            (
                "{error: {errorType: T}}",
                &error,
                Some("from .errorMessage on"),
            ),
            ("{error: {errorType: T, errorMessage: m}}", &told, None),
            (
                "{error: {errorType: T, errorMessage: m, requestId: x}}",
                &told,
                Some("from .requestId on"),
            ),
            (
                "{transform: .requestId, error: x}",
                &told,
                Some("the request's ID is in it"),
            ),
            ("{error_contains: {errorType: T}}", &error, None),
            (
                "{error_contains: {errorType: U}}",
                &error,
                Some("from .errorType on"),
            ),
            ("{error_contains: m}", &error, None),
            (
                "{error_contains: other}",
                &error,
                Some("the error's message does not have \"other\": \"m\""),
            ),
            (
                "{error_contains: {errorType: T}}",
                &response,
                Some("answered instead: {\"a\""),
            ),
            ("{error_type: T}", &error, None),
            ("{error_type: U}", &error, Some("is not what came")),
            ("{log_contains: hello}", &response, None),
            (
                "{log_contains: [hello, moon]}",
                &response,
                Some("does not have \"moon\""),
            ),
            ("{max_duration: 20ms}", &response, None),
            (
                "{max_duration: 19ms}",
                &response,
                Some("took 20.00 ms, more than 19.00 ms"),
            ),
            ("{max_init: 0.3s}", &response, None),
            ("{max_init: 299ms}", &response, Some("INIT took 300.00 ms")),
            ("{max_memory: 50}", &response, None),
            ("{max_memory: 49}", &response, Some("50 MB were used")),
            ("{throttled: false}", &response, None),
            ("{throttled: true}", &response, Some("did not hold")),
            ("{cold_start: true}", &response, None),
            ("{cold_start: false}", &response, Some("was cold")),
            (
                "[{transform: .a, response: 1}, {transform: .b, contains: [1, 2]}]",
                &response,
                None,
            ),
        ] {
            let found = mismatches(expect, actual);
            match part {
                None => assert_eq!(found, Vec::<String>::new(), "{expect}"),
                Some(part) => {
                    assert_eq!(found.len(), 1, "{expect}: {found:?}");
                    assert!(found[0].contains(part), "{expect}: {found:?}");
                }
            }
        }
        let throttled = Actual {
            throttled: Duration::from_millis(5),
            init: None,
            ..response
        };
        let found = mismatches("{throttled: false, max_init: 1s}", &throttled);
        assert!(found[0].contains("for 5.00 ms"), "{found:?}");
        assert!(found[1].contains("no INIT"), "{found:?}");
    }

    #[test]
    fn awss_form_goes_by_the_body() {
        let of = |assertions: &str, actual: &Actual| {
            let text = format!(
                "{{\"tests\": [{{\"name\": \"n\", \"handler\": \"h\", \"assertions\": {assertions}}}]}}"
            );
            let suite = read(&text, Outside::of(&|_| Err("no files".to_owned()))).unwrap();
            judge(&suite.cases[0], actual, &Transformation::run).len()
        };
        let error = Actual {
            is_error: false,
            ..actual(json!({"errorType": "T"}))
        };
        assert_eq!(of(r#"[{"errorType": "T"}]"#, &error), 0);
        assert_eq!(
            of(
                r#"[{"errorType": "T<x>", "transform": ". + \"<x>\""}]"#,
                &error
            ),
            0
        );
        assert_eq!(of(r#"[{"error": {"errorType": "T"}}]"#, &error), 0);
        assert_eq!(
            of(r#"[{"error": "T", "transform": ".errorType"}]"#, &error),
            0
        );
        assert_eq!(of(r#"[{"response": {"errorType": "T"}}]"#, &error), 1);
        // Nothing asserted is nothing to fail.
        assert_eq!(of("[]", &error), 0);
        let other = Actual {
            is_error: true,
            ..actual(json!({"a": null, "b": 1}))
        };
        assert_eq!(of(r#"[{"response": 1, "transform": ".a, .b"}]"#, &other), 0);
        assert_eq!(of(r#"[{"response": null, "transform": ".a"}]"#, &other), 1);
        assert_eq!(of(r#"[{"errorType": "T"}]"#, &other), 1);
        assert_eq!(of(r#"[{"contentType": "application/json"}]"#, &other), 0);
        let null = actual(Value::Null);
        assert_eq!(of(r#"[{"contentType": "application/unknown"}]"#, &null), 0);
        assert_eq!(of(r#"[{"response": null}]"#, &null), 0);
    }
}

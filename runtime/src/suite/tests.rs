//! Both forms of suites, read.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::model::{Case, Check, Form, Start, Suite};
use super::{Outside, read};

/// Files that suites may name.
fn files(name: &str) -> Result<Vec<u8>, String> {
    match name {
        "event.json" => Ok(b"{\"from\": [\"a file\"]}".to_vec()),
        "text.txt" => Ok(b"plain".to_vec()),
        _ => Err("No such file".to_owned()),
    }
}

fn suite(text: &str) -> Suite {
    read(text, Outside::of(&files)).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn event(case: &Case) -> Value {
    serde_json::from_slice(&case.event.payload).unwrap()
}

fn checks(case: &Case) -> Vec<Check> {
    let expectations = case.expectations.iter();
    expectations.map(|one| one.check.clone()).collect()
}

#[test]
fn a_suite_of_lambents_form() {
    let suite = suite(
        r#"
# A comment.
image: function.tar
memory_size: 256
environment: {STAGE: test, NN: 1}
layers: [./layer]
start: warm
cases:
  - name: first
    event: {a: [1, 2.5, "x"], b: null}
    expect:
      response: {ok: true}
      max_duration: 1.5s
      max_memory: 100
      throttled: false
  - name: second
    event_file: event.json
    start: cold
    repeat: 4
    concurrency: 2
    memory_size: 512
    timeout: 7
    command: app.other
    entry_point: [python3, -m, awslambdaric]
    environment: {NN: two}
    client_context: {custom: {a: 1}}
    cognito_identity: {identity_id: i, identity_pool_id: p}
    expect:
      - {transform: .body | fromjson, contains: {n: 1}}
      - {log_contains: [one, two], max_init: 500ms}
  - name: third
    expect: {error_type: Oops}
  - name: fourth
"#,
    );
    let [first, second, third, fourth] = suite.cases.as_slice() else {
        panic!("{suite:?}");
    };
    assert_eq!(first.form, Form::Own);
    assert_eq!(first.function.image.as_deref(), Some("function.tar"));
    assert_eq!(event(first), json!({"a": [1, 2.5, "x"], "b": null}));
    assert_eq!(first.start, Start::Warm);
    assert_eq!(
        checks(first),
        [
            Check::Response(json!({"ok": true})),
            Check::MaxDuration(Duration::from_millis(1500)),
            Check::MaxMemory(100),
            Check::Throttled(false),
        ]
    );
    assert_eq!(first.expectations[0].place.line, Some(12));
    let configuration = &second.function.configuration;
    assert_eq!(configuration.memory_size.get(), 512);
    assert_eq!(configuration.timeout.get(), 7);
    assert_eq!(
        configuration.environment,
        [("NN", "two"), ("STAGE", "test")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    );
    let image = &configuration.image_config;
    assert_eq!(
        image.command.as_deref(),
        Some(["app.other".to_owned()].as_slice())
    );
    assert_eq!(image.entry_point.as_ref().map(Vec::len), Some(3));
    assert_eq!((second.repeat, second.concurrency), (4, 2));
    assert_eq!(second.start, Start::Cold);
    assert_eq!(second.function.layers, ["./layer"]);
    assert_eq!(event(second), json!({"from": ["a file"]}));
    let context = second.event.client_context.as_ref().unwrap();
    assert_eq!(context.as_str(), r#"{"custom":{"a":1}}"#);
    assert_eq!(second.expectations.len(), 4);
    assert_eq!(
        second.expectations[0].transform.as_deref(),
        Some(".body | fromjson")
    );
    assert_eq!(checks(third), [Check::ErrorType("Oops".into())]);
    assert_eq!(event(third), json!({}));
    assert_eq!(checks(fourth), [Check::Succeeds]);
}

#[test]
fn mistakes_have_lines_and_fields() {
    for (text, part) in [
        ("image: a\n", "has no cases"),
        ("cases: []\n", "has no cases"),
        ("cases: []\ntests: []\n", "keep one"),
        ("- 1\n", "has no cases"),
        (
            "cases:\n- name: a\n  evnt: 1\n",
            "cases[0] (line 3): there is no key \"evnt\" here: did you mean event?",
        ),
        ("cases:\n- name: a\n  maxMemory: 1\n", "line 3"),
        ("cases:\n- event: 1\n", "cases[0] (line 2): has no name"),
        ("cases:\n- name: a\n- name: a\n", "two cases \"a\""),
        ("timeout: 901\ncases:\n- name: a\n", "timeout (line 1): "),
        (
            "memory_size: many\ncases:\n- name: a\n",
            "memory_size (line 1)",
        ),
        (
            "environment: {AWS_REGION: x}\ncases:\n- name: a\n",
            "environment (line 1)",
        ),
        (
            "environment: {AB: }\ncases:\n- name: a\n",
            "environment.AB (line 1): has no value",
        ),
        ("entry_point: ''\ncases:\n- name: a\n", "names no program"),
        ("working_directory: a\ncases:\n- name: a\n", "absolute"),
        (
            "cases:\n- name: a\n  start: hot\n",
            "start (line 3): is neither cold nor warm",
        ),
        (
            "cases:\n- name: a\n  repeat: 0\n",
            "cases[0].repeat (line 3): is 0",
        ),
        (
            "cases:\n- name: a\n  repeat: 2\n  concurrency: 3\n",
            "fewer invocations",
        ),
        (
            "cases:\n- name: a\n  event: 1\n  event_file: event.json\n",
            "keep one of them",
        ),
        (
            "cases:\n- name: a\n  event_file: none.json\n",
            "cannot read none.json: No such file",
        ),
        (
            "cases:\n- name: a\n  event_file: text.txt\n",
            "is not JSON, which Lambda requires",
        ),
        (
            "cases:\n- name: a\n  client_context: [1]\n",
            "client_context (line 3)",
        ),
        (
            "cases:\n- name: a\n  cognito_identity: {identity_id: a}\n",
            "has no identity_pool_id",
        ),
        (
            "cases:\n- name: a\n  expect: {respons: 1}\n",
            "did you mean response?",
        ),
        (
            "cases:\n- name: a\n  expect:\n    max_duration: 500\n",
            "expect.max_duration (line 4): \"500\" is not a time",
        ),
        (
            "cases:\n- name: a\n  expect: {transform: ., max_memory: 1}\n",
            "transforms nothing",
        ),
        (
            "cases:\n- name: a\n  expect: {transform: .a |, response: 1}\n",
            "is no jq filter: it ends",
        ),
        (
            "cases:\n- name: a\n  expect: {response: 1, error_type: E}\n",
            "both a response and an error",
        ),
        (
            "cases:\n- name: a\n  start: warm\n  expect: {max_init: 1s}\n",
            "a warm start has no INIT",
        ),
        (
            "cases:\n- name: a\n  expect: {throttled: maybe}\n",
            "neither true nor false",
        ),
        (
            "cases:\n- name: a\n  expect: {response: !Ref x}\n",
            "the tag !Ref has no meaning",
        ),
        ("cases:\n- name: a\n  x: [\n", "no YAML"),
        // AWS's form.
        ("{\"tests\": []}", "has no tests"),
        ("{\"index\": {}, \"name\": 1}", "index"),
        ("{\"tests\": [\n{\"name\": \"a\"}]}", "has no handler"),
        (
            "{\"tests\": [\n{\"name\": \"a\", \"handler\": \"h\"}]}",
            "tests[0] (line 2): has no assertions",
        ),
        (
            "{\"tests\": [{\"handler\": \"h\", \"assertions\": []}]}",
            "has no name",
        ),
        (
            "{\"tests\": [{\"name\": \"a\", \"handler\": \"h\", \"assertions\": [{\"respons\": 1}]}]}",
            "assertions[0] (line 1): asserts none of",
        ),
        (
            "{\"tests\": [{\"name\": \"a\", \"handler\": \"h\", \"assertions\": [{\"response\": 1, \"errorType\": 1}]}]}",
            "more than one",
        ),
        (
            "{\"tests\": [{\"name\": \"a\", \"handler\": \"h\", \"assertions\": [{\"metrics\": {}}]}]}",
            "no value for metrics",
        ),
        (
            "{\"tests\": [{\"name\": \"a\", \"handler\": \"h\", \"assertions\": [{\"response.ref\": \"x\"}]}]}",
            "there is no resource \"x\"",
        ),
        (
            "{\"tests\": [{\"name\": \"a\", \"handler\": \"h\", \"assertions\": [], \"hurl_file\": \"x\"}]}",
            "DockerWebAppDriver",
        ),
        (
            "{\"resources\": {\"r\": {\"contentType\": \"application/json\"}}, \"tests\": []}",
            "resources.r (line 1): has neither src nor data",
        ),
        (
            "{\"resources\": {\"r\": {\"contentType\": \"application/json\", \"src\": \"text.txt\"}}, \"tests\": []}",
            "is not JSON",
        ),
        (
            "{\"tests\": [{\"name\": \"a\", \"handler\": \"h\", \"assertions\": [], \"xray\": {\"traceId\": \"a\\nb\"}}]}",
            "characters that a header cannot have",
        ),
    ] {
        let error = read(text, Outside::of(&files)).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_suite_of_awss_form() {
    let suite = suite(
        r#"{
  "default": {"handler": "app.usual", "runtime": "python3.12", "environmentVariables.ref": "env"},
  "template": {"request": [{"n": 1}, "two"], "memory": ["128mb"]},
  "resources": {
    "env": {"contentType": "application/json", "data": {"STAGE": "test"}},
    "payload": {"contentType": "application/json", "src": "event.json", "transform": ".from[0]"}
  },
  "assertions": [{"contentType": "application/json"}],
  "tests": [
    {"name": "expanded", "assertions": [{"response": {"n": 1}, "transform": "{n: .n}"}]},
    {"name": "own", "handler": "app.own", "request.ref": "payload", "request": 1, "memory": "1mb",
     "xray": {"isSampled": 0}, "cognitoIdentity": {}, "clientContext": {"w3c": [1]},
     "assertions": [{"response.ref": "payload"}, {"errorType": "E"}]},
    {"name": "empty", "request": {}, "memory": "1mb", "clientContext": {}, "assertions": []}
  ]
}"#,
    );
    let names: Vec<_> = suite.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "expanded:128mb:{\"n\":1}",
            "expanded:128mb:two",
            "own",
            "empty"
        ]
    );
    let [one, two, own, empty] = suite.cases.as_slice() else {
        panic!("{names:?}");
    };
    assert_eq!(event(one), json!({"n": 1}));
    assert_eq!(event(two), json!("two"));
    let command = |case: &Case| case.function.configuration.image_config.command.clone();
    assert_eq!(command(one), Some(vec!["app.usual".to_owned()]));
    assert_eq!(command(own), Some(vec!["app.own".to_owned()]));
    assert_eq!(one.function.configuration.environment["STAGE"], "test");
    assert_eq!(
        checks(one),
        [
            Check::Response(json!({"n": 1})),
            Check::ContentType("application/json".to_owned())
        ]
    );
    assert_eq!(event(own), json!("a file"));
    assert_eq!(checks(own)[0], Check::Response(json!("a file")));
    assert_eq!(
        own.event.trace.as_ref().map(ToString::to_string).as_deref(),
        Some("Root=1-581cf771-a006649127e371903a2de979;Parent=a794a187a18ff77f;Sampled=0")
    );
    let identity = own.event.cognito_identity.as_ref().unwrap();
    assert!(identity.identity_pool_id.starts_with("cognito-pool-id:"));
    assert_eq!(
        own.event.client_context.as_ref().unwrap().as_str(),
        r#"{"w3c":[1]}"#
    );
    assert_eq!(empty.event.client_context, None);
    assert_eq!(empty.event.cognito_identity, None);
    // What several tests share is changed by hand.
    assert!(one.expectations[0].source.is_some());
    assert!(own.expectations[0].source.is_none());
    assert!(one.expectations[1].source.is_none());
    assert_eq!(suite.warnings.len(), 2, "{:?}", suite.warnings);
    assert!(suite.warnings[0].starts_with("memory of its tests has no effect"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "(cases|tests|name|expect|event|[-:{}\\[\\]\", \n]|[a-c0-9]){0,40}") {
        let _ = read(&text, Outside::of(&files));
    }
}

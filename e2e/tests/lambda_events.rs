//! Sample events, as AWS's own types of events for Rust read them. With
//! `LAMBENT_TEST_FULL` only: they take a while to build.

use std::io::Write;
use std::process::{Command, Stdio};

use lambent_e2e::{Lambent, Run, clients};
use serde_json::Value;

/// What AWS documents of an event, and its crate has no place for.
const WITHOUT_PLACE: [(&str, &str); 4] = [
    ("apigw-v1", ".requestContext.extendedRequestId"),
    ("function-url", ".requestContext.routeKey"),
    ("function-url", ".requestContext.stage"),
    ("function-url", ".routeKey"),
];

#[test]
#[expect(
    clippy::print_stderr,
    reason = "the one thing to say about a skipped test"
)]
fn every_sample_is_an_event_of_its_type() {
    if std::env::var_os("LAMBENT_TEST_FULL").is_none() {
        eprintln!("skipped: LAMBENT_TEST_FULL is not set");
        return;
    }
    let lambent = Lambent::new();
    let client = clients::built("lambda-events");
    let list = lambent.run(["event", "--list"]).stdout;
    let names: Vec<&str> = list
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.contains(&"sqs"), "{names:?}");
    for name in names {
        let event = lambent.run(["event", name]).stdout;
        let mut child = Command::new(&client)
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(event.as_bytes()).expect("a pipe");
        drop(stdin);
        let run: Run = child.wait_with_output().expect("the client ends").into();
        assert_eq!(run.status, 0, "{name}: {run:?}\n{event}");
        let event: Value = serde_json::from_str(&event).expect("JSON");
        let understood: Value = serde_json::from_str(&run.stdout).expect("JSON");
        // What the types have no place for would be lost.
        let mut missing = missing(&event, &understood, "");
        missing.retain(|path| !WITHOUT_PLACE.contains(&(name, path.as_str())));
        assert_eq!(missing, Vec::<String>::new(), "{name}");
    }
}

/// Members of the event that are not in what was understood of it, unless they are
/// nothing. Values may be spelled in another way, such as times.
fn missing(event: &Value, understood: &Value, parent: &str) -> Vec<String> {
    match (event, understood) {
        (Value::Object(event), Value::Object(understood)) => event
            .iter()
            .filter(|(_, value)| !value.is_null())
            .flat_map(|(key, value)| {
                let path = format!("{parent}.{key}");
                // Names of HTTP headers have no case, and the types write them small.
                let small = || parent.ends_with("eaders").then(|| key.to_lowercase());
                let found = understood.get(key);
                match found.or_else(|| understood.get(&small()?)) {
                    Some(other) => missing(value, other, &path),
                    None => vec![path],
                }
            })
            .collect(),
        (Value::Array(event), Value::Array(understood)) => event
            .iter()
            .zip(understood)
            .flat_map(|(value, other)| missing(value, other, parent))
            .collect(),
        _ => vec![],
    }
}

//! AWS's own client for Rust, which parses answers, errors and event streams in its own
//! way. With `LAMBENT_TEST_FULL` only: it takes minutes to build.

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::serve::Served;
use lambent_e2e::{Lambent, aws_sdk_rust, privileged};
use rustix::process::Signal;
use serde_json::{Value, json};

#[test]
#[expect(
    clippy::print_stderr,
    reason = "the one thing to say about a skipped test"
)]
fn privileged_awss_client_for_rust_understands_the_answers() {
    if !privileged() {
        return;
    }
    if std::env::var_os("LAMBENT_TEST_FULL").is_none() {
        eprintln!("skipped: LAMBENT_TEST_FULL is not set");
        return;
    }
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    let run = aws_sdk_rust::run(&served.url(), &Fixture::RustOciArchive.reference());
    assert_eq!(run.status, 0, "{run:?}\n{}", served.log());
    let mut out: Value = serde_json::from_str(&run.stdout).expect("one JSON object");
    // What the runtime of the function puts before its texts is its own.
    let streamed = out["streamed"].take();
    assert!(
        streamed.as_str().is_some_and(|text| text.ends_with("ab")),
        "{streamed}"
    );
    let arn = "arn:aws:lambda:us-east-1:123456789012:function";
    assert_eq!(
        out,
        json!({
            "created": format!("{arn}:f"), "status": 200, "version": "$LATEST", "payload": 1,
            "log": true, "functionError": "Unhandled", "error": "no", "streamed": null,
            "complete": true,
            "missing": ["true", format!("Function not found: {arn}:nobody")],
            "unprovisioned": "ResourceNotFoundException",
        })
    );
    served.end(Signal::INT);
}

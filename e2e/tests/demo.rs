//! `lambent demo` shows what it says.

use lambent_e2e::{Lambent, Run, fixtures, privileged};

#[test]
fn privileged_the_demo_ends_as_lambda_would_end_it() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let run: Run = lambent
        .command(["demo"])
        .env("LAMBENT_DEMO_FUNCTION", fixtures::demo_function())
        .output()
        .unwrap()
        .into();
    assert_eq!(run.status, 0, "{run:?}");
    for part in [
        "1769 MB",
        "Runtime.OutOfMemory",
        "Sandbox.Timedout",
        "Status: timeout",
        "REPORT RequestId",
    ] {
        assert!(run.stdout.contains(part), "{part}: {run:?}");
    }
    assert!(!run.stdout.contains(" ! "), "{run:?}");
}

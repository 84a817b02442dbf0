//! What happens to asynchronous events.

use super::*;
use crate::model::{Destination, EventInvokeConfig};

fn put(catalog: &mut Catalog, text: &str, body: Value, update: bool) -> Result<(), Refusal> {
    catalog.set_event_invoke(
        &reference(text),
        &request(body),
        update,
        &arns(),
        &moment(7),
    )
}

fn config<'a>(catalog: &'a Catalog, text: &str) -> &'a EventInvokeConfig {
    let found = catalog.event_invoke(&reference(text), &arns());
    &found.unwrap().config
}

#[test]
fn requests_change_what_they_name() {
    let mut catalog = with_function();
    let other = catalog.functions[&name("f")].clone();
    catalog.functions.insert(name("g"), other);
    let destination = json!({"OnFailure": {"Destination": arns().function(&name("g"))}});
    let first = json!({"MaximumRetryAttempts": 0, "DestinationConfig": destination});
    put(&mut catalog, "f", first, false).unwrap();
    assert_eq!(config(&catalog, "f").maximum_retry_attempts.get(), 0);
    let function = Some(Destination::Function(name("g")));
    assert_eq!(config(&catalog, "f").on_failure, function);
    put(
        &mut catalog,
        "f:$LATEST",
        json!({"MaximumEventAgeInSeconds": 60}),
        true,
    )
    .unwrap();
    assert_eq!(
        config(&catalog, "f").maximum_event_age.duration().as_secs(),
        60
    );
    assert_eq!(config(&catalog, "f").on_failure, function);
    let record = catalog.event_invoke(&reference("f"), &arns()).unwrap();
    assert_eq!(
        record.shape(&arns(), &name("f"), "$LATEST"),
        json!({
            "LastModified": 1_767_225_600,
            "FunctionArn": format!("{ARN}:$LATEST"),
            "MaximumRetryAttempts": 0,
            "MaximumEventAgeInSeconds": 60,
            "DestinationConfig": {
                "OnSuccess": {}, "OnFailure": {"Destination": arns().function(&name("g"))},
            },
        })
    );
    // As it is on disk.
    let text = serde_json::to_string(&catalog).unwrap();
    assert_eq!(serde_json::from_str::<Catalog>(&text).unwrap(), catalog);
    let none = json!({"DestinationConfig": {"OnFailure": {"Destination": ""}}});
    put(&mut catalog, "f", none, true).unwrap();
    assert_eq!(config(&catalog, "f").on_failure, None);
    // One that is put has nothing of the old one.
    put(&mut catalog, "f", json!({"MaximumRetryAttempts": 1}), false).unwrap();
    assert_eq!(
        config(&catalog, "f").maximum_event_age.duration().as_secs(),
        21_600
    );
    catalog
        .delete_event_invoke(&reference("f"), &arns())
        .unwrap();
    let missing = format!("The function {ARN}:$LATEST doesn't have an EventInvokeConfig");
    for refusal in [
        catalog
            .delete_event_invoke(&reference("f"), &arns())
            .unwrap_err(),
        put(&mut catalog, "f", json!({"MaximumRetryAttempts": 1}), true).unwrap_err(),
    ] {
        assert_eq!(refusal, Refusal::not_found(missing.clone()));
    }
}

#[test]
fn what_lambda_refuses_changes_nothing() {
    let to = |arn: &str| json!({"DestinationConfig": {"OnFailure": {"Destination": arn}}});
    for (target, body, text) in [
        (
            "f",
            json!({"MaximumRetryAttempts": 3}),
            "less than or equal to 2",
        ),
        (
            "f",
            json!({"MaximumRetryAttempts": -1}),
            "greater than or equal to 0",
        ),
        (
            "f",
            json!({"MaximumEventAgeInSeconds": 59}),
            "greater than or equal to 60",
        ),
        (
            "f",
            json!({"MaximumEventAgeInSeconds": 21_601}),
            "less than or equal to 21600",
        ),
        ("f", json!({}), "You must specify at least one"),
        ("f", to("file:/etc/passwd"), "is not supported"),
        (
            "f",
            to("arn:aws:sqs:us-east-1:123456789012:queue"),
            "is not supported",
        ),
        (
            "f",
            to(ARN),
            "You can't specify the function as a destination for itself.",
        ),
        (
            "f",
            to(&arns().function(&name("g"))),
            ":function:g is invalid.",
        ),
        (
            "g",
            json!({"MaximumRetryAttempts": 1}),
            "The function doesn't exist.",
        ),
        (
            "f:7",
            json!({"MaximumRetryAttempts": 1}),
            "The function doesn't exist.",
        ),
    ] {
        let mut catalog = with_function();
        let before = catalog.clone();
        let refusal = put(&mut catalog, target, body.clone(), false).unwrap_err();
        assert!(refusal.message.contains(text), "{body}: {refusal}");
        assert_eq!(catalog, before, "{body}");
    }
}

//! Aliases.

use super::super::aliases::{CreateAlias, UpdateAlias};
use super::*;

#[test]
fn aliases_that_lead_nowhere_are_refused() {
    let mut catalog = with_function();
    let publish = PublishVersion::default();
    catalog.publish(&name("f"), &publish, &arns()).unwrap();
    for (body, text) in [
        (json!({"FunctionVersion": "1"}), "'name'"),
        (json!({"Name": "7", "FunctionVersion": "1"}), "'name'"),
        (json!({"Name": "a b", "FunctionVersion": "1"}), "'name'"),
        (json!({"Name": "a"}), "'functionVersion'"),
        (
            json!({"Name": "a", "FunctionVersion": "x"}),
            "'functionVersion'",
        ),
        (
            json!({"Name": "a", "FunctionVersion": "2"}),
            "Function not found: ",
        ),
        (
            json!({"Name": "a", "FunctionVersion": "$LATEST",
                "RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}}),
            "$LATEST is not supported for an alias pointing to more than 1 version",
        ),
        (
            json!({"Name": "a", "FunctionVersion": "1",
                "RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5, "2": 0.1}}}),
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ),
        (
            json!({"Name": "a", "FunctionVersion": "1",
                "RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}}}),
            "already included",
        ),
    ] {
        let create: CreateAlias = request(body.clone());
        let refusal = catalog
            .create_alias(&name("f"), &create, &arns(), &moment(2))
            .unwrap_err();
        assert!(refusal.message.contains(text), "{body}: {refusal}");
    }
    let refusal = catalog
        .update_alias(
            &name("f"),
            "a",
            &UpdateAlias::default(),
            &arns(),
            &moment(2),
        )
        .unwrap_err();
    assert_eq!(refusal.message, format!("Alias not found: {ARN}:a"));
}

#[test]
fn weights_share_invocations() {
    let route = Route {
        version: Version::Number(1),
        weighted: Some((Version::Number(2), 0.25)),
    };
    for (chance, version) in [(0.0, 2), (0.249, 2), (0.25, 1), (0.999, 1)] {
        assert_eq!(route.choose(chance), Version::Number(version), "{chance}");
    }
    let never = Route {
        weighted: Some((Version::Number(2), 0.0)),
        ..route
    };
    assert_eq!(never.choose(0.0), Version::Number(1));
}

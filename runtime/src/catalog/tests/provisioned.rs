//! Provisioned concurrency.

use std::collections::BTreeMap;

use super::*;

fn put(catalog: &mut Catalog, text: &str, count: i64) -> Result<(), Refusal> {
    catalog.provision(&reference(text), count, &arns(), &moment(9))
}

/// `f` with the versions 1 and 2, and the alias `live` of 1.
fn with_versions() -> Catalog {
    let mut catalog = with_function();
    let publish = PublishVersion::default();
    catalog.publish(&name("f"), &publish, &arns()).unwrap();
    catalog
        .update_code(
            &name("f"),
            &UpdateCode::default(),
            image("b"),
            &arns(),
            &moment(2),
        )
        .unwrap();
    catalog.deployed(&name("f"), "sha256:01", &moment(3));
    catalog.publish(&name("f"), &publish, &arns()).unwrap();
    let alias = request(json!({"Name": "live", "FunctionVersion": "1"}));
    catalog
        .create_alias(&name("f"), &alias, &arns(), &moment(4))
        .unwrap();
    catalog
}

fn targets(catalog: &Catalog) -> BTreeMap<String, usize> {
    let record = &catalog.functions[&name("f")];
    let versions = record.all();
    versions
        .map(|(version, _)| (version.to_string(), record.provisioned_of(version)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn shape(catalog: &Catalog, text: &str, ready: &Ready) -> Value {
    let ready = |_: Version| ready.clone();
    let allocation = catalog.allocation(&reference(text), ready, &arns());
    allocation.unwrap().shape()
}

#[test]
fn requests_are_refused_as_lambda_does() {
    let unpublished = "Provisioned Concurrency Configs cannot be applied to unpublished function \
                       versions.";
    let beyond = "Requested Provisioned Concurrency should not be greater than the \
                  reservedConcurrentExecution for function";
    for (target, count, text) in [
        (
            "f",
            1,
            "The function resource provided must be an alias or a published version.",
        ),
        (
            "f:$LATEST",
            1,
            "The function resource provided must be an alias or a published version.",
        ),
        ("f:1", 0, "'provisionedConcurrentExecutions'"),
        ("f:7", 1, "Function not found: "),
        ("f:nobody", 1, "Function not found: "),
        ("g:1", 1, "Function not found: "),
        (
            "f:1",
            901,
            "UnreservedConcurrentExecution below its minimum value of [100].",
        ),
        (
            "f:1",
            i64::MAX,
            "UnreservedConcurrentExecution below its minimum value of [100].",
        ),
        ("f:latest", 1, unpublished),
    ] {
        let mut catalog = with_versions();
        let alias = request(json!({"Name": "latest", "FunctionVersion": "$LATEST"}));
        catalog
            .create_alias(&name("f"), &alias, &arns(), &moment(5))
            .unwrap();
        let before = catalog.clone();
        let refusal = put(&mut catalog, target, count).unwrap_err();
        assert!(refusal.message.contains(text), "{target}: {refusal}");
        assert_eq!(catalog, before, "{target}");
    }
    let mut catalog = with_versions();
    catalog.reserve(&reference("f"), Some(5), &arns()).unwrap();
    put(&mut catalog, "f:1", 3).unwrap();
    put(&mut catalog, "f:2", 2).unwrap();
    assert_eq!(put(&mut catalog, "f:2", 3).unwrap_err().message, beyond);
    let less = catalog.reserve(&reference("f"), Some(4), &arns());
    assert_eq!(less.unwrap_err().message, beyond);
    // What is there already is no obstacle to itself.
    put(&mut catalog, "f:1", 1).unwrap();
    put(&mut catalog, "f:2", 4).unwrap();
    let mut catalog = with_versions();
    put(&mut catalog, "f:1", 900).unwrap();
    put(&mut catalog, "f:1", 900).unwrap();
    assert_eq!(catalog.unreserved(), 100);
}

#[test]
fn a_version_and_its_alias_are_not_both_provisioned() {
    let mut catalog = with_versions();
    put(&mut catalog, "f:live", 2).unwrap();
    let refusal = put(&mut catalog, "f:1", 1).unwrap_err();
    assert_eq!(
        (refusal.kind, refusal.message.as_str()),
        (
            RefusalKind::Conflict,
            "Version is pointed by a Provisioned Concurrency alias"
        )
    );
    put(&mut catalog, "f:2", 1).unwrap();
    // Nor does an alias get there by another way.
    let update = request(json!({"FunctionVersion": "2"}));
    let moved = catalog.update_alias(&name("f"), "live", &update, &arns(), &moment(6));
    assert!(
        moved
            .unwrap_err()
            .message
            .starts_with("Alias can't be used")
    );
    let update = request(json!({"FunctionVersion": "$LATEST"}));
    let moved = catalog.update_alias(&name("f"), "live", &update, &arns(), &moment(6));
    assert!(moved.unwrap_err().message.contains("unpublished"));
    catalog.unprovision(&reference("f:live"), &arns()).unwrap();
    put(&mut catalog, "f:1", 1).unwrap();
    assert!(put(&mut catalog, "f:live", 1).is_err());
}

#[test]
fn environments_follow_the_alias() {
    let mut catalog = with_versions();
    put(&mut catalog, "f:live", 5).unwrap();
    assert_eq!(targets(&catalog), BTreeMap::from([("1".to_owned(), 5)]));
    let update = request(json!({"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.25}}}));
    catalog
        .update_alias(&name("f"), "live", &update, &arns(), &moment(6))
        .unwrap();
    let expected = [("1".to_owned(), 4), ("2".to_owned(), 1)];
    assert_eq!(targets(&catalog), BTreeMap::from(expected));
    catalog.delete_alias(&name("f"), "live", &arns()).unwrap();
    assert_eq!(targets(&catalog), BTreeMap::new());
    put(&mut catalog, "f:2", 1).unwrap();
    catalog.delete(&reference("f:2"), &arns()).unwrap();
    assert_eq!(catalog.functions[&name("f")].provisioned_in_all(), 0);
}

#[test]
fn answers_say_how_far_it_has_come() {
    let mut catalog = with_versions();
    let missing = catalog.allocation(&reference("f:1"), |_| Ready::default(), &arns());
    assert_eq!(
        missing.unwrap_err().message,
        "No Provisioned Concurrency Config found for this function"
    );
    // That there is nothing to take away is no error.
    catalog.unprovision(&reference("f:1"), &arns()).unwrap();
    put(&mut catalog, "f:1", 2).unwrap();
    let none = Ready::default();
    let expected = json!({
        "RequestedProvisionedConcurrentExecutions": 2,
        "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
        "LastModified": "2026-01-01T00:00:00.000+0000",
    });
    assert_eq!(shape(&catalog, "f:1", &none), expected);
    let failed = Ready {
        count: 1,
        problem: Some("FUNCTION_ERROR_INIT_FAILURE".to_owned()),
    };
    let shown = shape(&catalog, "f:1", &failed);
    assert_eq!(
        (
            &shown["Status"],
            &shown["StatusReason"],
            &shown["AvailableProvisionedConcurrentExecutions"]
        ),
        (
            &json!("FAILED"),
            &json!("FUNCTION_ERROR_INIT_FAILURE"),
            &json!(1)
        )
    );
    let all = Ready { count: 2, ..failed };
    let shown = shape(&catalog, "f:1", &all);
    assert_eq!(
        (&shown["Status"], &shown["StatusReason"]),
        (&json!("READY"), &Value::Null)
    );
}

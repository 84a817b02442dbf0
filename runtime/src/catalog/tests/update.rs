//! `UpdateFunctionCode`, `UpdateFunctionConfiguration` and `PublishVersion`.

use super::*;

/// While a function is made or changed, nothing else changes it.
#[test]
fn changes_wait_for_each_other() {
    type Change = fn(&mut Catalog) -> Result<(), Refusal>;
    let changes: [Change; 3] = [
        |catalog| {
            let update = UpdateCode::default();
            catalog
                .update_code(&name("f"), &update, image("b"), &arns(), &moment(5))
                .map(drop)
        },
        |catalog| {
            let update = UpdateConfiguration::default();
            catalog
                .update_configuration(&name("f"), &update, None, &arns(), &moment(5))
                .map(drop)
        },
        |catalog| {
            let publish = PublishVersion::default();
            catalog.publish(&name("f"), &publish, &arns()).map(drop)
        },
    ];
    for change in changes {
        let mut catalog = Catalog::default();
        create(&mut catalog, &json!({})).unwrap();
        let pending = catalog.clone();
        assert_eq!(
            change(&mut catalog).unwrap_err().kind,
            RefusalKind::Conflict
        );
        assert_eq!(catalog, pending);
        catalog.deployed(&name("f"), "sha256:00", &moment(1));
        changes[0](&mut catalog).unwrap();
        let refusal = change(&mut catalog).unwrap_err();
        assert_eq!(
            refusal.message,
            format!(
                "The operation cannot be performed at this time. An update is in progress for \
                 resource: {ARN}"
            )
        );
        catalog.deployed(&name("f"), "sha256:01", &moment(2));
        assert_eq!(change(&mut catalog), Ok(()));
    }
}

#[test]
fn an_update_that_fails_leaves_what_was() {
    let mut catalog = with_function();
    let before = latest(&catalog);
    let update = UpdateCode {
        publish: Some(true),
        ..UpdateCode::default()
    };
    let (version, _) = catalog
        .update_code(&name("f"), &update, image("b"), &arns(), &moment(2))
        .unwrap();
    assert_eq!(version, Version::Number(1));
    let failed = Failed {
        code: "InvalidImage",
        reason: "no".to_owned(),
    };
    catalog.failed(&name("f"), &failed, &moment(3));
    let mut expected = before;
    expected["LastUpdateStatus"] = json!("Failed");
    expected["LastUpdateStatusReasonCode"] = json!("InvalidImage");
    expected["LastUpdateStatusReason"] = json!("no");
    expected["RevisionId"] = json!("revision-3");
    assert_eq!(latest(&catalog), expected);
    let function = &catalog.functions[&name("f")];
    assert!(matches!(function.versions[&1].state, State::Failed { .. }));
    assert_eq!(function.previous, None);
    // The next one may succeed.
    let update = UpdateCode::default();
    catalog
        .update_code(&name("f"), &update, image("c"), &arns(), &moment(4))
        .unwrap();
    catalog.deployed(&name("f"), "sha256:02", &moment(5));
    assert_eq!(latest(&catalog)["CodeSha256"], "02");
}

#[test]
fn revisions_and_hashes_guard_changes() {
    let mut catalog = with_function();
    let update: UpdateConfiguration = request(json!({"RevisionId": "revision-0", "Timeout": 9}));
    let refusal = catalog
        .update_configuration(&name("f"), &update, None, &arns(), &moment(2))
        .unwrap_err();
    assert_eq!(refusal, Refusal::revision());
    let publish: PublishVersion = request(json!({"CodeSha256": "11"}));
    assert_eq!(
        catalog
            .publish(&name("f"), &publish, &arns())
            .unwrap_err()
            .message,
        "CodeSHA256 (11) is different from current CodeSHA256 in $LATEST (00). Please try again \
         with the CodeSHA256 in $LATEST."
    );
    let update: UpdateConfiguration = request(json!({"RevisionId": "revision-1", "Timeout": 9}));
    catalog
        .update_configuration(&name("f"), &update, None, &arns(), &moment(2))
        .unwrap();
    assert_eq!(latest(&catalog)["Timeout"], 9);
}

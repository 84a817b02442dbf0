//! Resource policies, and settings that are only kept.

use super::*;

fn add(catalog: &mut Catalog, text: &str, body: Value) -> Result<Value, Refusal> {
    catalog.add_permission(&reference(text), &request(body), &arns(), &moment(7))
}

fn policy(catalog: &Catalog, text: &str) -> Value {
    let answer = catalog.policy(&reference(text), &arns()).unwrap();
    serde_json::from_str(answer["Policy"].as_str().unwrap()).unwrap()
}

#[test]
fn statements_have_iams_form() {
    let mut catalog = with_function();
    let publish = PublishVersion::default();
    catalog.publish(&name("f"), &publish, &arns()).unwrap();
    let action = "lambda:InvokeFunction";
    for (target, principal, more, expected, condition) in [
        (
            "f",
            "events.amazonaws.com",
            json!({"SourceArn": "arn:aws:events:us-east-1:123456789012:rule/r", "SourceAccount": "123456789012"}),
            json!({"Service": "events.amazonaws.com"}),
            json!({
                "StringEquals": {"AWS:SourceAccount": "123456789012"},
                "ArnLike": {"AWS:SourceArn": "arn:aws:events:us-east-1:123456789012:rule/r"},
            }),
        ),
        (
            "f:1",
            "*",
            json!({"FunctionUrlAuthType": "NONE", "InvokedViaFunctionUrl": true}),
            json!("*"),
            json!({
                "StringEquals": {"lambda:FunctionUrlAuthType": "NONE"},
                "Bool": {"lambda:InvokedViaFunctionUrl": "true"},
            }),
        ),
        (
            "f",
            "123456789012",
            json!({"PrincipalOrgID": "o-1"}),
            json!({"AWS": "arn:aws:iam::123456789012:root"}),
            json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
        ),
        (
            "f",
            "arn:aws:iam::123456789012:user/u",
            json!({}),
            json!({"AWS": "arn:aws:iam::123456789012:user/u"}),
            Value::Null,
        ),
    ] {
        let sid = format!("s-{}", principal.len());
        let mut body = json!({"StatementId": sid, "Action": action, "Principal": principal});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let statement = add(&mut catalog, target, body).unwrap();
        assert_eq!(statement["Principal"], expected);
        assert_eq!(
            statement.get("Condition").cloned().unwrap_or_default(),
            condition
        );
        assert_eq!(statement["Resource"], target.replace('f', ARN));
        let shown = policy(&catalog, target);
        assert_eq!(
            shown["Statement"].as_array().unwrap().last(),
            Some(&statement)
        );
    }
    assert_eq!(
        policy(&catalog, "f")["Statement"].as_array().unwrap().len(),
        3
    );
    assert_eq!(
        policy(&catalog, "f:1")["Statement"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn policies_are_guarded() {
    let body = json!({"StatementId": "s", "Action": "lambda:*", "Principal": "*"});
    for (target, change, text) in [
        ("f", json!({"StatementId": "a b"}), "'statementId'"),
        ("f", json!({"StatementId": "a".repeat(101)}), "equal to 100"),
        ("f", json!({"StatementId": null}), "'statementId'"),
        ("f", json!({"Action": "s3:Get"}), "'action'"),
        ("f", json!({"Action": null}), "'action'"),
        ("f", json!({"Principal": "a b"}), "'principal'"),
        (
            "f",
            json!({"RevisionId": "x"}),
            "The Revision Id provided does not match",
        ),
        (
            "f:$LATEST",
            json!({}),
            "do not support adding policies for $LATEST",
        ),
        ("f:9", json!({}), "Function not found"),
        ("g", json!({}), "Function not found"),
    ] {
        let mut catalog = with_function();
        let before = catalog.clone();
        let mut body = body.clone();
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let refusal = add(&mut catalog, target, body).unwrap_err();
        assert!(refusal.message.contains(text), "{change}: {refusal}");
        assert_eq!(catalog, before);
    }
    let mut catalog = with_function();
    let gone = |catalog: &mut Catalog, sid: &str| {
        catalog.remove_permission(&reference("f"), sid, None, &arns(), &moment(8))
    };
    let none = gone(&mut catalog, "s").unwrap_err();
    assert_eq!(
        none.message,
        "No policy is associated with the given resource."
    );
    add(&mut catalog, "f", body.clone()).unwrap();
    let twice = add(&mut catalog, "f", body).unwrap_err();
    assert_eq!(twice.kind, RefusalKind::Conflict);
    let other = gone(&mut catalog, "t").unwrap_err();
    assert_eq!(
        other.message,
        "Statement t is not found in resource policy."
    );
    gone(&mut catalog, "s").unwrap();
    let missing = catalog.policy(&reference("f"), &arns()).unwrap_err();
    assert_eq!(
        missing.message,
        "The resource you requested does not exist."
    );
}

#[test]
fn settings_without_effect_are_kept() {
    let mut catalog = with_function();
    let f = reference("f");
    let shown = |catalog: &Catalog, setting| catalog.kept_setting(&f, setting, &arns()).unwrap();
    let recursion = KeptSetting::Recursion;
    assert_eq!(
        shown(&catalog, recursion),
        json!({"RecursiveLoop": "Terminate"})
    );
    let allow = request(json!({"RecursiveLoop": "Allow"}));
    catalog
        .keep_setting(&f, recursion, &allow, &arns())
        .unwrap();
    assert_eq!(
        shown(&catalog, recursion),
        json!({"RecursiveLoop": "Allow"})
    );
    assert_eq!(
        shown(&catalog, KeptSetting::RuntimeManagement),
        json!({"UpdateRuntimeOn": "Auto", "FunctionArn": ARN})
    );
    for (body, text) in [
        (json!({"RecursiveLoop": "Perhaps"}), "[Terminate, Allow]"),
        (json!({}), "'recursiveLoop'"),
    ] {
        let refusal = catalog
            .keep_setting(&f, recursion, &request(body), &arns())
            .unwrap_err();
        assert!(refusal.message.contains(text), "{refusal}");
    }
}

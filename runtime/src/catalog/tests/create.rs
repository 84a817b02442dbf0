//! `CreateFunction`.

use super::*;

#[test]
fn a_new_function_has_lambdas_defaults() {
    let mut catalog = Catalog::default();
    let pending = json!({
        "FunctionName": "f",
        "FunctionArn": ARN,
        "Role": ROLE,
        "CodeSize": 0,
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "LastModified": "2026-01-01T00:00:00.000+0000",
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": "revision-0",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/f"},
        "PackageType": "Image",
        "State": "Pending",
        "StateReasonCode": "Creating",
        "StateReason": "The function is being created.",
    });
    assert_eq!(create(&mut catalog, &json!({})), Ok(pending.clone()));
    catalog.deployed(&name("f"), "sha256:00", &moment(1));
    let mut active = pending;
    for gone in ["StateReasonCode", "StateReason"] {
        active.as_object_mut().unwrap().remove(gone);
    }
    active["State"] = json!("Active");
    active["LastUpdateStatus"] = json!("Successful");
    active["CodeSha256"] = json!("00");
    // Whoever remembers the first one is told that it is not the function any more.
    active["RevisionId"] = json!("revision-1");
    assert_eq!(latest(&catalog), active);
    let code = catalog.functions[&name("f")].latest.code_shape(|_| None);
    assert_eq!(
        code,
        json!({
            "RepositoryType": "ECR", "ImageUri": "host/name:1",
            "ResolvedImageUri": "host/name@sha256:00",
        })
    );
}

#[test]
fn members_are_kept_and_given_back() {
    let mut catalog = Catalog::default();
    let shape = create(
        &mut catalog,
        &json!({
            "MemorySize": 10240, "Timeout": 900, "EphemeralStorage": {"Size": 10240},
            "Environment": {"Variables": {"A_B": "1"}}, "Architectures": ["arm64"],
            "ImageConfig": {"Command": ["a.b"], "EntryPoint": [], "WorkingDirectory": "/x"},
            "TracingConfig": {"Mode": "Active"}, "LoggingConfig": {"LogFormat": "JSON"},
            "VpcConfig": {"SubnetIds": ["s"]}, "Unknown": 1,
        }),
    )
    .unwrap();
    for (member, expected) in [
        ("MemorySize", json!(10_240)),
        ("Timeout", json!(900)),
        ("EphemeralStorage", json!({"Size": 10_240})),
        ("Environment", json!({"Variables": {"A_B": "1"}})),
        ("Architectures", json!(["arm64"])),
        (
            "ImageConfigResponse",
            json!({"ImageConfig": {"Command": ["a.b"], "WorkingDirectory": "/x"}}),
        ),
        ("TracingConfig", json!({"Mode": "Active"})),
        (
            "LoggingConfig",
            json!({"LogFormat": "JSON", "LogGroup": "/aws/lambda/f"}),
        ),
        ("VpcConfig", json!({"SubnetIds": ["s"]})),
        ("Unknown", Value::Null),
    ] {
        assert_eq!(shape[member], expected, "{member}");
    }
}

#[test]
fn requests_that_create_nothing() {
    use RefusalKind::{InvalidParameter, Validation};
    for (members, kind, text) in [
        (
            json!({"MemorySize": 127}),
            Validation,
            "greater than or equal to 128",
        ),
        (
            json!({"MemorySize": 32_769}),
            Validation,
            "less than or equal to 32768",
        ),
        (
            json!({"MemorySize": 10_241}),
            InvalidParameter,
            "equal to 10240",
        ),
        (json!({"Timeout": 0}), Validation, "'timeout'"),
        (
            json!({"Timeout": 901}),
            Validation,
            "less than or equal to 900",
        ),
        (
            json!({"EphemeralStorage": {"Size": 511}}),
            Validation,
            "'ephemeralStorage.size'",
        ),
        (
            json!({"LoggingConfig": {"LogFormat": "XML"}}),
            Validation,
            "Value 'XML' at 'loggingConfig.logFormat' failed to satisfy constraint: Member must \
             satisfy enum value set: [JSON, Text]",
        ),
        (
            json!({"LoggingConfig": {"SystemLogLevel": "DEBUG"}}),
            InvalidParameter,
            "need the log format JSON",
        ),
        (json!({"Role": "me"}), Validation, "'role'"),
        (
            json!({"Role": "arn:aws:iam::1:role/r"}),
            Validation,
            "'role'",
        ),
        (json!({"PackageType": "Jar"}), Validation, "[Zip, Image]"),
        (
            json!({"PackageType": "Zip"}),
            InvalidParameter,
            "Runtime and Handler are mandatory",
        ),
        (
            json!({"PackageType": "Zip", "Runtime": "python3.12", "Handler": "a b"}),
            Validation,
            "'handler'",
        ),
        (
            json!({"Handler": "a.b"}),
            InvalidParameter,
            "Please don't provide Handler",
        ),
        (
            json!({"Architectures": ["x86"]}),
            Validation,
            "'architectures'",
        ),
        (json!({"Architectures": []}), Validation, "'architectures'"),
        (
            json!({"Description": "x".repeat(257)}),
            Validation,
            "'description'",
        ),
        (
            json!({"Environment": {"Variables": {"AWS_REGION": "x"}}}),
            InvalidParameter,
            "Reserved keys used in this request: AWS_REGION",
        ),
    ] {
        let mut catalog = Catalog::default();
        let refusal = create(&mut catalog, &members).unwrap_err();
        assert_eq!(refusal.kind, kind, "{members}: {refusal}");
        assert!(refusal.message.contains(text), "{members}: {refusal}");
        assert_eq!(catalog, Catalog::default(), "{members}");
    }
    let mut catalog = with_function();
    let refusal = create(&mut catalog, &json!({})).unwrap_err();
    assert_eq!(refusal.message, "Function already exist: f");
}

#[test]
fn code_and_layers_together_are_limited() {
    let body =
        json!({"FunctionName": "z", "Role": ROLE, "Runtime": "python3.12", "Handler": "a.b"});
    let request: CreateFunction = request(body);
    for (code, layers, good) in [
        (UNZIPPED_LIMIT, vec![], true),
        (UNZIPPED_LIMIT + 1, vec![], false),
        (
            UNZIPPED_LIMIT - 3,
            vec![layer("a", 1, 1), layer("b", 1, 2)],
            true,
        ),
        (
            UNZIPPED_LIMIT - 2,
            vec![layer("a", 1, 1), layer("b", 1, 2)],
            false,
        ),
        (u64::MAX, vec![layer("a", 1, 1)], false),
    ] {
        let settings = request.settings(layers, "x86_64").unwrap();
        let mut catalog = Catalog::default();
        let made = catalog.create(&name("z"), &request, settings, zip(code), &moment(0));
        let refused = made.err().map(|refusal| refusal.message);
        let text = "Unzipped size must be smaller than 262144000 bytes".to_owned();
        assert_eq!(refused, (!good).then_some(text), "{code}");
    }
    let twice = request.settings(vec![layer("a", 1, 1), layer("a", 2, 1)], "x86_64");
    assert!(
        twice
            .unwrap_err()
            .message
            .starts_with("Two different versions")
    );
    let six = vec![String::new(); 6];
    assert_eq!(
        check_layer_count(&six).unwrap_err().message,
        "Cannot reference more than 5 layers."
    );
}

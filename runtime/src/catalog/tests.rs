//! Requests and states in, states and answers out.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::aliases::{CreateAlias, UpdateAlias};
use super::*;
use crate::model::{FunctionName, FunctionReference, Version};

const ROLE: &str = "arn:aws:iam::123456789012:role/r";
const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:f";

fn arns() -> Arns {
    Arns::new("us-east-1")
}

fn moment(number: u32) -> Moment {
    Moment {
        at: "2026-01-01T00:00:00.000+0000".to_owned(),
        revision_id: format!("revision-{number}"),
    }
}

fn name(text: &str) -> FunctionName {
    text.parse().unwrap()
}

fn reference(text: &str) -> FunctionReference {
    FunctionReference::parse(text, None).unwrap()
}

fn request<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn image(uri: &str) -> Code {
    Code::Image {
        uri: uri.to_owned(),
        digest: None,
    }
}

fn zip(unpacked_size: u64) -> Code {
    Code::Zip {
        digest: "ab".repeat(32),
        size: 10,
        unpacked_size,
    }
}

fn layer(name: &str, version: u64, unpacked_size: u64) -> LayerUse {
    LayerUse {
        arn: arns().layer_version(name, version),
        digest: "cd".repeat(32),
        size: 5,
        unpacked_size,
    }
}

/// Adds the function `f`, of an image.
fn create(catalog: &mut Catalog, members: &Value) -> Result<Value, Refusal> {
    let mut body = json!({"FunctionName": "f", "Role": ROLE, "PackageType": "Image"});
    for (member, value) in members.as_object().unwrap() {
        body[member] = value.clone();
    }
    let request: CreateFunction = request(body);
    let settings = request.settings(vec![], "x86_64")?;
    let record = catalog.create(
        &name("f"),
        &request,
        settings,
        image("host/name:1"),
        &moment(0),
    )?;
    Ok(record
        .latest
        .shape(&arns(), &name("f"), Version::Latest, None))
}

/// A catalog with the function `f`, which is active.
fn with_function() -> Catalog {
    let mut catalog = Catalog::default();
    create(&mut catalog, &json!({})).unwrap();
    catalog.deployed(&name("f"), "sha256:00", &moment(1));
    catalog
}

fn latest(catalog: &Catalog) -> Value {
    let record = &catalog.functions[&name("f")].latest;
    record.shape(&arns(), &name("f"), Version::Latest, None)
}

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
    let code = catalog.functions[&name("f")].latest.code_shape();
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

/// A version whose image is gone is `Failed` until a service finds the image again.
#[test]
fn what_is_gone_may_come_back() {
    let gone = Failed {
        code: Failed::GONE,
        reason: "gone".to_owned(),
    };
    let mut catalog = with_function();
    let before = catalog.clone();
    catalog.restored(&name("f"), Version::Latest, Err(&gone));
    let record = &catalog.functions[&name("f")].latest;
    assert!(record.is_restorable());
    assert_eq!(latest(&catalog)["StateReasonCode"], "ImageDeleted");
    catalog.restored(&name("f"), Version::Latest, Ok(()));
    assert_eq!(catalog, before);
    // During an update it is the old code that serves.
    let update = UpdateCode::default();
    catalog
        .update_code(&name("f"), &update, image("b"), &arns(), &moment(2))
        .unwrap();
    let updating = latest(&catalog);
    catalog.restored(&name("f"), Version::Latest, Err(&gone));
    assert_eq!(latest(&catalog), updating);
    // One that never worked is not tried again by itself.
    let mut catalog = Catalog::default();
    create(&mut catalog, &json!({})).unwrap();
    let failed = Failed {
        code: "InvalidImage",
        ..gone
    };
    catalog.failed(&name("f"), &failed, &moment(1));
    assert!(!catalog.functions[&name("f")].latest.is_restorable());
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

/// An older file, with nothing but what a record must have, is still read.
#[test]
fn files_of_this_format_stay_readable() {
    let old = json!({"version": 1, "functions": {"f": {"latest": {
        "settings": {
            "role": ROLE, "memorySize": 128, "timeout": 3, "ephemeralStorage": 512,
            "package": {"zip": {"runtime": "python3.12", "handler": "a.b"}},
            "architecture": "x86_64",
        },
        "code": {"zip": {"digest": "00", "size": 1, "unpackedSize": 2}},
        "state": "active", "revisionId": "r", "lastModified": "t",
    }}}});
    let read: Catalog = serde_json::from_value(old).unwrap();
    assert_eq!(
        read.functions[&name("f")].latest.code,
        Code::Zip {
            digest: "00".to_owned(),
            size: 1,
            unpacked_size: 2,
        }
    );
    let mut catalog = with_function();
    let url: UrlRequest = request(json!({"AuthType": "NONE"}));
    catalog
        .create_url(&reference("f"), &url, "id", &arns(), &moment(1))
        .unwrap();
    let text = serde_json::to_string(&catalog).unwrap();
    assert_eq!(serde_json::from_str::<Catalog>(&text).unwrap(), catalog);
}

/// Something that is done to the functions `a` and `b`.
#[derive(Debug, Clone)]
enum Step {
    Create(bool),
    UpdateCode(bool),
    Publish,
    Deployed,
    Failed,
    Delete,
    DeleteVersion(u64),
    Alias(u64, Option<u64>),
    Reserve(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<bool>().prop_map(Step::Create),
        any::<bool>().prop_map(Step::UpdateCode),
        Just(Step::Publish),
        Just(Step::Deployed),
        Just(Step::Deployed),
        Just(Step::Failed),
        Just(Step::Delete),
        (1..5_u64).prop_map(Step::DeleteVersion),
        (1..5_u64, proptest::option::of(1..5_u64))
            .prop_map(|(version, other)| Step::Alias(version, other)),
        (0..600_i64).prop_map(Step::Reserve),
    ]
}

fn take(catalog: &mut Catalog, function: &FunctionName, step: &Step, at: &Moment) -> bool {
    let uri = format!("i:{}", at.revision_id);
    match step {
        Step::Create(publish) => {
            let request: CreateFunction =
                request(json!({"Role": ROLE, "PackageType": "Image", "Publish": publish}));
            let settings = request.settings(vec![], "x86_64").unwrap();
            catalog
                .create(function, &request, settings, image(&uri), at)
                .is_ok()
        }
        Step::UpdateCode(publish) => {
            let update = UpdateCode {
                publish: Some(*publish),
                ..UpdateCode::default()
            };
            catalog
                .update_code(function, &update, image(&uri), &arns(), at)
                .is_ok()
        }
        Step::Publish => catalog
            .publish(function, &PublishVersion::default(), &arns())
            .is_ok(),
        Step::Deployed => {
            catalog.deployed(function, "sha256:00", at);
            true
        }
        Step::Failed => {
            let failed = Failed {
                code: "InvalidImage",
                reason: String::new(),
            };
            catalog.failed(function, &failed, at);
            true
        }
        Step::Delete => catalog
            .delete(&reference(function.as_str()), &arns())
            .is_ok(),
        Step::DeleteVersion(number) => {
            let version = reference(&format!("{function}:{number}"));
            catalog.delete(&version, &arns()).is_ok()
        }
        Step::Alias(version, other) => {
            let weights: BTreeMap<String, f64> =
                other.iter().map(|it| (it.to_string(), 0.5)).collect();
            let body = json!({"Name": "live", "FunctionVersion": version.to_string(),
                "RoutingConfig": {"AdditionalVersionWeights": weights}});
            let made = catalog.create_alias(function, &request(body.clone()), &arns(), at);
            let update: UpdateAlias = request(body);
            made.is_ok()
                || catalog
                    .update_alias(function, "live", &update, &arns(), at)
                    .is_ok()
        }
        Step::Reserve(number) => catalog
            .reserve(&reference(function.as_str()), Some(*number), &arns())
            .is_ok(),
    }
}

proptest! {
    /// Whatever happens: what is refused changes nothing, aliases lead to versions
    /// that are there, numbers are not given twice, nothing stays half-changed, and
    /// the account keeps its unreserved executions.
    #[test]
    fn the_books_are_always_right(steps in proptest::collection::vec((any::<bool>(), step()), 1..60)) {
        let mut catalog = Catalog::default();
        let mut given: BTreeMap<FunctionName, u64> = BTreeMap::new();
        for (number, (which, step)) in (0..).zip(&steps) {
            let function = name(if *which { "a" } else { "b" });
            let before = catalog.clone();
            let done = take(&mut catalog, &function, step, &moment(number));
            if !done {
                prop_assert_eq!(&catalog, &before, "{:?}", step);
            }
            let other = name(if *which { "b" } else { "a" });
            prop_assert_eq!(catalog.functions.get(&other), before.functions.get(&other));
            given.retain(|name, _| catalog.functions.contains_key(name));
            for (name, record) in &catalog.functions {
                let highest = given.entry(name.clone()).or_default();
                prop_assert!(record.last_version >= *highest);
                *highest = record.last_version;
                prop_assert!(record.versions.keys().all(|number| number <= highest));
                for alias in record.aliases.values() {
                    prop_assert!(record.version(alias.route.version).is_some());
                    let other = alias.route.weighted.map(|(version, _)| version);
                    prop_assert!(other.is_none_or(|version| record.version(version).is_some()));
                }
                let changing = record.latest.is_unsettled();
                prop_assert!(record.previous.is_none() || changing);
                for version in record.versions.values() {
                    prop_assert!(!version.is_unsettled() || changing);
                }
            }
            prop_assert!(catalog.unreserved() >= 100);
        }
    }
}

//! Events of services that send one thing at a time.

#![expect(
    clippy::unnecessary_wraps,
    reason = "some samples refuse what was chosen, and all have one form"
)]

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::Choices;

const ID: &str = "cdc73f9d-aea9-11e3-9d5a-835b769c0d9c";
const TIME: &str = "1970-01-01T00:00:00Z";

pub(super) fn eventbridge(choices: &Choices) -> Result<Value, String> {
    let detail = match &choices.body {
        None => json!({"order": 42}),
        Some(body) => serde_json::from_str(body)
            .map_err(|error| format!("--body, the detail of the event, is not JSON: {error}"))?,
    };
    let source = choices.source.as_deref().unwrap_or("com.example.shop");
    let kind = choices.detail_type.as_deref().unwrap_or("Order Placed");
    Ok(bridge(choices, source, kind, &json!([]), &detail))
}

pub(super) fn scheduled(choices: &Choices) -> Result<Value, String> {
    let rule = format!("rule/{}", choices.resource("my-schedule"));
    let resources = json!([choices.arn("events", &rule)]);
    Ok(bridge(
        choices,
        "aws.events",
        "Scheduled Event",
        &resources,
        &json!({}),
    ))
}

fn bridge(choices: &Choices, source: &str, kind: &str, resources: &Value, detail: &Value) -> Value {
    json!({
        "version": "0",
        "id": ID,
        "detail-type": kind,
        "source": source,
        "account": choices.account(),
        "time": TIME,
        "region": choices.region(),
        "resources": resources,
        "detail": detail,
    })
}

pub(super) fn cloudwatch_logs(choices: &Choices) -> Result<Value, String> {
    let event = |number: u32| {
        json!({
            "id": format!("{:056}", number),
            "timestamp": 1_440_442_987_000_u64 + u64::from(number),
            "message": choices.body(),
        })
    };
    let document = json!({
        "messageType": "DATA_MESSAGE",
        "owner": choices.account(),
        "logGroup": choices.resource("testLogGroup"),
        "logStream": "testLogStream",
        "subscriptionFilters": ["testFilter"],
        "logEvents": choices.records(event),
    });
    let mut gzip = GzEncoder::new(vec![], Compression::default());
    let zipped = gzip
        .write_all(document.to_string().as_bytes())
        .and_then(|()| gzip.finish())
        .map_err(|error| error.to_string())?;
    Ok(json!({"awslogs": {"data": BASE64_STANDARD.encode(zipped)}}))
}

pub(super) fn cognito_pre_sign_up(choices: &Choices) -> Result<Value, String> {
    Ok(cognito(
        choices,
        "PreSignUp_SignUp",
        &json!({"userAttributes": {"email": "user@example.com"}, "validationData": {}, "clientMetadata": {}}),
        &json!({"autoConfirmUser": false, "autoVerifyEmail": false, "autoVerifyPhone": false}),
    ))
}

pub(super) fn cognito_post_confirmation(choices: &Choices) -> Result<Value, String> {
    let request = json!({
        "userAttributes": {
            "sub": ID,
            "email": "user@example.com",
            "email_verified": "true",
            "cognito:user_status": "CONFIRMED",
        },
        "clientMetadata": {},
    });
    Ok(cognito(
        choices,
        "PostConfirmation_ConfirmSignUp",
        &request,
        &json!({}),
    ))
}

pub(super) fn cognito_pre_token_generation(choices: &Choices) -> Result<Value, String> {
    let request = json!({
        "userAttributes": {"sub": ID, "email": "user@example.com"},
        "groupConfiguration": {
            "groupsToOverride": [],
            "iamRolesToOverride": [],
            "preferredRole": null,
        },
        "clientMetadata": {},
    });
    Ok(cognito(
        choices,
        "TokenGeneration_HostedAuth",
        &request,
        &json!({"claimsOverrideDetails": null}),
    ))
}

fn cognito(choices: &Choices, trigger: &str, request: &Value, response: &Value) -> Value {
    let pool = format!("{}_EXAMPLE", choices.region());
    json!({
        "version": "1",
        "triggerSource": trigger,
        "region": choices.region(),
        "userPoolId": choices.resource(&pool),
        "userName": "testuser",
        "callerContext": {
            "awsSdkVersion": "aws-sdk-unknown-unknown",
            "clientId": "1example23456789",
        },
        "request": request,
        "response": response,
    })
}

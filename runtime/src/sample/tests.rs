//! Every sample with every choice.

use serde_json::json;

use super::*;

fn all() -> Choices {
    let text = |text: &str| Some(text.to_owned());
    Choices {
        region: text("eu-north-1"),
        account: text("210987654321"),
        body: text("{\"chosen\": \"body\"}"),
        bucket: text("chosen-bucket"),
        detail_type: text("chosen-type"),
        headers: vec!["X-Chosen: header".to_owned()],
        key: text("chosen key"),
        method: text("PATCH"),
        path: text("/chosen/path"),
        query: text("chosen=query"),
        records: Some(3),
        resource: text("chosen-resource"),
        source: text("chosen.source"),
        subject: text("chosen subject"),
    }
}

#[test]
fn names_are_unique_and_sorted() {
    let names: Vec<_> = SAMPLES.iter().map(|sample| sample.name).collect();
    assert!(names.is_sorted());
    let mut called: Vec<_> = SAMPLES.iter().flat_map(|sample| sample.aliases).collect();
    called.extend(&names);
    let count = called.len();
    called.sort_unstable();
    called.dedup();
    assert_eq!(called.len(), count);
}

#[test]
fn every_choice_changes_its_event() {
    for sample in SAMPLES {
        let usual = event(sample.name, &Choices::default()).unwrap();
        for alias in sample.aliases {
            assert_eq!(event(alias, &Choices::default()), Ok(usual.clone()));
        }
        for choice in sample.choices {
            let mut one = Choices::default();
            let all = all();
            match choice {
                Choice::Body => one.body = all.body,
                Choice::Bucket => one.bucket = all.bucket,
                Choice::DetailType => one.detail_type = all.detail_type,
                Choice::Header => one.headers = all.headers,
                Choice::Key => one.key = all.key,
                Choice::Method => one.method = all.method,
                Choice::Path => one.path = all.path,
                Choice::Query => one.query = all.query,
                Choice::Records => one.records = all.records,
                Choice::Resource => one.resource = all.resource,
                Choice::Source => one.source = all.source,
                Choice::Subject => one.subject = all.subject,
            }
            let changed = event(sample.name, &one).unwrap();
            assert_ne!(changed, usual, "{} {choice:?}", sample.name);
        }
        // Regions and accounts are in all of it or in none: no other one is left.
        let elsewhere = Choices {
            region: all().region,
            account: all().account,
            ..Choices::default()
        };
        let text = event(sample.name, &elsewhere).unwrap().to_string();
        assert!(!text.contains("us-east-1"), "{text}");
        assert!(!text.contains(ACCOUNT_ID), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let error = event("s4", &Choices::default()).unwrap_err();
    assert!(error.contains("there is no event \"s4\""), "{error}");
    let body = Choices {
        body: Some("x".to_owned()),
        ..Choices::default()
    };
    let error = event("s3-put", &body).unwrap_err();
    assert!(
        error.contains("s3-put has no --body; it has --bucket, --key, --region"),
        "{error}"
    );
    let error = event("eventbridge", &body).unwrap_err();
    assert!(error.contains("is not JSON"), "{error}");
    let method = Choices {
        method: Some("A B".to_owned()),
        headers: vec!["none".to_owned()],
        ..Choices::default()
    };
    for name in ["apigw-v1", "apigw-v2", "function-url", "alb"] {
        assert!(event(name, &method).is_err(), "{name}");
    }
}

#[test]
fn choices_are_where_they_belong() {
    let only = |change: fn(&mut Choices, Choices)| {
        let mut choices = Choices::default();
        change(&mut choices, all());
        choices
    };
    let put = only(|one, all| {
        one.bucket = all.bucket;
        one.key = all.key;
    });
    let s3 = &event("s3-put", &put).unwrap()["Records"][0]["s3"];
    assert_eq!(s3["object"]["key"], "chosen+key");
    assert_eq!(s3["bucket"]["arn"], "arn:aws:s3:::chosen-bucket");
    let body = only(|one, all| {
        one.body = all.body;
        one.records = all.records;
    });
    let sqs = event("sqs", &body).unwrap();
    let records = sqs["Records"].as_array().unwrap();
    assert_eq!(records.len(), 3);
    assert_ne!(records[0]["messageId"], records[1]["messageId"]);
    assert_eq!(records[2]["body"], "{\"chosen\": \"body\"}");
    let http = only(|one, all| {
        one.body = all.body;
        one.method = all.method;
        one.path = all.path;
        one.query = all.query;
        one.headers = all.headers;
    });
    let event = event("apigw-v2", &http).unwrap();
    assert_eq!(event["requestContext"]["http"]["method"], "PATCH");
    assert_eq!(event["rawPath"], "/chosen/path");
    assert_eq!(event["queryStringParameters"], json!({"chosen": "query"}));
    assert_eq!(event["headers"]["x-chosen"], "header");
    assert_eq!(event["body"], "{\"chosen\": \"body\"}");
}

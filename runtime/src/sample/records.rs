//! Events that are records: of queues, topics, streams, buckets, mail.

#![expect(
    clippy::unnecessary_wraps,
    reason = "some samples refuse what was chosen, and all have one form"
)]

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::Choices;
use super::md5::md5_hex;

/// What S3 escapes in keys; spaces become plus signs.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*')
    .remove(b'/')
    .remove(b' ');

pub(super) fn s3_put(choices: &Choices) -> Result<Value, String> {
    Ok(s3(
        choices,
        "ObjectCreated:Put",
        json!({"size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e"}),
    ))
}

/// Of a deleted object, size and tag are not told.
pub(super) fn s3_delete(choices: &Choices) -> Result<Value, String> {
    Ok(s3(choices, "ObjectRemoved:Delete", json!({})))
}

fn s3(choices: &Choices, name: &str, mut object: Value) -> Value {
    let bucket = choices.bucket.as_deref().unwrap_or("amzn-s3-demo-bucket");
    let key = choices.key.as_deref().unwrap_or("HappyFace.jpg");
    let key = utf8_percent_encode(key, KEY).to_string().replace(' ', "+");
    object["key"] = key.into();
    object["versionId"] = "096fKKXTRTtl3on89fVO.nfljtsv6qko".into();
    object["sequencer"] = "0055AED6DCD90281E5".into();
    json!({"Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": choices.region(),
        "eventTime": "1970-01-01T00:00:00.000Z",
        "eventName": name,
        "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "responseElements": {
            "x-amz-request-id": "C3D13FE58DE4C810",
            "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD",
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "testConfigRule",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": format!("arn:aws:s3:::{bucket}"),
            },
            "object": object,
        },
    }]})
}

pub(super) fn sqs(choices: &Choices) -> Result<Value, String> {
    let body = choices.body();
    let arn = choices.arn("sqs", choices.resource("my-queue"));
    let record = |number| {
        json!({
            "messageId": uuid(0x059f_36b4, number),
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1545082649183",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1545082649185",
            },
            "messageAttributes": {},
            "md5OfBody": md5_hex(body.as_bytes()),
            "eventSource": "aws:sqs",
            "eventSourceARN": arn,
            "awsRegion": choices.region(),
        })
    };
    Ok(json!({"Records": choices.records(record)}))
}

pub(super) fn sns(choices: &Choices) -> Result<Value, String> {
    let topic = choices.arn("sns", choices.resource("my-topic"));
    let subscription = format!("{topic}:21be56ed-a058-49f5-8c98-aedd2564c486");
    let region = choices.region();
    let record = |number| {
        json!({
            "EventVersion": "1.0",
            "EventSubscriptionArn": subscription,
            "EventSource": "aws:sns",
            "Sns": {
                "Type": "Notification",
                "MessageId": uuid(0x95df_01b4, number),
                "TopicArn": topic,
                "Subject": choices.subject.as_deref().unwrap_or("TestInvoke"),
                "Message": choices.body(),
                "Timestamp": "2019-01-02T12:45:07.000Z",
                "SignatureVersion": "1",
                "Signature": "EXAMPLE",
                "SigningCertUrl": format!("https://sns.{region}.amazonaws.com/SimpleNotificationService-ac565b8b1a6c5d002d285f9598aa1d9b.pem"),
                "UnsubscribeUrl": format!("https://sns.{region}.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={subscription}"),
                "MessageAttributes": {},
            },
        })
    };
    Ok(json!({"Records": choices.records(record)}))
}

pub(super) fn dynamodb(choices: &Choices) -> Result<Value, String> {
    let table = choices.resource("ExampleTableWithStream");
    let arn = format!("table/{table}/stream/2015-06-27T00:48:05.899");
    let record = |number: u32| {
        let id = (101 + number).to_string();
        json!({
            "eventID": format!("{:032x}", 0xc4ca_4238_u32 + number),
            "eventName": "INSERT",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": choices.region(),
            "dynamodb": {
                "ApproximateCreationDateTime": 1_428_537_600,
                "Keys": {"Id": {"N": id}},
                "NewImage": {"Id": {"N": id}, "Message": {"S": choices.body()}},
                "SequenceNumber": sequence(number),
                // Names and texts as they are, and numbers of a few digits in two bytes.
                "SizeBytes": "Id".len() * 2 + "Message".len() + choices.body().len() + 4,
                "StreamViewType": "NEW_AND_OLD_IMAGES",
            },
            "eventSourceARN": choices.arn("dynamodb", &arn),
        })
    };
    Ok(json!({"Records": choices.records(record)}))
}

pub(super) fn kinesis(choices: &Choices) -> Result<Value, String> {
    let stream = format!("stream/{}", choices.resource("lambda-stream"));
    let role = format!(
        "arn:aws:iam::{}:role/lambda-kinesis-role",
        choices.account()
    );
    let record = |number| {
        let sequence = sequence(number);
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "1",
                "sequenceNumber": sequence,
                "data": BASE64_STANDARD.encode(choices.body()),
                "approximateArrivalTimestamp": 1_545_084_650.987,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("shardId-000000000006:{sequence}"),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": role,
            "awsRegion": choices.region(),
            "eventSourceARN": choices.arn("kinesis", &stream),
        })
    };
    Ok(json!({"Records": choices.records(record)}))
}

pub(super) fn firehose(choices: &Choices) -> Result<Value, String> {
    let stream = format!("deliverystream/{}", choices.resource("my-stream"));
    let record = |number| {
        json!({
            "recordId": format!("{}000000", sequence(number)),
            "approximateArrivalTimestamp": 1_495_072_949_453_u64,
            "data": BASE64_STANDARD.encode(choices.body()),
        })
    };
    Ok(json!({
        "invocationId": uuid(0x1509_29db, 0),
        "deliveryStreamArn": choices.arn("firehose", &stream),
        "region": choices.region(),
        "records": choices.records(record),
    }))
}

pub(super) fn kafka(choices: &Choices) -> Result<Value, String> {
    let topic = choices.resource("mytopic");
    let cluster = choices.arn(
        "kafka",
        "cluster/demo-cluster/751d2973-a626-431c-9d4e-d7975eb44dd7-2",
    );
    let servers = [1, 2].map(|number| {
        format!(
            "b-{number}.demo-cluster-1.a1bcde.c1.kafka.{}.amazonaws.com:9092",
            choices.region()
        )
    });
    let record = |number: u32| {
        json!({
            "topic": topic,
            "partition": 0,
            "offset": 15 + number,
            "timestamp": 1_545_084_650_987_u64,
            "timestampType": "CREATE_TIME",
            "key": BASE64_STANDARD.encode("my-key"),
            "value": BASE64_STANDARD.encode(choices.body()),
            // Names, and the bytes of values.
            "headers": [{"headerKey": b"headerValue".as_slice()}],
        })
    };
    let partition = (format!("{topic}-0"), choices.records(record).into());
    Ok(json!({
        "eventSource": "aws:kafka",
        "eventSourceArn": cluster,
        "bootstrapServers": servers.join(","),
        "records": Map::from_iter([partition]),
    }))
}

pub(super) fn ses(choices: &Choices) -> Result<Value, String> {
    let subject = choices.subject.as_deref().unwrap_or("Test Subject");
    let id = "o3vrnil0e2ic28trm7dfhrc2v0clambda4nbp0g1";
    let (from, to) = ("Jane Doe <janedoe@example.com>", "johndoe@example.com");
    let (date, time) = ("Wed, 7 Oct 2015 12:34:56 -0700", "1970-01-01T00:00:00.000Z");
    let message_id = "<0123456789example.com>";
    let header = |name: &str, value: &str| json!({"name": name, "value": value});
    let function = choices.arn("lambda", "function:Example");
    Ok(json!({"Records": [{
        "eventVersion": "1.0",
        "eventSource": "aws:ses",
        "ses": {
            "mail": {
                "timestamp": time,
                "source": "janedoe@example.com",
                "messageId": id,
                "destination": [to],
                "headersTruncated": false,
                "headers": [
                    header("Return-Path", "<janedoe@example.com>"),
                    header("From", from),
                    header("To", to),
                    header("Subject", subject),
                    header("Date", date),
                    header("Message-ID", message_id),
                ],
                "commonHeaders": {
                    "returnPath": "janedoe@example.com",
                    "from": [from],
                    "date": date,
                    "to": [to],
                    "messageId": message_id,
                    "subject": subject,
                },
            },
            "receipt": {
                "timestamp": time,
                "processingTimeMillis": 574,
                "recipients": [to],
                "spamVerdict": {"status": "PASS"},
                "virusVerdict": {"status": "PASS"},
                "spfVerdict": {"status": "PASS"},
                "dkimVerdict": {"status": "PASS"},
                "dmarcVerdict": {"status": "PASS"},
                "action": {
                    "type": "Lambda",
                    "functionArn": function,
                    "invocationType": "Event",
                },
            },
        },
    }]}))
}

/// An identifier that depends on a number.
fn uuid(begin: u32, number: u32) -> String {
    format!(
        "{begin:08x}-de81-4ca6-937d-{:012x}",
        0x00e9_c7a1_u64 + u64::from(number)
    )
}

/// A position in a stream.
fn sequence(number: u32) -> String {
    format!(
        "49590338271490256608559692538361571095921575989136588{:03}",
        898 + number
    )
}

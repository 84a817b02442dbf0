//! The record of an event's end, as destinations get it.

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use super::retry::Condition;
use crate::model::RequestId;

/// What the function answered last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) version: String,
    pub(super) function_error: Option<&'static str>,
    pub(super) payload: Bytes,
}

/// How an event came to its end.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) at: DateTime<Utc>,
    pub(super) request_id: RequestId,
    /// With its qualifier.
    pub(super) function_arn: &'a str,
    pub(super) condition: Condition,
    pub(super) runs: u32,
    /// JSON, as it was accepted.
    pub(super) request: &'a [u8],
    /// None if the function never ran.
    pub(super) answer: Option<&'a Answer>,
}

impl Record<'_> {
    /// The JSON on one line, without a newline, with Lambda's order of keys.
    pub(super) fn to_json(&self) -> String {
        let mut text = format!(
            r#"{{"version":"1.0","timestamp":"{}","requestContext":{{"requestId":"{}","functionArn":{},"condition":"{}","approximateInvokeCount":{}}},"requestPayload":{}"#,
            self.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            self.request_id,
            Value::from(self.function_arn),
            self.condition.as_str(),
            self.runs,
            json(self.request),
        );
        if let Some(answer) = self.answer {
            // Infallible: the target is a string.
            let _ = write!(
                text,
                r#","responseContext":{{"statusCode":200,"executedVersion":{}"#,
                Value::from(answer.version.as_str())
            );
            if let Some(error) = answer.function_error {
                let _ = write!(text, r#","functionError":"{error}""#);
            }
            let _ = write!(text, r#"}},"responsePayload":{}"#, json(&answer.payload));
        }
        text.push('}');
        text
    }
}

/// A payload as a JSON value on one line: as it is, its numbers and the order of
/// its keys included; what is no JSON becomes a string.
fn json(payload: &[u8]) -> Cow<'_, str> {
    if serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok()
        && let Ok(text) = std::str::from_utf8(payload)
    {
        // Outside of strings line ends are white space, and inside they are escaped.
        return if text.contains(['\n', '\r']) {
            text.replace(['\n', '\r'], " ").into()
        } else {
            text.into()
        };
    }
    Value::from(String::from_utf8_lossy(payload))
        .to_string()
        .into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST";

    fn record<'a>(request: &'a [u8], answer: Option<&'a Answer>) -> Record<'a> {
        Record {
            at: DateTime::from_timestamp_millis(1_574_636_905_651).unwrap(),
            request_id: RequestId::random(),
            function_arn: ARN,
            condition: Condition::RetriesExhausted,
            runs: 3,
            request,
            answer,
        }
    }

    fn answer(function_error: Option<&'static str>, payload: &[u8]) -> Answer {
        Answer {
            version: "$LATEST".to_owned(),
            function_error,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    #[test]
    fn records_are_lambdas() {
        let failed = answer(Some("Unhandled"), br#"{"errorMessage":"no"}"#);
        let record = record(br#"{"b": 1.0, "a": [1]}"#, Some(&failed));
        let id = record.request_id;
        assert_eq!(
            record.to_json(),
            format!(
                r#"{{"version":"1.0","timestamp":"2019-11-24T23:08:25.651Z","requestContext":{{"requestId":"{id}","functionArn":"{ARN}","condition":"RetriesExhausted","approximateInvokeCount":3}},"requestPayload":{{"b": 1.0, "a": [1]}},"responseContext":{{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"}},"responsePayload":{{"errorMessage":"no"}}}}"#
            )
        );
        let succeeded = answer(None, b"null");
        assert!(super::tests::record(b"{}", Some(&succeeded)).to_json().ends_with(
            r#""responseContext":{"statusCode":200,"executedVersion":"$LATEST"},"responsePayload":null}"#
        ));
        let never_ran = super::tests::record(b"{}", None).to_json();
        assert!(
            never_ran.ends_with(r#""requestPayload":{}}"#),
            "{never_ran}"
        );
    }

    proptest! {
        /// One line, and JSON, whatever the function answers.
        #[test]
        fn any_answer_makes_one_line_of_json(payload in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "\\PC*".prop_map(String::into_bytes),
            "[ \n\r]*\\{[ \n\r]*\"a\"[\n ]*:[\n\r ]*1\\}\n".prop_map(String::into_bytes),
        ]) {
            let answer = answer(None, &payload);
            let text = record(b"[\n1]", Some(&answer)).to_json();
            prop_assert!(!text.contains(['\n', '\r']));
            let value: Value = serde_json::from_str(&text).unwrap();
            let expected = serde_json::from_slice(&payload)
                .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&payload)));
            prop_assert_eq!(&value["responsePayload"], &expected);
            prop_assert_eq!(&value["requestPayload"], &serde_json::json!([1]));
        }
    }
}

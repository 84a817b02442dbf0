//! What a function returns, as an HTTP response. Pure.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use serde_json::{Map, Value};

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Answer {
    pub(in super::super) status: StatusCode,
    pub(in super::super) headers: HeaderMap,
    pub(in super::super) body: Bytes,
}

/// What ends the head of a streamed response.
pub(in super::super) const PRELUDE_END: [u8; 8] = [0; 8];

impl Answer {
    /// With a text that is the whole body.
    pub(in super::super) fn plain(
        status: StatusCode,
        kind: &'static str,
        body: &'static str,
    ) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Self {
            status,
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    /// From a payload for format 2.0. An object with a `statusCode` is a response,
    /// and `None` if it is none that can be; anything else is the body of one.
    pub(in super::super) fn of(payload: &[u8]) -> Option<Self> {
        match serde_json::from_slice(payload) {
            Ok(Value::Object(fields)) if fields.contains_key("statusCode") => {
                Self::from_fields(&fields)
            }
            Ok(Value::String(text)) => Some(Self::json(text.into_bytes())),
            Ok(value) => Some(Self::json(value.to_string().into_bytes())),
            Err(_) => Some(Self::json(payload.to_vec())),
        }
    }

    /// From a payload for format 1.0, which has to be a response.
    pub(in super::super) fn of_version1(payload: &[u8]) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_slice(payload).ok()?;
        fields.get("statusCode")?;
        if !matches!(
            fields.get("body"),
            None | Some(Value::Null | Value::String(_))
        ) {
            return None;
        }
        let mut answer = Self::from_fields(&fields)?;
        let Some(several) = fields.get("multiValueHeaders").and_then(Value::as_object) else {
            return Some(answer);
        };
        for (name, values) in several {
            let Ok(name) = HeaderName::try_from(name.as_str()) else {
                continue;
            };
            let values = values.as_array().into_iter().flatten();
            let values = values.filter_map(|value| HeaderValue::try_from(value.as_str()?).ok());
            let values: Vec<_> = values.collect();
            if let Some((first, rest)) = values.split_first() {
                // Both may name it; then this one counts.
                answer.headers.insert(name.clone(), first.clone());
                for value in rest {
                    answer.headers.append(name.clone(), value.clone());
                }
            }
        }
        Some(answer)
    }

    /// From the JSON head of a streamed response.
    pub(in super::super) fn of_prelude(prelude: &[u8]) -> Option<Self> {
        let fields: Map<String, Value> = serde_json::from_slice(prelude).ok()?;
        Self::from_fields(&fields)
    }

    fn json(body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            status: StatusCode::OK,
            headers,
            body: body.into(),
        }
    }

    fn from_fields(fields: &Map<String, Value>) -> Option<Self> {
        let status = match fields.get("statusCode") {
            None => StatusCode::OK,
            // A number, or a text of one.
            Some(Value::String(text)) => text.parse().ok()?,
            Some(number) => StatusCode::from_u16(number.as_u64()?.try_into().ok()?).ok()?,
        };
        let mut headers = HeaderMap::new();
        if let Some(Value::Object(given)) = fields.get("headers") {
            for (name, value) in given {
                let value = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                // What is no header cannot be sent.
                if let (Ok(name), Ok(value)) = (
                    HeaderName::try_from(name.as_str()),
                    HeaderValue::try_from(value),
                ) {
                    headers.insert(name, value);
                }
            }
        }
        if let Some(Value::Array(cookies)) = fields.get("cookies") {
            for cookie in cookies.iter().filter_map(Value::as_str) {
                if let Ok(cookie) = HeaderValue::try_from(cookie) {
                    headers.append(SET_COOKIE, cookie);
                }
            }
        }
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
        let encoded = fields.get("isBase64Encoded") == Some(&Value::Bool(true));
        let body = match fields.get("body") {
            None | Some(Value::Null) => Bytes::new(),
            Some(Value::String(text)) if encoded => BASE64_STANDARD.decode(text).ok()?.into(),
            Some(Value::String(text)) => text.clone().into(),
            Some(other) => other.to_string().into(),
        };
        Some(Self {
            status,
            headers,
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(payload: &str) -> (u16, String, String) {
        let answer = Answer::of(payload.as_bytes()).unwrap();
        let kind = answer.headers[CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        (answer.status.as_u16(), kind, body)
    }

    #[test]
    fn what_is_no_response_is_the_body_of_one() {
        let json = |body: &str| (200, "application/json".to_owned(), body.to_owned());
        // Recorded: compact JSON, and text without its quotes.
        assert_eq!(parts(r#"{"hello": "world"}"#), json(r#"{"hello":"world"}"#));
        assert_eq!(parts(r#"["hello", 3, true]"#), json(r#"["hello",3,true]"#));
        assert_eq!(parts(r#""hello""#), json("hello"));
        assert_eq!(parts("null"), json("null"));
        assert_eq!(parts("3"), json("3"));
    }

    #[test]
    fn responses_are_mapped() {
        let answer = Answer::of(
            br#"{"statusCode": "201", "headers": {"Content-Type": "text/html", "X-N": 3},
                "cookies": ["a=b", "c=d; Path=/"], "body": "PGI+", "isBase64Encoded": true}"#,
        )
        .unwrap();
        assert_eq!(answer.status.as_u16(), 201);
        assert_eq!(answer.headers[CONTENT_TYPE], "text/html");
        assert_eq!(answer.headers["x-n"], "3");
        let cookies: Vec<_> = answer.headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["a=b", "c=d; Path=/"]);
        assert_eq!(answer.body, "<b>");
        assert_eq!(parts(r#"{"statusCode": 204}"#).0, 204);
        for bad in [
            r#"{"statusCode": 99}"#,
            r#"{"statusCode": "many"}"#,
            r#"{"statusCode": 200, "body": "%", "isBase64Encoded": true}"#,
        ] {
            assert_eq!(Answer::of(bad.as_bytes()), None, "{bad}");
        }
    }
    #[test]
    fn format_1_0_wants_a_response() {
        let answer = Answer::of_version1(
            br#"{"statusCode": 200, "headers": {"X-A": "0"}, "body": "a",
                "multiValueHeaders": {"x-a": ["1", "2"], "x-b": []}}"#,
        )
        .unwrap();
        let values: Vec<_> = answer.headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        assert!(!answer.headers.contains_key("x-b"));
        for bad in [
            "\"text\"",
            "{\"body\": \"a\"}",
            "{\"statusCode\": 200, \"body\": {}}",
            "{\"statusCode\": 1, \"body\": \"a\"}",
            "[1]",
        ] {
            assert_eq!(Answer::of_version1(bad.as_bytes()), None, "{bad}");
        }
    }
}

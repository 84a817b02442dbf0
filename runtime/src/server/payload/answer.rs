//! What a function returns, as an HTTP response. Pure.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use serde_json::{Map, Value};

use super::super::reason::excerpt;

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Answer {
    pub(in super::super) status: StatusCode,
    pub(in super::super) headers: HeaderMap,
    pub(in super::super) body: Bytes,
}

/// Why what a function has returned is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum WrongAnswer {
    /// Format 1.0 takes nothing else.
    #[error(
        "it is no JSON object with a statusCode, which payload format 1.0 wants: return \
         {{\"statusCode\": 200, \"body\": \"…\"}}"
    )]
    NoResponse,
    #[error("its statusCode is {}, and may be 100 to 999", excerpt(.0))]
    Status(String),
    /// Of format 1.0.
    #[error(
        "its body is {}, and payload format 1.0 wants a text: make one of it, as JSON.stringify or \
         json.dumps does",
        excerpt(.0)
    )]
    Body(String),
    #[error("its isBase64Encoded is true, and its body is not in base64")]
    Base64,
    /// Of a streamed response.
    #[error("the head of the streamed response is no JSON object")]
    Head,
    #[error(
        "the streamed response has no head: within its first {MAX_PRELUDE} bytes there are not the \
         eight NUL bytes that end one"
    )]
    NoHead,
}

/// What ends the head of a streamed response.
pub(in super::super) const PRELUDE_END: [u8; 8] = [0; 8];

/// Bytes in which a streamed response's head has to end.
pub(in super::super) const MAX_PRELUDE: usize = 1024 * 1024;

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

    /// From a payload for format 2.0. An object with a `statusCode` is a response;
    /// anything else is the body of one.
    ///
    /// # Errors
    /// It is a response that cannot be.
    pub(in super::super) fn of(payload: &[u8]) -> Result<Self, WrongAnswer> {
        match serde_json::from_slice(payload) {
            Ok(Value::Object(fields)) if fields.contains_key("statusCode") => {
                Self::from_fields(&fields)
            }
            Ok(Value::String(text)) => Ok(Self::json(text.into_bytes())),
            Ok(value) => Ok(Self::json(value.to_string().into_bytes())),
            Err(_) => Ok(Self::json(payload.to_vec())),
        }
    }

    /// From a payload for format 1.0, which has to be a response.
    ///
    /// # Errors
    /// It is none, or none that can be.
    pub(in super::super) fn of_version1(payload: &[u8]) -> Result<Self, WrongAnswer> {
        let fields: Map<String, Value> =
            serde_json::from_slice(payload).map_err(|_| WrongAnswer::NoResponse)?;
        if !fields.contains_key("statusCode") {
            return Err(WrongAnswer::NoResponse);
        }
        match fields.get("body") {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => return Err(WrongAnswer::Body(other.to_string())),
        }
        let mut answer = Self::from_fields(&fields)?;
        let Some(several) = fields.get("multiValueHeaders").and_then(Value::as_object) else {
            return Ok(answer);
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
        Ok(answer)
    }

    /// From the JSON head of a streamed response.
    ///
    /// # Errors
    /// It is none, or none that can be.
    pub(in super::super) fn of_prelude(prelude: &[u8]) -> Result<Self, WrongAnswer> {
        let fields: Map<String, Value> =
            serde_json::from_slice(prelude).map_err(|_| WrongAnswer::Head)?;
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

    fn from_fields(fields: &Map<String, Value>) -> Result<Self, WrongAnswer> {
        let status = match fields.get("statusCode") {
            None => StatusCode::OK,
            Some(value) => {
                status_of(value).ok_or_else(|| WrongAnswer::Status(value.to_string()))?
            }
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
            Some(Value::String(text)) if encoded => {
                let decoded = BASE64_STANDARD.decode(text);
                decoded.map_err(|_| WrongAnswer::Base64)?.into()
            }
            Some(Value::String(text)) => text.clone().into(),
            Some(other) => other.to_string().into(),
        };
        Ok(Self {
            status,
            headers,
            body,
        })
    }
}

/// A number, or a text of one.
fn status_of(value: &Value) -> Option<StatusCode> {
    match value {
        Value::String(text) => text.parse().ok(),
        number => StatusCode::from_u16(number.as_u64()?.try_into().ok()?).ok(),
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
        for (bad, reason) in [
            (
                r#"{"statusCode": 99}"#,
                "its statusCode is 99, and may be 100 to 999",
            ),
            (
                r#"{"statusCode": "many"}"#,
                "its statusCode is \"many\", and may be",
            ),
            (
                r#"{"statusCode": null}"#,
                "its statusCode is null, and may be",
            ),
            (
                r#"{"statusCode": 200, "body": "%", "isBase64Encoded": true}"#,
                "its isBase64Encoded is true, and its body is not in base64",
            ),
        ] {
            let wrong = Answer::of(bad.as_bytes()).unwrap_err().to_string();
            assert!(wrong.starts_with(reason), "{bad}: {wrong}");
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
        for (bad, reason) in [
            ("\"text\"", "it is no JSON object with a statusCode"),
            (
                "{\"body\": \"a\"}",
                "it is no JSON object with a statusCode",
            ),
            (
                "{\"statusCode\": 200, \"body\": {\"a\": 1}}",
                "its body is {\"a\":1}, and payload format 1.0 wants a text",
            ),
            (
                "{\"statusCode\": 1, \"body\": \"a\"}",
                "its statusCode is 1, and may be 100 to 999",
            ),
            ("[1]", "it is no JSON object with a statusCode"),
        ] {
            let wrong = Answer::of_version1(bad.as_bytes()).unwrap_err().to_string();
            assert!(wrong.starts_with(reason), "{bad}: {wrong}");
        }
    }
}

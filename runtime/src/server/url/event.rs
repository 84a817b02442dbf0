//! An HTTP request as a function gets it: payload format 2.0. Pure.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use hyper::header::{CONTENT_TYPE, COOKIE, HeaderMap, USER_AGENT};
use hyper::{Method, Version};
use serde_json::{Map, Value, json};

/// What is known of a request beside its head and body.
#[derive(Debug)]
pub(super) struct Circumstances<'a> {
    /// Of the function.
    pub(super) account: &'a str,
    /// The first label of the host name.
    pub(super) url_id: &'a str,
    /// The host name.
    pub(super) host: &'a str,
    pub(super) source_ip: String,
    pub(super) request_id: String,
    pub(super) trace_id: &'a str,
    pub(super) at: DateTime<Utc>,
}

/// The head of a request.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) method: &'a Method,
    /// As it was written, escapes and all.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) version: Version,
    pub(super) headers: &'a HeaderMap,
}

/// The event of a request.
pub(super) fn event(head: &Head<'_>, body: &[u8], now: &Circumstances<'_>) -> Value {
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": head.path,
        "rawQueryString": head.query,
        "headers": headers(head.headers, now),
        "requestContext": {
            "accountId": now.account,
            "apiId": now.url_id,
            "domainName": now.host,
            "domainPrefix": now.url_id,
            "http": {
                "method": head.method.as_str(),
                "path": head.path,
                "protocol": format!("{:?}", head.version),
                "sourceIp": now.source_ip,
                "userAgent": text(head.headers.get(USER_AGENT)),
            },
            "requestId": now.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": now.at.format("%d/%b/%Y:%H:%M:%S %z").to_string(),
            "timeEpoch": now.at.timestamp_millis(),
        },
    });
    let cookies: Vec<String> = head
        .headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| {
            text(Some(value))
                .split("; ")
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|cookie| !cookie.is_empty())
        .collect();
    if !cookies.is_empty() {
        event["cookies"] = json!(cookies);
    }
    let parameters = parameters(head.query);
    if !parameters.is_empty() {
        event["queryStringParameters"] = Value::Object(parameters);
    }
    let binary = !body.is_empty() && !is_text(head.headers);
    match std::str::from_utf8(body) {
        Ok("") => {}
        Ok(body) if !binary => event["body"] = body.into(),
        _ => event["body"] = BASE64_STANDARD.encode(body).into(),
    }
    let encoded = binary || std::str::from_utf8(body).is_err();
    event["isBase64Encoded"] = encoded.into();
    event
}

/// Lower-case names; several values are joined; cookies have a place of their own.
fn headers(headers: &HeaderMap, now: &Circumstances<'_>) -> Value {
    let mut map = Map::new();
    for name in headers.keys().filter(|name| *name != COOKIE) {
        let values: Vec<String> = headers
            .get_all(name)
            .iter()
            .map(|value| text(Some(value)))
            .collect();
        map.insert(name.as_str().to_owned(), values.join(",").into());
    }
    for (name, value) in [
        ("host", now.host),
        ("x-amzn-trace-id", now.trace_id),
        ("x-forwarded-for", &now.source_ip),
        ("x-forwarded-proto", "http"),
    ] {
        map.insert(name.to_owned(), value.into());
    }
    Value::Object(map)
}

/// Decoded; several values of a name are joined with commas.
fn parameters(query: &str) -> Map<String, Value> {
    let mut map: Map<String, Value> = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name), decoded(value));
        let joined = match map.get(&name).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value,
        };
        map.insert(name, joined.into());
    }
    map
}

fn decoded(text: &str) -> String {
    let spaces = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaces)
        .decode_utf8_lossy()
        .into_owned()
}

fn text(value: Option<&hyper::header::HeaderValue>) -> String {
    value.map_or_else(String::new, |value| {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    })
}

/// Which bodies are passed on as text.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = text(headers.get(CONTENT_TYPE)).to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.is_empty()
        || kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(
            kind,
            "application/json"
                | "application/javascript"
                | "application/xml"
                | "application/x-www-form-urlencoded"
                | "application/graphql"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circumstances() -> Circumstances<'static> {
        Circumstances {
            account: "123456789012",
            url_id: "f",
            host: "f.lambda-url.us-east-1.localhost:9000",
            source_ip: "127.0.0.1".to_owned(),
            request_id: "id".to_owned(),
            trace_id: "Root=1-a-b",
            at: DateTime::from_timestamp(1_700_000_000, 123_000_000).unwrap(),
        }
    }

    fn of(method: &Method, path: &str, query: &str, pairs: &[(&str, &str)], body: &[u8]) -> Value {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: hyper::header::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let head = Head {
            method,
            path,
            query,
            version: Version::HTTP_11,
            headers: &headers,
        };
        event(&head, body, &circumstances())
    }

    #[test]
    fn a_request_is_an_event() {
        let pairs = [
            ("X-A", "1"),
            ("X-A", "2"),
            ("Cookie", "a=b; c=d"),
            ("User-Agent", "curl"),
        ];
        let event = of(&Method::GET, "/pa%20th", "a=1&a=2&b=x%20y+z&c", &pairs, b"");
        assert_eq!(event["rawPath"], "/pa%20th");
        assert_eq!(event["rawQueryString"], "a=1&a=2&b=x%20y+z&c");
        assert_eq!(
            event["queryStringParameters"],
            json!({"a": "1,2", "b": "x y z", "c": ""})
        );
        assert_eq!(event["cookies"], json!(["a=b", "c=d"]));
        assert_eq!(event["headers"]["x-a"], "1,2");
        assert!(event["headers"].get("cookie").is_none());
        let context = &event["requestContext"];
        assert_eq!(context["http"]["protocol"], "HTTP/1.1");
        assert_eq!(context["http"]["userAgent"], "curl");
        assert_eq!(context["time"], "14/Nov/2023:22:13:20 +0000");
        assert_eq!(context["timeEpoch"], 1_700_000_000_123_u64);
        assert_eq!(event["isBase64Encoded"], false);
        assert!(event.get("body").is_none());
    }

    #[test]
    fn bodies_are_text_or_base64() {
        let body = |kind: &str, body: &[u8]| {
            let event = of(&Method::POST, "/", "", &[("Content-Type", kind)], body);
            (event["body"].clone(), event["isBase64Encoded"].clone())
        };
        let json_body = body("application/json; charset=utf-8", b"{}");
        assert_eq!(json_body, (json!("{}"), json!(false)));
        assert_eq!(body("image/png", b"abc"), (json!("YWJj"), json!(true)));
        assert_eq!(
            body("multipart/form-data; boundary=x", b"abc").1,
            json!(true)
        );
        assert_eq!(body("text/plain", b"\xff"), (json!("/w=="), json!(true)));
    }
}

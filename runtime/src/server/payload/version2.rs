//! An HTTP request as a function gets it: payload format 2.0. Pure.

use hyper::header::{COOKIE, HeaderMap, USER_AGENT};
use serde_json::{Map, Value, json};

use super::{Circumstances, Head, body_of, decoded, text};

/// The event of a request.
pub(crate) fn event(head: &Head<'_>, body: &[u8], now: &Circumstances<'_>) -> Value {
    let mut event = json!({
        "version": "2.0",
        "routeKey": now.route_key,
        "rawPath": head.path,
        "rawQueryString": head.query,
        "headers": headers(head.headers, now),
        "requestContext": {
            "accountId": now.account,
            "apiId": now.api_id,
            "domainName": now.host,
            "domainPrefix": now.api_id,
            "http": {
                "method": head.method.as_str(),
                "path": head.path,
                "protocol": format!("{:?}", head.version),
                "sourceIp": now.source_ip,
                "userAgent": text(head.headers.get(USER_AGENT)),
            },
            "requestId": now.request_id,
            "routeKey": now.route_key,
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
    if !now.parameters.is_empty() {
        let pairs = now.parameters.iter();
        let pairs = pairs.map(|(name, value)| (name.clone(), value.as_str().into()));
        event["pathParameters"] = Value::Object(pairs.collect());
    }
    let (body, encoded) = body_of(head.headers, body);
    if let Some(body) = body {
        event["body"] = body.into();
    }
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
        ("x-forwarded-port", now.port()),
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

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use hyper::{Method, Version};

    use super::*;

    fn circumstances() -> Circumstances<'static> {
        Circumstances {
            account: "123456789012",
            api_id: "f",
            host: "f.lambda-url.us-east-1.localhost:9000",
            source_ip: "127.0.0.1".to_owned(),
            request_id: "id".to_owned(),
            trace_id: "Root=1-a-b",
            at: DateTime::from_timestamp(1_700_000_000, 123_000_000).unwrap(),
            route_key: "$default",
            parameters: &[],
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
        assert!(event.get("pathParameters").is_none());
        assert_eq!(event["headers"]["x-forwarded-port"], "9000");
    }

    #[test]
    fn routes_are_told() {
        let (method, headers) = (Method::GET, HeaderMap::new());
        let head = Head {
            method: &method,
            path: "/pets/c%20t",
            query: "",
            version: Version::HTTP_11,
            headers: &headers,
        };
        let now = Circumstances {
            route_key: "GET /pets/{id}",
            parameters: &[("id".to_owned(), "c t".to_owned())],
            ..circumstances()
        };
        let event = event(&head, b"", &now);
        assert_eq!(event["routeKey"], "GET /pets/{id}");
        assert_eq!(event["requestContext"]["routeKey"], "GET /pets/{id}");
        assert_eq!(event["pathParameters"], json!({"id": "c t"}));
        assert_eq!(event["rawPath"], "/pets/c%20t");
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

//! An HTTP request as a function gets it: payload format 1.0. Pure.

use hyper::header::{HeaderMap, HeaderName, USER_AGENT};
use serde_json::{Map, Value, json};

use super::{Circumstances, Head, body_of, decoded, text};

/// What the two APIs with this format do not have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form<'a> {
    /// The path of the route, such as `/pets/{id}`.
    pub(crate) resource: &'a str,
    /// HTTP APIs name the version.
    pub(crate) is_rest: bool,
}

/// The event of a request.
pub(crate) fn event(
    head: &Head<'_>,
    body: &[u8],
    now: &Circumstances<'_>,
    form: Form<'_>,
) -> Value {
    let headers = headers(head.headers, now, form.is_rest);
    let parameters = query(head.query);
    let path = now.parameters.iter();
    let path = path.map(|(name, value)| (name.clone(), value.clone()));
    let (body, encoded) = body_of(head.headers, body);
    let stage = if form.is_rest { "Prod" } else { "$default" };
    let mut event = json!({
        "resource": form.resource,
        "path": head.path,
        "httpMethod": head.method.as_str(),
        "headers": last(&headers),
        "multiValueHeaders": all(&headers),
        "queryStringParameters": last(&parameters),
        "multiValueQueryStringParameters": all(&parameters),
        "pathParameters": last(&path.collect::<Vec<_>>()),
        "stageVariables": null,
        "requestContext": {
            "accountId": now.account,
            "apiId": now.api_id,
            "domainName": now.host,
            "domainPrefix": now.api_id,
            "extendedRequestId": now.request_id,
            "httpMethod": head.method.as_str(),
            "identity": {
                "sourceIp": now.source_ip,
                "userAgent": text(head.headers.get(USER_AGENT)),
                "accessKey": null,
                "accountId": null,
                "caller": null,
                "cognitoAuthenticationProvider": null,
                "cognitoAuthenticationType": null,
                "cognitoIdentityId": null,
                "cognitoIdentityPoolId": null,
                "principalOrgId": null,
                "user": null,
                "userArn": null,
            },
            "path": head.path,
            "protocol": format!("{:?}", head.version),
            "requestId": now.request_id,
            "requestTime": now.at.format("%d/%b/%Y:%H:%M:%S %z").to_string(),
            "requestTimeEpoch": now.at.timestamp_millis(),
            "resourceId": now.route_key,
            "resourcePath": form.resource,
            "stage": stage,
        },
        "body": body,
        "isBase64Encoded": encoded,
    });
    if !form.is_rest {
        event["version"] = "1.0".into();
    }
    event
}

/// Names and values in the order in which they came.
type Pairs = Vec<(String, String)>;

fn headers(headers: &HeaderMap, now: &Circumstances<'_>, is_rest: bool) -> Pairs {
    let spelled = |name: &str| {
        if is_rest {
            capitalised(name)
        } else {
            name.to_owned()
        }
    };
    let mut pairs: Pairs = headers
        .iter()
        .map(|(name, value)| (spelled(name.as_str()), text(Some(value))))
        .collect();
    for (name, value) in [
        ("x-amzn-trace-id", now.trace_id),
        ("x-forwarded-for", &now.source_ip),
        ("x-forwarded-port", now.port()),
        ("x-forwarded-proto", "http"),
    ] {
        if !headers.contains_key(HeaderName::from_static(name)) {
            pairs.push((spelled(name), value.to_owned()));
        }
    }
    pairs
}

/// As most clients write names of headers, and as REST APIs pass them on: what the
/// client has written is not known here.
fn capitalised(name: &str) -> String {
    let mut first = true;
    name.chars()
        .map(|letter| {
            let spelled = if first {
                letter.to_ascii_uppercase()
            } else {
                letter
            };
            first = letter == '-';
            spelled
        })
        .collect()
}

fn query(query: &str) -> Pairs {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// The last value of each name; null without any.
fn last(pairs: &Pairs) -> Value {
    if pairs.is_empty() {
        return Value::Null;
    }
    let pairs = pairs.iter();
    let map: Map<String, Value> = pairs
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    Value::Object(map)
}

/// All values of each name; null without any.
fn all(pairs: &Pairs) -> Value {
    if pairs.is_empty() {
        return Value::Null;
    }
    let mut map = Map::new();
    for (name, value) in pairs {
        let values = map
            .entry(name.clone())
            .or_insert_with(|| Value::Array(vec![]));
        if let Value::Array(values) = values {
            values.push(value.as_str().into());
        }
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use hyper::{Method, Version};

    use super::*;

    fn of(is_rest: bool, query: &str) -> Value {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-a", "1"), ("x-a", "2"), ("cookie", "a=b")] {
            headers.append(name, value.parse().unwrap());
        }
        let parameters = [("id".to_owned(), "7".to_owned())];
        let now = Circumstances {
            account: "123456789012",
            api_id: "local",
            host: "127.0.0.1:3000",
            source_ip: "127.0.0.1".to_owned(),
            request_id: "id".to_owned(),
            trace_id: "Root=1-a-b",
            at: DateTime::from_timestamp(1_700_000_000, 123_000_000).unwrap(),
            route_key: "GET /pets/{id}",
            parameters: &parameters,
        };
        let head = Head {
            method: &Method::POST,
            path: "/pets/7",
            query,
            version: Version::HTTP_11,
            headers: &headers,
        };
        let resource = "/pets/{id}";
        event(&head, b"{}", &now, Form { resource, is_rest })
    }

    #[test]
    fn of_a_rest_api() {
        let event = of(true, "a=1&a=2&b=x%20y");
        assert_eq!(event["resource"], "/pets/{id}");
        assert_eq!(event["path"], "/pets/7");
        assert_eq!(event["httpMethod"], "POST");
        assert_eq!(event["headers"]["X-A"], "2");
        assert_eq!(event["headers"]["Cookie"], "a=b");
        assert_eq!(event["headers"]["X-Forwarded-Port"], "3000");
        assert_eq!(event["multiValueHeaders"]["X-A"], json!(["1", "2"]));
        assert_eq!(
            event["queryStringParameters"],
            json!({"a": "2", "b": "x y"})
        );
        assert_eq!(
            event["multiValueQueryStringParameters"],
            json!({"a": ["1", "2"], "b": ["x y"]})
        );
        assert_eq!(event["pathParameters"], json!({"id": "7"}));
        assert_eq!(event["requestContext"]["stage"], "Prod");
        assert_eq!(
            event["requestContext"]["requestTimeEpoch"],
            1_700_000_000_123_u64
        );
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&json!("{}"), &json!(false))
        );
        assert!(event.get("version").is_none());
    }

    #[test]
    fn of_an_http_api() {
        let event = of(false, "");
        assert_eq!(event["version"], "1.0");
        assert_eq!(event["headers"]["x-a"], "2");
        assert_eq!(event["queryStringParameters"], Value::Null);
        assert_eq!(event["multiValueQueryStringParameters"], Value::Null);
        assert_eq!(event["requestContext"]["stage"], "$default");
    }
}

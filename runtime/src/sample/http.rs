//! Events of HTTP requests. API Gateway's and those of function URLs are made by what
//! serves real requests.

use chrono::{DateTime, Utc};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Version};
use serde_json::{Map, Value, json};

use super::Choices;
use crate::server::payload::version1::Form;
use crate::server::payload::{Circumstances, Head, version1, version2};

/// Where the client is: an address of documentation.
const SOURCE_IP: &str = "192.0.2.1";
const REQUEST_ID: &str = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef";
const TRACE_ID: &str = "Root=1-5e66d96f-7491f09xmpl79d18acf3d050";

/// What clients usually send.
const HEADERS: [(&str, &str); 2] = [("accept", "*/*"), ("user-agent", "curl/8.5.0")];

/// A request.
struct Request {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: String,
}

impl Request {
    fn of(choices: &Choices) -> Result<Self, String> {
        let method = choices.method.as_deref().unwrap_or("GET");
        let path = choices.path.as_deref().unwrap_or("/");
        if !path.starts_with('/') {
            return Err(format!("--path {path} does not begin with a slash"));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if choices.body.is_some() {
            let json = HeaderValue::from_static("application/json");
            headers.insert("content-type", json);
        }
        for header in &choices.headers {
            let wrong = || format!("--header {header} is not NAME:VALUE");
            let (name, value) = header.split_once(':').ok_or_else(wrong)?;
            let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
            let value = HeaderValue::try_from(value.trim()).map_err(|_| wrong())?;
            headers.insert(name, value);
        }
        Ok(Self {
            method: method
                .parse()
                .map_err(|_| format!("--method {method} is no HTTP method"))?,
            path: path.to_owned(),
            query: choices.query.clone().unwrap_or_default(),
            headers,
            body: choices.body.clone().unwrap_or_default(),
        })
    }

    /// Adds a header unless it was chosen.
    fn has(&mut self, name: &str, value: &str) -> Result<(), String> {
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
        self.headers.entry(name).or_insert(value);
        Ok(())
    }

    fn head(&self) -> Head<'_> {
        Head {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            version: Version::HTTP_11,
            headers: &self.headers,
        }
    }
}

fn circumstances<'a>(choices: &'a Choices, id: &'a str, host: &'a str) -> Circumstances<'a> {
    Circumstances {
        account: choices.account(),
        api_id: id,
        host,
        source_ip: SOURCE_IP.to_owned(),
        request_id: REQUEST_ID.to_owned(),
        trace_id: TRACE_ID,
        at: at(),
        route_key: "$default",
        parameters: &[],
    }
}

fn at() -> DateTime<Utc> {
    const SECONDS: i64 = 1_583_817_383;
    DateTime::from_timestamp(SECONDS, 0).unwrap_or_default()
}

/// An HTTP API.
pub(super) fn http_api(choices: &Choices) -> Result<Value, String> {
    let host = format!("api-id.execute-api.{}.amazonaws.com", choices.region());
    format2(choices, &circumstances(choices, "api-id", &host))
}

/// A function URL.
pub(super) fn function_url(choices: &Choices) -> Result<Value, String> {
    let host = format!("url-id.lambda-url.{}.on.aws", choices.region());
    format2(choices, &circumstances(choices, "url-id", &host))
}

fn format2(choices: &Choices, now: &Circumstances<'_>) -> Result<Value, String> {
    let request = Request::of(choices)?;
    let mut event = version2::event(&request.head(), request.body.as_bytes(), now);
    // AWS serves HTTPS only.
    event["headers"]["x-forwarded-port"] = "443".into();
    event["headers"]["x-forwarded-proto"] = "https".into();
    Ok(event)
}

/// A REST API.
pub(super) fn rest(choices: &Choices) -> Result<Value, String> {
    let mut request = Request::of(choices)?;
    let host = format!("api-id.execute-api.{}.amazonaws.com", choices.region());
    for (name, value) in [
        ("host", host.as_str()),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
    ] {
        request.has(name, value)?;
    }
    let now = Circumstances {
        // The id of the resource that the request was for.
        route_key: "123456",
        ..circumstances(choices, "api-id", &host)
    };
    let form = Form {
        resource: &request.path,
        is_rest: true,
    };
    Ok(version1::event(
        &request.head(),
        request.body.as_bytes(),
        &now,
        form,
    ))
}

/// A load balancer, which passes on queries as they were written.
pub(super) fn alb(choices: &Choices) -> Result<Value, String> {
    let mut request = Request::of(choices)?;
    let host = format!(
        "lambda-alb-1846906522.{}.elb.amazonaws.com",
        choices.region()
    );
    for (name, value) in [
        ("host", host.as_str()),
        ("x-amzn-trace-id", TRACE_ID),
        ("x-forwarded-for", SOURCE_IP),
        ("x-forwarded-port", "80"),
        ("x-forwarded-proto", "http"),
    ] {
        request.has(name, value)?;
    }
    let headers = request.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), Value::from(value))
    });
    let query = request.query.split('&').filter(|pair| !pair.is_empty());
    let query = query.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), Value::from(value))
    });
    let group = choices.arn(
        "elasticloadbalancing",
        "targetgroup/lambda-279XGJDqGZ5rsrHC2Fjr/49e9d65c45c6791a",
    );
    Ok(json!({
        "requestContext": {"elb": {"targetGroupArn": group}},
        "httpMethod": request.method.as_str(),
        "path": request.path,
        "queryStringParameters": query.collect::<Map<_, _>>(),
        "headers": headers.collect::<Map<_, _>>(),
        "body": request.body,
        "isBase64Encoded": false,
    }))
}

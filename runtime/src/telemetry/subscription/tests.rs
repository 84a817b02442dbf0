use serde_json::{Value, json};

use super::*;

/// A valid body with one member changed, or taken away.
fn body(member: &str, value: Option<Value>) -> Vec<u8> {
    let mut body = json!({
        "schemaVersion": "2022-12-13",
        "types": ["platform", "function"],
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/path?q=1"},
    });
    match value {
        Some(value) => body[member] = value,
        None => {
            body.as_object_mut().unwrap().remove(member);
        }
    }
    body.to_string().into_bytes()
}

fn http_to(uri: &str) -> Value {
    json!({"protocol": "HTTP", "URI": uri})
}

#[test]
fn what_is_asked_for_is_there() {
    let buffering = json!({"maxItems": 1_000, "maxBytes": 1_048_576, "timeoutMs": 25});
    let subscription =
        parse_subscription(Api::Telemetry, &body("buffering", Some(buffering))).unwrap();
    let expected = Subscription {
        api: Api::Telemetry,
        schema: Schema::Telemetry202212,
        types: vec![Category::Platform, Category::Function],
        buffering: Buffering {
            max_items: 1_000,
            max_bytes: 1_048_576,
            timeout: Duration::from_millis(25),
        },
        destination: Destination::Http {
            port: 8080,
            authority: "sandbox.localdomain:8080".to_owned(),
            path: "/path?q=1".to_owned(),
            method: HttpMethod::Post,
        },
    };
    assert_eq!(subscription, expected);
    let plain = parse_subscription(Api::Telemetry, &body("more", Some(json!(1)))).unwrap();
    assert_eq!(plain.buffering, Buffering::default());
}

#[test]
fn schema_versions() {
    for (api, version, expected) in [
        (
            Api::Telemetry,
            Some("2022-07-01"),
            Some(Schema::Telemetry202207),
        ),
        (
            Api::Telemetry,
            Some("2022-12-13"),
            Some(Schema::Telemetry202212),
        ),
        (
            Api::Telemetry,
            Some("2025-01-29"),
            Some(Schema::Telemetry202212),
        ),
        (Api::Telemetry, Some("2020-08-15"), None),
        (Api::Telemetry, None, None),
        (Api::Logs, Some("2020-08-15"), Some(Schema::Logs202008)),
        (Api::Logs, Some("2021-03-18"), Some(Schema::Logs202103)),
        (Api::Logs, Some("2022-07-01"), None),
        (Api::Logs, None, Some(Schema::Logs202008)),
    ] {
        let body = body("schemaVersion", version.map(Value::from));
        let schema = parse_subscription(api, &body).map(|parsed| parsed.schema);
        assert_eq!(schema.ok(), expected, "{api} {version:?}");
    }
}

#[test]
fn destinations() {
    let http = |port, authority: &str, path: &str, method| Destination::Http {
        port,
        authority: authority.to_owned(),
        path: path.to_owned(),
        method,
    };
    let put = json!({
        "protocol": "HTTP", "URI": "http://sandbox:4243", "method": "PUT", "encoding": "JSON",
    });
    for (value, expected) in [
        (
            http_to("http://sandbox.localdomain"),
            http(80, "sandbox.localdomain", "/", HttpMethod::Post),
        ),
        (put, http(4243, "sandbox:4243", "/", HttpMethod::Put)),
        (
            json!({"protocol": "TCP", "port": 9999}),
            Destination::Tcp { port: 9999 },
        ),
    ] {
        let parsed = parse_subscription(Api::Logs, &body_of_logs(&value)).unwrap();
        assert_eq!(parsed.destination, expected, "{value}");
    }
}

fn body_of_logs(destination: &Value) -> Vec<u8> {
    json!({"types": ["function"], "destination": destination})
        .to_string()
        .into_bytes()
}

#[test]
fn refusals_name_the_member_and_the_rule() {
    let reserved = "destination: port 9001 is reserved for the Runtime API; choose another";
    let host = "destination.URI host must be sandbox.localdomain";
    for (member, value, expected) in [
        ("types", None, "missing property: types"),
        ("destination", None, "missing property: destination"),
        ("schemaVersion", None, "missing property: schemaVersion"),
        (
            "schemaVersion",
            Some(json!("x")),
            "schemaVersion \"x\" is not one of 2022-07-01, 2022-12-13, 2025-01-29",
        ),
        (
            "types",
            Some(json!([])),
            "types is not an array of at least one of platform, function, extension",
        ),
        (
            "types",
            Some(json!(["platform", "Function"])),
            "types: \"Function\" is not one of platform, function, extension",
        ),
        (
            "buffering",
            Some(json!(1)),
            "buffering is not a JSON object",
        ),
        (
            "buffering",
            Some(json!({"maxItems": 999})),
            "buffering.maxItems: 999 is not an integer from 1000 to 10000",
        ),
        (
            "buffering",
            Some(json!({"maxItems": 10_001})),
            "buffering.maxItems: 10001 is not an integer from 1000 to 10000",
        ),
        (
            "buffering",
            Some(json!({"maxBytes": 262_143})),
            "buffering.maxBytes: 262143 is not an integer from 262144 to 1048576",
        ),
        (
            "buffering",
            Some(json!({"maxBytes": 1_048_577})),
            "buffering.maxBytes: 1048577 is not an integer from 262144 to 1048576",
        ),
        (
            "buffering",
            Some(json!({"timeoutMs": 24})),
            "buffering.timeoutMs: 24 is not an integer from 25 to 30000",
        ),
        (
            "buffering",
            Some(json!({"timeoutMs": 30_001})),
            "buffering.timeoutMs: 30001 is not an integer from 25 to 30000",
        ),
        (
            "buffering",
            Some(json!({"timeoutMs": "25"})),
            "buffering.timeoutMs: \"25\" is not an integer from 25 to 30000",
        ),
        (
            "destination",
            Some(json!([])),
            "destination is not a JSON object",
        ),
        ("destination", Some(json!({})), "missing property: protocol"),
        (
            "destination",
            Some(json!({"protocol": "UDP", "port": 1})),
            "destination.protocol is neither HTTP nor TCP",
        ),
        (
            "destination",
            Some(json!({"protocol": "HTTP"})),
            "missing property: URI",
        ),
        (
            "destination",
            Some(json!({"protocol": "TCP"})),
            "missing property: port",
        ),
        (
            "destination",
            Some(json!({"protocol": "TCP", "port": 0})),
            "destination.port: 0 is not an integer from 1 to 65535",
        ),
        (
            "destination",
            Some(json!({"protocol": "TCP", "port": 65_536})),
            "destination.port: 65536 is not an integer from 1 to 65535",
        ),
        (
            "destination",
            Some(json!({"protocol": "TCP", "port": 9001})),
            reserved,
        ),
        (
            "destination",
            Some(http_to("http://sandbox.localdomain:9001/x")),
            reserved,
        ),
        ("destination", Some(http_to("http://localhost:8080")), host),
        ("destination", Some(http_to("http://127.0.0.1:8080")), host),
        (
            "destination",
            Some(http_to("https://sandbox.localdomain:8080")),
            "destination.URI: \"https://sandbox.localdomain:8080\" does not begin with http://",
        ),
        (
            "destination",
            Some(http_to("a b")),
            "destination.URI: \"a b\" is not a URI",
        ),
        (
            "destination",
            Some(json!({"protocol": "HTTP", "URI": "http://sandbox:1", "method": "GET"})),
            "destination.method: \"GET\" is neither POST nor PUT",
        ),
        (
            "destination",
            Some(json!({"protocol": "HTTP", "URI": "http://sandbox:1", "encoding": "XML"})),
            "destination.encoding: \"XML\" is not JSON",
        ),
    ] {
        let error = parse_subscription(Api::Telemetry, &body(member, value)).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(
            (error.error_type(), error.status()),
            ("ValidationError", 400)
        );
    }
    let error = parse_subscription(Api::Logs, b"{\"invalid\": json}").unwrap_err();
    assert!(
        error.to_string().starts_with("failed to parse JSON: "),
        "{error}"
    );
    assert_eq!(error.error_type(), "Logs.ValidationError");
    let error = parse_subscription(Api::Logs, b"[]").unwrap_err();
    assert_eq!(error.to_string(), "the request is not a JSON object");
}

#[test]
fn after_init_subscriptions_are_closed() {
    for (api, error_type, message) in [
        (
            Api::Telemetry,
            "Telemetry.SubscriptionClosed",
            "Telemetry API subscription is closed",
        ),
        (
            Api::Logs,
            "Logs.SubscriptionClosed",
            "Logs API subscription is closed",
        ),
    ] {
        let error = SubscriptionError::Closed(api);
        assert_eq!((error.status(), error.error_type()), (403, error_type));
        assert_eq!(error.to_string(), message);
    }
}

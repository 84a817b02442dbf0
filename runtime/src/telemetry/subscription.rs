//! What extensions ask of the Telemetry API and of the Logs API, and Lambda's rules
//! for it. Pure: a request's body in, a subscription or a refusal out.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// The two interfaces through which extensions get events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Telemetry API 2022-07-01.
    Telemetry,
    /// Logs API 2020-08-15, which came before it.
    Logs,
}

impl Api {
    fn schemas(self) -> &'static [(&'static str, Schema)] {
        match self {
            Self::Telemetry => &[
                ("2022-07-01", Schema::Telemetry202207),
                ("2022-12-13", Schema::Telemetry202212),
                // For managed instances; of the events of functions it says the same.
                ("2025-01-29", Schema::Telemetry202212),
            ],
            Self::Logs => &[
                ("2020-08-15", Schema::Logs202008),
                ("2021-03-18", Schema::Logs202103),
            ],
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Telemetry => "Telemetry API",
            Self::Logs => "Logs API",
        })
    }
}

/// In which form events are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Logs API, 2020-08-15.
    Logs202008,
    /// Logs API, 2021-03-18: with `platform.runtimeDone`.
    Logs202103,
    /// Telemetry API, 2022-07-01.
    Telemetry202207,
    /// Telemetry API, 2022-12-13 and later: JSON of functions stays JSON.
    Telemetry202212,
}

/// Kinds of events that can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// What Lambda says.
    Platform,
    /// What the function writes.
    Function,
    /// What extensions write.
    Extension,
}

impl Category {
    fn parse(text: &str) -> Option<Self> {
        [Self::Platform, Self::Function, Self::Extension]
            .into_iter()
            .find(|category| category.as_str() == text)
    }

    /// Lambda's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Function => "function",
            Self::Extension => "extension",
        }
    }
}

/// How many events are collected before they are delivered, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffering {
    /// Events of a batch.
    pub max_items: usize,
    /// Bytes of a batch.
    pub max_bytes: usize,
    /// How long the first event of a batch waits for others.
    pub timeout: Duration,
}

impl Default for Buffering {
    fn default() -> Self {
        Self {
            max_items: 10_000,
            max_bytes: 262_144,
            timeout: Duration::from_secs(1),
        }
    }
}

/// The methods by which batches are delivered over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMethod {
    /// `POST`, the default.
    Post,
    /// `PUT`.
    Put,
}

/// Where batches go: to a port of the environment's own loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A JSON array in the body of a request.
    Http {
        /// The port of the URI.
        port: u16,
        /// Its host and port as the extension wrote them.
        authority: String,
        /// Its path and query.
        path: String,
        /// How the request is made.
        method: HttpMethod,
    },
    /// An event a line.
    Tcp {
        /// The port.
        port: u16,
    },
}

impl Destination {
    /// The port, on loopback.
    pub fn port(&self) -> u16 {
        match self {
            Self::Http { port, .. } | Self::Tcp { port } => *port,
        }
    }
}

/// A valid subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// By which interface it was made.
    pub api: Api,
    /// In which form it gets events.
    pub schema: Schema,
    /// Which events it gets, in its own order.
    pub types: Vec<Category>,
    /// How they are collected.
    pub buffering: Buffering,
    /// Where they go.
    pub destination: Destination,
}

/// A refused subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionError {
    /// The body breaks a rule, which the text names.
    Invalid(Api, String),
    /// INIT is over.
    Closed(Api),
}

impl SubscriptionError {
    /// Lambda's `errorType`.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Invalid(Api::Telemetry, _) => "ValidationError",
            Self::Invalid(Api::Logs, _) => "Logs.ValidationError",
            Self::Closed(Api::Telemetry) => "Telemetry.SubscriptionClosed",
            Self::Closed(Api::Logs) => "Logs.SubscriptionClosed",
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid(..) => 400,
            Self::Closed(_) => 403,
        }
    }
}

impl fmt::Display for SubscriptionError {
    /// Lambda's `errorMessage`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(_, reason) => formatter.write_str(reason),
            Self::Closed(api) => write!(formatter, "{api} subscription is closed"),
        }
    }
}

/// Where Lambda itself listens in an environment.
const RUNTIME_API_PORT: u16 = 9001;

/// The name of the environment for itself, and the short form that Lambda's code
/// takes too.
const HOSTS: [&str; 2] = ["sandbox.localdomain", "sandbox"];

/// Reads the body of a subscription to `api`.
///
/// # Errors
/// The first rule that is broken. Lambda's own texts are those of its JSON schema
/// validator; these name the same member and rule.
pub fn parse_subscription(api: Api, body: &[u8]) -> Result<Subscription, SubscriptionError> {
    read(api, body).map_err(|reason| SubscriptionError::Invalid(api, reason))
}

fn read(api: Api, body: &[u8]) -> Result<Subscription, String> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| format!("failed to parse JSON: {error}"))?;
    let body = object(&body, "the request")?;
    Ok(Subscription {
        api,
        schema: schema(api, body)?,
        types: types(required(body, "types")?)?,
        buffering: body
            .get("buffering")
            .map_or_else(|| Ok(Buffering::default()), buffering)?,
        destination: destination(required(body, "destination")?)?,
    })
}

/// Only the Telemetry API asks for it always; the Logs API began without.
fn schema(api: Api, body: &Map<String, Value>) -> Result<Schema, String> {
    let schemas = api.schemas();
    let version = match (api, body.get("schemaVersion")) {
        (Api::Logs, None) => return Ok(Schema::Logs202008),
        (Api::Telemetry, None) => return Err(missing("schemaVersion")),
        (_, Some(version)) => version,
    };
    let known = schemas.iter().find(|(name, _)| version == name);
    known.map(|(_, schema)| *schema).ok_or_else(|| {
        let names: Vec<_> = schemas.iter().map(|(name, _)| *name).collect();
        format!("schemaVersion {version} is not one of {}", names.join(", "))
    })
}

fn types(value: &Value) -> Result<Vec<Category>, String> {
    let values = value
        .as_array()
        .filter(|values| !values.is_empty())
        .ok_or("types is not an array of at least one of platform, function, extension")?;
    let mut types = vec![];
    for value in values {
        let category = value
            .as_str()
            .and_then(Category::parse)
            .ok_or_else(|| format!("types: {value} is not one of platform, function, extension"))?;
        // Asked for twice, an event still comes once.
        if !types.contains(&category) {
            types.push(category);
        }
    }
    Ok(types)
}

fn buffering(value: &Value) -> Result<Buffering, String> {
    let object = object(value, "buffering")?;
    let number = |name: &str, minimum: u64, maximum: u64| match object.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_u64()
            .filter(|number| (minimum..=maximum).contains(number))
            .map(Some)
            .ok_or_else(|| {
                format!("buffering.{name}: {value} is not an integer from {minimum} to {maximum}")
            }),
    };
    let default = Buffering::default();
    let size = |number: Option<u64>, default: usize| {
        number
            .and_then(|number| usize::try_from(number).ok())
            .unwrap_or(default)
    };
    Ok(Buffering {
        max_items: size(number("maxItems", 1_000, 10_000)?, default.max_items),
        max_bytes: size(number("maxBytes", 262_144, 1_048_576)?, default.max_bytes),
        timeout: number("timeoutMs", 25, 30_000)?.map_or(default.timeout, Duration::from_millis),
    })
}

fn destination(value: &Value) -> Result<Destination, String> {
    let object = object(value, "destination")?;
    let destination = match required(object, "protocol")?.as_str() {
        Some("HTTP") => http(object)?,
        Some("TCP") => Destination::Tcp {
            port: tcp_port(required(object, "port")?)?,
        },
        _ => return Err("destination.protocol is neither HTTP nor TCP".to_owned()),
    };
    if destination.port() == RUNTIME_API_PORT {
        return Err(format!(
            "destination: port {RUNTIME_API_PORT} is reserved for the Runtime API; choose another"
        ));
    }
    Ok(destination)
}

fn tcp_port(value: &Value) -> Result<u16, String> {
    let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port > 0)
        .ok_or_else(|| format!("destination.port: {value} is not an integer from 1 to 65535"))
}

fn http(object: &Map<String, Value>) -> Result<Destination, String> {
    let value = required(object, "URI")?;
    let uri = value
        .as_str()
        .and_then(|uri| uri.parse::<hyper::Uri>().ok())
        .ok_or_else(|| format!("destination.URI: {value} is not a URI"))?;
    if uri.scheme_str() != Some("http") {
        return Err(format!(
            "destination.URI: {value} does not begin with http://"
        ));
    }
    let authority = uri.authority();
    let authority = authority.filter(|authority| HOSTS.contains(&authority.host()));
    let Some(authority) = authority else {
        return Err("destination.URI host must be sandbox.localdomain".to_owned());
    };
    let method = match object.get("method") {
        None => HttpMethod::Post,
        Some(method) if method == "POST" => HttpMethod::Post,
        Some(method) if method == "PUT" => HttpMethod::Put,
        Some(method) => {
            return Err(format!(
                "destination.method: {method} is neither POST nor PUT"
            ));
        }
    };
    match object.get("encoding") {
        None => {}
        Some(encoding) if encoding == "JSON" => {}
        Some(encoding) => return Err(format!("destination.encoding: {encoding} is not JSON")),
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(Destination::Http {
        port: authority.port_u16().unwrap_or(80),
        authority: authority.as_str().to_owned(),
        path: path.to_owned(),
        method,
    })
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| format!("{what} is not a JSON object"))
}

fn required<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Value, String> {
    object.get(name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> String {
    format!("missing property: {name}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
}

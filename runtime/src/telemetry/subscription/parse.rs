//! The body of a subscription.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    Api, Buffering, Category, Destination, HttpMethod, Schema, Subscription, SubscriptionError,
};

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

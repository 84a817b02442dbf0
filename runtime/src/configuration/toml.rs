//! `lambent.toml`: what a template says, without a template. Keys are Lambda's names
//! in TOML's usual spelling; an unknown one is an error.

mod function;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use toml::{Table, Value};

use self::function::Function;
use self::values::{check_keys, cors, integer, string, table};
use super::{Configuration, ConfigurationError, EndpointSettings, MIN_MEMORY_LIMIT, Place};

type Result<T> = std::result::Result<T, ConfigurationError>;

/// Keys of the file.
const FILE: [&str; 4] = ["endpoint", "functions", "layers", "runtime_images"];
const ENDPOINT: [&str; 8] = [
    "cors",
    "grace",
    "http_api",
    "idle",
    "image_poll",
    "listen",
    "memory_limit",
    "otlp_endpoint",
];
const LAYER: [&str; 2] = ["content", "name"];

/// Parses the file.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn parse(text: &str, role: &str) -> Result<Configuration> {
    let file: Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| {
            let before = text.get(..span.start).unwrap_or(text);
            before.matches('\n').count() + 1
        });
        let place = Place {
            path: String::new(),
            line,
        };
        place.error(error.message())
    })?;
    let root = Place::default();
    check_keys(&file, &FILE, &root)?;
    let mut configuration = Configuration {
        endpoint: endpoint(file.get("endpoint"), &root.part("endpoint"))?,
        ..Configuration::default()
    };
    let http_cors = file
        .get("endpoint")
        .and_then(|endpoint| endpoint.get("cors"));
    if let Some(value) = http_cors {
        let place = root.part("endpoint.cors");
        configuration.api.cors = Some(cors(value, &place)?.1);
    }
    if let Some(images) = file.get("runtime_images") {
        let place = root.part("runtime_images");
        for (runtime, image) in table(images, &place)? {
            let image = string(image, &place.part(runtime))?;
            configuration.runtime_images.insert(runtime.clone(), image);
        }
    }
    let layers = layers(file.get("layers"), &root.part("layers"))?;
    let Some(functions) = file.get("functions") else {
        return Ok(configuration);
    };
    let place = root.part("functions");
    for (name, function) in table(functions, &place)? {
        let place = place.part(name);
        let function = Function {
            name: name
                .parse()
                .map_err(|error: crate::model::InvalidFunctionName| {
                    place.error(error.to_string())
                })?,
            table: table(function, &place)?,
            place,
            role,
            layers: &layers,
        };
        configuration.functions.push(function.configured()?);
        function.routes(&mut configuration.api)?;
    }
    Ok(configuration)
}

fn endpoint(value: Option<&Value>, place: &Place) -> Result<EndpointSettings> {
    let Some(value) = value else {
        return Ok(EndpointSettings::default());
    };
    let table = table(value, place)?;
    check_keys(table, &ENDPOINT, place)?;
    let address = |key: &str| {
        let value = table.get(key);
        let value = value.map(|value| {
            let place = place.part(key);
            let text = string(value, &place)?;
            text.parse::<SocketAddr>()
                .map_err(|error| place.error(format!("\"{text}\": {error}, write ADDRESS:PORT")))
        });
        value.transpose()
    };
    let text = |key: &str| {
        let value = table.get(key);
        let value = value.map(|value| string(value, &place.part(key)));
        value.transpose()
    };
    let seconds = |key: &str| {
        let value = table.get(key);
        let value = value.map(|value| {
            let place = place.part(key);
            u32::try_from(integer(value, &place)?)
                .map_err(|_| place.error("is not a number of seconds"))
        });
        value.transpose()
    };
    Ok(EndpointSettings {
        listen: address("listen")?,
        http_api: address("http_api")?,
        idle: seconds("idle")?,
        grace: seconds("grace")?,
        image_poll: seconds("image_poll")?,
        memory_limit: table
            .get("memory_limit")
            .map(|value| memory_limit(value, &place.part("memory_limit")))
            .transpose()?,
        otlp_endpoint: text("otlp_endpoint")?,
    })
}

/// Megabytes, as of `--memory-limit`.
fn memory_limit(value: &Value, place: &Place) -> Result<u64> {
    let megabytes = integer(value, place)?;
    u64::try_from(megabytes)
        .ok()
        .filter(|megabytes| *megabytes >= MIN_MEMORY_LIMIT)
        .ok_or_else(|| {
            place.error(format!(
                "is {megabytes}, and the smallest function needs {MIN_MEMORY_LIMIT} (MB)"
            ))
        })
}

/// Content by name.
fn layers(value: Option<&Value>, place: &Place) -> Result<BTreeMap<String, String>> {
    let mut layers = BTreeMap::new();
    let Some(value) = value else {
        return Ok(layers);
    };
    let items = value
        .as_array()
        .ok_or_else(|| place.error("is not a list of tables: write [[layers]]"))?;
    for item in items {
        let table = table(item, place)?;
        check_keys(table, &LAYER, place)?;
        let member = |key: &str| {
            let value = table.get(key);
            let value = value.ok_or_else(|| place.error(format!("a layer has no {key}")))?;
            string(value, &place.part(key))
        };
        let name = member("name")?;
        if layers.insert(name.clone(), member("content")?).is_some() {
            return Err(place.error(format!("there are two layers \"{name}\"")));
        }
    }
    Ok(layers)
}

#[cfg(test)]
mod tests;

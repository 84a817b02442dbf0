//! `lambent.toml`: what a template says, without a template. Keys are Lambda's names
//! in TOML's usual spelling; an unknown one is an error.

mod function;
mod tree;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use self::function::Function;
use self::tree::{Node, Table};
use self::values::{Range, check_keys, cors, integer, list, member, string, table};
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

/// What the service may take of memory. No machine has the most.
const MEMORY_LIMIT: Range = Range {
    lowest: MIN_MEMORY_LIMIT,
    highest: u32::MAX,
    unit: "MB",
};
const SECONDS: Range = Range {
    lowest: 0,
    highest: u32::MAX,
    unit: "seconds",
};

/// Parses the file.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn parse(text: &str, role: &str) -> Result<Configuration> {
    let file = tree::parse(text)?;
    let root = Place::default();
    check_keys(&file, &FILE, &root)?;
    let part = |name: &str| file.get(name).map(|node| (node, member(&root, name, node)));
    let mut configuration = Configuration::default();
    if let Some((node, place)) = part("endpoint") {
        let table = table(node, &place)?;
        configuration.endpoint = endpoint(table, &place)?;
        if let Some(node) = table.get("cors") {
            let (_, cors) = cors(node, &member(&place, "cors", node))?;
            configuration.api.cors = Some(cors);
        }
    }
    if let Some((node, place)) = part("runtime_images") {
        for (runtime, image) in table(node, &place)? {
            let image = string(image, &member(&place, runtime, image))?;
            configuration.runtime_images.insert(runtime.clone(), image);
        }
    }
    let layers = match part("layers") {
        Some((node, place)) => layers(node, &place)?,
        None => BTreeMap::new(),
    };
    let Some((node, place)) = part("functions") else {
        return Ok(configuration);
    };
    for (name, node) in table(node, &place)? {
        let place = member(&place, name, node);
        let function = Function {
            name: name
                .parse()
                .map_err(|error: crate::model::InvalidFunctionName| {
                    place.error(error.to_string())
                })?,
            table: table(node, &place)?,
            place,
            role,
            layers: &layers,
        };
        configuration.functions.push(function.configured()?);
        function.routes(&mut configuration.api)?;
    }
    Ok(configuration)
}

fn endpoint(table: &Table, place: &Place) -> Result<EndpointSettings> {
    check_keys(table, &ENDPOINT, place)?;
    let part = |key: &str| {
        let node = table.get(key);
        node.map(|node| (node, member(place, key, node)))
    };
    let text = |key: &str| {
        let part = part(key).map(|(node, place)| string(node, &place));
        part.transpose()
    };
    let address = |key: &str| {
        let address = part(key).map(|(node, place)| {
            let text = string(node, &place)?;
            text.parse::<SocketAddr>()
                .map_err(|error| place.error(format!("\"{text}\": {error}, write ADDRESS:PORT")))
        });
        address.transpose()
    };
    let number = |key: &str, range: Range| {
        let number = part(key).map(|(node, place)| integer(node, &place, range));
        number.transpose()
    };
    Ok(EndpointSettings {
        listen: address("listen")?,
        http_api: address("http_api")?,
        idle: number("idle", SECONDS)?,
        grace: number("grace", SECONDS)?,
        image_poll: number("image_poll", SECONDS)?,
        memory_limit: number("memory_limit", MEMORY_LIMIT)?.map(u64::from),
        otlp_endpoint: text("otlp_endpoint")?,
    })
}

/// Content by name.
fn layers(node: &Node, place: &Place) -> Result<BTreeMap<String, String>> {
    let mut layers = BTreeMap::new();
    for item in list(node, place, " of tables: write [[layers]]")? {
        let place = place.clone().at(item.line);
        let table = table(item, &place)?;
        check_keys(table, &LAYER, &place)?;
        let text = |key: &str| {
            let node = table.get(key);
            let node = node.ok_or_else(|| place.error(format!("a layer has no {key}")))?;
            string(node, &member(&place, key, node))
        };
        let name = text("name")?;
        if layers.insert(name.clone(), text("content")?).is_some() {
            return Err(place.error(format!("there are two layers \"{name}\"")));
        }
    }
    Ok(layers)
}

#[cfg(test)]
mod tests;

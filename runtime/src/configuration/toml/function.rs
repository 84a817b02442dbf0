//! `[functions.NAME]`.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::Result;
use super::tree::{Kind, Node, Table};
use super::values::{
    Range, check_keys, cors, integer, member, placed_strings, string, strings, table, variables,
};
use crate::configuration::{
    Api, ApiKind, CodeSource, ConfiguredFunction, LayerSource, Place, Route, RouteKey,
};
use crate::model::{
    ACCOUNT_CONCURRENCY, EphemeralStorage, FunctionName, FunctionReference, MemorySize, Timeout,
};

const LOGGING: [(&str, &str); 3] = [
    ("application_log_level", "ApplicationLogLevel"),
    ("log_format", "LogFormat"),
    ("system_log_level", "SystemLogLevel"),
];
const URL: [&str; 3] = ["auth_type", "cors", "invoke_mode"];

const MEMORY_SIZE: Range = Range {
    lowest: MemorySize::MIN.get(),
    highest: MemorySize::MAX.get(),
    unit: "MB",
};
const STORAGE: Range = Range {
    lowest: EphemeralStorage::MIN.get(),
    highest: EphemeralStorage::MAX.get(),
    unit: "MB",
};
const TIMEOUT: Range = Range {
    lowest: Timeout::MIN.get(),
    highest: Timeout::MAX.get(),
    unit: "seconds",
};
const CONCURRENCY: Range = Range {
    lowest: 0,
    highest: ACCOUNT_CONCURRENCY as u32,
    unit: "environments",
};

/// Keys of a function that are members of `CreateFunction`.
const MEMBERS: [(&str, &str); 8] = [
    ("description", "Description"),
    ("environment", "Environment"),
    ("ephemeral_storage", "EphemeralStorage"),
    ("handler", "Handler"),
    ("memory_size", "MemorySize"),
    ("role", "Role"),
    ("runtime", "Runtime"),
    ("timeout", "Timeout"),
];
/// All of them.
const FUNCTION: [&str; 21] = [
    "architecture",
    "auto_publish_alias",
    "code",
    "command",
    "description",
    "entry_point",
    "environment",
    "ephemeral_storage",
    "handler",
    "image",
    "layers",
    "logging_config",
    "memory_size",
    "provisioned_concurrent_executions",
    "reserved_concurrent_executions",
    "role",
    "routes",
    "runtime",
    "timeout",
    "url",
    "working_directory",
];

/// One function of the file.
pub(super) struct Function<'a> {
    pub(super) name: FunctionName,
    pub(super) table: &'a Table,
    pub(super) place: Place,
    pub(super) role: &'a str,
    /// Content by name.
    pub(super) layers: &'a BTreeMap<String, String>,
}

impl Function<'_> {
    pub(super) fn configured(&self) -> Result<ConfiguredFunction> {
        check_keys(self.table, &FUNCTION, &self.place)?;
        let (code, package) = match (self.string("image")?, self.string("code")?) {
            (Some(image), None) => (CodeSource::Image(image), "Image"),
            (None, Some(code)) => (CodeSource::Files(code), "Zip"),
            (Some(_), Some(_)) => {
                return Err(self
                    .place
                    .error("has both image and code: keep one of them"));
            }
            (None, None) => {
                return Err(self.place.error(
                    "has no code: name an image (image = \"my-function.tar\"), or a directory or \
                     zip archive (code = \"src\", with runtime and handler)",
                ));
            }
        };
        let mut request = Map::new();
        request.insert("FunctionName".to_owned(), json!(self.name));
        request.insert("PackageType".to_owned(), json!(package));
        request.insert("Role".to_owned(), json!(self.role));
        let mut places = BTreeMap::new();
        for (key, name) in MEMBERS {
            let Some((node, place)) = self.part(key) else {
                continue;
            };
            let value = match key {
                "environment" => json!({"Variables": variables(node, &place)?}),
                "ephemeral_storage" => json!({"Size": integer(node, &place, STORAGE)?}),
                "memory_size" => json!(integer(node, &place, MEMORY_SIZE)?),
                "timeout" => json!(integer(node, &place, TIMEOUT)?),
                _ => json!(string(node, &place)?),
            };
            request.insert(name.to_owned(), value);
            places.insert(name.to_owned(), place);
        }
        for (key, name) in [
            ("architecture", "Architectures"),
            ("logging_config", "LoggingConfig"),
        ] {
            places.extend(self.part(key).map(|(_, place)| (name.to_owned(), place)));
        }
        if let Some(config) = self.logging_config()? {
            request.insert("LoggingConfig".to_owned(), config);
        }
        if let Some(architecture) = self.string("architecture")? {
            request.insert("Architectures".to_owned(), json!([architecture]));
        }
        let mut image_config = Map::new();
        for (key, name) in [("entry_point", "EntryPoint"), ("command", "Command")] {
            if let Some((node, place)) = self.part(key) {
                image_config.insert(name.to_owned(), json!(strings(node, &place)?));
            }
        }
        if let Some(directory) = self.string("working_directory")? {
            image_config.insert("WorkingDirectory".to_owned(), json!(directory));
        }
        if !image_config.is_empty() {
            request.insert("ImageConfig".to_owned(), Json::Object(image_config));
        }
        Ok(ConfiguredFunction {
            name: self.name.clone(),
            place: self.place.clone(),
            places,
            request: Json::Object(request),
            code,
            layers: self.layers()?,
            reserved: self.concurrency("reserved_concurrent_executions")?,
            provisioned: self.provisioned()?,
            alias: self.string("auto_publish_alias")?,
            url: self.url()?,
        })
    }

    /// The form of its log. Which values there are, `CreateFunction` knows.
    fn logging_config(&self) -> Result<Option<Json>> {
        let Some((node, place)) = self.part("logging_config") else {
            return Ok(None);
        };
        let table = table(node, &place)?;
        check_keys(table, &LOGGING.map(|(key, _)| key), &place)?;
        let mut config = Map::new();
        for (key, name) in LOGGING {
            if let Some(node) = table.get(key) {
                let text = string(node, &member(&place, key, node))?;
                config.insert(name.to_owned(), json!(text));
            }
        }
        Ok(Some(Json::Object(config)))
    }

    fn provisioned(&self) -> Result<Option<i64>> {
        const KEY: &str = "provisioned_concurrent_executions";
        let provisioned = self.concurrency(KEY)?;
        if let Some((_, place)) = self.part(KEY)
            && !self.table.contains_key("auto_publish_alias")
        {
            return Err(place.error("is of an alias: set auto_publish_alias too"));
        }
        Ok(provisioned)
    }

    fn layers(&self) -> Result<Vec<LayerSource>> {
        let Some((node, place)) = self.part("layers") else {
            return Ok(vec![]);
        };
        let one = |(text, place): (String, Place)| {
            if text.starts_with("arn:") {
                return Ok(LayerSource::Arn(text));
            }
            let content = self.layers.get(&text).cloned().ok_or_else(|| {
                place.error(format!(
                    "there is no layer \"{text}\": add a [[layers]] with name and content, or give \
                     the ARN of a published one"
                ))
            })?;
            Ok(LayerSource::Files {
                name: text,
                content,
            })
        };
        placed_strings(node, &place)?.into_iter().map(one).collect()
    }

    fn url(&self) -> Result<Option<Json>> {
        let Some((node, place)) = self.part("url") else {
            return Ok(None);
        };
        let table = match &node.kind {
            Kind::Boolean(false) => return Ok(None),
            Kind::Boolean(true) => return Ok(Some(json!({"AuthType": "NONE"}))),
            _ => table(node, &place)?,
        };
        check_keys(table, &URL, &place)?;
        let mut url = Map::new();
        url.insert("AuthType".to_owned(), json!("NONE"));
        for (key, name) in [("auth_type", "AuthType"), ("invoke_mode", "InvokeMode")] {
            if let Some(node) = table.get(key) {
                let text = string(node, &member(&place, key, node))?;
                url.insert(name.to_owned(), json!(text));
            }
        }
        if let Some(node) = table.get("cors") {
            let (members, _) = cors(node, &member(&place, "cors", node))?;
            url.insert("Cors".to_owned(), members);
        }
        Ok(Some(Json::Object(url)))
    }

    pub(super) fn routes(&self, api: &mut Api) -> Result<()> {
        let Some((node, place)) = self.part("routes") else {
            return Ok(());
        };
        for (text, place) in placed_strings(node, &place)? {
            let route = Route {
                key: RouteKey::parse(&text).map_err(|error| place.error(error))?,
                function: FunctionReference {
                    name: self.name.clone(),
                    qualifier: self.string("auto_publish_alias")?,
                },
                kind: ApiKind::Http,
            };
            api.add(route).map_err(|error| place.error(error))?;
        }
        Ok(())
    }

    /// A member, and where it is.
    fn part(&self, key: &str) -> Option<(&Node, Place)> {
        let node = self.table.get(key)?;
        Some((node, member(&self.place, key, node)))
    }

    fn string(&self, key: &str) -> Result<Option<String>> {
        let part = self.part(key);
        part.map(|(node, place)| string(node, &place)).transpose()
    }

    fn concurrency(&self, key: &str) -> Result<Option<i64>> {
        let part = self.part(key);
        let number = part.map(|(node, place)| integer(node, &place, CONCURRENCY));
        Ok(number.transpose()?.map(i64::from))
    }
}

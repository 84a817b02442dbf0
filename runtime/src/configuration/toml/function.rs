//! `[functions.NAME]`.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use toml::{Table, Value};

use super::Result;
use super::values::{check_keys, cors, integer, string, strings, table, variables};
use crate::configuration::{
    Api, ApiKind, CodeSource, ConfiguredFunction, LayerSource, Place, Route, RouteKey,
};
use crate::model::{FunctionName, FunctionReference};

const LOGGING: [(&str, &str); 3] = [
    ("application_log_level", "ApplicationLogLevel"),
    ("log_format", "LogFormat"),
    ("system_log_level", "SystemLogLevel"),
];
const URL: [&str; 3] = ["auth_type", "cors", "invoke_mode"];

/// Keys of a function that are members of `CreateFunction`.
const MEMBERS: [(&str, &str); 7] = [
    ("description", "Description"),
    ("environment", "Environment"),
    ("ephemeral_storage", "EphemeralStorage"),
    ("handler", "Handler"),
    ("memory_size", "MemorySize"),
    ("role", "Role"),
    ("runtime", "Runtime"),
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
        for (key, member) in MEMBERS {
            let place = self.place.part(key);
            let Some(value) = self.table.get(key) else {
                continue;
            };
            let value = match key {
                "environment" => json!({"Variables": variables(value, &place)?}),
                "ephemeral_storage" => json!({"Size": integer(value, &place)?}),
                "memory_size" => json!(integer(value, &place)?),
                _ => json!(string(value, &place)?),
            };
            request.insert(member.to_owned(), value);
        }
        if let Some(seconds) = self.integer("timeout")? {
            request.insert("Timeout".to_owned(), json!(seconds));
        }
        if let Some(config) = self.logging_config()? {
            request.insert("LoggingConfig".to_owned(), config);
        }
        if let Some(architecture) = self.string("architecture")? {
            request.insert("Architectures".to_owned(), json!([architecture]));
        }
        let mut image_config = Map::new();
        for (key, member) in [("entry_point", "EntryPoint"), ("command", "Command")] {
            if let Some(value) = self.table.get(key) {
                let list = strings(value, &self.place.part(key))?;
                image_config.insert(member.to_owned(), json!(list));
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
            request: Json::Object(request),
            code,
            layers: self.layers()?,
            reserved: self.integer("reserved_concurrent_executions")?,
            provisioned: self.provisioned()?,
            alias: self.string("auto_publish_alias")?,
            url: self.url()?,
        })
    }

    /// The form of its log. Which values there are, `CreateFunction` knows.
    fn logging_config(&self) -> Result<Option<Json>> {
        let place = self.place.part("logging_config");
        let Some(value) = self.table.get("logging_config") else {
            return Ok(None);
        };
        let table = table(value, &place)?;
        check_keys(table, &LOGGING.map(|(key, _)| key), &place)?;
        let mut config = Map::new();
        for (key, member) in LOGGING {
            if let Some(value) = table.get(key) {
                let text = string(value, &place.part(key))?;
                config.insert(member.to_owned(), json!(text));
            }
        }
        Ok(Some(Json::Object(config)))
    }

    fn provisioned(&self) -> Result<Option<i64>> {
        const KEY: &str = "provisioned_concurrent_executions";
        let provisioned = self.integer(KEY)?;
        if provisioned.is_some() && !self.table.contains_key("auto_publish_alias") {
            let place = self.place.part(KEY);
            return Err(place.error("is of an alias: set auto_publish_alias too"));
        }
        Ok(provisioned)
    }

    fn layers(&self) -> Result<Vec<LayerSource>> {
        let Some(value) = self.table.get("layers") else {
            return Ok(vec![]);
        };
        let place = self.place.part("layers");
        let one = |text: String| {
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
        strings(value, &place)?.into_iter().map(one).collect()
    }

    fn url(&self) -> Result<Option<Json>> {
        let place = self.place.part("url");
        let table = match self.table.get("url") {
            None | Some(Value::Boolean(false)) => return Ok(None),
            Some(Value::Boolean(true)) => return Ok(Some(json!({"AuthType": "NONE"}))),
            Some(value) => table(value, &place)?,
        };
        check_keys(table, &URL, &place)?;
        let mut url = Map::new();
        url.insert("AuthType".to_owned(), json!("NONE"));
        for (key, member) in [("auth_type", "AuthType"), ("invoke_mode", "InvokeMode")] {
            if let Some(value) = table.get(key) {
                let text = string(value, &place.part(key))?;
                url.insert(member.to_owned(), json!(text));
            }
        }
        if let Some(value) = table.get("cors") {
            let (members, _) = cors(value, &place.part("cors"))?;
            url.insert("Cors".to_owned(), members);
        }
        Ok(Some(Json::Object(url)))
    }

    pub(super) fn routes(&self, api: &mut Api) -> Result<()> {
        let Some(value) = self.table.get("routes") else {
            return Ok(());
        };
        let place = self.place.part("routes");
        for text in strings(value, &place)? {
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

    fn string(&self, key: &str) -> Result<Option<String>> {
        let value = self.table.get(key);
        value
            .map(|value| string(value, &self.place.part(key)))
            .transpose()
    }

    fn integer(&self, key: &str) -> Result<Option<i64>> {
        let value = self.table.get(key);
        value
            .map(|value| integer(value, &self.place.part(key)))
            .transpose()
    }
}

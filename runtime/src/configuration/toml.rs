//! `lambent.toml`: what a template says, without a template. Keys are Lambda's names
//! in TOML's usual spelling; an unknown one is an error.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Map, Value as Json, json};
use toml::{Table, Value};

use super::keys::unknown;
use super::{
    Api, ApiKind, CodeSource, Configuration, ConfigurationError, ConfiguredFunction, Cors,
    EndpointSettings, LayerSource, MIN_MEMORY_LIMIT, Place, Route, RouteKey,
};
use crate::model::{FunctionName, FunctionReference};

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
const LOGGING: [(&str, &str); 3] = [
    ("application_log_level", "ApplicationLogLevel"),
    ("log_format", "LogFormat"),
    ("system_log_level", "SystemLogLevel"),
];
const LAYER: [&str; 2] = ["content", "name"];
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

/// One function of the file.
struct Function<'a> {
    name: FunctionName,
    table: &'a Table,
    place: Place,
    role: &'a str,
    /// Content by name.
    layers: &'a BTreeMap<String, String>,
}

impl Function<'_> {
    fn configured(&self) -> Result<ConfiguredFunction> {
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

    fn routes(&self, api: &mut Api) -> Result<()> {
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

/// The members of `Cors` from their keys, and what they mean.
fn cors(value: &Value, place: &Place) -> Result<(Json, Cors)> {
    const KEYS: [(&str, &str); 6] = [
        ("allow_credentials", "AllowCredentials"),
        ("allow_headers", "AllowHeaders"),
        ("allow_methods", "AllowMethods"),
        ("allow_origins", "AllowOrigins"),
        ("expose_headers", "ExposeHeaders"),
        ("max_age", "MaxAge"),
    ];
    let table = table(value, place)?;
    check_keys(table, &KEYS.map(|(key, _)| key), place)?;
    let mut members = Map::new();
    for (key, member) in KEYS {
        if let Some(value) = table.get(key) {
            let value = match value {
                Value::Boolean(value) => json!(value),
                Value::Integer(value) => json!(value),
                other => json!(strings(other, &place.part(key))?),
            };
            members.insert(member.to_owned(), value);
        }
    }
    let cors = Cors::from_members(&members).map_err(|error| place.error(error))?;
    Ok((Json::Object(members), cors))
}

/// Variables are texts; numbers and truth values become what they look like.
fn variables(value: &Value, place: &Place) -> Result<Map<String, Json>> {
    let one = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(value) => value.to_string(),
            _ => return Err(place.part(name).error("is not a text")),
        };
        Ok((name.clone(), Json::String(text)))
    };
    table(value, place)?.iter().map(one).collect()
}

fn check_keys(table: &Table, known: &[&str], place: &Place) -> Result<()> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(place.error(unknown(key, known))),
        None => Ok(()),
    }
}

fn table<'a>(value: &'a Value, place: &Place) -> Result<&'a Table> {
    value
        .as_table()
        .ok_or_else(|| place.error("is not a table of keys"))
}

fn string(value: &Value, place: &Place) -> Result<String> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| place.error("is not a text: put it in quotes"))
}

fn strings(value: &Value, place: &Place) -> Result<Vec<String>> {
    let items = value.as_array();
    items
        .ok_or_else(|| place.error("is not a list: write [\"…\", \"…\"]"))?
        .iter()
        .map(|item| string(item, place))
        .collect()
}

fn integer(value: &Value, place: &Place) -> Result<i64> {
    value
        .as_integer()
        .ok_or_else(|| place.error("is not a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::123456789012:role/r";

    #[test]
    fn a_file_becomes_functions() {
        let configuration = parse(
            r#"
            [endpoint]
            listen = "127.0.0.1:9001"
            idle = 60
            image_poll = 0
            memory_limit = 2048
            otlp_endpoint = "http://127.0.0.1:4318"
            cors = { allow_origins = ["https://page"] }
            [runtime_images]
            "python3.12" = "python.tar"
            [[layers]]
            name = "pillow"
            content = "layer"
            [functions.image]
            image = "oci-archive:f.tar"
            memory_size = 512
            logging_config = { log_format = "JSON", application_log_level = "DEBUG" }
            command = ["app.other"]
            routes = ["GET /a/{id}", "$default"]
            [functions.zip]
            code = "src"
            runtime = "python3.12"
            handler = "app.handler"
            timeout = 10
            environment = { STAGE = "local", N = 3, DEBUG = true }
            layers = ["pillow", "arn:aws:lambda:us-east-1:123456789012:layer:x:1"]
            auto_publish_alias = "live"
            provisioned_concurrent_executions = 2
            url = { cors = { allow_origins = ["*"], max_age = 60 } }
            "#,
            ROLE,
        )
        .unwrap();
        assert_eq!(configuration.endpoint.idle, Some(60));
        assert_eq!(configuration.endpoint.image_poll, Some(0));
        assert_eq!(configuration.endpoint.memory_limit, Some(2048));
        let collector = configuration.endpoint.otlp_endpoint.as_deref();
        assert_eq!(collector, Some("http://127.0.0.1:4318"));
        let cors = configuration.api.cors.as_ref().unwrap();
        assert_eq!(cors.allow_origins, ["https://page"]);
        assert_eq!(configuration.runtime_images["python3.12"], "python.tar");
        let [image, zip] = configuration.functions.as_slice() else {
            panic!("{configuration:?}");
        };
        assert_eq!(
            image.code,
            CodeSource::Image("oci-archive:f.tar".to_owned())
        );
        assert_eq!(
            image.request,
            json!({
                "FunctionName": "image", "PackageType": "Image", "Role": ROLE,
                "LoggingConfig": {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"},
                "MemorySize": 512, "ImageConfig": {"Command": ["app.other"]},
            })
        );
        assert_eq!(zip.code, CodeSource::Files("src".to_owned()));
        assert_eq!(
            (zip.alias.as_deref(), zip.provisioned),
            (Some("live"), Some(2))
        );
        assert_eq!(
            zip.request["Environment"],
            json!({"Variables": {"STAGE": "local", "N": "3", "DEBUG": "true"}})
        );
        assert_eq!(zip.layers.len(), 2);
        assert_eq!(
            zip.url,
            Some(json!({"AuthType": "NONE", "Cors": {"AllowOrigins": ["*"], "MaxAge": 60}}))
        );
        let keys: Vec<String> = configuration
            .api
            .routes
            .iter()
            .map(|route| route.key.to_string())
            .collect();
        assert_eq!(keys, ["GET /a/{id}", "$default"]);
    }

    #[test]
    fn errors_name_the_place() {
        for (text, part) in [
            ("x = 1", "the file: there is no key \"x\""),
            ("[function.f]", "did you mean functions?"),
            (
                "[functions.f]\nimage = \"a\"\nlogging_config = { format = \"JSON\" }",
                "functions.f.logging_config: there is no key \"format\"",
            ),
            ("[functions.f]", "functions.f: has no code"),
            (
                "[functions.f]\nimage = \"a\"\nmemory = 128",
                "functions.f: there is no key \"memory\" here: did you mean memory_size?",
            ),
            (
                "[functions.f]\nimage = \"a\"\nmemory_size = \"128\"",
                "functions.f.memory_size: is not a whole number",
            ),
            ("[functions.\"a b\"]\nimage = \"a\"", "function name"),
            (
                "[functions.f]\nimage = \"a\"\nlayers = [\"x\"]",
                "there is no layer \"x\"",
            ),
            (
                "[functions.f]\nimage = \"a\"\nroutes = [\"GET a\"]",
                "functions.f.routes: path \"a\"",
            ),
            (
                "[functions.f]\nimage = \"a\"\n[functions.f.url.cors]\nallow_origin = 1",
                "did you mean allow_origins?",
            ),
            (
                "[functions.f]\nimage = \"a\"\nprovisioned_concurrent_executions = 1",
                "set auto_publish_alias",
            ),
            ("[endpoint]\nlisten = \"9000\"", "endpoint.listen: \"9000\""),
            (
                "[endpoint]\nmemory_limit = 127",
                "endpoint.memory_limit: is 127, and the smallest function needs 128 (MB)",
            ),
            (
                "[endpoint]\nmemory_limit = -1",
                "endpoint.memory_limit: is -1, and the smallest function needs 128 (MB)",
            ),
            ("a = [\nb", "line 2"),
        ] {
            let error = parse(text, ROLE).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}

use serde_json::json;

use super::*;
use crate::configuration::CodeSource;

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
            environment = { STAGE = "local", N = 0x3, DEBUG = true, BIG = 99999999999999999999 }
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
        json!({"Variables": {"STAGE": "local", "N": "3", "DEBUG": "true", "BIG": "99999999999999999999"}})
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
        ("x = 1", "line 1: there is no key \"x\""),
        ("[function.f]", "did you mean functions?"),
        (
            "[functions.f]\nimage = \"a\"\nlogging_config = { format = \"JSON\" }",
            "functions.f.logging_config (line 3): there is no key \"format\"",
        ),
        ("[functions.f]", "functions.f (line 1): has no code"),
        (
            "[functions.f]\nimage = \"a\"\nmemory = 128",
            "functions.f (line 3): there is no key \"memory\" here: did you mean memory_size?",
        ),
        (
            "[functions.f]\nimage = \"a\"\nmemory_size = \"128\"",
            "functions.f.memory_size (line 3): is not a whole number",
        ),
        ("[functions.\"a b\"]\nimage = \"a\"", "function name"),
        (
            "[functions.f]\nimage = \"a\"\nlayers = [\"x\"]",
            "there is no layer \"x\"",
        ),
        (
            "[functions.f]\nimage = \"a\"\nroutes = [\"GET a\"]",
            "functions.f.routes (line 3): path \"a\"",
        ),
        (
            "[functions.f]\nimage = \"a\"\n[functions.f.url.cors]\nallow_origin = 1",
            "did you mean allow_origins?",
        ),
        (
            "[functions.f]\nimage = \"a\"\nprovisioned_concurrent_executions = 1",
            "set auto_publish_alias",
        ),
        (
            "[endpoint]\nlisten = \"9000\"",
            "endpoint.listen (line 2): \"9000\"",
        ),
        (
            "[endpoint]\nmemory_limit = 127",
            "endpoint.memory_limit (line 2): is 127, and may be 128 to 4294967295 (MB)",
        ),
        (
            "[endpoint]\nmemory_limit = -1",
            "endpoint.memory_limit (line 2): is -1, and may be 128 to 4294967295 (MB)",
        ),
        (
            "[endpoint]\n\nmemory_limit = 99_999_999_999_999_999_999",
            "endpoint.memory_limit (line 3): is 99999999999999999999, and may be 128 to",
        ),
        (
            "[endpoint]\nidle = -1",
            "endpoint.idle (line 2): is -1, and may be 0 to 4294967295 (seconds)",
        ),
        (
            "[functions.f]\nimage = \"a\"\nmemory_size = 0xffffffffffffffffffff",
            "functions.f.memory_size (line 3): is 1208925819614629174706175, and may be 128 to 10240 (MB)",
        ),
        (
            "functions.f.image = \"a\"\nfunctions.f.timeout = 901",
            "functions.f.timeout (line 2): is 901, and may be 1 to 900 (seconds)",
        ),
        (
            "[functions.f]\nimage = \"a\"\nephemeral_storage = 511",
            "functions.f.ephemeral_storage (line 3): is 511, and may be 512 to 10240 (MB)",
        ),
        (
            "[functions.f]\nimage = \"a\"\nreserved_concurrent_executions = -1",
            "reserved_concurrent_executions (line 3): is -1, and may be 0 to 1000 (environments)",
        ),
        (
            "[endpoint.cors]\nmax_age = 99999999999999999999",
            "endpoint.cors.max_age (line 2): is 99999999999999999999, and may be 0 to 86400",
        ),
        (
            "[functions.f]\nimage = \"a\"\nmemory_size = 128.5",
            "functions.f.memory_size (line 3): is not a whole number",
        ),
        (
            "[functions.f]\nimage = \"a\"\nroutes = [\n  \"GET /a\",\n  \"GET /{a}/{a}\",\n]",
            "functions.f.routes (line 5): path \"/{a}/{a}\" has the parameter a twice",
        ),
        (
            "[[layers]]\nname = \"a\"\ncontent = \"b\"\n[[layers]]\nname = \"a\"\ncontent = \"b\"",
            "layers (line 4): there are two layers",
        ),
        ("a = [\nb", "line 2"),
    ] {
        let error = parse(text, ROLE).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

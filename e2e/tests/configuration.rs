//! `lambent.toml`: found, served, followed; and how its functions stand beside those
//! that clients make.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::path::Path;

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::serve::Served;
use lambent_e2e::wait::until;
use lambent_e2e::{Lambent, boto3, fixtures, privileged, readme};
use rustix::process::Signal;
use serde_json::{Value, json};

const PRELUDE: &str = r#"
import http.client
role = "arn:aws:iam::123456789012:role/r"
def echo(name, n): return json.loads(c.invoke(FunctionName=name, Payload=json.dumps({"action": "echo", "n": n}))["Payload"].read())["event"]["n"]
def memory(name): return c.get_function_configuration(FunctionName=name)["MemorySize"]
def names(): return [f["FunctionName"] for f in c.list_functions()["Functions"]]
out = {}
"#;

fn client(served: &Served, code: &str) -> Value {
    boto3::out(served, &format!("{PRELUDE}\n{code}"))
}

fn write(directory: &Path, text: &str) {
    fs::write(directory.join("lambent.toml"), text).unwrap();
}

/// Of the README.
const SECTION: &str = "A SAM template, or lambent.toml";

#[test]
fn privileged_a_file_is_found_and_followed() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::copy(
        fixtures::path(Fixture::RustOciArchive),
        directory.join("f.tar"),
    )
    .unwrap();
    let head =
        "[endpoint]\nhttp_api = \"127.0.0.1:0\"\n[functions.f]\nimage = \"oci-archive:f.tar\"\n";
    write(directory, &format!("{head}memory_size = 256\n"));
    let served = Served::start_in(directory, &lambent, &[]);
    assert!(
        served.log().contains("there is a lambent.toml here"),
        "{}",
        served.log()
    );
    let out = client(
        &served,
        r#"
out["f"] = [echo("f", 1), memory("f")]
# As a stack drifts from its template.
c.update_function_configuration(FunctionName="f", MemorySize=512)
c.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1, "MaxAttempts": 90})
out["drifted"] = [echo("f", 2), memory("f")]
c.create_function(FunctionName="kept", Role=role, PackageType="Image", Code={"ImageUri": "f.tar"})
c.get_waiter("function_active_v2").wait(FunctionName="kept", WaiterConfig={"Delay": 1, "MaxAttempts": 90})
out["names"] = names()
"#,
    );
    assert_eq!(
        out,
        json!({"f": [1, 256], "drifted": [2, 512], "names": ["f", "kept"]}),
        "{}",
        served.log()
    );

    write(directory, &format!("{head}memory = 1024\n"));
    until("the unknown key is named", || {
        served.log().contains("did you mean memory_size?")
    });
    let out = client(&served, r#"out["f"] = [echo("f", 3), memory("f")]"#);
    assert_eq!(out["f"], json!([3, 512]));

    // A first route opens the HTTP API.
    write(
        directory,
        &format!("{head}memory_size = 1024\nroutes = [\"POST /e\"]\n"),
    );
    until("the HTTP API listens", || {
        served.log().contains("HTTP API at http://")
    });
    let log = served.log();
    let address = log.split("HTTP API at http://").nth(1).unwrap();
    let address = address.split_whitespace().next().unwrap();
    let out = client(
        &served,
        &format!(
            r#"
out["f"] = [echo("f", 4), memory("f")]
h = http.client.HTTPConnection({address:?})
h.request("POST", "/e", json.dumps({{}}))
out["route"] = h.getresponse().status
"#
        ),
    );
    // The demo function knows no such event; the route has reached it.
    assert_eq!(out, json!({"f": [4, 1024], "route": 500}), "{log}");

    // A name that a client has taken.
    let taken = format!("{head}[functions.kept]\nimage = \"oci-archive:f.tar\"\n");
    write(directory, &taken);
    until("the taken name is said", || {
        served.log().contains("there is a stored function kept")
    });
    let (status, log) = served.end(Signal::INT);
    assert!(status.success(), "{log}");
    let refused = lambent
        .command(["serve", "--listen", "127.0.0.1:0"])
        .current_dir(directory)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    // Elsewhere there is no such file, and only what is kept.
    let served = Served::start(&lambent, &[]);
    let out = client(&served, r#"out["names"] = names()"#);
    assert_eq!(out["names"], json!(["kept"]));
}

#[test]
fn privileged_the_readme_is_served_as_printed() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::create_dir(directory.join("src")).unwrap();
    fs::create_dir_all(directory.join("layer/python")).unwrap();
    fs::write(directory.join("layer/python/shared.py"), "WORD = 'hello'\n").unwrap();
    let code = r#"
import os, shared
def handler(event, context):
    name = event.get("pathParameters", {}).get("name", "nobody")
    return f"{shared.WORD} {name} in {os.environ['STAGE']}"
"#;
    fs::write(directory.join("src/app.py"), code).unwrap();
    fs::copy(
        fixtures::path(Fixture::RustOciArchive),
        directory.join("my-function.tar"),
    )
    .unwrap();
    fs::copy(
        fixtures::python_runtime(),
        directory.join("my-python-runtime.tar"),
    )
    .unwrap();
    fs::write(
        directory.join("template.yaml"),
        readme::block(SECTION, "yaml"),
    )
    .unwrap();
    write(directory, &readme::block(SECTION, "toml"));
    let template = [
        "--template",
        "template.yaml",
        "--parameter",
        "Stage=test",
        "--runtime-image",
        "python3.12=my-python-runtime.tar",
    ];
    for (arguments, hello, container) in [
        (&template[..], "Hello", "Container"),
        (&[][..], "hello", "container"),
    ] {
        let lambent = Lambent::new();
        let arguments = [arguments, &["--http-api", "127.0.0.1:0"]].concat();
        let served = Served::start_in(directory, &lambent, &arguments);
        until("the HTTP API listens", || {
            served.log().contains("HTTP API at http://")
        });
        let log = served.log();
        let api = log.split("HTTP API at http://").nth(1).unwrap();
        let api = api.split_whitespace().next().unwrap();
        let address = served.address().to_string();
        let out = client(
            &served,
            &format!(
                r#"
def get(address, path):
    h = http.client.HTTPConnection(address)
    h.request("GET", path, headers={{"Origin": "https://page"}})
    r = h.getresponse()
    return [r.status, r.getheader("access-control-allow-origin"), r.read().decode()]
out["api"] = get({api:?}, "/hello/world")
out["url"] = get({address:?}, "/lambda-url/{hello}/")
out["container"] = echo({container:?}, 1)
"#
            ),
        );
        assert_eq!(
            out,
            json!({
                "api": [200, null, "hello world in test"],
                "url": [200, "*", "hello nobody in test"],
                "container": 1,
            }),
            "{log}"
        );
    }
}

/// A function that streams: a URL that is not for streams has all of it at once.
#[test]
fn privileged_urls_stream_only_if_they_are_to() {
    if !privileged() {
        return;
    }
    let code = r#"
import http.client, json
c = http.client.HTTPConnection("127.0.0.1", 9001)
while True:
    c.request("GET", "/2018-06-01/runtime/invocation/next")
    r = c.getresponse()
    i = r.headers["lambda-runtime-aws-request-id"]
    r.read()
    head = json.dumps({"statusCode": 201, "headers": {"content-type": "text/plain"}})
    parts = iter([head.encode() + b"\0" * 8 + b"first ", b"last"])
    c.request("POST", f"/2018-06-01/runtime/invocation/{i}/response", parts, {"Lambda-Runtime-Function-Response-Mode": "streaming",
        "Content-Type": "application/vnd.awslambda.http-integration-response", "Transfer-Encoding": "chunked"}, encode_chunked=True)
    c.getresponse().read()
"#;
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let function = |name: &str, url: &str| {
        let image = Fixture::PythonOciArchive.reference();
        // A JSON text is a TOML one, too.
        let code = json!(code);
        format!(
            "[functions.{name}]\nimage = {image:?}\nmemory_size = 1024\ntimeout = 60\n\
             entry_point = [\"/usr/bin/python3\", \"-c\"]\ncommand = [{code}]\nurl = {url}\n"
        )
    };
    let buffered = function("buffered", "true");
    let streamed = function("streamed", "{ invoke_mode = \"RESPONSE_STREAM\" }");
    write(directory.path(), &(buffered + &streamed));
    let served = Served::start_in(directory.path(), &lambent, &[]);
    let address = served.address().to_string();
    let out = client(
        &served,
        &format!(
            r#"
def get(name):
    h = http.client.HTTPConnection({address:?})
    h.request("GET", f"/lambda-url/{{name}}/")
    r = h.getresponse()
    return [r.status, r.getheader("transfer-encoding"), r.read().decode()]
out["streamed"] = get("streamed")
out["buffered"] = get("buffered")
"#
        ),
    );
    assert_eq!(
        out["streamed"],
        json!([201, "chunked", "first last"]),
        "{}",
        served.log()
    );
    let head = "{\"statusCode\": 201, \"headers\": {\"content-type\": \"text/plain\"}}";
    assert_eq!(
        out["buffered"],
        json!([200, null, format!("{head}{}first last", "\0".repeat(8))])
    );
}

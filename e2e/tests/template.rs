//! Functions of a SAM template: served, called from every side, and followed while
//! the template, their code and their images change.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::path::Path;

use lambent_e2e::serve::Served;
use lambent_e2e::wait::until;
use lambent_e2e::{Lambent, boto3, fixtures, privileged};
use rustix::process::Signal;
use serde_json::{Value, json};

const TEMPLATE: &str = r#"
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
Globals:
  Function:
    Timeout: 60
    MemorySize: 1024
    Environment: {Variables: {STAGE: !Ref Stage}}
  HttpApi:
    CorsConfiguration: {AllowOrigins: ["https://page"], AllowMethods: [GET]}
Resources:
  Common:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: layer}
  Echo:
    Type: AWS::Serverless::Function
    Properties: {PackageType: Image, ImageUri: image.tar}
  Zip:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub "${Stage}-zip"
      CodeUri: src
      Runtime: python3.12
      Handler: app.handler
      Layers: [!Ref Common]
      AutoPublishAlias: live
      Policies: [AmazonS3ReadOnlyAccess]
      FunctionUrlConfig:
        AuthType: NONE
        Cors: {AllowOrigins: ["*"], AllowMethods: [GET, POST], MaxAge: 60}
      Events:
        Get: {Type: HttpApi, Properties: {Path: "/pets/{id}", Method: get}}
        Rest: {Type: Api, Properties: {Path: "/rest/{proxy+}", Method: any}}
"#;

/// Answers with what it sees.
fn code(version: &str) -> String {
    format!(
        r#"
import json, os, time, shared
def handler(event, context):
    if "crash" in json.dumps(event): raise ValueError("crash")
    if "wrong" in json.dumps(event): return {{"statusCode": "many"}}
    if "sleep" in event:
        print("sleeping", flush=True)
        time.sleep(event["sleep"])
    seen = {{"code": "{version}", "layer": shared.WORD, "stage": os.environ["STAGE"], "event": event}}
    return {{"statusCode": 201, "headers": {{"x-own": "1"}}, "body": json.dumps(seen)}}
"#
    )
}

/// What every script begins with.
const PRELUDE: &str = r#"
import http.client
from urllib.parse import urlsplit
def invoke(name, event={}, **more):
    r = c.invoke(FunctionName=name, Payload=json.dumps(event), **more)
    return [r["ExecutedVersion"], json.loads(r["Payload"].read())]
def seen(name, event={}): return json.loads(invoke(name, event)[1]["body"])
def call(address, method, path, body=None, headers={}):
    h = http.client.HTTPConnection(address)
    h.request(method, path, body, headers)
    r = h.getresponse()
    return [r.status, {k.lower(): v for k, v in r.getheaders()}, r.read().decode()]
def error(call, **arguments):
    try:
        call(**arguments)
        return "answered"
    except botocore.exceptions.ClientError as e: return e.response["Error"]["Code"]
endpoint = urlsplit(c.meta.endpoint_url).netloc
out = {}
"#;

fn client(served: &Served, code: &str) -> Value {
    boto3::out(served, &format!("{PRELUDE}\n{code}"))
}

/// An image of the demo function that is another one for each mark.
fn write_image(path: &Path, mark: &str) {
    let part = path.with_extension("part");
    fixtures::write_marked_demo(&part, mark);
    fs::rename(part, path).unwrap();
}

/// A template with all that it names.
fn project(directory: &Path) {
    fs::create_dir_all(directory.join("src")).unwrap();
    fs::create_dir_all(directory.join("layer/python")).unwrap();
    fs::write(directory.join("template.yaml"), TEMPLATE).unwrap();
    fs::write(directory.join("src/app.py"), code("one")).unwrap();
    fs::write(directory.join("layer/python/shared.py"), "WORD = 'one'\n").unwrap();
    write_image(&directory.join("image.tar"), "one");
}

fn serve(lambent: &Lambent, directory: &Path) -> Served {
    let runtime = format!("python3.12={}", fixtures::python_runtime_reference());
    let template = directory.join("template.yaml");
    let arguments = [
        "--template",
        template.to_str().unwrap(),
        "--parameter",
        "Stage=test",
        "--runtime-image",
        &runtime,
        "--http-api",
        "127.0.0.1:0",
    ];
    Served::start(lambent, &arguments)
}

/// Where the HTTP API listens.
fn http_api(served: &Served) -> String {
    let begin = "HTTP API at http://";
    until("the HTTP API listens", || served.log().contains(begin));
    let log = served.log();
    let address = log.split(begin).nth(1).unwrap();
    address.split_whitespace().next().unwrap().to_owned()
}

/// Waits for a line that the service says.
fn said(served: &Served, what: &str) {
    until(what, || served.log().contains(what));
}

#[test]
fn privileged_a_template_is_served_to_sdks_and_http() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    project(directory.path());
    let served = serve(&lambent, directory.path());
    let address = http_api(&served);
    let script = r#"
out["functions"] = [[f["FunctionName"], f["PackageType"], f["MemorySize"]] for f in c.list_functions()["Functions"]]
out["echo"] = invoke("Echo", {"action": "echo", "n": 1})
out["latest"] = seen("test-zip")
out["live"] = invoke("test-zip:live")[0]
url = "/lambda-url/test-zip"
out["url"] = call(endpoint, "POST", url + "/a%20b?x=1", "text", {"Origin": "https://any", "Content-Type": "text/plain"})
asks = {"Origin": "https://page", "Access-Control-Request-Method": "POST"}
out["url preflight"] = call(endpoint, "OPTIONS", url + "/", headers=asks)
out["url crash"] = call(endpoint, "GET", url + "/crash")
out["api"] = call(api, "GET", "/pets/c%20t?x=1&x=2", headers={"Origin": "https://page"})
out["api preflight"] = call(api, "OPTIONS", "/pets/1", headers=asks)
out["api elsewhere"] = call(api, "GET", "/pets/1", headers={"Origin": "https://other"})
out["api unknown"] = call(api, "GET", "/pets")
out["api method"] = call(api, "POST", "/pets/1", "x")
out["api crash"] = call(api, "GET", "/pets/crash")
out["rest"] = call(api, "PUT", "/rest/a/b?x=1&x=2", "{}", {"Content-Type": "application/json", "X-Mine": "m"})
out["api wrong"] = call(api, "GET", "/pets/wrong")
out["rest crash"] = call(api, "GET", "/rest/crash")
out["url host"] = call(endpoint, "GET", "/", headers={"Host": "ECHO.lambda-url.us-east-1.localhost"})
out["url nobody"] = call(endpoint, "GET", "/", headers={"Host": "nobody.lambda-url.us-east-1.localhost"})
"#;
    let out = client(&served, &format!("api = {address:?}\n{script}"));
    let log = served.log();
    assert_eq!(
        out["functions"],
        json!([["Echo", "Image", 1024], ["test-zip", "Zip", 1024]]),
        "{log}"
    );
    assert_eq!(
        out["echo"],
        json!(["$LATEST", {"event": {"action": "echo", "n": 1}}])
    );
    assert_eq!(
        out["latest"],
        json!({"code": "one", "layer": "one", "stage": "test", "event": {}})
    );
    assert_eq!(out["live"], "1");
    let event = |name: &str| {
        let answer: Value = serde_json::from_str(out[name][2].as_str().unwrap())
            .unwrap_or_else(|_| panic!("{name}: {}\n{log}", out[name]));
        answer["event"].clone()
    };
    let header = |name: &str, header: &str| out[name][1][header].clone();
    assert_eq!(out["url"][0], 201, "{out}");
    assert_eq!(header("url", "x-own"), "1");
    assert_eq!(header("url", "access-control-allow-origin"), "*");
    let url = event("url");
    assert_eq!(
        (&url["version"], &url["routeKey"]),
        (&json!("2.0"), &json!("$default"))
    );
    assert_eq!(
        (&url["rawPath"], &url["body"]),
        (&json!("/a%20b"), &json!("text"))
    );
    assert_eq!(
        (&out["url preflight"][0], &out["url preflight"][2]),
        (&json!(200), &json!(""))
    );
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET,POST"),
        ("access-control-max-age", "60"),
    ] {
        assert_eq!(header("url preflight", name), value, "{out}");
    }
    assert_eq!(
        (&out["url crash"][0], &out["url crash"][2]),
        (&json!(502), &json!("Internal Server Error"))
    );
    let api = event("api");
    assert_eq!(api["routeKey"], "GET /pets/{id}", "{api}");
    assert_eq!(api["pathParameters"], json!({"id": "c t"}));
    assert_eq!(api["queryStringParameters"], json!({"x": "1,2"}));
    assert_eq!(api["requestContext"]["stage"], "$default");
    assert_eq!(header("api", "access-control-allow-origin"), "https://page");
    assert_eq!(out["api preflight"][0], 204);
    assert_eq!(
        header("api preflight", "access-control-allow-methods"),
        "GET"
    );
    assert_eq!(out["api elsewhere"][0], 201);
    assert_eq!(
        header("api elsewhere", "access-control-allow-origin"),
        Value::Null
    );
    for name in ["api unknown", "api method"] {
        assert_eq!(
            (&out[name][0], &out[name][2]),
            (&json!(404), &json!(r#"{"message":"Not Found"}"#)),
            "{name}"
        );
    }
    assert_eq!(
        (&out["api crash"][0], &out["api crash"][2]),
        (
            &json!(500),
            &json!(r#"{"message":"Internal Server Error"}"#)
        )
    );
    let rest = event("rest");
    assert_eq!(rest["resource"], "/rest/{proxy+}", "{rest}");
    assert_eq!(
        (&rest["httpMethod"], &rest["path"]),
        (&json!("PUT"), &json!("/rest/a/b"))
    );
    assert_eq!(rest["pathParameters"], json!({"proxy": "a/b"}));
    assert_eq!(
        rest["multiValueQueryStringParameters"],
        json!({"x": ["1", "2"]})
    );
    assert_eq!(rest["headers"]["X-Mine"], "m");
    assert_eq!(out["rest crash"][0], 502);
    assert_eq!(out["api wrong"][0], 500);
    // Found, and it fails: the event has no action.
    assert_eq!(out["url host"][0], 502);
    assert_eq!(out["url nobody"][0], 403);
    assert!(
        log.contains("Resources.Zip.Properties (line 23): without effect here: Policies"),
        "{log}"
    );
    let (status, log) = served.end(Signal::INT);
    assert!(status.success(), "{log}");
    // Callers do not learn why, and who runs the service does.
    let why = "the function failed: ValueError: crash (RequestId: ";
    for (at, reason) in [
        ("GET /pets/{id} → test-zip:live was answered with 500", why),
        (
            "ANY /rest/{proxy+} → test-zip:live was answered with 502",
            why,
        ),
        ("URL → test-zip:live was answered with 502", why),
        (
            "GET /pets/{id} → test-zip:live was answered with 500",
            "what the function returned is no response: its statusCode is \"many\", and may be 100 \
             to 999 (RequestId: ",
        ),
        ("URL → Echo was answered with 502", "the function failed: "),
    ] {
        let line = format!("lambent: warning: {at}: {reason}");
        assert_eq!(log.matches(&line).count(), 1, "{line}\n{log}");
    }
    // Whose lines these are.
    for line in log.lines() {
        let (function, rest) = line.split_once(" | ").unwrap_or(("", line));
        let is_lambdas = ["START ", "END ", "REPORT "].map(|begin| rest.starts_with(begin));
        if is_lambdas.contains(&true) {
            assert!(["test-zip", "Echo"].contains(&function), "{line}\n{log}");
        }
    }
    assert!(log.contains("\nEcho | START RequestId: "), "{log}");
    // They were the template's, and are not kept.
    let served = Served::start(&lambent, &[]);
    let out = client(
        &served,
        "out['functions'] = c.list_functions()['Functions']",
    );
    assert_eq!(out["functions"], json!([]));
}

#[test]
fn privileged_changes_are_picked_up() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    project(directory.path());
    let served = serve(&lambent, directory.path());
    let address = http_api(&served);
    let digest = "out['digest'] = c.get_function_configuration(FunctionName='Echo')['CodeSha256']";
    let before = client(&served, digest)["digest"].clone();

    // What runs goes on with the code that it began with.
    std::thread::scope(|scope| {
        let old = scope.spawn(|| client(&served, r#"out["old"] = seen("test-zip", {"sleep": 8})"#));
        said(&served, "sleeping");
        fs::write(path("src/app.py"), code("two")).unwrap();
        said(&served, "template.yaml: updated test-zip.");
        let script = r#"
out["latest"] = seen("test-zip")["code"]
out["live"] = invoke("test-zip:live")[0]
out["versions"] = [v["Version"] for v in c.list_versions_by_function(FunctionName="test-zip")["Versions"]]
out["api"] = json.loads(call(api, "GET", "/pets/1")[2])["code"]
"#;
        let out = client(&served, &format!("api = {address:?}\n{script}"));
        assert_eq!(
            out,
            json!({"latest": "two", "live": "2", "versions": ["$LATEST", "2"], "api": "two"})
        );
        assert_eq!(old.join().unwrap()["old"]["code"], "one");
    });

    fs::write(path("layer/python/shared.py"), "WORD = 'two'\n").unwrap();
    until("the layer is picked up", || {
        served.log().matches("updated test-zip.").count() == 2
    });
    let out = client(&served, r#"out["layer"] = seen("test-zip")["layer"]"#);
    assert_eq!(out["layer"], "two");

    write_image(&path("image.tar"), "two");
    said(&served, "template.yaml: updated Echo.");
    let out = client(
        &served,
        &format!("{digest}\nout['echo'] = invoke('Echo', {{'action': 'echo'}})[1]"),
    );
    assert_ne!(out["digest"], before);
    assert_eq!(out["echo"], json!({"event": {"action": "echo"}}));

    // Broken, and then naming what is not there.
    fs::write(path("template.yaml"), "Resources:\n  Zip: [").unwrap();
    said(&served, "what was served before stays");
    let moved = TEMPLATE.replace("CodeUri: src", "CodeUri: elsewhere");
    fs::write(path("template.yaml"), &moved).unwrap();
    said(&served, "elsewhere: No such file or directory");
    let out = client(&served, r#"out["code"] = seen("test-zip")["code"]"#);
    assert_eq!(out["code"], "two", "{}", served.log());

    // What it names appears, and that is enough.
    fs::rename(path("src"), path("elsewhere")).unwrap();
    fs::write(path("elsewhere/app.py"), code("three")).unwrap();
    until("the other directory is picked up", || {
        served.log().matches("updated test-zip.").count() == 3
    });
    let out = client(&served, r#"out["code"] = seen("test-zip")["code"]"#);
    assert_eq!(out["code"], "three");

    // Functions and routes come and go.
    let other = moved
        .replace("  Echo:\n", "  Other:\n")
        .replace("/pets/{id}", "/animals/{id}")
        .replace("Default: dev", "Default: production");
    fs::write(path("template.yaml"), other).unwrap();
    said(
        &served,
        "added Other; removed Echo; routes of the HTTP API updated.",
    );
    let script = r#"
out["echo"] = error(c.invoke, FunctionName="Echo")
out["other"] = invoke("Other", {"action": "echo"})[1]
out["pets"] = call(api, "GET", "/pets/1")[0]
out["animals"] = call(api, "GET", "/animals/1")[0]
"#;
    let out = client(&served, &format!("api = {address:?}\n{script}"));
    assert_eq!(
        out,
        json!({
            "echo": "ResourceNotFoundException", "other": {"event": {"action": "echo"}},
            "pets": 404, "animals": 201,
        }),
        "{}",
        served.log()
    );
    // Only what the packages of now are is kept.
    let packages = fs::read_dir(lambent.root().join("lib/packages")).unwrap();
    let packages = packages.filter(|entry| entry.as_ref().unwrap().file_name() != "empty");
    assert_eq!(packages.count(), 2);
}

#[test]
fn what_cannot_be_served_is_said_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("template.yaml");
    let lambent = Lambent::new();
    let image = "    Metadata: {Dockerfile: Dockerfile}\n    Properties: {PackageType: Image}";
    for (properties, arguments, part) in [
        (
            image,
            vec![],
            "Resources.F.Properties (line 5): there is no ImageUri: Metadata names",
        ),
        (
            "    Properties: {CodeUri: s3://b/k}",
            vec![],
            "Resources.F.Properties.CodeUri (line 4): there is no S3 here",
        ),
        (
            "    Properties: {CodeUri: !Ref Where}",
            vec![],
            "there is neither a parameter nor a resource \"Where\"",
        ),
        (
            "    Properties: {CodeUri: src}",
            vec!["--parameter", "Stage=x"],
            "there is no parameter \"Stage\"",
        ),
        (
            "    Properties: {CodeUri: src}",
            vec!["--memory", "512"],
            "'--template <FILE>' cannot be used with '--memory <MB>'",
        ),
    ] {
        let text = format!("Resources:\n  F:\n    Type: AWS::Serverless::Function\n{properties}\n");
        fs::write(&template, text).unwrap();
        let mut command = vec!["serve", "--template", template.to_str().unwrap()];
        command.extend(arguments);
        let run = lambent.run(&command);
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
}

/// What Lambda refuses of a member is said where that is written.
#[test]
fn privileged_what_lambda_refuses_is_said_with_its_place() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let lambent = Lambent::new();
    let (template, toml) = (path("template.yaml"), path("lambent.toml"));
    let resources = "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      \
                     PackageType: Image\n      ImageUri: f.tar\n";
    for (file, option, text, part) in [
        (
            &template,
            "--template",
            format!("Globals:\n  Function:\n    MemorySize: 127\n{resources}"),
            "Globals.Function.MemorySize (line 3): 1 validation error detected: Value '127'",
        ),
        (
            &template,
            "--template",
            format!("{resources}      Environment: {{Variables: {{AWS_REGION: x}}}}\n"),
            "Resources.F.Properties.Environment (line 7): Lambda was unable to configure",
        ),
        (
            &toml,
            "--config",
            "[functions.f]\nimage = \"f.tar\"\narchitecture = \"mips\"\n".to_owned(),
            "functions.f.architecture (line 3): 1 validation error detected: Value '[mips]'",
        ),
    ] {
        fs::write(file, text).unwrap();
        let run = lambent.run(["serve", "--listen", "127.0.0.1:0", option, file]);
        assert_eq!(run.status, 2, "{run:?}");
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
}

/// Functions, a layer and a URL as `CloudFormation` has them, without SAM.
const PLAIN: &str = r#"
Resources:
  Common:
    Type: AWS::Lambda::LayerVersion
    Properties: {LayerName: common, Content: layer}
  Inline:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: inline
      Runtime: python3.12
      Handler: index.handler
      MemorySize: 1024
      Timeout: 60
      Layers: [!Ref Common]
      Environment: {Variables: {OTHER: !GetAtt Image.Arn}}
      Code:
        ZipFile: |
          import os, shared
          def handler(event, context):
              return {"word": shared.WORD, "other": os.environ["OTHER"], "version": "one"}
  Image:
    Type: AWS::Lambda::Function
    Properties: {PackageType: Image, Code: {ImageUri: image.tar}, MemorySize: 1024, Timeout: 60}
  Files:
    Type: AWS::Lambda::Function
    Properties: {Code: src, Runtime: python3.12, Handler: app.handler, MemorySize: 1024, Timeout: 60,
        Layers: [!Ref Common], Environment: {Variables: {STAGE: none}}}
  Url:
    Type: AWS::Lambda::Url
    Properties: {TargetFunctionArn: !Ref Inline, AuthType: NONE, Cors: {AllowOrigins: ["https://page"]}}
"#;

#[test]
fn privileged_a_template_without_sam_is_served() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    project(directory.path());
    fs::write(path("template.yaml"), PLAIN).unwrap();
    let runtime = format!("python3.12={}", fixtures::python_runtime_reference());
    let template = path("template.yaml");
    let arguments = [
        "--template",
        template.to_str().unwrap(),
        "--runtime-image",
        &runtime,
    ];
    let served = Served::start(&lambent, &arguments);
    let out = client(
        &served,
        r#"
out["inline"] = invoke("inline")[1]
out["image"] = invoke("Image", {"action": "echo"})[1]
out["files"] = seen("Files")["code"]
url = c.get_function_url_config(FunctionName="inline")["FunctionUrl"]
answer = call(endpoint, "GET", urlsplit(url).path, headers={"Origin": "https://page"})
out["url"] = [answer[0], answer[1].get("access-control-allow-origin"), json.loads(answer[2])["word"]]
"#,
    );
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:Image";
    assert_eq!(
        out,
        json!({
            "inline": {"word": "one", "other": arn, "version": "one"},
            "image": {"event": {"action": "echo"}},
            "files": "one",
            "url": [200, "https://page", "one"],
        }),
        "{}",
        served.log()
    );
    let changed = PLAIN.replace("\"version\": \"one\"", "\"version\": \"two\"");
    fs::write(&template, changed).unwrap();
    said(&served, "template.yaml: updated inline.");
    let out = client(
        &served,
        r#"out["version"] = invoke("inline")[1]["version"]"#,
    );
    assert_eq!(out["version"], "two", "{}", served.log());
}

//! Layers and zip functions: the scenario that Lambent is for, and what is refused.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::path::Path;

use lambent_e2e::control::SHORT_NAMES;
use lambent_e2e::fixtures;
use lambent_e2e::serve::Served;
use lambent_e2e::{Lambent, awscli, boto3, pillow, privileged};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What every script has beside [`SHORT_NAMES`].
const PRELUDE: &str = r#"
import io, zipfile
def zipped(files, mode=0o644):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, content)
    return b.getvalue()
def create(name, code, runtime="python3.12", **more):
    return c.create_function(FunctionName=name, Role=role, Runtime=runtime, Handler="app.handler", Code={"ZipFile": code}, **more)
def invoke(name, event={}):
    return json.loads(c.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"].read())
def publish(name, files, **more):
    return c.publish_layer_version(LayerName=name, Content={"ZipFile": zipped(files)}, **more)
"#;

fn client(served: &Served, code: &str) -> Value {
    boto3::out(served, &format!("{SHORT_NAMES}{PRELUDE}\n{code}"))
}

fn serve(lambent: &Lambent) -> Served {
    let image = fixtures::python_runtime_reference();
    Served::start(
        lambent,
        &["--runtime-image", &format!("python3.12={image}")],
    )
}

/// Names of the archives that are kept.
fn packages(lambent: &Lambent) -> Vec<String> {
    let entries = fs::read_dir(lambent.root().join("lib/packages")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "empty").collect()
}

/// A picture of several MB becomes a small one in `/tmp`, with Pillow from a layer
/// that two functions share; both go on after the service was killed.
#[test]
fn privileged_two_functions_share_pillow() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let layer = pillow::layer();
    let published = lambent.run([
        "layer".as_ref(),
        "publish".as_ref(),
        layer.as_os_str(),
        "--name".as_ref(),
        "pillow".as_ref(),
        "--compatible-runtime".as_ref(),
        "python3.12".as_ref(),
    ]);
    assert_eq!(published.status, 0, "{published:?}");
    let arn = published.stdout.trim();
    assert_eq!(arn, "arn:aws:lambda:us-east-1:123456789012:layer:pillow:1");
    let served = serve(&lambent);
    let script = r#"
thumbnail = """
import base64, os
from PIL import Image
def handler(event, context):
    with open("/tmp/in.bmp", "wb") as f: f.write(base64.b64decode(event["picture"]))
    with Image.open("/tmp/in.bmp") as picture:
        before = picture.size
        picture.thumbnail((120, 120))
        picture.save("/tmp/out.png")
    with Image.open("/tmp/out.png") as small:
        return {"before": before, "after": small.size, "pixel": small.getpixel((60, 45)),
                "bytes": os.path.getsize("/tmp/in.bmp"), "version": context.function_version}
"""
where = """
import os, PIL
def handler(event, context):
    writable = []
    for root in ("/opt/python", "/var/task"):
        try:
            open(root + "/x", "w")
            writable.append(root)
        except OSError: pass
    return {"file": PIL.__file__, "writable": writable, "cwd": os.getcwd(),
            "environment": {k: os.environ.get(k) for k in ("_HANDLER", "AWS_EXECUTION_ENV", "LAMBDA_TASK_ROOT", "TZ", "PATH")}}
"""
made = create("thumbnail", zipped({"app.py": thumbnail}), Layers=[arn], MemorySize=1769, Timeout=60)
out["made"] = {k: made.get(k) for k in ("State", "Runtime", "Handler", "PackageType", "Layers")}
create("where", zipped({"app.py": where}), Layers=[arn], MemorySize=1769, Timeout=60)
active("thumbnail"); active("where")
import base64, struct
w, h = 1200, 900
row = bytes([10, 20, 30]) * w
bmp = struct.pack("<2sIHHI", b"BM", 54 + len(row) * h, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, w, h, 1, 24, 0, len(row) * h, 0, 0, 0, 0) + row * h
out["thumbnail"] = invoke("thumbnail", {"picture": base64.b64encode(bmp).decode()})
out["where"] = invoke("where")
"#;
    let out = client(&served, &format!("arn = {arn:?}\n{script}"));
    let layers = out["made"]["Layers"].as_array().unwrap();
    assert_eq!(layers[0]["Arn"], arn);
    assert_eq!(out["made"]["State"], "Pending");
    assert_eq!(out["made"]["PackageType"], "Zip");
    assert_eq!(
        out["thumbnail"],
        json!({
            "before": [1200, 900], "after": [120, 90], "pixel": [30, 20, 10],
            "bytes": 3_240_054, "version": "$LATEST",
        }),
        "{}",
        served.log()
    );
    let found = &out["where"];
    assert_eq!(found["file"], "/opt/python/PIL/__init__.py", "{out}");
    assert_eq!(found["writable"], json!([]));
    assert_eq!(found["cwd"], "/var/task");
    assert_eq!(
        found["environment"],
        json!({
            "_HANDLER": "app.handler", "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
            "LAMBDA_TASK_ROOT": "/var/task", "TZ": ":UTC",
            "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        })
    );
    // Two archives of code, and one of the layer.
    assert_eq!(packages(&lambent).len(), 3);
    // A layer version that is deleted stays with the functions that have it.
    let removed = lambent.run(["layer", "rm", "pillow:1"]);
    assert_eq!(removed.status, 0, "{removed:?}");
    assert_eq!(packages(&lambent).len(), 3);
    served.end(Signal::KILL);
    let served = serve(&lambent);
    let out = client(
        &served,
        r#"
out["where"] = invoke("where")["file"]
out["new use"] = error(c.update_function_configuration, FunctionName="where", Layers=["arn:aws:lambda:us-east-1:123456789012:layer:pillow:1"])
c.delete_function(FunctionName="where")
out["still"] = error(c.get_function, FunctionName="thumbnail")
c.delete_function(FunctionName="thumbnail")
"#,
    );
    assert_eq!(out["where"], "/opt/python/PIL/__init__.py");
    assert_eq!(
        out["new use"],
        json!([
            "InvalidParameterValueException",
            400,
            "Layer version arn:aws:lambda:us-east-1:123456789012:layer:pillow:1 does not exist."
        ])
    );
    assert_eq!(out["still"], "answered");
    served.end(Signal::INT);
    // What was in use until now goes when somebody looks.
    let left = lambent.run(["layer", "ls", "--output", "json"]);
    assert_eq!((left.status, left.stdout.as_str()), (0, ""), "{left:?}");
    drop(serve(&lambent));
    assert_eq!(packages(&lambent), Vec::<String>::new());
}

#[test]
fn privileged_layers_are_merged_in_order_and_updated() {
    if privileged() {
        merge(&Lambent::new());
    }
}

/// Over a root that is an overlay, as over one that is an EROFS.
#[test]
fn privileged_layers_are_merged_over_an_overlay() {
    if privileged() {
        merge(&Lambent::new().with_image_form("directory"));
    }
}

fn merge(lambent: &Lambent) {
    let served = serve(lambent);
    let out = client(
        &served,
        r#"
code = """
import os
def read(path):
    try:
        with open(path) as f: return f.read()
    except OSError as e: return type(e).__name__
def handler(event, context):
    return {n: read("/opt/" + n) for n in ("both", "one", "two", "d/one", "d/two")} | {"code": VALUE}
"""
first = publish("first", {"both": "1", "one": "1", "d/one": "1"}, Description="the first", CompatibleRuntimes=["python3.12"], LicenseInfo="MIT")
second = publish("second", {"both": "2", "two": "2", "d/two": "2"})
create("f", zipped({"app.py": code.replace("VALUE", "1")}), Layers=[first["LayerVersionArn"], second["LayerVersionArn"]], Timeout=30, MemorySize=1024)
active("f")
out["in order"] = invoke("f")
c.update_function_configuration(FunctionName="f", Layers=[second["LayerVersionArn"], first["LayerVersionArn"]])
updated("f")
out["the other way"] = invoke("f")
c.update_function_configuration(FunctionName="f", Layers=[])
updated("f")
out["none"] = invoke("f")
out["published"] = c.update_function_code(FunctionName="f", ZipFile=zipped({"app.py": code.replace("VALUE", "2")}), Publish=True)["Version"]
updated("f")
out["new code"] = [invoke("f")["code"], invoke("f:1")["code"]]
out["size"] = c.get_function(FunctionName="f")["Configuration"]["CodeSize"] > 0
publish("first", {"both": "3"})
out["numbers"] = [v["Version"] for v in c.list_layer_versions(LayerName="first")["LayerVersions"]]
out["layers"] = [[l["LayerName"], l["LatestMatchingVersion"]["Version"]] for l in c.list_layers()["Layers"]]
got = c.get_layer_version(LayerName="first", VersionNumber=1)
out["got"] = [got["Description"], got["CompatibleRuntimes"], got["LicenseInfo"], got["Content"]["CodeSha256"] == first["Content"]["CodeSha256"]]
out["by arn"] = c.get_layer_version_by_arn(Arn=first["LayerVersionArn"])["Version"]
c.delete_layer_version(LayerName="first", VersionNumber=1)
c.delete_layer_version(LayerName="first", VersionNumber=1)
out["gone"] = error(c.get_layer_version, LayerName="first", VersionNumber=1)
"#,
    );
    let no = "FileNotFoundError";
    for (what, expected) in [
        (
            "in order",
            json!({"both": "2", "one": "1", "two": "2", "d/one": "1", "d/two": "2", "code": 1}),
        ),
        (
            "the other way",
            json!({"both": "1", "one": "1", "two": "2", "d/one": "1", "d/two": "2", "code": 1}),
        ),
        (
            "none",
            json!({"both": no, "one": no, "two": no, "d/one": no, "d/two": no, "code": 1}),
        ),
        ("published", json!("1")),
        ("new code", json!([2, 2])),
        ("size", json!(true)),
        ("numbers", json!([2, 1])),
        ("layers", json!([["first", 2], ["second", 1]])),
        ("got", json!(["the first", ["python3.12"], "MIT", true])),
        ("by arn", json!(1)),
        (
            "gone",
            json!([
                "ResourceNotFoundException",
                404,
                "The resource you requested does not exist."
            ]),
        ),
    ] {
        assert_eq!(out[what], expected, "{what}: {out}\n{}", served.log());
    }
    let listed = lambent.run(["layer", "ls"]);
    assert!(listed.stdout.contains("first"), "{listed:?}");
    let missing = lambent.run(["layer", "rm", "first:1"]);
    assert_eq!(missing.status, 3, "{missing:?}");
}

#[test]
fn privileged_limits_and_bad_archives() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = serve(&lambent);
    let out = client(
        &served,
        r#"
code = zipped({"app.py": "def handler(event, context): return 1"})
arns = [publish(f"l{n}", {"f": str(n)})["LayerVersionArn"] for n in range(6)]
again = publish("l0", {"f": "x"})["LayerVersionArn"]
half = publish("half", {"zeros": b"\0" * 140_000_000})["LayerVersionArn"]
other = publish("other", {"zeros": b"\0" * 140_000_001})["LayerVersionArn"]
out["six"] = error(create, name="f", code=code, Layers=arns)
out["same"] = error(create, name="f", code=code, Layers=[arns[0], again])
out["unknown"] = error(create, name="f", code=code, Layers=["arn:aws:lambda:us-east-1:123456789012:layer:none:1"])
out["together"] = error(create, name="f", code=code, Layers=[half, other])
out["bomb"] = error(c.publish_layer_version, LayerName="bomb", Content={"ZipFile": zipped({"zeros": b"\0" * 262_144_001})})
out["large"] = error(c.publish_layer_version, LayerName="large", Content={"ZipFile": b"\0" * 52_428_801})
out["no zip"] = error(create, name="f", code=b"not a zip")
out["up"] = error(create, name="f", code=zipped({"../../canary": "dead"}))
out["no runtime"] = error(c.create_function, FunctionName="f", Role=role, Code={"ZipFile": code})
out["image for zip"] = None
create("f", code, Layers=arns[:5]); active("f")
out["five"] = invoke("f")
out["image for zip"] = error(c.update_function_code, FunctionName="f", ImageUri="x")
create("strange", code, runtime="ruby3.4")
import time
for _ in range(200):
    s = c.get_function(FunctionName="strange")["Configuration"]
    if s["State"] != "Pending": break
    time.sleep(0.05)
out["strange"] = [s["State"], s["StateReasonCode"], s["StateReason"]]
# A file that only its owner may read is one that Lambda's user cannot read.
create("private", zipped({"app.py": "def handler(event, context): return 1"}, 0o600)); active("private")
out["private"] = invoke("private").get("errorType")
"#,
    );
    let layer = "arn:aws:lambda:us-east-1:123456789012:layer";
    let invalid = "InvalidParameterValueException";
    for (what, code, status, message) in [
        (
            "six",
            invalid,
            400,
            "Cannot reference more than 5 layers.".to_owned(),
        ),
        (
            "same",
            invalid,
            400,
            format!(
                "Two different versions of the same layer are not allowed to be referenced in \
                 the same function. {layer}:l0:1 and {layer}:l0:2 are versions of the same layer."
            ),
        ),
        (
            "unknown",
            invalid,
            400,
            format!("Layer version {layer}:none:1 does not exist."),
        ),
        (
            "together",
            invalid,
            400,
            "Unzipped size must be smaller than 262144000 bytes".to_owned(),
        ),
        (
            "bomb",
            invalid,
            400,
            "Unzipped size must be smaller than 262144000 bytes".to_owned(),
        ),
        (
            "large",
            "RequestEntityTooLargeException",
            413,
            "Zipped size must be smaller than 52428800 bytes".to_owned(),
        ),
        (
            "no zip",
            invalid,
            400,
            "Could not unzip uploaded file".to_owned(),
        ),
        (
            "up",
            invalid,
            400,
            "Could not unzip uploaded file: entry \"../../canary\" leads out".to_owned(),
        ),
        (
            "no runtime",
            invalid,
            400,
            "Runtime and Handler are mandatory parameters".to_owned(),
        ),
        (
            "image for zip",
            invalid,
            400,
            "Please don't provide ImageUri when updating a function with packageType Zip."
                .to_owned(),
        ),
    ] {
        let got = &out[what];
        assert_eq!(
            (&got[0], &got[1]),
            (&json!(code), &json!(status)),
            "{what}: {got}"
        );
        assert!(
            got[2].as_str().unwrap().starts_with(&message),
            "{what}: {got}"
        );
    }
    assert_eq!(out["five"], 1, "{}", served.log());
    assert_eq!(out["strange"][0], "Failed");
    assert_eq!(out["strange"][1], "InvalidRuntime");
    let reason = out["strange"][2].as_str().unwrap();
    assert!(reason.contains("--runtime-image ruby3.4=IMAGE"), "{reason}");
    assert_eq!(out["private"], "PermissionError", "{out}");
}

/// A runtime that the function brings: in its code, else in a layer.
#[test]
fn privileged_a_bootstrap_is_found_in_code_and_in_layers() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = fixtures::python_runtime_reference();
    let runtime = format!("provided.al2023={image}");
    let served = Served::start(&lambent, &["--runtime-image", &runtime]);
    let program = fixtures::demo_function();
    let script = r#"
bootstrap = zipped({"bootstrap": open(program, "rb").read()}, 0o755)
layer = c.publish_layer_version(LayerName="runtime", Content={"ZipFile": bootstrap})["LayerVersionArn"]
create("code", bootstrap, runtime="provided.al2023", Timeout=30)
create("layer", zipped({"data": "x"}), runtime="provided.al2023", Timeout=30, Layers=[layer])
create("none", zipped({"data": "x"}), runtime="provided.al2023", Timeout=30)
for name in ("code", "layer", "none"): active(name)
out["code"] = invoke("code", {"action": "env"})
out["layer"] = invoke("layer", {"action": "counter"})
out["none"] = invoke("none")["errorType"]
"#;
    let out = client(&served, &format!("program = {program:?}\n{script}"));
    let environment = &out["code"];
    assert_eq!(environment["_HANDLER"], "app.handler", "{out}");
    assert_eq!(environment["AWS_EXECUTION_ENV"], Value::Null, "{out}");
    assert_eq!(out["layer"]["count"], 1, "{out}");
    assert_eq!(out["none"], "Runtime.InvalidEntrypoint", "{out}");
}

/// What the README says, with the AWS CLI and a directory as a layer.
#[test]
fn privileged_the_aws_cli_makes_a_zip_function() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let served = serve(&lambent);
    let module = directory.path().join("layer/python");
    fs::create_dir_all(&module).unwrap();
    fs::write(module.join("shared.py"), "WORD = 'shared'\n").unwrap();
    let layer = directory.path().join("layer");
    let published = lambent.run([
        "layer",
        "publish",
        layer.to_str().unwrap(),
        "--name",
        "words",
    ]);
    assert_eq!(published.status, 0, "{published:?}");
    let source = directory.path().join("source");
    fs::create_dir(&source).unwrap();
    let code =
        "import shared\ndef handler(event, context): return {'word': shared.WORD, **event}\n";
    fs::write(source.join("app.py"), code).unwrap();
    let pack = |name: &str| {
        let archive = fs::File::create(directory.path().join(name)).unwrap();
        lambent_images::zip_directory(&source, archive).unwrap();
    };
    pack("code.zip");
    let aws = |arguments: &str| {
        let run = awscli::lambda(
            &served.url(),
            directory.path(),
            arguments.split_whitespace(),
        );
        assert_eq!(run.status, 0, "{arguments}: {run:?}\n{}", served.log());
        run.stdout
    };
    let created = aws(&format!(
        "create-function --function-name f --role arn:aws:iam::123456789012:role/any --runtime \
         python3.12 --handler app.handler --zip-file fileb://code.zip --timeout 30 \
         --memory-size 1024 --layers {}",
        published.stdout.trim()
    ));
    assert!(created.contains("\"State\": \"Pending\""), "{created}");
    aws("wait function-active-v2 --function-name f");
    aws("invoke --function-name f --payload {\"a\":1} out.json");
    let answer = fs::read_to_string(directory.path().join("out.json")).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer, json!({"word": "shared", "a": 1}));
    let code = "import shared\ndef handler(event, context): return shared.WORD.upper()\n";
    fs::write(source.join("app.py"), code).unwrap();
    pack("other.zip");
    aws("update-function-code --function-name f --zip-file fileb://other.zip");
    aws("wait function-updated-v2 --function-name f");
    aws("invoke --function-name f out.json");
    let answer = fs::read_to_string(directory.path().join("out.json")).unwrap();
    assert_eq!(answer, "\"SHARED\"");
    aws("update-function-configuration --function-name f --timeout 31");
    aws("wait function-updated-v2 --function-name f");
    aws("publish-version --function-name f");
    aws("create-alias --function-name f --name live --function-version 1");
    let listed = aws("list-functions --query Functions[].[FunctionName,Timeout] --output text");
    assert_eq!(listed, "f\t31\n");
    let layers = aws("list-layers --query Layers[].LayerName --output text");
    assert_eq!(layers, "words\n");
    aws("delete-function --function-name f");
    let gone = awscli::lambda(
        &served.url(),
        directory.path(),
        ["get-function", "--function-name", "f"],
    );
    assert!(
        gone.stderr.contains("ResourceNotFoundException"),
        "{gone:?}"
    );
}

/// Lambda refuses layers on functions of images; here they are an extra that says so.
#[test]
fn privileged_layers_on_an_image_are_an_extra() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let image = fixtures::python_runtime_reference();
    let layer = |name: &str, file: &str, text: &str| {
        let root = directory.path().join(name);
        fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
        fs::write(root.join(file), text).unwrap();
        root.to_str().unwrap().to_owned()
    };
    let code = "import os\ndef handler(event, context): return sorted(os.listdir('/opt')) + [open('/opt/a').read()]\n";
    let code = layer("code", "python/mod.py", code);
    let published = layer("published", "a", "published");
    let run = lambent.run(["layer", "publish", &published, "--name", "data"]);
    assert_eq!(run.status, 0, "{run:?}");
    let before = packages(&lambent);
    // The later over the earlier.
    let packed = directory.path().join("packed.zip");
    let tree = layer("packed", "a", "packed");
    let archive = fs::File::create(&packed).unwrap();
    lambent_images::zip_directory(Path::new(&tree), archive).unwrap();
    let packed = packed.to_str().unwrap();
    let layers = [
        "--cmd",
        "mod.handler",
        "--layer",
        &code,
        "--layer",
        "data:1",
    ];
    let run = lambent.invoke(&image, &json!({}), &layers);
    assert_eq!(
        run.payload(),
        json!(["a", "python", "published"]),
        "{run:?}"
    );
    assert!(
        run.stderr
            .contains("Lambda refuses layers on functions of images"),
        "{run:?}"
    );
    let both = [&layers[..], &["--layer", packed]].concat();
    let run = lambent.invoke(&image, &json!({}), &both);
    assert_eq!(run.payload(), json!(["a", "python", "packed"]), "{run:?}");
    assert_eq!(packages(&lambent), before, "what nobody needs stays");
    for (arguments, status, text) in [
        (
            vec!["--layer", "data:1", "--strict"],
            2,
            "--strict: Lambda refuses layers",
        ),
        (vec!["--layer", "data:7"], 3, "Layer version"),
        (vec!["--layer", "/nothing/there"], 3, "/nothing/there"),
        (
            ["--layer", "data:1"].repeat(6),
            2,
            "Cannot reference more than 5 layers.",
        ),
    ] {
        let run = lambent.invoke(&image, &json!({}), &arguments);
        assert_eq!(run.status, status, "{run:?}");
        assert!(run.stderr.contains(text), "{run:?}");
    }
    let run = lambent.run(["serve", "--layer", "data:1"]);
    assert_eq!(run.status, 2, "{run:?}");
    let served = Served::start(&lambent, &[&[&image, "--name", "f"], &both[..]].concat());
    let out = client(&served, "out['f'] = invoke('f')");
    assert_eq!(out["f"], json!(["a", "python", "packed"]));
    assert!(
        served.log().contains("Lambda refuses layers"),
        "{}",
        served.log()
    );
    served.end(Signal::INT);
}

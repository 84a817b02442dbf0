//! What Terraform's provider and the AWS CLI call to make, read, change and remove a
//! function, in their order: every call has an answer that they can go on with.

use lambent_e2e::serve::Served;
use lambent_e2e::{Lambent, boto3, fixtures, privileged};
use rustix::process::Signal;
use serde_json::{Value, json};

#[test]
fn privileged_a_function_as_terraform_makes_it() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = fixtures::python_runtime_reference();
    let runtime = format!("python3.12={image}");
    let served = Served::start(&lambent, &["--runtime-image", &runtime]);
    let run = boto3::run(
        &served.url(),
        r#"
import base64, hashlib, io, time, urllib.request, zipfile
def zipped(code):
    b = io.BytesIO()
    info = zipfile.ZipInfo("app.py")
    info.external_attr = 0o644 << 16
    with zipfile.ZipFile(b, "w") as z: z.writestr(info, code)
    return b.getvalue()
def error(call, **arguments):
    try: call(**arguments)
    except botocore.exceptions.ClientError as e: return [e.response["Error"]["Code"], e.response["Error"]["Message"]]
def arn(name): return json.loads(c.invoke(FunctionName=name)["Payload"].read())
def fetched(url, sha256):
    answer = urllib.request.urlopen(url)
    return base64.b64encode(hashlib.sha256(answer.read()).digest()).decode() == sha256
out = {}
common = dict(FunctionName="f", Role="arn:aws:iam::123456789012:role/r", Runtime="python3.12", Handler="app.handler")
out["s3"] = error(c.create_function, Code={"S3Bucket": "bucket", "S3Key": "k"}, **common)
code = zipped("def handler(event, context): return context.invoked_function_arn\n")
c.create_function(Code={"ZipFile": code}, Publish=True, Tags={"a": "b"}, **common)
c.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1, "MaxAttempts": 90})
# Read.
got = c.get_function(FunctionName="f")
out["location"] = fetched(got["Code"]["Location"], got["Configuration"]["CodeSha256"])
out["latest"] = c.list_versions_by_function(FunctionName="f")["Versions"][-1]["Version"]
out["signing"] = c.get_function_code_signing_config(FunctionName="f").get("CodeSigningConfigArn")
# Its companions.
c.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
allowed = c.add_permission(FunctionName="f", Qualifier="live", StatementId="s", Action="lambda:InvokeFunction", Principal="events.amazonaws.com")
out["statement"] = json.loads(allowed["Statement"])
out["policy"] = json.loads(c.get_policy(FunctionName="f", Qualifier="live")["Policy"])["Statement"] == [out["statement"]]
out["no policy"] = error(c.get_policy, FunctionName="f")
c.remove_permission(FunctionName="f", Qualifier="live", StatementId="s")
out["removed"] = error(c.get_policy, FunctionName="f", Qualifier="live")
c.put_function_recursion_config(FunctionName="f", RecursiveLoop="Allow")
out["kept"] = [
    c.get_function_recursion_config(FunctionName="f")["RecursiveLoop"],
    c.get_runtime_management_config(FunctionName="f")["UpdateRuntimeOn"],
    c.list_event_source_mappings(FunctionName="f")["EventSourceMappings"],
    c.list_tags(Resource=got["Configuration"]["FunctionArn"])["Tags"],
]
# The function is told the name by which it was called.
out["arns"] = [arn(name) for name in ("f", "f:$LATEST", "f:1", "f:live")]
# A layer's archive is there too.
layer = c.publish_layer_version(LayerName="l", Content={"ZipFile": code})
content = c.get_layer_version(LayerName="l", VersionNumber=1)["Content"]
out["layer"] = fetched(content["Location"], content["CodeSha256"])
out["layer s3"] = error(c.publish_layer_version, LayerName="l", Content={"S3Bucket": "bucket", "S3Key": "k"})
# Update, and remove.
c.update_function_code(FunctionName="f", ZipFile=zipped("def handler(event, context): return 2\n"))
c.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1, "MaxAttempts": 90})
out["updated"] = arn("f")
location = c.get_function(FunctionName="f")["Code"]["Location"]
c.delete_function_code_signing_config(FunctionName="f")
c.delete_function(FunctionName="f")
# Its environment may not have ended yet. What nothing runs from goes with the next removal.
for _ in range(100):
    try: urllib.request.urlopen(location)
    except urllib.error.HTTPError as e:
        out["gone"] = e.code
        break
    time.sleep(0.1)
    version = c.publish_layer_version(LayerName="m", Content={"ZipFile": zipped("")})["Version"]
    c.delete_layer_version(LayerName="m", VersionNumber=version)
print(json.dumps(out))
"#,
    );
    assert_eq!(run.status, 0, "{run:?}\n{}", served.log());
    let out: Value = serde_json::from_str(&run.stdout).unwrap();
    for what in ["s3", "layer s3"] {
        let text = out[what][1].as_str().unwrap();
        assert_eq!(out[what][0], "InvalidParameterValueException");
        assert!(text.contains("Lambent has no S3"), "{text}");
    }
    for what in ["location", "layer", "policy"] {
        assert_eq!(out[what], true, "{what}: {out}");
    }
    assert_eq!(
        (&out["latest"], &out["signing"]),
        (&json!("1"), &json!(null))
    );
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:f";
    assert_eq!(
        out["statement"],
        json!({
            "Sid": "s", "Effect": "Allow", "Action": "lambda:InvokeFunction",
            "Principal": {"Service": "events.amazonaws.com"}, "Resource": format!("{arn}:live"),
        })
    );
    let missing = json!([
        "ResourceNotFoundException",
        "The resource you requested does not exist."
    ]);
    assert_eq!((&out["no policy"], &out["removed"]), (&missing, &missing));
    assert_eq!(out["kept"], json!(["Allow", "Auto", [], {"a": "b"}]));
    let qualified = [
        arn.to_owned(),
        format!("{arn}:$LATEST"),
        format!("{arn}:1"),
        format!("{arn}:live"),
    ];
    assert_eq!(out["arns"], json!(qualified));
    assert_eq!((&out["updated"], &out["gone"]), (&json!(2), &json!(404)));
    served.end(Signal::INT);
}

//! The control plane and AWS's own client: functions that are made, changed and
//! removed while a service runs, and that are there again after it was killed.

use std::fs;

use lambent_e2e::control::client;
use lambent_e2e::fixtures::{self, Fixture};
use lambent_e2e::leftovers::{self, Leftovers};
use lambent_e2e::serve::Served;
use lambent_e2e::{Lambent, awscli, privileged};
use rustix::process::Signal;
use serde_json::{Value, json};

#[test]
fn privileged_a_function_from_its_creation_to_its_end() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    let out = client(
        &served,
        r#"
created = create("f", MemorySize=512, Timeout=10, Description="d", Environment={"Variables": {"A_B": "1"}}, Tags={"k": "v"})
out["created"] = {k: created.get(k) for k in ("State", "StateReasonCode", "StateReason", "LastUpdateStatus", "MemorySize", "Version", "PackageType", "Handler", "FunctionArn")}
out["created"]["status"] = created["ResponseMetadata"]["HTTPStatusCode"]
active("f")
got = c.get_function(FunctionName="f")
out["got"] = got
out["revisions differ"] = got["Configuration"]["RevisionId"] != created["RevisionId"]
out["first"] = invoke("f")
out["warm"] = invoke("f")
out["env"] = invoke("f", {"action": "env"})
u = c.update_function_configuration(FunctionName="f", Timeout=20, Environment={"Variables": {"A_B": "2"}})
out["updating"] = u["LastUpdateStatus"]
updated("f")
out["after configuration"] = invoke("f")
c.update_function_code(FunctionName="f", ImageUri=image)
updated("f")
out["after code"] = invoke("f")
out["listed"] = [f["FunctionName"] for f in c.list_functions()["Functions"]]
out["configuration"] = c.get_function_configuration(FunctionName="f")["Timeout"]
out["deleted"] = c.delete_function(FunctionName="f")["ResponseMetadata"]["HTTPStatusCode"]
out["gone"] = error(c.get_function, FunctionName="f")
out["not invoked"] = error(c.invoke, FunctionName="f")
"#,
    );
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:f";
    assert_eq!(
        out["created"],
        json!({
            "State": "Pending", "StateReasonCode": "Creating",
            "StateReason": "The function is being created.", "LastUpdateStatus": null,
            "MemorySize": 512, "Version": "$LATEST", "PackageType": "Image", "Handler": null,
            "FunctionArn": arn, "status": 201,
        })
    );
    let configuration = &out["got"]["Configuration"];
    for (member, expected) in [
        ("State", json!("Active")),
        ("LastUpdateStatus", json!("Successful")),
        ("EphemeralStorage", json!({"Size": 512})),
        ("TracingConfig", json!({"Mode": "PassThrough"})),
        (
            "LoggingConfig",
            json!({"LogFormat": "Text", "LogGroup": "/aws/lambda/f"}),
        ),
        ("Environment", json!({"Variables": {"A_B": "1"}})),
        ("Runtime", Value::Null),
    ] {
        assert_eq!(configuration[member], expected, "{member}: {configuration}");
    }
    let sha256 = configuration["CodeSha256"].as_str().unwrap();
    let resolved = out["got"]["Code"]["ResolvedImageUri"].as_str().unwrap();
    assert!(
        resolved.ends_with(&format!("@sha256:{sha256}")),
        "{resolved}"
    );
    assert_eq!(out["got"]["Tags"], json!({"k": "v"}));
    assert_eq!(out["revisions differ"], true);
    for (what, count) in [
        ("first", 1),
        ("warm", 2),
        ("after configuration", 1),
        ("after code", 1),
    ] {
        assert_eq!(out[what][0], "$LATEST", "{out}");
        assert_eq!(out[what][1]["count"], count, "{what}: {out}");
    }
    assert_eq!(out["updating"], "InProgress");
    assert_eq!(out["listed"], json!(["f"]));
    assert_eq!(out["configuration"], 20);
    assert_eq!(out["deleted"], 204);
    assert_eq!(
        out["gone"],
        json!([
            "ResourceNotFoundException",
            404,
            format!("Function not found: {arn}")
        ])
    );
    let (status, log) = served.end(Signal::INT);
    assert_eq!(status.code(), Some(0), "{log}");
    let left = Leftovers::of(lambent.root(), &leftovers::services(lambent.root()));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn privileged_versions_aliases_and_concurrency() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    let out = client(
        &served,
        r#"
create("f", Environment={"Variables": {"N_": "1"}})
active("f")
one = c.publish_version(FunctionName="f", Description="first")
out["one"] = [one["Version"], one["State"], one["LastUpdateStatus"], one["FunctionArn"], one["Description"]]
out["same"] = c.publish_version(FunctionName="f")["Version"]
c.update_function_configuration(FunctionName="f", Environment={"Variables": {"N_": "2"}})
updated("f")
out["two"] = c.publish_version(FunctionName="f")["Version"]
out["versions"] = [v["Version"] for v in c.list_versions_by_function(FunctionName="f")["Versions"]]
out["alias"] = {k: v for k, v in c.create_alias(FunctionName="f", Name="live", FunctionVersion="1").items() if k in ("AliasArn", "FunctionVersion")}
out["of alias"] = [invoke("f:live")[0], invoke("f", Qualifier="2")[0], invoke("f")[0]]
c.update_alias(FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
out["weighted"] = invoke("f:live")[0]
c.update_alias(FunctionName="f", Name="live", FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": {}})
out["moved"] = invoke("f:live")[0]
out["version of environment"] = invoke("f:1", {"action": "env"})[1]
out["taken"] = error(c.create_alias, FunctionName="f", Name="live", FunctionVersion="1")
out["used"] = error(c.delete_function, FunctionName="f", Qualifier="2")
out["deleted version"] = c.delete_function(FunctionName="f", Qualifier="1")["ResponseMetadata"]["HTTPStatusCode"]
out["gone"] = error(c.invoke, FunctionName="f", Qualifier="1")
c.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
out["throttled"] = error(c.invoke, FunctionName="f")
out["throttled version"] = error(c.invoke, FunctionName="f:live")
out["concurrency"] = c.get_function_concurrency(FunctionName="f")["ReservedConcurrentExecutions"]
out["too much"] = error(c.put_function_concurrency, FunctionName="f", ReservedConcurrentExecutions=901)
c.delete_function_concurrency(FunctionName="f")
out["again"] = invoke("f:live")[0]
arn = c.get_function(FunctionName="f")["Configuration"]["FunctionArn"]
c.tag_resource(Resource=arn, Tags={"a": "1", "b": "2"})
c.untag_resource(Resource=arn, TagKeys=["a"])
out["tags"] = c.list_tags(Resource=arn)["Tags"]
url = c.create_function_url_config(FunctionName="f", AuthType="NONE", Cors={"AllowOrigins": ["*"]})
out["url"] = url["FunctionUrl"].startswith(c.meta.endpoint_url + "/lambda-url/")
# The event of a URL has no action, which fails: the URL leads to the function.
import urllib.request, urllib.error
def called(url):
    try: return urllib.request.urlopen(url).status
    except urllib.error.HTTPError as e: return e.code
out["called"] = called(url["FunctionUrl"] + "a/b?c=d")
out["url again"] = error(c.create_function_url_config, FunctionName="f", AuthType="NONE")[0]
out["urls"] = [u["Cors"] for u in c.list_function_url_configs(FunctionName="f")["FunctionUrlConfigs"]]
c.delete_function_url_config(FunctionName="f")
out["no url"] = error(c.get_function_url_config, FunctionName="f")
out["nobody"] = called(url["FunctionUrl"])
of_alias = c.create_function_url_config(FunctionName="f", Qualifier="live", AuthType="NONE")["FunctionUrl"]
out["called alias"] = [of_alias != url["FunctionUrl"], called(of_alias)]
c.delete_function_url_config(FunctionName="f", Qualifier="live")
c.delete_alias(FunctionName="f", Name="live")
c.delete_alias(FunctionName="f", Name="live")
out["no alias"] = error(c.get_alias, FunctionName="f", Name="live")
out["account"] = c.get_account_settings()["AccountUsage"]["FunctionCount"]
"#,
    );
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:f";
    let reserved = "Rate Exceeded.";
    for (what, expected) in [
        (
            "one",
            json!(["1", "Active", "Successful", format!("{arn}:1"), "first"]),
        ),
        ("same", json!("1")),
        ("two", json!("2")),
        ("versions", json!(["$LATEST", "1", "2"])),
        (
            "alias",
            json!({"AliasArn": format!("{arn}:live"), "FunctionVersion": "1"}),
        ),
        ("of alias", json!(["1", "2", "$LATEST"])),
        ("weighted", json!("2")),
        ("moved", json!("2")),
        (
            "taken",
            json!([
                "ResourceConflictException",
                409,
                format!("Alias already exists: {arn}:live")
            ]),
        ),
        ("deleted version", json!(204)),
        (
            "gone",
            json!([
                "ResourceNotFoundException",
                404,
                format!("Function not found: {arn}:1")
            ]),
        ),
        (
            "throttled",
            json!(["TooManyRequestsException", 429, reserved]),
        ),
        (
            "throttled version",
            json!(["TooManyRequestsException", 429, reserved]),
        ),
        ("concurrency", json!(0)),
        ("again", json!("2")),
        ("tags", json!({"b": "2"})),
        ("url", json!(true)),
        ("called", json!(502)),
        ("nobody", json!(403)),
        ("called alias", json!([true, 502])),
        ("url again", json!("ResourceConflictException")),
        ("urls", json!([{"AllowOrigins": ["*"]}])),
        (
            "no url",
            json!([
                "ResourceNotFoundException",
                404,
                "The resource you requested does not exist."
            ]),
        ),
        (
            "no alias",
            json!([
                "ResourceNotFoundException",
                404,
                format!("Cannot find alias arn: {arn}:live")
            ]),
        ),
        ("account", json!(1)),
    ] {
        assert_eq!(out[what], expected, "{what}: {out}");
    }
    assert_eq!(out["used"][0], "ResourceConflictException", "{out}");
    assert_eq!(out["too much"][0], "InvalidParameterValueException");
    let environment = out["version of environment"].to_string();
    assert!(
        environment.contains("AWS_LAMBDA_FUNCTION_VERSION"),
        "{environment}"
    );
    let log = served.log();
    assert!(
        log.contains(" Version: 1\n") && log.contains(" Version: $LATEST\n"),
        "{log}"
    );
}

#[test]
fn privileged_what_is_refused() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let served = Served::start(&lambent, &[]);
    // There is something, and it shows later that it is no image.
    let no_image = lambent.root().join("no-image.tar");
    fs::write(&no_image, "no image").unwrap();
    let script = r#"
# Without its own checks, which would keep some mistakes from the service.
c = boto3.client("lambda", endpoint_url=c.meta.endpoint_url, region_name="us-east-1",
    aws_access_key_id="x", aws_secret_access_key="y",
    config=Config(parameter_validation=False, retries={"total_max_attempts": 1}))
create("f")
active("f")
out["taken"] = error(create, name="f")
out["memory"] = error(create, name="g", MemorySize=127)
out["more memory"] = error(create, name="g", MemorySize=10241)
out["timeout"] = error(create, name="g", Timeout=901)
out["variables"] = error(create, name="g", Environment={"Variables": {"A_B": "x" * 4096}})
out["reserved"] = error(create, name="g", Environment={"Variables": {"AWS_REGION": "x"}})
out["handler"] = error(create, name="g", Handler="a.b")
out["zip for image"] = error(c.update_function_code, FunctionName="f", ZipFile=b"x")
out["revision"] = error(c.update_function_configuration, FunctionName="f", RevisionId="x")
out["hash"] = error(c.publish_version, FunctionName="f", CodeSha256="x")[2].startswith("CodeSHA256 (x) is different from current CodeSHA256 in $LATEST (")
out["numeric alias"] = error(c.create_alias, FunctionName="f", Name="7", FunctionVersion="$LATEST")
out["qualified"] = error(c.put_function_concurrency, FunctionName="f:1", ReservedConcurrentExecutions=1)
out["no file"] = error(create, name="g", uri="oci-archive:/nonexistent/image.tar")
out["no such name"] = error(create, name="g", uri="nobody")
out["no reference"] = error(create, name="g", uri="podman://f")
out["no update"] = error(c.update_function_code, FunctionName="f", ImageUri="./nowhere.tar")
out["none was made"] = error(c.get_function, FunctionName="g")[0]
r = create("bad", uri=no_image)
import time
for _ in range(200):
    bad = c.get_function(FunctionName="bad")["Configuration"]
    if bad["State"] != "Pending": break
    time.sleep(0.05)
out["bad"] = [bad["State"], bad["StateReasonCode"], bad["StateReason"]]
out["bad invoked"] = error(c.invoke, FunctionName="bad")
# The old code goes on after a failed update.
c.update_function_code(FunctionName="f", ImageUri=no_image)
for _ in range(200):
    f = c.get_function(FunctionName="f")["Configuration"]
    if f["LastUpdateStatus"] != "InProgress": break
    time.sleep(0.05)
out["update"] = [f["State"], f["LastUpdateStatus"], f["LastUpdateStatusReasonCode"]]
out["still"] = invoke("f")[1]["count"]
"#;
    let out = client(&served, &format!("no_image = {no_image:?}\n{script}"));
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:f";
    for (what, code, status, message) in [
        (
            "taken",
            "ResourceConflictException",
            409,
            "Function already exist: f".to_owned(),
        ),
        (
            "memory",
            "ValidationException",
            400,
            "1 validation error detected: Value '127' at 'memorySize' failed to satisfy \
             constraint: Member must have value greater than or equal to 128"
                .to_owned(),
        ),
        (
            "more memory",
            "InvalidParameterValueException",
            400,
            "'MemorySize' value failed to satisfy constraint: Member must have value less than \
             or equal to 10240"
                .to_owned(),
        ),
        (
            "timeout",
            "ValidationException",
            400,
            "1 validation error detected: Value '901' at 'timeout'".to_owned(),
        ),
        (
            "variables",
            "InvalidParameterValueException",
            400,
            "Lambda was unable to configure your environment variables because the environment \
             variables you have provided exceeded the 4KB limit. String measured: {"
                .to_owned(),
        ),
        (
            "reserved",
            "InvalidParameterValueException",
            400,
            "Lambda was unable to configure".to_owned(),
        ),
        (
            "handler",
            "InvalidParameterValueException",
            400,
            "Please don't provide Handler".to_owned(),
        ),
        (
            "zip for image",
            "InvalidParameterValueException",
            400,
            "Please provide ImageUri when updating a function with packageType Image.".to_owned(),
        ),
        (
            "revision",
            "PreconditionFailedException",
            412,
            "The Revision Id provided does not match".to_owned(),
        ),
        (
            "numeric alias",
            "ValidationException",
            400,
            "1 validation error detected: Value '7' at 'name'".to_owned(),
        ),
        (
            "qualified",
            "InvalidParameterValueException",
            400,
            "This operation is permitted on Lambda functions only.".to_owned(),
        ),
        (
            "no file",
            "InvalidParameterValueException",
            400,
            "Source image oci-archive:/nonexistent/image.tar does not exist. Provide a valid \
             source image. (there is no file or directory \"/nonexistent/image.tar\""
                .to_owned(),
        ),
        (
            "no such name",
            "InvalidParameterValueException",
            400,
            "Source image nobody does not exist. Provide a valid source image. (there is no file \
             or directory \"nobody\", and no image of that name in the store"
                .to_owned(),
        ),
        (
            "no reference",
            "InvalidParameterValueException",
            400,
            "Source image podman://f is not valid. Provide a valid source image. (".to_owned(),
        ),
        (
            "no update",
            "InvalidParameterValueException",
            400,
            "Source image ./nowhere.tar does not exist. Provide a valid source image. (".to_owned(),
        ),
        (
            "bad invoked",
            "ResourceConflictException",
            409,
            "The operation cannot be performed at this time. The function is currently in the \
             following state: Failed"
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
    assert_eq!(out["hash"], true, "{arn}");
    assert_eq!(out["bad"][0], "Failed");
    let reason = out["bad"][2].as_str().unwrap();
    assert!(reason.contains("no-image.tar"), "{reason}");
    assert_eq!(out["none was made"], "ResourceNotFoundException");
    assert_eq!(out["update"][0], "Active");
    assert_eq!(out["update"][1], "Failed");
    assert_eq!(out["still"], 1);
}

/// Whatever ends the service, its functions are there when it comes back; what a
/// command line made is not.
#[test]
fn privileged_functions_survive() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = Fixture::RustOciArchive.reference();
    let served = Served::start(&lambent, &[&image, "--name", "passing"]);
    client(
        &served,
        r#"
create("f", Timeout=7)
active("f")
c.publish_version(FunctionName="f")
c.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
c.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=5)
invoke("f:live")
assert len(c.list_functions()["Functions"]) == 2
invoke("passing")
# Not awaited: it is being made when the service is killed.
create("pending")
"#,
    );
    served.end(Signal::KILL);
    // Nothing of the images in use is lost, although nobody holds them now.
    let served = Served::start(&lambent, &[]);
    let out = client(
        &served,
        r#"
out["functions"] = [f["FunctionName"] for f in c.list_functions()["Functions"]]
out["f"] = [invoke("f")[0], invoke("f:live")[0], c.get_function(FunctionName="f")["Configuration"]["Timeout"]]
out["concurrency"] = c.get_function_concurrency(FunctionName="f")["ReservedConcurrentExecutions"]
active("pending")
out["pending"] = invoke("pending")[1]["count"]
"#,
    );
    assert_eq!(out["functions"], json!(["f", "pending"]), "{out}");
    assert_eq!(out["f"], json!(["$LATEST", "1", 7]));
    assert_eq!(out["concurrency"], 5);
    assert_eq!(out["pending"], 1);
    // One service at a time has the functions.
    let second = lambent.run(["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status, 4, "{second:?}");
    assert!(
        second.stderr.contains("another `lambent serve`"),
        "{second:?}"
    );
    // What is in use is not pruned.
    let pruned = lambent.run(["image", "prune", "--all"]);
    assert_eq!(pruned.status, 0, "{pruned:?}");
    served.end(Signal::INT);
    let served = Served::start(&lambent, &[]);
    let out = client(&served, "out['f'] = invoke('f')[1]['count']");
    assert_eq!(out["f"], 1, "{}", served.log());
    served.end(Signal::INT);
    // What is not in use can be; then it is fetched again.
    let pruned = lambent.run(["image", "prune", "--all"]);
    assert!(pruned.stdout.contains("removed sha256:"), "{pruned:?}");
    let served = Served::start(&lambent, &[]);
    let out = client(&served, "out['f'] = invoke('f:live')[1]['count']");
    assert_eq!(out["f"], 1, "{}", served.log());
}

/// What the README says, with the AWS CLI.
#[test]
fn privileged_the_aws_cli_makes_an_image_function() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for mark in ["one", "two"] {
        fixtures::write_marked_demo(&path.join(format!("{mark}.tar")), mark);
    }
    let served = Served::start_in(path, &lambent, &[]);
    let run = |arguments: &str| awscli::lambda(&served.url(), path, arguments.split_whitespace());
    let aws = |arguments: &str| {
        let run = run(arguments);
        assert_eq!(run.status, 0, "{arguments}: {run:?}\n{}", served.log());
        run.stdout
    };
    let mark = || {
        aws("invoke --function-name f --payload {\"action\":\"env\"} out.json");
        let answer = fs::read(path.join("out.json")).unwrap();
        serde_json::from_slice::<Value>(&answer).unwrap()["MARK"].take()
    };
    aws(
        "create-function --function-name f --role arn:aws:iam::123456789012:role/any --package-type \
         Image --code ImageUri=one.tar --memory-size 512",
    );
    aws("wait function-active-v2 --function-name f");
    assert_eq!(mark(), "one");
    // The file is another image now, which is as a tag that moves: only an update looks.
    fixtures::write_marked_demo(&path.join("one.tar"), "moved");
    aws("update-function-configuration --function-name f --memory-size 256");
    aws("wait function-updated-v2 --function-name f");
    assert_eq!(mark(), "one");
    aws("update-function-code --function-name f --image-uri two.tar");
    aws("wait function-updated-v2 --function-name f");
    assert_eq!(mark(), "two");
    aws("update-function-code --function-name f --image-uri one.tar");
    aws("wait function-updated-v2 --function-name f");
    assert_eq!(mark(), "moved");
    let shown = aws(
        "get-function --function-name f --query Configuration.[PackageType,MemorySize] \
                     --output text",
    );
    assert_eq!(shown, "Image\t256\n");
    aws("delete-function --function-name f");
    let gone = run("invoke --function-name f out.json");
    let error = "ResourceNotFoundException";
    assert!(gone.status != 0 && gone.stderr.contains(error), "{gone:?}");
}

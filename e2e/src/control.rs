//! Functions that AWS's client for Python makes, for tests of the control plane.

use serde_json::Value;

use crate::boto3;
use crate::fixtures::Fixture;
use crate::serve::Served;

/// A role, and short names that are the same for functions of images and of archives.
pub const SHORT_NAMES: &str = r#"
role = "arn:aws:iam::123456789012:role/r"
def active(name): c.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 90})
def updated(name): c.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 90})
def error(call, **arguments):
    try:
        call(**arguments)
        return "answered"
    except botocore.exceptions.ClientError as e:
        r = e.response
        return [r["Error"]["Code"], r["ResponseMetadata"]["HTTPStatusCode"], r["Error"]["Message"]]
out = {}
"#;

/// Short names for functions of images.
const PRELUDE: &str = r#"
def create(name, uri=None, **more):
    return c.create_function(FunctionName=name, Role=role, PackageType="Image", Code={"ImageUri": uri or image}, **more)
def invoke(name, event={"action": "counter"}, **more):
    r = c.invoke(FunctionName=name, Payload=json.dumps(event), **more)
    return [r["ExecutedVersion"], json.loads(r["Payload"].read())]
"#;

/// Runs lines of Python that make and use functions of the static image. What they
/// leave in `out` is returned.
///
/// # Panics
/// If a line fails, with the service's log.
pub fn client(served: &Served, code: &str) -> Value {
    let image = Fixture::RustOciArchive.reference();
    let code = format!("image = {image:?}\n{SHORT_NAMES}{PRELUDE}\n{code}");
    boto3::out(served, &code)
}

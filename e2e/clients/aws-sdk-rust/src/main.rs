//! Uses functions of the endpoint in the first argument with AWS's client for Rust, and
//! prints what it got as one JSON object. The second argument is an `ImageUri`.

use std::error::Error;
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::{Config, Credentials, Region, retry::RetryConfig};
use aws_sdk_lambda::error::ProvideErrorMetadata;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    FunctionCode, InvokeWithResponseStreamResponseEvent as Part, LogType, PackageType, State,
};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, image] = arguments.as_slice() else {
        return Err("usage: aws-sdk-rust-client ENDPOINT IMAGE".into());
    };
    let config = Config::builder()
        .behavior_version_latest()
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("x", "y", None, None, "fixed"))
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let client = Client::from_conf(config);
    let code = FunctionCode::builder().image_uri(image).build();
    let created = client
        .create_function()
        .function_name("f")
        .role("arn:aws:iam::123456789012:role/r")
        .package_type(PackageType::Image)
        .code(code)
        .send()
        .await?;
    while state(&client).await? == Some(State::Pending) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let invoke = |event: &Value| {
        let event = Blob::new(event.to_string());
        client.invoke().function_name("f").payload(event)
    };
    let answered = invoke(&json!({"action": "echo", "n": 1})).log_type(LogType::Tail);
    let answered = answered.send().await?;
    let payload: Value = serde_json::from_slice(answered.payload().ok_or("no payload")?.as_ref())?;
    let failed = invoke(&json!({"action": "raise", "message": "no"}));
    let failed = failed.send().await?;
    let error: Value = serde_json::from_slice(failed.payload().ok_or("no payload")?.as_ref())?;
    let mut stream = client
        .invoke_with_response_stream()
        .function_name("f")
        .payload(Blob::new(r#"{"action": "stream", "texts": ["a", "b"]}"#))
        .send()
        .await?
        .event_stream;
    let (mut streamed, mut complete) = (vec![], false);
    while let Some(part) = stream.recv().await? {
        match part {
            Part::PayloadChunk(chunk) => {
                streamed.extend_from_slice(chunk.payload().ok_or("no payload")?.as_ref());
            }
            Part::InvokeComplete(end) => complete = end.error_code().is_none(),
            _ => return Err("an event that the client does not know".into()),
        }
    }
    let missing = client.get_function().function_name("nobody").send().await;
    let missing = missing
        .err()
        .ok_or("there is a function nobody")?
        .into_service_error();
    let unprovisioned = client
        .get_provisioned_concurrency_config()
        .function_name("f")
        .qualifier("1")
        .send()
        .await;
    let unprovisioned = unprovisioned
        .err()
        .ok_or("it is provisioned")?
        .into_service_error();
    client.delete_function().function_name("f").send().await?;
    let out = json!({
        "created": created.function_arn(),
        "status": answered.status_code(),
        "version": answered.executed_version(),
        "payload": payload["event"]["n"],
        "log": answered.log_result().is_some(),
        "functionError": failed.function_error(),
        "error": error["errorMessage"],
        "streamed": String::from_utf8_lossy(&streamed),
        "complete": complete,
        "missing": [missing.is_resource_not_found_exception().to_string(), missing.message().unwrap_or_default().to_owned()],
        "unprovisioned": unprovisioned.code(),
    });
    println!("{out}");
    Ok(())
}

async fn state(client: &Client) -> Result<Option<State>, Box<dyn Error>> {
    let function = client.get_function_configuration().function_name("f");
    Ok(function.send().await?.state().cloned())
}

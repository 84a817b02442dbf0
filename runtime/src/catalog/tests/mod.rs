//! Requests and states in, states and answers out. What several operations need is
//! here, each has a file.

mod aliases;
mod books;
mod create;
mod deployment;
mod event_invoke;
mod permissions;
mod provisioned;
mod record;
mod update;

use serde_json::{Value, json};

use super::*;
use crate::model::{FunctionName, FunctionReference, Version};

const ROLE: &str = "arn:aws:iam::123456789012:role/r";
const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:f";

fn arns() -> Arns {
    Arns::new("us-east-1")
}

fn moment(number: u32) -> Moment {
    Moment {
        at: "2026-01-01T00:00:00.000+0000".to_owned(),
        revision_id: format!("revision-{number}"),
    }
}

fn name(text: &str) -> FunctionName {
    text.parse().unwrap()
}

fn reference(text: &str) -> FunctionReference {
    FunctionReference::parse(text, None).unwrap()
}

fn request<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn image(uri: &str) -> Code {
    Code::Image {
        uri: uri.to_owned(),
        digest: None,
    }
}

fn zip(unpacked_size: u64) -> Code {
    Code::Zip {
        digest: "ab".repeat(32),
        size: 10,
        unpacked_size,
    }
}

fn layer(name: &str, version: u64, unpacked_size: u64) -> LayerUse {
    LayerUse {
        arn: arns().layer_version(name, version),
        digest: "cd".repeat(32),
        size: 5,
        unpacked_size,
    }
}

/// Adds the function `f`, of an image.
fn create(catalog: &mut Catalog, members: &Value) -> Result<Value, Refusal> {
    let mut body = json!({"FunctionName": "f", "Role": ROLE, "PackageType": "Image"});
    for (member, value) in members.as_object().unwrap() {
        body[member] = value.clone();
    }
    let request: CreateFunction = request(body);
    let settings = request.settings(vec![], "x86_64")?;
    let record = catalog.create(
        &name("f"),
        &request,
        settings,
        image("host/name:1"),
        &moment(0),
    )?;
    Ok(record
        .latest
        .shape(&arns(), &name("f"), Version::Latest, None))
}

/// A catalog with the function `f`, which is active.
fn with_function() -> Catalog {
    let mut catalog = Catalog::default();
    create(&mut catalog, &json!({})).unwrap();
    catalog.deployed(&name("f"), "sha256:00", &moment(1));
    catalog
}

fn latest(catalog: &Catalog) -> Value {
    let record = &catalog.functions[&name("f")].latest;
    record.shape(&arns(), &name("f"), Version::Latest, None)
}

//! Tar files of an OCI image layout.

use lambent_images::ErrorKind::{DigestMismatch, Invalid, LimitExceeded, NotAnImage, Unsupported};
use lambent_images::Platform;
use serde_json::{Value, json};

use super::{Case, Files};

pub(super) fn cases() -> Vec<Case> {
    let good = Files::oci();
    let layer = good.layer();
    let name = "org.opencontainers.image.ref.name";
    let index = |change: &dyn Fn(&mut Value)| good.clone().edit("index.json", change).end();
    let entries = |count: u32, platform: Option<Platform>| {
        index(&|index| {
            let mut one = index["manifests"][0].clone();
            if let Some(Platform {
                os, architecture, ..
            }) = &platform
            {
                one["platform"] = json!({ "os": os, "architecture": architecture });
            }
            index["manifests"] = Value::Array((0..count).map(|_| one.clone()).collect());
        })
    };
    let moved = good
        .clone()
        .without(&layer)
        .with("elsewhere", good.0[&layer].clone());
    vec![
        ("D12 as it should be", good.end(), Ok(())),
        (
            "D12 no oci-layout",
            good.clone().without("oci-layout").end(),
            Err(NotAnImage),
        ),
        (
            "D12 version 2.0.0",
            good.clone()
                .with("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#)
                .end(),
            Err(Unsupported),
        ),
        (
            "D12 no index",
            good.clone().without("index.json").end(),
            Err(NotAnImage),
        ),
        (
            "D12 an empty index",
            index(&|index| index["manifests"] = json!([])),
            Err(NotAnImage),
        ),
        (
            "D12 a blob is missing",
            good.clone().without(&layer).end(),
            Err(Invalid),
        ),
        (
            "D12 further files",
            good.clone().with("a/b", "x").with("../c", "x").end(),
            Ok(()),
        ),
        (
            "D12 a blob is a link to another member",
            moved.tar().symlink(&layer, "../../elsewhere").end(),
            Ok(()),
        ),
        (
            "D12 a blob is a hard link to another member",
            moved.tar().hardlink(&layer, "elsewhere").end(),
            Ok(()),
        ),
        (
            "D12 a blob is a link out of the archive",
            moved
                .tar()
                .symlink(&layer, "../../../../../../etc/passwd")
                .end(),
            Err(Invalid),
        ),
        (
            "D12 a blob is a link to an absolute path",
            moved.tar().symlink(&layer, "/etc/passwd").end(),
            Err(Invalid),
        ),
        (
            "D12 a blob is a link to itself",
            moved.tar().hardlink(&layer, &layer).end(),
            Err(Invalid),
        ),
        (
            "D12 two indexes",
            good.tar().file("index.json", "{}").end(),
            Err(Invalid),
        ),
        (
            "D12 a name with dots",
            index(&|index| index["manifests"][0]["annotations"][name] = json!("../../x")),
            Ok(()),
        ),
        (
            "D03 500 equal entries for no platform",
            entries(500, None),
            Err(Invalid),
        ),
        (
            "D08 500 equal entries",
            entries(500, Some(Platform::host())),
            Ok(()),
        ),
        (
            "D03 100,000 entries",
            entries(100_000, None),
            Err(LimitExceeded),
        ),
        (
            "D02 a digest with dots",
            index(&|index| index["manifests"][0]["digest"] = json!("sha256:../../../etc/passwd")),
            Err(Invalid),
        ),
        (
            "D02 sha512",
            index(&|index| {
                index["manifests"][0]["digest"] = json!(format!("sha512:{}", "0".repeat(128)));
            }),
            Err(Unsupported),
        ),
        (
            "C08 size 0",
            index(&|index| index["manifests"][0]["size"] = json!(0)),
            Err(Invalid),
        ),
        (
            "C08 size 2^63",
            index(&|index| index["manifests"][0]["size"] = json!(1_u64 << 63)),
            Err(LimitExceeded),
        ),
        (
            "D07 embedded data that is not the blob's",
            index(&|index| index["manifests"][0]["data"] = json!("bGll")),
            Ok(()),
        ),
        (
            "D13 a byte after the layer",
            good.clone()
                .with(&layer, [good.0[&layer].as_slice(), b"\0"].concat())
                .end(),
            Err(Invalid),
        ),
        (
            "D13 another layer under its digest",
            good.clone()
                .with(&layer, vec![b'x'; good.0[&layer].len()])
                .end(),
            Err(DigestMismatch),
        ),
        (
            "D05 a key twice",
            good.clone()
                .manifest(|text| text.replacen('{', r#"{"schemaVersion":2,"#, 1))
                .end(),
            Err(Invalid),
        ),
        (
            "D05 bytes behind the document",
            good.clone().manifest(|text| text + "{}").end(),
            Err(Invalid),
        ),
        (
            "D05 spaces behind it",
            good.clone().manifest(|text| text + " \n").end(),
            Ok(()),
        ),
        (
            "D05 a lone surrogate where nobody reads it",
            good.clone()
                .manifest(|text| text.replacen('{', r#"{"x":"\ud800","#, 1))
                .end(),
            Ok(()),
        ),
        (
            "D05 a key that differs in case, which Go would take",
            good.clone()
                .manifest(|text| text.replacen('{', r#"{"Layers":[],"SCHEMAVERSION":1,"#, 1))
                .end(),
            Ok(()),
        ),
        (
            "D05 not a number, where nobody reads it",
            good.clone()
                .manifest(|text| text.replacen('{', r#"{"x":NaN,"#, 1))
                .end(),
            Err(Invalid),
        ),
        (
            "D05 a size beyond all numbers",
            good.clone()
                .manifest(|text| text.replacen(r#""size":"#, r#""size":1e400,"x":"#, 1))
                .end(),
            Err(Invalid),
        ),
        (
            "D05 a size with a fraction",
            good.clone()
                .manifest(|text| text.replacen(r#""size":"#, r#""size":1.5,"x":"#, 1))
                .end(),
            Err(Invalid),
        ),
        (
            "D01 both kinds at once",
            good.clone()
                .manifest(|text| text.replacen('{', r#"{"manifests":[],"#, 1))
                .end(),
            Err(Invalid),
        ),
        (
            "D06 a layer from elsewhere",
            good.clone()
                .manifest(|text| text.replace("layer.v1.tar", "layer.nondistributable.v1.tar"))
                .end(),
            Err(Unsupported),
        ),
        (
            "C06 a layer that is called plain and is gzip",
            good.clone()
                .manifest(|text| text.replace("tar+gzip", "tar"))
                .end(),
            Ok(()),
        ),
    ]
}

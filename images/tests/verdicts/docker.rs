//! What `docker save` writes, and what it does not.

use lambent_images::ErrorKind::{DigestMismatch, Invalid, LimitExceeded, NotAnImage};
use serde_json::{Value, json};

use super::{Case, Files, Tar};

pub(super) fn cases() -> Vec<Case> {
    let good = Files::docker();
    let list = |change: &dyn Fn(&mut Value)| good.clone().edit("manifest.json", change);
    let layers = |name: &str| list(&|list| list[0]["Layers"] = json!([name]));
    let moved = good
        .clone()
        .without("l/layer.tar")
        .with("m.tar", good.0["l/layer.tar"].clone());
    vec![
        ("D11 as it should be", good.end(), Ok(())),
        (
            "D11 no list",
            good.clone().without("manifest.json").end(),
            Err(NotAnImage),
        ),
        (
            "D11 null",
            good.clone().with("manifest.json", "null").end(),
            Err(NotAnImage),
        ),
        (
            "D11 an empty list",
            good.clone().with("manifest.json", "[]").end(),
            Err(NotAnImage),
        ),
        (
            "D11 tags null",
            list(&|list| list[0]["RepoTags"] = json!(null)).end(),
            Ok(()),
        ),
        (
            "D11 no tags",
            list(&|list| list[0]["RepoTags"] = json!([])).end(),
            Ok(()),
        ),
        (
            "D11 layers null",
            list(&|list| list[0]["Layers"] = json!(null)).end(),
            Err(Invalid),
        ),
        (
            "D11 two lists",
            good.tar().file("manifest.json", "[]").end(),
            Err(Invalid),
        ),
        (
            "D11 a linked layer, as old versions of Docker save it",
            moved.tar().symlink("l/layer.tar", "../m.tar").end(),
            Ok(()),
        ),
        (
            "D11 a layer linked to a file of the host",
            moved.tar().symlink("l/layer.tar", "../../etc/passwd").end(),
            Err(Invalid),
        ),
        (
            "D11 a layer outside",
            layers("../l/layer.tar").end(),
            Err(Invalid),
        ),
        (
            "D11 an absolute name is the archive's own",
            layers("/l/layer.tar").end(),
            Ok(()),
        ),
        (
            "D11 a layer of the host",
            layers("/etc/passwd").end(),
            Err(Invalid),
        ),
        (
            "D11 a configuration of the host",
            list(&|list| list[0]["Config"] = json!("/etc/passwd")).end(),
            Err(Invalid),
        ),
        (
            "D11 a configuration in a directory",
            list(&|list| list[0]["Config"] = json!("a/b.json"))
                .with("a/b.json", good.0["c.json"].clone())
                .end(),
            Ok(()),
        ),
        (
            "D11 another layer than the diff ID says",
            good.clone()
                .with("l/layer.tar", Tar::new().file("y", "").end())
                .end(),
            Err(DigestMismatch),
        ),
        (
            "D04 a list of 5 MiB",
            good.clone()
                .with("manifest.json", vec![b' '; 5 << 20])
                .end(),
            Err(LimitExceeded),
        ),
        (
            "D04 a configuration of 5 MiB",
            good.clone().with("c.json", vec![b' '; 5 << 20]).end(),
            Err(LimitExceeded),
        ),
    ]
}

//! I-C09: what an image says of its layers, against what they are.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::path::Path;
use std::process::Command;

use lambent_images::{Digest, ErrorKind, Form};
use support::{Scratch, good, is_root};

/// Rewrites the configuration of a layout and everything that names its digest.
fn rewrite(layout: &Path, from: &str, to: &str) {
    let blobs = layout.join("blobs/sha256");
    let read = |digest: &str| {
        std::fs::read_to_string(blobs.join(digest.trim_start_matches("sha256:"))).unwrap()
    };
    let write = |text: &str| {
        let digest = Digest::of(text);
        std::fs::write(blobs.join(digest.hex()), text).unwrap();
        serde_json::json!({ "digest": digest, "size": text.len() })
    };
    let mut index: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(layout.join("index.json")).unwrap()).unwrap();
    let mut manifest: serde_json::Value =
        serde_json::from_str(&read(index["manifests"][0]["digest"].as_str().unwrap())).unwrap();
    let before = read(manifest["config"]["digest"].as_str().unwrap());
    let config = before.replace(from, to);
    assert_ne!(config, before, "{from} is not there");
    let patch = |target: &mut serde_json::Value, new: serde_json::Value| {
        target["digest"] = new["digest"].clone();
        target["size"] = new["size"].clone();
    };
    patch(&mut manifest["config"], write(&config));
    patch(&mut index["manifests"][0], write(&manifest.to_string()));
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn a_diff_id_that_lies_is_refused() {
    if !is_root("a_diff_id_that_lies_is_refused") {
        return;
    }
    for form in [Form::Directory, Form::Erofs] {
        let scratch = Scratch::of_form(form);
        let layout = scratch.path("layout");
        good().write_oci_layout(&layout, "latest").unwrap();
        let image = Scratch::new().import(&layout).unwrap();
        let (a, b) = (
            image.layers[0].diff_id.to_string(),
            image.layers[1].diff_id.to_string(),
        );
        rewrite(&layout, &a, &Digest::of("other").to_string());
        let before = scratch.content();
        assert_eq!(
            scratch.import(&layout).unwrap_err().kind(),
            ErrorKind::DigestMismatch
        );
        assert_eq!(scratch.content(), before);
        // Also when both layers are known, only each under the other's name.
        rewrite(&layout, &Digest::of("other").to_string(), &a);
        scratch.import(&layout).unwrap();
        let stored = scratch.content();
        rewrite(&layout, &a, "swap");
        rewrite(&layout, &b, &a);
        rewrite(&layout, "swap", &b);
        // And when none is.
        for scratch in [&scratch, &Scratch::of_form(form)] {
            assert_eq!(
                scratch.import(&layout).unwrap_err().kind(),
                ErrorKind::DigestMismatch
            );
        }
        assert_eq!(scratch.content(), stored);
        // One too few, and one too many.
        rewrite(&layout, &format!("\"{b}\","), "");
        let count = scratch.import(&layout).unwrap_err();
        assert_eq!(count.kind(), ErrorKind::Invalid, "{count}");
        rewrite(
            &layout,
            &format!("\"{a}\""),
            &format!("\"{a}\",\"{b}\",\"{b}\""),
        );
        let count = scratch.import(&layout).unwrap_err();
        assert_eq!(count.kind(), ErrorKind::Invalid, "{count}");
        assert_eq!(scratch.content(), stored);
    }
}

/// I-C09: what an image says of its making is not looked at, as by other tools: layers
/// that were squashed or added have less of it, or more.
#[test]
fn a_history_that_disagrees_changes_nothing() {
    let scratch = Scratch::of_form(Form::Erofs);
    let layout = scratch.path("layout");
    good().write_oci_layout(&layout, "latest").unwrap();
    let image = scratch.import(&layout).unwrap();
    let step = r#"{"created_by":"RUN x"}"#;
    for (what, history) in [
        ("none", "[]".to_owned()),
        ("too little", format!("[{step}]")),
        ("too much", format!("[{step},{step},{step}]")),
        (
            "all empty",
            r#"[{"empty_layer":true},{"empty_layer":true}]"#.to_owned(),
        ),
        ("null", "null".to_owned()),
    ] {
        let layout = scratch.path(what);
        good().write_oci_layout(&layout, "latest").unwrap();
        rewrite(
            &layout,
            r#""history":"#,
            &format!(r#""history":{history},"other":"#),
        );
        let again = scratch.import(&layout).unwrap();
        assert_eq!(again.layers, image.layers, "{what}");
        let other = Command::new("skopeo")
            .args(["copy", "--quiet", "--insecure-policy"])
            .arg(format!("oci:{}:latest", layout.display()))
            .arg(format!("dir:{}", scratch.path("copy").display()))
            .status();
        assert!(other.unwrap().success(), "{what}");
    }
}

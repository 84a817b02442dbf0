//! What is odd about the archives and layouts that other tools have written.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::path::Path;

use lambent_images::{Digest, ErrorKind, Image, NoProgress, Platform};
use serde_json::{Value, json};
use support::tar::{Fields, Tar};
use support::{Scratch, is_root};

fn add(tar: Tar, name: &str, content: impl AsRef<[u8]>) -> Tar {
    let fields = Fields {
        name: name.as_bytes(),
        ..Fields::default()
    };
    tar.entry(fields, content.as_ref())
}

fn layer(name: &str) -> Vec<u8> {
    Tar::new().file(name, name).end()
}

fn config(layers: &[&[u8]]) -> String {
    let platform = Platform::host();
    let diff_ids: Vec<_> = layers.iter().map(Digest::of).collect();
    json!({ "os": platform.os, "architecture": platform.architecture, "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids } })
    .to_string()
}

/// Imports an archive; `transport` may end with a name: `docker-archive:FILE:NAME`.
fn import(scratch: &Scratch, tar: Tar, transport: &str) -> Result<Image, (ErrorKind, String)> {
    let file = scratch.path("image.tar");
    std::fs::write(&file, tar.end()).unwrap();
    let reference = transport.replace("FILE", file.to_str().unwrap());
    scratch
        .store
        .import(&reference.parse().unwrap(), &Platform::host(), &NoProgress)
        .map_err(|error| (error.kind(), error.to_string()))
}

#[test]
fn links_between_the_layers_of_a_docker_archive() {
    if !is_root("links_between_the_layers_of_a_docker_archive") {
        return;
    }
    let scratch = Scratch::new();
    let one = layer("one");
    let manifest = json!([{ "Config": "c/config.json", "RepoTags": null,
        "Layers": ["a/layer.tar", "b/layer.tar"] }]);
    let base = |manifest: &Value| {
        let tar = add(Tar::new(), "manifest.json", manifest.to_string());
        let tar = add(tar, "c/config.json", config(&[&one, &one]));
        add(tar, "./a/layer.tar", &one)
    };
    // As old versions of Docker wrote a layer that occurs twice.
    for linked in [
        base(&manifest).symlink("b/layer.tar", "../a/layer.tar"),
        base(&manifest).hardlink("b/layer.tar", "a/layer.tar"),
        base(&manifest)
            .symlink("b/layer.tar", "../x/y")
            .symlink("x/y", "../a/layer.tar"),
    ] {
        let image = import(&scratch, linked, "docker-archive:FILE").unwrap();
        assert_eq!(image.layers.len(), 2);
    }
    let secret = scratch.path("secret");
    std::fs::write(&secret, layer("secret")).unwrap();
    let (up, absolute) = (
        "../../../../../../../../etc/passwd",
        secret.to_str().unwrap(),
    );
    for (what, refused) in [
        (
            "out of the archive",
            base(&manifest).symlink("b/layer.tar", up),
        ),
        ("absolute", base(&manifest).symlink("b/layer.tar", absolute)),
        ("nowhere", base(&manifest).symlink("b/layer.tar", "nowhere")),
        (
            "to itself",
            base(&manifest).symlink("b/layer.tar", "layer.tar"),
        ),
        (
            "a hard link out",
            base(&manifest).hardlink("b/layer.tar", up),
        ),
        (
            "twice",
            add(
                base(&manifest).symlink("b/layer.tar", "x"),
                "b/layer.tar",
                &one,
            ),
        ),
    ] {
        let (kind, text) = import(&scratch, refused, "docker-archive:FILE").unwrap_err();
        assert_eq!(kind, ErrorKind::Invalid, "{what}: {text}");
    }
    for name in [up, "../a/layer.tar", absolute, "", "a", "b/layer.tar\u{0}"] {
        let manifest = json!([{ "Config": "c/config.json", "Layers": ["a/layer.tar", name] }]);
        let (kind, text) = import(&scratch, base(&manifest), "docker-archive:FILE").unwrap_err();
        assert_eq!(kind, ErrorKind::Invalid, "{name}: {text}");
    }
}

#[test]
fn several_images_in_a_docker_archive() {
    if !is_root("several_images_in_a_docker_archive") {
        return;
    }
    let scratch = Scratch::new();
    let (one, two) = (layer("one"), layer("two"));
    let archive = |first: Value, second: Value| {
        let manifest = json!([
            { "Config": "1.json", "RepoTags": first, "Layers": ["one.tar"] },
            { "Config": "2.json", "RepoTags": second, "Layers": ["one.tar", "two.tar"] },
        ]);
        let tar = add(Tar::new(), "manifest.json", manifest.to_string());
        let tar = add(tar, "1.json", config(&[&one]));
        let tar = add(tar, "2.json", config(&[&one, &two]));
        add(add(tar, "one.tar", &one), "two.tar", &two)
    };
    let named = || archive(json!(["fn:1", "h.io/fn:old"]), json!(["fn:2"]));
    for (name, layers) in [
        ("fn:1", 1),
        ("h.io/fn:old", 1),
        ("fn:2", 2),
        ("@0", 1),
        ("@1", 2),
    ] {
        let image = import(&scratch, named(), &format!("docker-archive:FILE:{name}")).unwrap();
        assert_eq!(image.layers.len(), layers, "{name}");
    }
    let (kind, text) = import(&scratch, named(), "docker-archive:FILE").unwrap_err();
    assert_eq!(kind, ErrorKind::Ambiguous);
    assert!(
        ["fn:1", "h.io/fn:old", "fn:2"]
            .iter()
            .all(|n| text.contains(n)),
        "{text}"
    );
    let (kind, text) = import(&scratch, named(), "docker-archive:FILE:fn").unwrap_err();
    assert_eq!(kind, ErrorKind::NotFound, "{text}");
    let nameless = || archive(Value::Null, json!([]));
    let (_, text) = import(&scratch, nameless(), "docker-archive:FILE").unwrap_err();
    assert!(text.contains("@0") && text.contains("@1"), "{text}");
    let image = import(&scratch, nameless(), "docker-archive:FILE:@1").unwrap();
    assert_eq!(image.layers.len(), 2);
    // A terminal must not be written to by names.
    let evil = || archive(json!(["a\u{1b}]52;c;\u{7}"]), json!(["b"]));
    let (_, text) = import(&scratch, evil(), "docker-archive:FILE").unwrap_err();
    assert!(text.chars().all(|c| !c.is_control()), "{text}");
}

#[test]
fn docker_archives_that_are_none() {
    let scratch = Scratch::new();
    let one = layer("one");
    let with = |manifest: &str| {
        let tar = add(Tar::new(), "manifest.json", manifest);
        add(add(tar, "c.json", config(&[&one])), "one.tar", &one)
    };
    let good = r#"[{"Config":"c.json","Layers":["one.tar"]}]"#;
    let huge = format!("[{}]", " ".repeat(5 << 20));
    for (what, tar, expected) in [
        ("null", with("null"), ErrorKind::NotAnImage),
        ("none", with("[]"), ErrorKind::NotAnImage),
        ("empty", with(""), ErrorKind::Invalid),
        ("an object", with("{}"), ErrorKind::Invalid),
        (
            "no configuration",
            with(r#"[{"Config":"x","Layers":[]}]"#),
            ErrorKind::Invalid,
        ),
        (
            "a number of layers",
            with(r#"[{"Config":"c.json","Layers":[]}]"#),
            ErrorKind::Invalid,
        ),
        (
            "a configuration outside",
            with(r#"[{"Config":"../c.json"}]"#),
            ErrorKind::Invalid,
        ),
        ("huge", with(&huge), ErrorKind::LimitExceeded),
        (
            "two manifests",
            add(with(good), "./manifest.json", good),
            ErrorKind::Invalid,
        ),
        (
            "two configurations",
            add(with(good), "c.json", "{}"),
            ErrorKind::Invalid,
        ),
        (
            "no manifest",
            add(Tar::new(), "c.json", config(&[&one])),
            ErrorKind::NotAnImage,
        ),
    ] {
        let (kind, text) = import(&scratch, tar, "docker-archive:FILE").unwrap_err();
        assert_eq!(kind, expected, "{what}: {text}");
    }
    assert!(scratch.store.images().unwrap().is_empty());
}

/// The members of an OCI archive with one image, by name.
fn oci(one: &[u8]) -> Vec<(String, Vec<u8>)> {
    let blob = |bytes: &[u8]| {
        (
            format!("blobs/sha256/{}", Digest::of(bytes).hex()),
            bytes.to_vec(),
        )
    };
    let descriptor = |media_type: &str, bytes: &[u8]| {
        json!({ "mediaType": format!("application/vnd.oci.image.{media_type}"),
            "digest": Digest::of(bytes), "size": bytes.len() })
    };
    let config = config(&[one]);
    let manifest = json!({ "schemaVersion": 2,
        "config": descriptor("config.v1+json", config.as_bytes()),
        "layers": [descriptor("layer.v1.tar", one)] })
    .to_string();
    let index = json!({ "schemaVersion": 2,
        "manifests": [descriptor("manifest.v1+json", manifest.as_bytes())] });
    vec![
        (
            "oci-layout".to_owned(),
            br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
        ),
        ("index.json".to_owned(), index.to_string().into_bytes()),
        blob(config.as_bytes()),
        blob(manifest.as_bytes()),
        blob(one),
    ]
}

fn tar_of(members: &[(String, Vec<u8>)]) -> Tar {
    members
        .iter()
        .fold(Tar::new(), |tar, (name, bytes)| add(tar, name, bytes))
}

#[test]
fn odd_oci_archives() {
    if !is_root("odd_oci_archives") {
        return;
    }
    let scratch = Scratch::new();
    let members = oci(&layer("one"));
    import(&scratch, tar_of(&members), "oci-archive:FILE").unwrap();
    // Blobs that are links to files beside them, and files that nobody names.
    for hard in [false, true] {
        let tar = members.iter().fold(Tar::new(), |tar, (name, bytes)| {
            let Some(hex) = name.strip_prefix("blobs/sha256/") else {
                return add(tar, name, bytes);
            };
            let tar = add(tar, &format!("real/{hex}"), bytes);
            if hard {
                tar.hardlink(name, &format!("real/{hex}"))
            } else {
                tar.symlink(name, &format!("../../real/{hex}"))
            }
        });
        let tar = add(tar, "README", "hello")
            .dir("empty")
            .symlink("out", "/etc/passwd");
        import(&scratch, tar, "oci-archive:FILE").unwrap();
    }
    for position in 0..members.len() {
        // A store that has the layer would not miss it.
        let scratch = Scratch::new();
        let mut fewer = members.clone();
        let (name, _) = fewer.remove(position);
        let (kind, text) = import(&scratch, tar_of(&fewer), "oci-archive:FILE").unwrap_err();
        let expected = if position < 2 {
            ErrorKind::NotAnImage
        } else {
            ErrorKind::Invalid
        };
        assert_eq!(kind, expected, "without {name}: {text}");
        let twice = add(tar_of(&members), &name, "other");
        let (kind, text) = import(&scratch, twice, "oci-archive:FILE").unwrap_err();
        assert_eq!(kind, ErrorKind::Invalid, "{name} twice: {text}");
    }
    let before = scratch.content();
    for (member, content, expected) in [
        (
            0,
            r#"{"imageLayoutVersion":"2.0.0"}"#,
            ErrorKind::Unsupported,
        ),
        (0, "{}", ErrorKind::Invalid),
        (0, "", ErrorKind::Invalid),
        (1, "", ErrorKind::Invalid),
        (1, "null", ErrorKind::Invalid),
        (
            1,
            r#"{"schemaVersion":2,"manifests":[]}"#,
            ErrorKind::NotAnImage,
        ),
        (
            1,
            r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../x","size":1}]}"#,
            ErrorKind::Invalid,
        ),
    ] {
        let mut changed = members.clone();
        changed[member].1 = content.into();
        let (kind, text) = import(&scratch, tar_of(&changed), "oci-archive:FILE").unwrap_err();
        assert_eq!(kind, expected, "{content}: {text}");
    }
    assert_eq!(scratch.content(), before);
}

#[test]
fn several_images_in_a_layout() {
    if !is_root("several_images_in_a_layout") {
        return;
    }
    let scratch = Scratch::new();
    let (one, two) = (oci(&layer("one")), oci(&layer("two")));
    let layout = scratch.path("layout");
    let write = |names: [Option<&str>; 2]| {
        let mut manifests = Vec::new();
        for (members, name) in [&one, &two].into_iter().zip(names) {
            for (path, bytes) in members {
                std::fs::create_dir_all(layout.join(path).parent().unwrap()).unwrap();
                std::fs::write(layout.join(path), bytes).unwrap();
            }
            let index: Value = serde_json::from_slice(&members[1].1).unwrap();
            let mut entry = index["manifests"][0].clone();
            if let Some(name) = name {
                entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
            }
            manifests.push(entry);
        }
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    };
    let import = |name: &str| {
        let reference = format!("oci:{}{name}", layout.display()).parse().unwrap();
        let image = scratch
            .store
            .import(&reference, &Platform::host(), &NoProgress);
        image
            .map(|image| scratch.layer(&image, 0).join("one").exists())
            .map_err(|error| error.to_string())
    };
    // A name is a name, and never a path.
    write([Some("../../etc"), Some("two")]);
    assert_eq!(import(":../../etc"), Ok(true));
    assert_eq!(import(":two"), Ok(false));
    let text = import("").unwrap_err();
    assert!(text.contains("../../etc") && text.contains("two"), "{text}");
    assert!(import(":other").unwrap_err().contains("two"));
    write([None, None]);
    assert!(import("").unwrap_err().contains("@0"));
    assert_eq!(import(":@0"), Ok(true));
    assert_eq!(import(":@1"), Ok(false));
    assert!(import(":@2").unwrap_err().contains("@1"));
    assert!(!Path::new("layout").exists());
}

#[test]
fn an_index_that_lambda_would_refuse_is_pointed_out() {
    if !is_root("an_index_that_lambda_would_refuse_is_pointed_out") {
        return;
    }
    let scratch = Scratch::new();
    let members = oci(&layer("one"));
    let image = import(&scratch, tar_of(&members), "oci-archive:FILE").unwrap();
    assert_eq!(image.warnings, [""; 0]);
    let platform = Platform::host();
    let outer: Value = serde_json::from_slice(&members[1].1).unwrap();
    let mut entry = outer["manifests"][0].clone();
    entry["platform"] = json!({ "os": platform.os, "architecture": platform.architecture });
    let attestation = json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": Digest::of("attestation"), "size": 1,
        "platform": { "os": "unknown", "architecture": "unknown" },
        "annotations": { "vnd.docker.reference.type": "attestation-manifest" } });
    for media_type in [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ] {
        let inner = json!({ "schemaVersion": 2, "mediaType": media_type,
            "manifests": [attestation, entry] })
        .to_string();
        let index = json!({ "schemaVersion": 2, "manifests": [
            { "mediaType": media_type, "digest": Digest::of(&inner), "size": inner.len() }] });
        let mut members = members.clone();
        members[1].1 = index.to_string().into_bytes();
        let name = format!("blobs/sha256/{}", Digest::of(&inner).hex());
        members.push((name, inner.into_bytes()));
        let image = import(&scratch, tar_of(&members), "oci-archive:FILE").unwrap();
        let [line] = image.warnings.as_slice() else {
            panic!("{:?}", image.warnings)
        };
        assert!(line.contains("one image and attestations"), "{line}");
        assert!(
            line.contains(&format!(
                "--provenance=false --sbom=false --platform {platform}"
            )),
            "{line}"
        );
    }
}

//! `lambent validate`: for each rule an image that breaks it, and none for the good.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::path::{Path, PathBuf};

use lambent_e2e::fixtures::Fixture;
use lambent_e2e::{Lambent, Run, privileged};
use lambent_images::Platform;
use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};
use serde_json::{Value, json};

/// A program that is a Lambda runtime as far as one can see without running it.
const SCRIPT: &str = "#!/bin/sh\ncurl $AWS_LAMBDA_RUNTIME_API\n";

/// A layer with something for a shell that is a program for this machine.
fn base() -> LayerBuilder {
    LayerBuilder::new()
        .directory("bin", 0o755)
        .file_from("bin/sh", 0o755, "/bin/true")
        .directory("var/task", 0o755)
        .file("lib64/ld-linux-x86-64.so.2", 0o755, "")
        .file("lib/ld-linux-aarch64.so.1", 0o755, "")
}

/// An image that is fine.
fn good() -> ImageBuilder {
    ImageBuilder::new(Platform::host())
        .entrypoint(["/run"])
        .layer(base())
        .layer(LayerBuilder::new().file("run", 0o755, SCRIPT))
}

/// An image with this entry point in a layer of its own.
fn starting(path: &str, mode: u32, content: impl Into<Vec<u8>>) -> ImageBuilder {
    ImageBuilder::new(Platform::host())
        .entrypoint([format!("/{path}")])
        .layer(base())
        .layer(LayerBuilder::new().file(path, mode, content))
}

fn validate(lambent: &Lambent, image: &Path, arguments: &[&str]) -> Run {
    let ours = ["validate", image.to_str().unwrap(), "--output", "json"];
    lambent.run(ours.iter().chain(arguments))
}

/// What an installation keeps of images, and what a command has left behind.
fn stored(lambent: &Lambent) -> Vec<PathBuf> {
    let places = [
        "blobs/sha256",
        "indexes",
        "layers/sha256",
        "partial",
        "roots",
        "tmp",
    ];
    let list = |place: &str| {
        let entries = fs::read_dir(lambent.root().join("lib/images").join(place)).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    places.into_iter().flat_map(list).collect()
}

/// The codes of the findings, with their severities.
fn codes(run: &Run) -> Vec<(String, String)> {
    let report: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    let findings = report["findings"].as_array().unwrap();
    let text = |finding: &Value, member: &str| finding[member].as_str().unwrap().to_owned();
    findings
        .iter()
        .map(|finding| (text(finding, "code"), text(finding, "severity")))
        .collect()
}

/// The begin of a program of this machine.
fn cut_program() -> Vec<u8> {
    let mut program = fs::read("/bin/bash").unwrap();
    program.truncate(program.len() / 4);
    program.extend(b"AWS_LAMBDA_RUNTIME_API");
    program
}

/// Why a report says that an image could not be read, which is no finding.
fn unread(run: &Run) -> String {
    let report: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    assert_eq!(run.status, 3, "{run:?}");
    assert_eq!(
        (&report["findings"], &report["errors"]),
        (&json!([]), &json!(0))
    );
    let error = report["error"]
        .as_str()
        .unwrap_or_else(|| panic!("{run:?}"));
    assert!(run.stderr.contains(error), "{run:?}");
    error.to_owned()
}

/// The bytes of a program of another machine: 64-bit, little-endian, PowerPC.
fn foreign_program() -> Vec<u8> {
    let mut header = vec![0; 64];
    header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    header[16..20].copy_from_slice(&[2, 0, 21, 0]);
    header[52] = 64;
    header.extend(b"AWS_LAMBDA_RUNTIME_API");
    header
}

/// A program of this machine whose loader's name is at this offset; there is one at
/// 1 MB, as what changes programs appends it, and its file does not exist.
fn program(offset: [u8; 8]) -> Vec<u8> {
    let own = fs::read("/proc/self/exe").unwrap();
    let mut program = own[..64].to_vec();
    let name = b"/nowhere/ld\0";
    // One program header, right behind the header.
    program[32..40].copy_from_slice(&64_u64.to_le_bytes());
    program[56..58].copy_from_slice(&1_u16.to_le_bytes());
    program.extend([3, 0, 0, 0, 4, 0, 0, 0]);
    program.extend(offset);
    program.extend([0; 16]);
    program.extend((name.len() as u64).to_le_bytes());
    program.extend([0; 16]);
    program.extend(b"AWS_LAMBDA_RUNTIME_API");
    program.resize(1 << 20, 0);
    program.extend(name);
    program
}

#[test]
fn each_rule_has_an_image_that_breaks_it() {
    let layer = LayerBuilder::new;
    let host = || ImageBuilder::new(Platform::host());
    let python = |handler: &[&str]| {
        let words = ["/usr/bin/python3.11", "-m", "awslambdaric"];
        let layer = layer()
            .file("usr/bin/python3.11", 0o755, SCRIPT)
            .file(
                "usr/lib/python3/dist-packages/awslambdaric/__main__.py",
                0o644,
                "",
            )
            .file("var/task/app.py", 0o644, "");
        host()
            .entrypoint(words)
            .cmd(handler.to_vec())
            .layer(base())
            .layer(layer)
    };
    let cases: Vec<(&str, &str, ImageBuilder)> = vec![
        (
            "unsupported-layer",
            "error",
            good().layer(layer().file("z", 0o644, "z").compression(Compression::Zstd)),
        ),
        (
            "missing-parent-directory",
            "error",
            good().layer(LayerBuilder::raw(orphan())),
        ),
        (
            "image-settings-size",
            "error",
            good().env("LONG", &"x".repeat(17_000)),
        ),
        (
            "manifest-size",
            "warning",
            (0..200).fold(good(), |image, number| {
                image.layer(layer().file(format!("f{number}"), 0o644, ""))
            }),
        ),
        (
            "wrong-architecture",
            "error",
            starting("run", 0o755, foreign_program()),
        ),
        (
            "wrong-architecture",
            "error",
            starting("run", 0o755, "curl $AWS_LAMBDA_RUNTIME_API\n"),
        ),
        (
            "damaged-program",
            "error",
            starting("run", 0o755, program([0xff; 8])),
        ),
        (
            "unusable-image",
            "error",
            good().layer(LayerBuilder::raw(vec![b'x'; 1024])),
        ),
        (
            "truncated-program",
            "error",
            starting("run", 0o755, cut_program()),
        ),
        (
            "interpreter-not-found",
            "error",
            starting("run", 0o755, program((1_u64 << 20).to_le_bytes())),
        ),
        ("entry-point-missing", "error", host().layer(base())),
        (
            "entry-point-not-found",
            "error",
            good().entrypoint(["/nowhere/run"]),
        ),
        ("entry-point-not-found", "error", good().entrypoint(["run"])),
        (
            "entry-point-not-executable",
            "error",
            starting("run", 0o700, SCRIPT),
        ),
        (
            "entry-point-not-executable",
            "error",
            good().entrypoint(["/bin"]),
        ),
        (
            "entry-point-not-executable",
            "error",
            starting("closed/run", 0o755, SCRIPT).layer(layer().directory("closed", 0o700)),
        ),
        (
            "interpreter-not-found",
            "error",
            starting("run", 0o755, SCRIPT.replacen('\n', "\r\n", 1)),
        ),
        (
            "interpreter-not-found",
            "error",
            starting(
                "run",
                0o755,
                SCRIPT.replacen("/bin/sh", "/usr/bin/env bash", 1),
            )
            .env("PATH", "/usr/bin:/bin")
            .layer(layer().file_from("usr/bin/env", 0o755, "/bin/true")),
        ),
        (
            "interpreter-not-found",
            "error",
            good().layer(layer().whiteout("lib64").whiteout("lib")),
        ),
        (
            "entry-point-relative",
            "note",
            good().entrypoint(["run"]).env("PATH", "/bin:/"),
        ),
        (
            "entry-point-symlink",
            "note",
            good()
                .entrypoint(["/link"])
                .layer(layer().symlink("link", "run")),
        ),
        ("working-directory", "error", good().working_dir("/nowhere")),
        ("working-directory", "error", good().working_dir("relative")),
        ("working-directory", "error", good().working_dir("/run")),
        (
            "working-directory",
            "error",
            good()
                .working_dir("/closed")
                .layer(layer().directory("closed", 0o700)),
        ),
        (
            "runtime-client-missing",
            "warning",
            starting("run", 0o755, "#!/bin/sh\nsleep 1\n"),
        ),
        (
            "runtime-client-missing",
            "error",
            good()
                .entrypoint(["/run", "-m", "awslambdaric"])
                .cmd(["app.handler"]),
        ),
        ("handler-missing", "error", python(&[])),
        ("handler-not-found", "warning", python(&["other.handler"])),
        (
            "unreadable-file",
            "warning",
            good().layer(layer().file("var/task/secret", 0o600, "s")),
        ),
        ("user-ignored", "note", good().user("1000")),
        (
            "reserved-variable",
            "warning",
            good().env("AWS_REGION", "eu-west-1"),
        ),
        (
            "extension-not-executable",
            "error",
            good().layer(layer().file("opt/extensions/agent", 0o644, "#!/bin/sh\n")),
        ),
    ];
    let scratch = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for (number, (code, severity, image)) in cases.into_iter().enumerate() {
        let lambent = Lambent::new();
        let file = scratch.path().join(format!("{number}.tar"));
        image.write_oci_archive(&file, "latest").unwrap();
        let run = validate(&lambent, &file, &["--quiet"]);
        let expected = [(code.to_owned(), severity.to_owned())];
        if codes(&run) != expected || run.status != i32::from(severity == "error") {
            wrong.push(format!("{number} {code}: {run:?}"));
        }
        // The same is said of it when the store has it, which comes by loading only.
        assert_eq!(stored(&lambent), Vec::<PathBuf>::new(), "{code}");
        if code == "unusable-image" {
            continue;
        }
        let loaded = lambent.run(["image", "load", "--quiet", file.to_str().unwrap()]);
        assert_eq!(loaded.status, 0, "{loaded:?}");
        let again = validate(&lambent, &file, &["--quiet"]);
        assert_eq!(again.stdout, run.stdout, "{code}");
    }
    assert_eq!(wrong, Vec::<String>::new());
    // A script whose interpreter is looked up, and there.
    let lambent = Lambent::new();
    let file = scratch.path().join("env.tar");
    let script = SCRIPT.replacen("/bin/sh", "/usr/bin/env sh", 1);
    starting("run", 0o755, script)
        .env("PATH", "/usr/bin:/bin")
        .layer(layer().file_from("usr/bin/env", 0o755, "/bin/true"))
        .write_oci_archive(&file, "latest")
        .unwrap();
    let run = validate(&lambent, &file, &["--quiet"]);
    assert_eq!(codes(&run), [], "{run:?}");
    // One that names its handler.
    let lambent = Lambent::new();
    let file = scratch.path().join("python.tar");
    python(&["app.handler"])
        .write_oci_archive(&file, "latest")
        .unwrap();
    let run = validate(&lambent, &file, &["--quiet"]);
    assert_eq!(codes(&run), [], "{run:?}");
}

/// A tar stream with a file whose directory has no entry.
fn orphan() -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path("deep/er/file").unwrap();
    header.set_mode(0o644);
    header.set_size(0);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.resize(512 * 3, 0);
    bytes
}

#[test]
fn an_index_is_a_finding_and_what_cannot_be_read_is_none() {
    let lambent = Lambent::new();
    let scratch = tempfile::tempdir().unwrap();
    let layout = scratch.path().join("index");
    let digest = good().write_oci_layout(&layout, "latest").unwrap();
    // As buildx leaves it: the layout leads to an index with the image and attestations.
    let path = |digest: &str| layout.join("blobs/sha256").join(digest);
    let outer: Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let mut image = outer["manifests"][0].clone();
    image["platform"] = json!({"os": "linux", "architecture": Platform::host().architecture});
    let mut attestation = image.clone();
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type,
        "manifests": [image, attestation]})
    .to_string();
    let name = lambent_images::Digest::of(index.as_bytes()).to_string();
    let name = name.trim_start_matches("sha256:");
    fs::write(path(name), &index).unwrap();
    let outer = json!({"schemaVersion": 2, "manifests": [{"mediaType": media_type,
        "digest": format!("sha256:{name}"), "size": index.len()}]});
    fs::write(layout.join("index.json"), outer.to_string()).unwrap();
    let run = validate(&lambent, &layout, &["--quiet"]);
    assert_eq!(
        codes(&run),
        [("image-index".to_owned(), "error".to_owned())],
        "{run:?}"
    );
    assert!(run.stdout.contains("1 image and 1 attestation"), "{run:?}");

    // A flipped byte in a layer.
    let manifest = digest.to_string();
    let manifest = fs::read(path(manifest.trim_start_matches("sha256:"))).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let blob = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    let blob = path(blob.trim_start_matches("sha256:"));
    let mut bytes = fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let fresh = Lambent::new();
    let error = unread(&validate(&fresh, &layout, &["--quiet"]));
    assert!(error.contains("is damaged"), "{error}");

    // A reference that fits several images is not a finding about one.
    let two = scratch.path().join("two");
    good().write_oci_layout(&two, "one").unwrap();
    let list = two.join("index.json");
    let mut outer: Value = serde_json::from_slice(&fs::read(&list).unwrap()).unwrap();
    let mut other = outer["manifests"][0].clone();
    other["annotations"] = json!({"org.opencontainers.image.ref.name": "other"});
    outer["manifests"].as_array_mut().unwrap().push(other);
    fs::write(&list, outer.to_string()).unwrap();
    let run = validate(&fresh, &two, &["--quiet"]);
    assert_eq!(run.status, 3, "{run:?}");
    assert!(run.stderr.contains("name one"), "{run:?}");

    // Nor is a file that was cut off, or that only another program reads.
    let archive = scratch.path().join("image.tar");
    good().write_oci_archive(&archive, "latest").unwrap();
    let whole = fs::read(&archive).unwrap();
    // Behind it there are zeros only, which may be missing.
    let content_end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let cut = scratch.path().join("cut.tar");
    let xz = [b"\xfd7zXZ\0".as_slice(), &whole].concat();
    for (content, part) in [
        (&whole[..content_end], "truncated"),
        (&xz[..], "decompress it first with unxz"),
        (&[b"BZh9".as_slice(), &whole].concat()[..], "bunzip2"),
    ] {
        fs::write(&cut, content).unwrap();
        let run = validate(&fresh, &cut, &["--quiet"]);
        assert!(unread(&run).contains(part), "{run:?}");
        let text = fresh.run(["validate", "--quiet", cut.to_str().unwrap()]);
        assert_eq!((text.status, text.stdout.as_str()), (3, ""), "{text:?}");
        assert!(text.stderr.contains(part), "{text:?}");
    }

    // Nor is what is no image at all.
    let run = validate(&fresh, Path::new("/dev/null"), &["--quiet"]);
    assert_eq!(run.status, 3, "{run:?}");
}

/// What the store has need not be read again to be run, and is read nevertheless: it is
/// the file that is going to be pushed.
#[test]
fn damage_is_seen_in_what_the_store_has() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("image.tar");
    let word = "a word that is in the layer as it is";
    let layer = LayerBuilder::new().file("word", 0o644, word);
    good()
        .layer(layer.compression(Compression::None))
        .write_oci_archive(&file, "latest")
        .unwrap();
    let lambent = Lambent::new();
    let path = file.to_str().unwrap();
    let loaded = lambent.run(["image", "load", "--quiet", path]);
    assert_eq!(loaded.status, 0, "{loaded:?}");
    let mut bytes = fs::read(&file).unwrap();
    let found = |part: &[u8]| part == word.as_bytes();
    let at = bytes.windows(word.len()).position(found).unwrap();
    bytes[at] ^= 1;
    fs::write(&file, bytes).unwrap();
    for arguments in [&["--quiet"][..], &["--quiet", "--run"]] {
        let error = unread(&validate(&lambent, &file, arguments));
        assert!(error.contains("is damaged"), "{error}");
    }
}

#[test]
fn links_in_a_circle_are_their_users() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("loop");
    std::os::unix::fs::symlink("loop", &path).unwrap();
    let lambent = Lambent::new();
    for prefix in ["", "docker-archive:", "oci-archive:", "oci:"] {
        let reference = format!("{prefix}{}", path.display());
        for command in ["validate", "invoke"] {
            let run = lambent.run([command, &reference]);
            assert_eq!(run.status, 3, "{run:?}");
            assert!(run.stderr.contains("go round in a circle"), "{run:?}");
        }
    }
}

#[test]
fn layers_are_a_finding_and_so_are_too_many_and_missing_ones() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("image.tar");
    good().write_oci_archive(&file, "latest").unwrap();
    let lambent = Lambent::new();
    let layer = scratch.path().to_str().unwrap();
    let run = validate(&lambent, &file, &["--quiet", "--layer", layer]);
    let finding = ("layers-of-image".to_owned(), "error".to_owned());
    assert_eq!((run.status, codes(&run)), (1, vec![finding]), "{run:?}");
    assert!(
        run.stdout.contains("function PackageType is Image"),
        "{run:?}"
    );
    let allowed = ["--layer", layer, "--allow", "layers-of-image=a try"];
    assert_eq!(validate(&lambent, &file, &allowed).status, 0);
    let missing = validate(&lambent, &file, &["--layer", "/nowhere"]);
    assert_eq!(missing.status, 3, "{missing:?}");
    let many = validate(&lambent, &file, &["--layer", layer].repeat(6));
    assert_eq!(many.status, 2, "{many:?}");
    assert!(many.stderr.contains("more than 5 layers"), "{many:?}");
}

#[test]
fn real_images_are_good() {
    let lambent = Lambent::new();
    for fixture in [
        Fixture::RustOciArchive,
        Fixture::NodeDockerArchive,
        Fixture::ShellOciArchive,
        Fixture::PythonOciArchive,
    ] {
        let reference = fixture.reference();
        let run = lambent.run(["validate", &reference, "--output", "json", "--quiet"]);
        assert_eq!(run.status, 0, "{run:?}");
        assert_eq!(stored(&lambent), Vec::<PathBuf>::new());
        let found = codes(&run);
        // Debian's /usr/bin/python3 is a link, as it is in Docker's Python images.
        let python = fixture == Fixture::PythonOciArchive;
        let note = ("entry-point-symlink".to_owned(), "note".to_owned());
        assert_eq!(found, Vec::from_iter(python.then_some(note)), "{run:?}");
    }
}

#[test]
fn a_finding_is_accepted_with_a_reason() {
    let lambent = Lambent::new();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("image.tar");
    let layer = LayerBuilder::new().file("opt/extensions/readme", 0o644, "x");
    good()
        .layer(layer)
        .write_oci_archive(&file, "latest")
        .unwrap();
    let allow = "extension-not-executable:/opt/extensions/readme=not one";
    let run = validate(&lambent, &file, &["--quiet", "--allow", allow]);
    assert_eq!(run.status, 0, "{run:?}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["errors"], 0);
    assert_eq!(report["findings"][0]["allowed"], "not one");
    let list = scratch.path().join("allow");
    fs::write(&list, format!("# reviewed\n{allow}\n")).unwrap();
    let run = validate(&lambent, &file, &["--allow-file", list.to_str().unwrap()]);
    assert_eq!(run.status, 0, "{run:?}");
    fs::write(&list, "\nextension-not-executable\n").unwrap();
    let run = validate(&lambent, &file, &["--allow-file", list.to_str().unwrap()]);
    assert_eq!(run.status, 2, "{run:?}");
    assert!(run.stderr.contains("allow:2: "), "{run:?}");
}

#[test]
fn reports_have_the_forms_that_tools_read() {
    let lambent = Lambent::new();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("image.tar");
    let image = good().entrypoint(["/nowhere"]).user("app");
    image.write_oci_archive(&file, "latest").unwrap();
    let report = |form: &str| {
        let run = lambent.run([
            "validate",
            file.to_str().unwrap(),
            "--quiet",
            "--output",
            form,
        ]);
        assert_eq!(run.status, 1, "{run:?}");
        run.stdout
    };
    let sarif: Value = serde_json::from_str(&report("sarif")).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!(sarif["version"], "2.1.0");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    let levels: Vec<_> = results
        .iter()
        .map(|result| (&result["ruleId"], &result["level"]))
        .collect();
    assert_eq!(
        levels,
        [
            (&json!("entry-point-not-found"), &json!("error")),
            (&json!("user-ignored"), &json!("note")),
        ]
    );
    assert!(
        rules
            .iter()
            .any(|rule| rule["id"] == "entry-point-not-found")
    );
    let junit = report("junit");
    assert!(junit.starts_with("<?xml"), "{junit}");
    assert!(junit.contains(r#"failures="1""#), "{junit}");
    // Nothing was started.
    assert_eq!(junit.matches("<skipped").count(), 3, "{junit}");
    assert!(
        junit.contains(r#"<failure message="there is no /nowhere" type="entry-point-not-found">"#),
        "{junit}"
    );
    let text = report("text");
    assert!(text.contains("error[entry-point-not-found]"), "{text}");
    assert!(text.ends_with("1 error, 0 warnings, 1 note\n"), "{text}");
    good().write_oci_archive(&file, "latest").unwrap();
    let perfect = lambent.run(["validate", file.to_str().unwrap(), "--quiet"]);
    assert_eq!(perfect.status, 0, "{perfect:?}");
    assert!(
        perfect
            .stdout
            .ends_with(": Lambda takes it: nothing found\n"),
        "{perfect:?}"
    );
    let explained = lambent.run(["validate", "--explain", "image-index"]);
    assert!(
        explained.stdout.contains("--provenance=false"),
        "{explained:?}"
    );
    let unknown = lambent.run(["validate", "--explain", "image-idx"]);
    assert_eq!(unknown.status, 2, "{unknown:?}");
}

#[test]
fn several_images_have_one_report_and_the_worst_status() {
    let lambent = Lambent::new();
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let (fine, bad, none) = (path("fine.tar"), path("bad.tar"), path("none.tar"));
    good().write_oci_archive(fine.as_ref(), "latest").unwrap();
    let broken = starting("/bin/absent", 0o755, "").entrypoint(["/absent"]);
    broken.write_oci_archive(bad.as_ref(), "latest").unwrap();
    let run = |format: &str, images: &[&str]| {
        let ours = ["validate", "--quiet", "--output", format];
        lambent.run(ours.iter().chain(images))
    };

    let both = run("json", &[&fine, &bad]);
    assert_eq!(both.status, 1, "{both:?}");
    let all: Value = serde_json::from_str(&both.stdout).unwrap();
    let errors: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["errors"])
        .collect();
    assert_eq!(errors[0], 0, "{both:?}");
    assert_ne!(errors[1], 0, "{both:?}");
    assert_eq!(all[1]["image"], json!(bad));
    let same = run("json", &[&fine, &fine]);
    assert_eq!(same.status, 0, "{same:?}");

    let sarif = run("sarif", &[&bad, &bad]);
    let sarif: Value = serde_json::from_str(&sarif.stdout).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(sarif["runs"].as_array().unwrap().len(), 1);
    assert_eq!(
        results.len(),
        2 * all[1]["findings"].as_array().unwrap().len()
    );
    let junit = run("junit", &[&fine, &bad]).stdout;
    assert_eq!(junit.matches("<testsuite ").count(), 2, "{junit}");
    let text = run("text", &[&fine, &bad]).stdout;
    for image in [&fine, &bad] {
        assert!(text.contains(&format!("{image}: Lambda ")), "{text}");
    }

    // One that is not there keeps nobody from looking at the others, and is in all reports
    // as what it is.
    let partly = run("json", &[&none, &bad]);
    assert_eq!(partly.status, 3, "{partly:?}");
    assert!(partly.stderr.contains(&none), "{partly:?}");
    let all: Value = serde_json::from_str(&partly.stdout).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2, "{partly:?}");
    let missing = all[0]["error"].as_str().unwrap();
    assert!(missing.contains("there is no file"), "{partly:?}");
    assert_eq!(
        (&all[0]["image"], &all[0]["findings"]),
        (&json!(none), &json!([]))
    );
    assert_eq!(all[1]["error"], Value::Null, "{partly:?}");

    let sarif = |images: &[&str]| -> Value {
        let sarif: Value = serde_json::from_str(&run("sarif", images).stdout).unwrap();
        sarif["runs"][0]["invocations"][0].clone()
    };
    let good = sarif(&[&fine]);
    assert_eq!(
        good,
        json!({"executionSuccessful": true, "toolExecutionNotifications": []})
    );
    let partly = sarif(&[&none, &fine]);
    assert_eq!(partly["executionSuccessful"], false, "{partly}");
    let notification = &partly["toolExecutionNotifications"][0];
    assert_eq!(notification["level"], "error", "{partly}");
    assert_eq!(notification["message"]["text"], missing, "{partly}");
    assert!(
        notification["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            .as_str()
            .is_some_and(|uri| uri.ends_with("none.tar")),
        "{partly}"
    );
    let junit = run("junit", &[&none]).stdout;
    assert!(junit.contains(r#"errors="1""#), "{junit}");
    assert!(
        junit.contains(r#"<error message="there is no file"#),
        "{junit}"
    );
    assert!(!junit.contains("<failure"), "{junit}");
}

#[test]
fn privileged_what_starting_shows_is_found() {
    if !privileged() {
        return;
    }
    let image = Fixture::PythonOciArchive.reference();
    let waits = "import http.client\nc = http.client.HTTPConnection('127.0.0.1', 9001)\n\
                 c.request('GET', '/2018-06-01/runtime/invocation/next')\nc.getresponse()";
    let cases = [
        (String::new(), waits, None),
        (
            "try: open('/var/task/x', 'w')\nexcept OSError as e: print(e, flush=True)\n".to_owned(),
            waits,
            Some("read-only-root"),
        ),
        (
            "import multiprocessing, traceback\ntry: multiprocessing.Lock()\n\
             except OSError: traceback.print_exc()\n"
                .to_owned(),
            waits,
            Some("shared-memory"),
        ),
        (
            "import sys\nprint('no key' + '.' * 900, flush=True)\nsys.exit(3)".to_owned(),
            "",
            Some("init-failed"),
        ),
    ];
    for (first, then, expected) in cases {
        let code = format!("{first}{then}");
        let entrypoint = json!(["/usr/bin/python3.11", "-c", code]).to_string();
        let run = Lambent::new().run([
            "validate",
            &image,
            "--run",
            "--quiet",
            "--output",
            "json",
            "--memory",
            "512",
            "--entrypoint",
            &entrypoint,
            "--cmd",
            "[]",
        ]);
        let found: Vec<_> = codes(&run).into_iter().map(|(code, _)| code).collect();
        if expected == Some("init-failed") {
            let report: Value = serde_json::from_str(&run.stdout).unwrap();
            let finding = &report["findings"][0];
            let message = "Runtime.ExitError: Runtime exited with error: exit status 3";
            assert_eq!(finding["message"], message, "{run:?}");
            // Whole, however long it is.
            let line = format!("no key{}", ".".repeat(900));
            assert_eq!(finding["log"], json!([line]), "{run:?}");
        }
        assert_eq!(
            found,
            Vec::from_iter(expected.map(str::to_owned)),
            "{run:?}"
        );
    }
}

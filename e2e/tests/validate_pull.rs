//! `lambent validate` of an image in a registry: what its documents show needs none of
//! its layers.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

#[path = "../../images/tests/support/registry.rs"]
mod server;

use std::fs;

use lambent_e2e::fixtures::{Fixture, path};
use lambent_e2e::{Lambent, Run};
use lambent_images::Platform;
use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};
use serde_json::Value;
use server::Registry;

fn validate(lambent: &Lambent, reference: &str, arguments: &[&str]) -> Run {
    let mut command = lambent.command(["validate", "--quiet", "--output", "json", reference]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.args(arguments).output().unwrap().into()
}

fn codes(run: &Run) -> Vec<String> {
    let report: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| finding["code"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn layers_of_what_is_refused_already_are_not_downloaded() {
    let registry = Registry::new("");
    let scratch = tempfile::tempdir().unwrap();
    let zstd = scratch.path().join("zstd.tar");
    ImageBuilder::new(Platform::host())
        .entrypoint(["/main"])
        .layer(
            LayerBuilder::new()
                .file("main", 0o755, "#!/main\n")
                .compression(Compression::Zstd),
        )
        .write_oci_archive(&zstd, "latest")
        .unwrap();
    registry.push(&zstd, "function:zstd");
    registry.push(&path(Fixture::RustOciArchive), "function:gzip");
    let lambent = Lambent::new();
    let refused = registry.reference("function:zstd");
    let run = validate(&lambent, &refused, &["--allow", "unsupported-layer=a test"]);
    assert!(
        !codes(&run).contains(&"layers-not-read".to_owned()),
        "{run:?}"
    );
    let run = validate(&lambent, &registry.reference("function:gzip"), &[]);
    assert_eq!((run.status, codes(&run)), (0, vec![]), "{run:?}");
    // Its layers were read, and neither they nor parts of them are kept.
    for place in ["blobs/sha256", "partial", "tmp"] {
        let place = lambent.root().join("lib/images").join(place);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0, "{place:?}");
    }

    // Nothing but documents is left in the registry.
    let blobs = registry.path("data/docker/registry/v2/blobs/sha256");
    let mut removed = 0;
    for blob in fs::read_dir(blobs).unwrap().map(Result::unwrap) {
        for blob in fs::read_dir(blob.path()).unwrap().map(Result::unwrap) {
            let data = blob.path().join("data");
            if !fs::read(&data).unwrap().starts_with(b"{") {
                fs::remove_file(data).unwrap();
                removed += 1;
            }
        }
    }
    assert!(removed > 1);
    let fresh = Lambent::new();
    let run = validate(&fresh, &refused, &[]);
    let expected = ["unsupported-layer", "layers-not-read"].map(str::to_owned);
    assert_eq!((run.status, codes(&run)), (1, expected.to_vec()), "{run:?}");
    assert!(fresh.run(["image", "ls"]).stdout.lines().count() <= 1);
    // Whoever accepts that wants to know of the layers.
    let run = validate(&fresh, &refused, &["--allow", "unsupported-layer=a test"]);
    assert_eq!((run.status, codes(&run)), (3, vec![]), "{run:?}");
    // Nor are those in the report that could not be read, with what the registry said.
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let error = report["error"].as_str().unwrap();
    assert!(run.stderr.contains(error), "{run:?}");
}

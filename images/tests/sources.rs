//! Every kind of source, good and damaged.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::os::unix::fs::FileExt;
use std::path::Path;

use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};
use lambent_images::{
    Digest, ErrorKind, Image, ImageReference, LayerProgress, NoProgress, Platform, Progress,
    RootMount,
};
use support::{Scratch, good, is_root};

/// Counts what happens to layers.
#[derive(Default)]
struct Counts(std::sync::Mutex<(usize, usize)>);

impl Progress for Counts {
    fn layer(&self, _: &Digest, state: LayerProgress) {
        let mut counts = self.0.lock().unwrap();
        match state {
            LayerProgress::AlreadyStored => counts.0 += 1,
            LayerProgress::Finished => counts.1 += 1,
            _ => {}
        }
    }
}

fn import(scratch: &Scratch, reference: &str) -> Result<(Image, usize), ErrorKind> {
    let counts = Counts::default();
    scratch
        .store
        .import(&reference.parse().unwrap(), &Platform::host(), &counts)
        .map(|image| (image, counts.0.into_inner().unwrap().0))
        .map_err(|error| error.kind())
}

#[test]
fn all_kinds_give_the_same_tree_and_share_layers() {
    if !is_root("all_kinds_give_the_same_tree_and_share_layers") {
        return;
    }
    let scratch = Scratch::new();
    let (layout, oci, docker) = (
        scratch.path("layout"),
        scratch.path("oci.tar"),
        scratch.path("docker.tar"),
    );
    let digest = good().write_oci_layout(&layout, "latest").unwrap();
    assert_eq!(
        good().write_oci_archive(&oci, "latest").unwrap(),
        digest,
        "deterministic"
    );
    good().write_docker_archive(&docker, "test:latest").unwrap();

    let (first, stored) = import(&scratch, &format!("oci:{}:latest", layout.display())).unwrap();
    assert_eq!((first.manifest_digest, stored), (digest, 0));
    assert_eq!(first.warnings, [""; 0]);
    assert_eq!(first.config.entrypoint, ["/bin/x"]);
    assert_eq!(first.config.cmd, ["app.handler"]);
    assert_eq!(first.config.env, ["PATH=/bin"]);
    assert_eq!(first.config.working_dir.as_deref(), Some("/var/task"));
    assert_eq!(first.config.user.as_deref(), Some("nobody"));
    let before = scratch.content();
    for reference in [
        format!("oci:{}", layout.display()),
        format!("oci-archive:{}", oci.display()),
        format!("oci-archive:{}:latest", oci.display()),
        oci.display().to_string(),
        layout.display().to_string(),
    ] {
        let (again, stored) = import(&scratch, &reference).unwrap();
        assert_eq!((&again, stored), (&first, 2), "{reference}");
    }
    assert_eq!(scratch.content(), before, "a second import writes nothing");

    for reference in [
        format!("docker-archive:{}", docker.display()),
        format!("docker-archive:{}:test:latest", docker.display()),
        format!("docker-archive:{}:test", docker.display()),
        docker.display().to_string(),
    ] {
        let (image, _) = import(&scratch, &reference).unwrap();
        let diff_ids = |image: &Image| {
            image
                .layers
                .iter()
                .map(|layer| layer.diff_id)
                .collect::<Vec<_>>()
        };
        assert_eq!(diff_ids(&image), diff_ids(&first), "{reference}");
        assert_eq!(image.config, first.config);
    }
    assert_eq!(scratch.store.images().unwrap().len(), 2);

    let base = scratch.layer(&first, 0);
    assert_eq!(
        std::fs::read(base.join("bin/z")).unwrap(),
        b"#!/bin/sh\necho hello\n"
    );
    assert_eq!(base.join("bin/y").read_link().unwrap(), Path::new("x"));
    let rootfs = scratch.store.rootfs(&first).unwrap();
    let RootMount::Overlay { lower_dirs } = rootfs.mount() else {
        panic!("{:?}", rootfs.mount())
    };
    assert_eq!(lower_dirs.len(), 4);
    assert_eq!(lower_dirs[3], base);
    assert!(
        rootfs
            .lookup("/bin/y")
            .unwrap()
            .unwrap()
            .is_executable_by(993, 990)
    );
    assert!(
        !rootfs
            .lookup("/var/task/app.py")
            .unwrap()
            .unwrap()
            .is_executable_by(993, 990)
    );
    assert!(rootfs.lookup("/var/task").unwrap().unwrap().is_directory());
    assert_eq!(
        rootfs.lookup("/big").unwrap(),
        None,
        "hidden by the top layer"
    );
    assert_eq!(rootfs.lookup("/bin/x/y").unwrap(), None);
    assert!(
        rootfs
            .lookup("/etc/../bin/./../etc/resolv.conf")
            .unwrap()
            .is_some(),
        "from the skeleton"
    );
    assert!(
        rootfs.lookup("/etc/os-release").unwrap().is_some(),
        "from the image"
    );
}

#[test]
fn gzip_layers_in_a_docker_archive() {
    if !is_root("gzip_layers_in_a_docker_archive") {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path("docker.tar");
    let layer = LayerBuilder::new()
        .file("x", 0o755, "x")
        .compression(Compression::Gzip);
    let image = ImageBuilder::new(Platform::host()).layer(layer);
    image.write_docker_archive(&file, "gz:1").unwrap();
    let image = scratch.import(&file).unwrap();
    assert_ne!(image.layers[0].digest, image.layers[0].diff_id);
    assert_eq!(scratch.import(&file).unwrap(), image);
}

#[test]
fn what_is_not_there_or_no_image() {
    let scratch = Scratch::new();
    let root = scratch.dir.path().display().to_string();
    std::fs::create_dir(scratch.path("empty-dir")).unwrap();
    std::fs::write(scratch.path("empty-file"), "").unwrap();
    std::fs::write(scratch.path("text"), "hello\n".repeat(1000)).unwrap();
    std::fs::write(scratch.path("gz"), b"\x1f\x8b\x08rest").unwrap();
    std::fs::write(
        scratch.path("plain.tar"),
        support::tar::Tar::new().file("x", "y").end(),
    )
    .unwrap();
    let fifo = scratch.path("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    good()
        .write_oci_archive(&scratch.path("good.tar"), "latest")
        .unwrap();
    let before = scratch.content();
    for (reference, kind) in [
        ("missing", ErrorKind::NotFound),
        ("empty-dir", ErrorKind::NotAnImage),
        ("empty-file", ErrorKind::NotAnImage),
        ("text", ErrorKind::NotAnImage),
        ("plain.tar", ErrorKind::NotAnImage),
        ("fifo", ErrorKind::NotAnImage),
        ("gz", ErrorKind::Invalid),
    ] {
        let bare = format!("{root}/{reference}");
        assert_eq!(import(&scratch, &bare).unwrap_err(), kind, "{reference}");
        for transport in ["oci-archive", "docker-archive"] {
            let error = import(&scratch, &format!("{transport}:{bare}")).unwrap_err();
            let expected = if reference == "empty-dir" {
                ErrorKind::NotAnImage
            } else {
                kind
            };
            assert_eq!(error, expected, "{transport}:{reference}");
        }
    }
    assert_eq!(
        import(&scratch, &format!("oci:{root}/empty-dir")).unwrap_err(),
        ErrorKind::NotAnImage
    );
    assert_eq!(
        import(&scratch, &format!("oci:{root}/text")).unwrap_err(),
        ErrorKind::NotAnImage
    );
    assert_eq!(
        import(&scratch, &format!("oci-archive:{root}/good.tar:other")).unwrap_err(),
        ErrorKind::NotFound
    );
    assert_eq!(
        import(&scratch, &format!("docker-archive:{root}/good.tar")).unwrap_err(),
        ErrorKind::NotAnImage
    );
    assert_eq!(scratch.content(), before);
}

#[test]
fn the_wrong_architecture_names_both() {
    let scratch = Scratch::new();
    let other = Platform::new("linux", "riscv64");
    let file = scratch.path("image.tar");
    ImageBuilder::new(other)
        .layer(LayerBuilder::new().file("x", 0o755, ""))
        .write_oci_archive(&file, "t")
        .unwrap();
    let error = scratch.import(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongPlatform);
    let text = error.to_string();
    assert!(
        text.contains("riscv64") && text.contains(&Platform::host().architecture),
        "{text}"
    );
    assert!(scratch.store.images().unwrap().is_empty());
}

#[test]
fn every_damaged_blob_is_noticed() {
    if !is_root("every_damaged_blob_is_noticed") {
        return;
    }
    let scratch = Scratch::new();
    let layout = scratch.path("layout");
    good().write_oci_layout(&layout, "latest").unwrap();
    let before = scratch.content();
    for blob in std::fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let good = std::fs::read(&path).unwrap();
        let mut variants = vec![
            good[..good.len() - 1].to_vec(),
            [&good[..], &[0]].concat(),
            Vec::new(),
        ];
        for position in [0, good.len() / 2, good.len() - 1] {
            let mut damaged = good.clone();
            damaged[position] ^= 1;
            variants.push(damaged);
        }
        for (index, damaged) in variants.into_iter().enumerate() {
            std::fs::write(&path, damaged).unwrap();
            let error = scratch.import(&layout).unwrap_err();
            let expected = if index < 3 {
                ErrorKind::Invalid
            } else {
                ErrorKind::DigestMismatch
            };
            assert_eq!(error.kind(), expected, "{index}: {error}");
            assert_eq!(scratch.content(), before);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            scratch.import(&layout).unwrap_err().kind(),
            ErrorKind::Invalid
        );
        std::fs::write(&path, good).unwrap();
    }
    scratch.import(&layout).unwrap();
}

#[test]
fn archives_cut_anywhere() {
    if !is_root("archives_cut_anywhere") {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path("image.tar");
    let image =
        || ImageBuilder::new(Platform::host()).layer(LayerBuilder::new().file("x", 0o755, "x"));
    for docker in [false, true] {
        if docker {
            image().write_docker_archive(&file, "x:1").unwrap();
        } else {
            image().write_oci_archive(&file, "x").unwrap();
        }
        let whole = std::fs::read(&file).unwrap();
        // The end marker may be missing, and zero padding may be cut.
        let needed = whole.iter().rposition(|&byte| byte != 0).unwrap();
        let before = scratch.content();
        for cut in (0..=needed).step_by(37).chain([needed]) {
            std::fs::write(&file, &whole[..cut]).unwrap();
            let error = scratch.import(&file).unwrap_err();
            let expected = [ErrorKind::Invalid, ErrorKind::NotAnImage];
            assert!(expected.contains(&error.kind()), "cut at {cut}: {error}");
            assert_eq!(scratch.content(), before, "cut at {cut}");
        }
    }
}

#[test]
fn a_stored_image_is_not_read_again() {
    if !is_root("a_stored_image_is_not_read_again") {
        return;
    }
    let scratch = Scratch::new();
    let file = scratch.path("image.tar");
    good().write_oci_archive(&file, "latest").unwrap();
    let image = scratch.import(&file).unwrap();
    // Overwrite the layers' bytes in the archive: only a reader would notice.
    let bytes = std::fs::read(&file).unwrap();
    let handle = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    for layer in &image.layers {
        let blob = std::fs::read(
            scratch
                .store
                .root()
                .join("blobs/sha256")
                .join(layer.digest.hex()),
        )
        .unwrap();
        let at = bytes
            .windows(blob.len())
            .position(|window| window == blob)
            .unwrap();
        handle
            .write_all_at(&vec![0xaa; blob.len()], at as u64)
            .unwrap();
    }
    assert_eq!(scratch.import(&file).unwrap(), image);
}

#[test]
fn links_inside_archives_and_layouts() {
    if !is_root("links_inside_archives_and_layouts") {
        return;
    }
    let scratch = Scratch::new();
    // A layout whose blobs are links to files beside them, as some are published.
    let layout = scratch.path("layout");
    good().write_oci_layout(&layout, "latest").unwrap();
    std::fs::create_dir(layout.join("real")).unwrap();
    for blob in std::fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let name = path.file_name().unwrap();
        std::fs::rename(&path, layout.join("real").join(name)).unwrap();
        std::os::unix::fs::symlink(Path::new("../../real").join(name), &path).unwrap();
    }
    scratch.import(&layout).unwrap();
    // The same, with the files outside.
    std::fs::rename(layout.join("real"), scratch.path("real")).unwrap();
    std::os::unix::fs::symlink("../real", layout.join("real")).unwrap();
    assert_eq!(
        scratch.import(&layout).unwrap_err().kind(),
        ErrorKind::UnsafePath
    );
}

#[test]
fn an_index_leads_to_the_right_platform() {
    if !is_root("an_index_leads_to_the_right_platform") {
        return;
    }
    let scratch = Scratch::new();
    let layout = scratch.path("layout");
    let host = Platform::host();
    let digest = good().write_oci_layout(&layout, "latest").unwrap();
    let size = std::fs::metadata(layout.join("blobs/sha256").join(digest.hex()))
        .unwrap()
        .len();
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let index_type = "application/vnd.oci.image.index.v1+json";
    let mut inner = serde_json::json!({ "schemaVersion": 2, "mediaType": index_type, "manifests": [
        { "mediaType": manifest, "digest": Digest::of("attestation"), "size": 1, "platform": { "os": "unknown", "architecture": "unknown" } },
        { "mediaType": manifest, "digest": Digest::of("other"), "size": 1, "platform": { "os": "linux", "architecture": "s390x" } },
        { "mediaType": manifest, "digest": digest, "size": size, "platform": { "os": host.os, "architecture": host.architecture } },
    ]});
    for depth in 0..12 {
        let text = inner.to_string();
        std::fs::write(
            layout.join("blobs/sha256").join(Digest::of(&text).hex()),
            &text,
        )
        .unwrap();
        inner = serde_json::json!({ "schemaVersion": 2, "mediaType": index_type, "manifests": [
            { "mediaType": index_type, "digest": Digest::of(&text), "size": text.len() },
        ]});
        std::fs::write(layout.join("index.json"), inner.to_string()).unwrap();
        match scratch.import(&layout) {
            Ok(image) => {
                assert_eq!(image.manifest_digest, digest);
                assert!(depth < 8);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::LimitExceeded);
                assert!(depth >= 6);
            }
        }
    }
    let reference = ImageReference::Path { path: layout };
    let other = Platform::new("linux", "mips");
    assert!(
        scratch
            .store
            .import(&reference, &other, &NoProgress)
            .is_err()
    );
}

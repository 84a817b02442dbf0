//! Layers and whole archives in every compression that is read, and in those
//! that are not.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::io::{Read, Write};

use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};
use lambent_images::{ErrorKind, Image, Platform};
use support::{Scratch, good, is_root};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 0).unwrap()
}

fn diff_ids(image: &Image) -> Vec<String> {
    let layers = image.layers.iter();
    layers.map(|layer| layer.diff_id.to_string()).collect()
}

#[test]
fn layers_of_every_compression_give_the_same_tree() {
    if !is_root("layers_of_every_compression_give_the_same_tree") {
        return;
    }
    let mut seen = Vec::new();
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let scratch = Scratch::new();
        let layer = LayerBuilder::new()
            .file("bin/x", 0o755, "x")
            .file("big", 0o644, support::noise(1, 1 << 20))
            .compression(compression);
        let image = ImageBuilder::new(Platform::host()).layer(layer);
        let (oci, docker) = (scratch.path("oci.tar"), scratch.path("docker.tar"));
        image.write_oci_archive(&oci, "latest").unwrap();
        image.write_docker_archive(&docker, "x:1").unwrap();
        for file in [oci, docker] {
            let image = scratch.import(&file).unwrap();
            seen.push(diff_ids(&image));
            let warned = image.warnings.iter().any(|line| line.contains("zstd"));
            assert_eq!(
                warned,
                compression == Compression::Zstd,
                "{:?}",
                image.warnings
            );
            let tree = support::snapshot(&scratch.layer(&image, 0));
            assert_eq!(tree.len(), 3, "{tree:?}");
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn a_zstd_layer_of_several_frames_is_read_whole_and_a_damaged_one_refused() {
    if !is_root("a_zstd_layer_of_several_frames_is_read_whole_and_a_damaged_one_refused") {
        return;
    }
    let scratch = Scratch::new();
    let tar = support::tar::Tar::new().file("f", "content").end();
    let (start, end) = tar.split_at(700);
    let skippable = b"\x5f\x2a\x4d\x18\x03\0\0\0toc";
    let blob = [&skippable[..], &zstd(start), &zstd(end), skippable].concat();
    let write = |blob: &[u8]| {
        let layout = scratch.path("layout");
        support::write_layer(
            &layout,
            blob,
            "application/vnd.oci.image.layer.v1.tar+zstd",
            &tar,
        );
        scratch.import(&layout)
    };
    let image = write(&blob).unwrap();
    let file = scratch.layer(&image, 0).join("f");
    assert_eq!(std::fs::read(file).unwrap(), b"content");

    let before = scratch.content();
    let kept = skippable.len();
    for (what, damaged) in [
        ("truncated", &blob[..blob.len() - kept - 1]),
        ("trailing junk", &[&blob[..], b"junk junk"].concat()),
        ("trailing gzip", &[&blob[..], &gzip(b"x")].concat()),
    ] {
        let error = write(damaged).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
        assert_eq!(scratch.content(), before, "{what}");
    }
}

#[test]
fn what_the_media_type_says_does_not_matter() {
    if !is_root("what_the_media_type_says_does_not_matter") {
        return;
    }
    let scratch = Scratch::new();
    let layout = scratch.path("layout");
    let tar = support::tar::Tar::new().file("f", "content").end();
    for suffix in ["", "+gzip", "+zstd"] {
        let media_type = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
        for blob in [tar.clone(), gzip(&tar), zstd(&tar)] {
            support::write_layer(&layout, &blob, &media_type, &tar);
            scratch.import(&layout).unwrap();
        }
        for (magic, name) in [
            (&b"\xfd7zXZ\0"[..], "xz"),
            (b"BZh91AY", "bzip2"),
            (b"PK\x03\x04", "zip"),
        ] {
            support::write_layer(&layout, &[magic, &[0; 600]].concat(), &media_type, &tar);
            let error = scratch.import(&layout).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
fn archives_that_are_compressed_as_a_whole() {
    if !is_root("archives_that_are_compressed_as_a_whole") {
        return;
    }
    let scratch = Scratch::new();
    let (oci, docker) = (scratch.path("oci.tar"), scratch.path("docker.tar"));
    good().write_oci_archive(&oci, "latest").unwrap();
    good().write_docker_archive(&docker, "test:latest").unwrap();
    for (plain, transport) in [(oci, "oci-archive"), (docker, "docker-archive")] {
        let bytes = std::fs::read(&plain).unwrap();
        let expected = scratch.import(&plain).unwrap();
        for (suffix, compressed) in [
            ("gz", gzip(&bytes)),
            ("zst", zstd(&bytes)),
            // As `pigz` and `pzstd` may write: in pieces.
            (
                "pieces",
                [gzip(&bytes[..1000]), gzip(&bytes[1000..])].concat(),
            ),
        ] {
            let file = scratch.path(&format!("image.{suffix}"));
            std::fs::write(&file, &compressed).unwrap();
            assert_eq!(scratch.import(&file).unwrap(), expected, "{suffix}");
            let named = format!("{transport}:{}", file.display()).parse().unwrap();
            let image =
                scratch
                    .store
                    .import(&named, &Platform::host(), &lambent_images::NoProgress);
            assert_eq!(image.unwrap(), expected, "{suffix}");

            for cut in [compressed.len() / 2, compressed.len() - 1] {
                std::fs::write(&file, &compressed[..cut]).unwrap();
                let error = scratch.import(&file).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Invalid, "{suffix}: {error}");
                assert!(error.to_string().contains(suffix), "{error}");
            }
        }
    }
}

#[test]
fn other_compressions_of_archives_are_named() {
    let scratch = Scratch::new();
    let file = scratch.path("image.tar.x");
    for (magic, tool) in [
        (&b"\xfd7zXZ\0"[..], "unxz"),
        (b"BZh91AY", "bunzip2"),
        (b"PK\x03\x04", "unzip"),
    ] {
        std::fs::write(&file, [magic, &[0; 600]].concat()).unwrap();
        let error = scratch.import(&file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(tool), "{error}");
    }
    // A compressed file that holds no archive, once and twice.
    let mut content = gzip(b"hello");
    for _ in 0..2 {
        std::fs::write(&file, &content).unwrap();
        let error = scratch.import(&file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAnImage, "{error}");
        content = gzip(&content);
    }
}

/// What other programs write is read too.
#[test]
fn what_the_zstd_program_writes() {
    if !is_root("what_the_zstd_program_writes") {
        return;
    }
    let scratch = Scratch::new();
    let plain = scratch.path("image.tar");
    good().write_oci_archive(&plain, "latest").unwrap();
    let expected = scratch.import(&plain).unwrap();
    let packed = scratch.path("image.tar.zst");
    let status = std::process::Command::new("zstd")
        .args(["-q", "-19", "--long=27", "-T2"])
        .arg(&plain)
        .arg("-o")
        .arg(&packed)
        .status()
        .expect("the zstd program is in the list of test dependencies");
    assert!(status.success());
    let mut start = [0; 4];
    let mut file = std::fs::File::open(&packed).unwrap();
    file.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"\x28\xb5\x2f\xfd");
    assert_eq!(scratch.import(&packed).unwrap(), expected);
}

//! Writes first inputs for the targets in `images/fuzz`: small ones of the kinds
//! that the code can tell apart. `make fuzz` calls it as `fuzz_corpus DIRECTORY`.

use std::error::Error;
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};
use lambent_images::{Digest, Platform};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

#[path = "../tests/support/tar.rs"]
mod tar;

use tar::{Fields, GNU, Tar, pax_record};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args()
        .nth(1)
        .ok_or("usage: fuzz_corpus DIRECTORY")?;
    let directory = Path::new(&directory);
    let layers = layers();
    for choice in [0_u8, 1, 3] {
        for layer in &layers {
            write(
                directory,
                "layer_tar",
                &[&[choice], layer.as_slice()].concat(),
            )?;
        }
    }
    let work = tempfile::tempdir()?;
    let file = work.path().join("image.tar");
    let layout = work.path().join("layout");
    let image = image(&layers);
    image.write_oci_layout(&layout, "latest")?;
    write(directory, "manifest", &fs::read(layout.join("index.json"))?)?;
    for blob in fs::read_dir(layout.join("blobs/sha256"))? {
        let bytes = fs::read(blob?.path())?;
        if bytes.starts_with(b"{") {
            write(directory, "manifest", &bytes)?;
        }
    }
    for choice in [0, 1] {
        image.write_oci_archive(&file, "latest")?;
        write(
            directory,
            "archive",
            &[&[choice], fs::read(&file)?.as_slice()].concat(),
        )?;
        image.write_docker_archive(&file, "a/b:latest")?;
        write(
            directory,
            "archive",
            &[&[choice], fs::read(&file)?.as_slice()].concat(),
        )?;
    }
    for package in packages()? {
        write(directory, "package", &package)?;
    }
    for reference in [
        "oci:dir:tag",
        "oci-archive:/a/b.tar",
        "docker-archive:a.tar:repo/name:tag",
        "path",
        "docker://name",
        "oci:",
        "a:b:c@sha256:00",
        "./x:y",
    ] {
        write(directory, "reference", reference.as_bytes())?;
    }
    Ok(())
}

/// Stores one input under its digest.
fn write(directory: &Path, target: &str, input: &[u8]) -> Result<(), Box<dyn Error>> {
    let directory = directory.join(target);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(Digest::of(input).hex()), input)?;
    Ok(())
}

fn image(layers: &[Vec<u8>]) -> ImageBuilder {
    let image = ImageBuilder::new(Platform::host())
        .entrypoint(["/x"])
        .cmd(["y"])
        .env("A", "b")
        .working_dir("/w")
        .user("1:2")
        .label("k", "v");
    let raw = |index: usize, compression| {
        LayerBuilder::raw(layers[index].clone()).compression(compression)
    };
    image
        .layer(raw(0, Compression::None))
        .layer(raw(1, Compression::Gzip))
}

/// Zip archives with every kind of entry, good and bad, and ways out of the root.
fn packages() -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let methods = [CompressionMethod::Stored, CompressionMethod::Deflated];
    let mut packages = Vec::new();
    for method in methods {
        for outside in [
            "a",
            "../dir/file",
            "/file",
            "a/../../file",
            "l/file",
            "a\\b",
        ] {
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            let options = SimpleFileOptions::default().compression_method(method);
            let mode = |mode| options.unix_permissions(mode);
            zip.add_directory("d/", mode(0o700))?;
            zip.add_symlink("l", "..", options)?;
            zip.start_file("d/f", mode(0o4755))?;
            zip.write_all(b"content content content")?;
            zip.start_file(outside, mode(0o644))?;
            zip.write_all(b"x")?;
            zip.start_file("large", options.large_file(true))?;
            zip.write_all(&[0; 4096])?;
            packages.push(zip.finish()?.into_inner());
        }
    }
    // One that begins with something else, as self-extracting archives do.
    let behind = [b"#!/bin/sh\n", packages[0].as_slice()].concat();
    packages.push(behind);
    Ok(packages)
}

/// Every kind of member and extension, and ways out of the root.
fn layers() -> Vec<Vec<u8>> {
    let device = |kind| Fields {
        name: b"n",
        kind,
        ..Fields::default()
    };
    let long = pax_record("path", b"a/b/c");
    let size = pax_record("size", b"3");
    let xattr = pax_record("SCHILY.xattr.user.a", b"b");
    let outside = ["../file", "/file", "../../dir/file", "link/file"];
    let mut layers = vec![
        Tar::new()
            .dir("d")
            .file("d/f", "x")
            .symlink("l", "d/f")
            .hardlink("h", "d/f")
            .end(),
        Tar::new()
            .file("d/.wh.f", "")
            .file("e/.wh..wh..opq", "")
            .file(".wh..wh.aufs", "")
            .end(),
        Tar::new()
            .pax(&long)
            .file("f", "x")
            .pax(&xattr)
            .file("g", "")
            .end(),
        Tar::new()
            .pax(&size)
            .file("f", "xyz")
            .pax_global(b"13 comment=x\n")
            .file("g", "")
            .end(),
        Tar::new()
            .gnu_long(b'L', b"long\0")
            .gnu_long(b'K', b"l\0")
            .symlink("f", "x")
            .end(),
        Tar::new()
            .symlink("a", "..")
            .file("a/file", "x")
            .dir("a")
            .file("a/b", "y")
            .end(),
        Tar::new()
            .symlink("r", "../dir")
            .hardlink("h", "r/file")
            .dir_mode("r", 0o777)
            .end(),
        Tar::new()
            .file("a", "1")
            .dir("a")
            .file("a/b", "")
            .symlink("a", "/")
            .file("a", "2")
            .end(),
        Tar::new()
            .entry(device(b'3'), b"")
            .entry(device(b'4'), b"")
            .entry(device(b'6'), b"")
            .end(),
        Tar::new()
            .entry(
                Fields {
                    magic: GNU,
                    ..device(b'S')
                },
                b"",
            )
            .end(),
    ];
    for name in outside {
        layers.push(
            Tar::new()
                .file(name, "x")
                .symlink("s", name)
                .hardlink("t", name)
                .end(),
        );
    }
    layers
}

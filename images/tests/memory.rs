//! What an import takes of memory, by the number of files: it is 200 MB for 400,000.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use lambent_images::Form;
use lambent_images::writer::Hashed;
use support::Scratch;
use support::tar::Tar;

const FILES: usize = 100_000;
/// Buffers, whatever the image, in KiB.
const BUFFERS: usize = 16 << 10;
/// What is left of 200 MB for each of 400,000 files, of which some is for chance.
const BYTES_EACH: usize = 350;

/// A layer that takes little of memory itself, and its diff ID.
fn layer() -> (Vec<u8>, lambent_images::Digest) {
    let mut blob = GzEncoder::new(Vec::new(), Compression::fast());
    let mut hashed = Hashed::new(io::sink());
    let mut write = |bytes: &[u8]| {
        blob.write_all(bytes).unwrap();
        hashed.write_all(bytes).unwrap();
    };
    for index in 0..FILES {
        let name = format!(
            "usr/lib/node_modules/package{}/lib/file{index}.js",
            index / 100
        );
        write(&Tar::new().file(&name, "x").0);
    }
    write(&Tar::new().end());
    (blob.finish().unwrap(), hashed.finish().0)
}

#[test]
fn each_file_takes_little() {
    let scratch = Scratch::of_form(Form::Erofs);
    let (blob, diff_id) = layer();
    let layout = scratch.path("layout");
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    support::write_layer_of(&layout, &blob, media_type, &diff_id);
    let before = support::peak_memory_kib();
    scratch.import(&layout).unwrap();
    let grown = support::peak_memory_kib() - before;
    let limit = BUFFERS + FILES * BYTES_EACH / 1024;
    assert!(grown < limit as u64, "{grown} KiB, and {limit} are enough");
}

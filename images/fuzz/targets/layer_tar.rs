//! A layer unpacked beside a tree that must not change.
//!
//! The first byte chooses what is done with the rest: bit 0 mends the checksums
//! of what looks like headers, since hardly any mutation survives them
//! otherwise; bit 1 compresses.

#![no_main]

mod scene;

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use scene::SCENE;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let mut blob = rest.to_vec();
    if choice & 1 != 0 {
        mend_checksums(&mut blob);
    }
    if choice & 2 != 0 {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&blob).unwrap();
        blob = encoder.finish().unwrap();
    }
    let scene = &*SCENE;
    let root = scene.path("root");
    lambent_images::fuzzing::layer(&blob, &root, &scene.path("graveyard"));
    assert_eq!(scene.facts(), scene.before, "outside of the root");
    lambent_images::fuzzing::index(&blob);
    scene.clear();
});

/// Writes the right checksum into each block that has a tar magic.
fn mend_checksums(stream: &mut [u8]) {
    for block in stream.chunks_exact_mut(512) {
        if block[257..].starts_with(b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

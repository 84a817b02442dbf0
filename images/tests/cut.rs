//! Layers whose archive ends in the padding behind its last file, as `umoci insert`
//! writes them: what Go reads, and the kernel does not.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use lambent_images::{ContentStore, ErrorKind, NoProgress};
use support::mounts::in_private_mounts;
use support::tar::Tar;
use support::tree::{assert_same, mounted, without_skeleton};
use support::{Scratch, import_path_into, is_root, noise};

/// A layer whose last file has these bytes, and which ends so many bytes behind it.
fn layer(last: &[u8], behind: usize) -> Vec<u8> {
    let last = last.iter().map(|byte| char::from(byte & 0x7f));
    let last: String = last.collect();
    let mut layer = Tar::new()
        .dir("d")
        .file("d/first", "whole")
        .file("d/last", &last)
        .0;
    let padded = last.len().next_multiple_of(512);
    layer.truncate(layer.len() - padded + last.len() + behind);
    layer
}

fn verify(store: &ContentStore) {
    let found = store.verify(&[], &NoProgress).unwrap();
    assert!(found.findings.is_empty(), "{found:?}");
}

fn run(command: &mut Command) {
    let output = command.output().expect("a test dependency");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_last_file_is_whole_in_both_forms() {
    if !in_private_mounts("the_last_file_is_whole_in_both_forms") {
        return;
    }
    for (size, behind) in [
        (1, 0),
        (1, 510),
        (511, 0),
        (512, 0),
        (513, 0),
        (4095, 0),
        (4096 + 1, 100),
        (70_000, 0),
        (3_000_001, 1),
    ] {
        let scratch = Scratch::new();
        let cut = layer(&noise(7, size), behind);
        // Another name for it in the same layer, and one above that are cut too.
        let above = layer(&noise(8, 1000), 3);
        let above = [Tar::new().hardlink("d/same", "d/last").0, above].concat();
        let image = scratch.import_layers(&[cut, above]).unwrap();
        let what = format!("{size} and {behind}");
        let target = scratch.path("mnt");
        let expected = without_skeleton(mounted(&scratch.store, &image, &target));
        assert_eq!(expected[Path::new("d/same")].links, 1, "{what}");
        verify(&scratch.store);
        let Some(erofs) = scratch.erofs() else {
            return;
        };
        let same = scratch.import_into(&erofs).unwrap();
        assert_eq!(same, image);
        let found = without_skeleton(mounted(&erofs, &same, &target));
        assert_same(&what, &found, &expected);
        verify(&erofs);
        let unpacked = scratch.path("bundle");
        erofs.unpack(&same, &unpacked, &NoProgress).unwrap();
        let file = |name| fs::read(unpacked.join("rootfs/d").join(name)).unwrap();
        assert_eq!((file("same").len(), file("last").len()), (size, 1000));
    }
}

/// The stream stays what its digest says, for other tools and for itself.
#[test]
fn what_umoci_inserts_is_read_and_handed_on() {
    if !is_root("what_umoci_inserts_is_read_and_handed_on") {
        return;
    }
    let scratch = Scratch::new();
    let layout = scratch.path("layout");
    support::good().write_oci_layout(&layout, "latest").unwrap();
    let inserted = scratch.path("inserted");
    fs::write(&inserted, noise(1, 9_001)).unwrap();
    run(Command::new("umoci")
        .arg("insert")
        .arg(format!("--image={}:latest", layout.display()))
        .arg(&inserted)
        .arg("/opt/inserted"));
    let image = import_path_into(&scratch.store, &layout).unwrap();
    let opened = |store: &ContentStore| {
        let root = store.rootfs(&image).unwrap();
        let mut file = root.open("/opt/inserted").unwrap().unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
        bytes
    };
    assert!(opened(&scratch.store) == noise(1, 9_001));
    let Some(erofs) = scratch.erofs() else {
        return;
    };
    assert_eq!(import_path_into(&erofs, &layout).unwrap(), image);
    assert!(opened(&erofs) == noise(1, 9_001));
    let last = image.layers.last().unwrap();
    let stream = erofs.root().join("blobs/sha256").join(last.diff_id.hex());
    let size = stream.metadata().unwrap().len();
    assert_ne!(size % 512, 0, "umoci insert has learnt to pad its layers");
    let named = "my-function:1".parse().unwrap();
    erofs.tag(&image.manifest_digest, &named).unwrap();
    let copy = scratch.path("copy");
    run(Command::new("skopeo")
        .args(["copy", "--insecure-policy"])
        .arg(format!("oci:{}:my-function:1", erofs.root().display()))
        .arg(format!("oci:{}:latest", copy.display())));
    let again = import_path_into(&erofs, &copy).unwrap();
    assert_eq!(again.layers.last().unwrap().diff_id, last.diff_id);
    verify(&erofs);
}

/// What is cut in a file itself stays refused.
#[test]
fn a_file_without_its_end_is_refused() {
    if !is_root("a_file_without_its_end_is_refused") {
        return;
    }
    let scratch = Scratch::new();
    let mut cut = layer(&noise(7, 1000), 0);
    cut.pop();
    let error = scratch.import_layers(&[cut]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    if let Some(store) = scratch.erofs() {
        let error = scratch.import_into(&store).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("truncated"), "{error}");
    }
}

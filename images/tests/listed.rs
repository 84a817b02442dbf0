//! What other tools and older versions make of a store of streams, and a store that
//! changes its form.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};
use lambent_images::{ContentStore, Digest, Form, Image, NoProgress, Platform};
use serde_json::Value;
use support::{Scratch, is_root, noise};

/// A layer of each compression; in a Docker archive none is compressed.
fn image() -> ImageBuilder {
    let compressions = [Compression::Gzip, Compression::None, Compression::Zstd];
    let layers = compressions.into_iter().zip(0..);
    layers.fold(
        ImageBuilder::new(Platform::host()).entrypoint(["/bin/x"]),
        |image, (compression, seed)| {
            let layer = LayerBuilder::new().file(format!("f{seed}"), 0o644, noise(seed, 100_000));
            image.layer(layer.compression(compression))
        },
    )
}

fn archive(scratch: &Scratch) -> PathBuf {
    let file = scratch.path("image.tar");
    image().write_oci_archive(&file, "latest").unwrap();
    file
}

fn blobs(root: &Path) -> BTreeSet<String> {
    fs::read_dir(root.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The digests of the manifests in the index.
fn listed(root: &Path) -> Vec<Digest> {
    let index = json(&root.join("index.json"));
    let entries = index["manifests"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["digest"].as_str().unwrap().parse().unwrap())
        .collect()
}

fn config(root: &Path, manifest: &Digest) -> Digest {
    let manifest = json(&root.join("blobs/sha256").join(manifest.hex()));
    manifest["config"]["digest"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

/// The store has the image, but for the warnings about where it came from.
fn assert_found(store: &ContentStore, image: &Image) {
    let found = store.find(&image.manifest_digest.hex()).unwrap().unwrap();
    assert_eq!(found.manifest_digest, image.manifest_digest);
    assert_eq!(found.layers, image.layers);
    assert_eq!(found.config, image.config);
}

fn verify(store: &ContentStore) {
    let found = store.verify(&[], &NoProgress).unwrap();
    assert!(found.findings.is_empty(), "{found:?}");
}

#[test]
fn a_layer_is_in_the_store_once() {
    let scratch = Scratch::in_memory_of(Form::Erofs);
    let image = scratch.import(&archive(&scratch)).unwrap();
    let root = scratch.store.root();
    let stands_in = listed(root)[0];
    assert_ne!(stands_in, image.manifest_digest);
    let documents = [
        image.manifest_digest,
        stands_in,
        config(root, &image.manifest_digest),
    ];
    let diff_ids = image.layers.iter().map(|layer| layer.diff_id);
    let expected = diff_ids.chain(documents).map(|digest| digest.hex());
    assert_eq!(blobs(root), expected.collect());
    verify(&scratch.store);
    assert_eq!(scratch.store.images().unwrap(), [image.manifest_digest]);
    // Nothing of it is read again.
    let again = scratch.import(&scratch.path("image.tar")).unwrap();
    assert_eq!(again, image);
}

#[test]
fn other_tools_copy_an_image_of_streams() {
    let copied = |write: &dyn Fn(&Path)| {
        let scratch = Scratch::in_memory_of(Form::Erofs);
        let file = scratch.path("image.tar");
        write(&file);
        let image = scratch.import(&file).unwrap();
        let named = "my-function:1".parse().unwrap();
        scratch.store.tag(&image.manifest_digest, &named).unwrap();
        let root = scratch.store.root();
        let copy = scratch.path("copy");
        let output = Command::new("skopeo")
            .args(["copy", "--insecure-policy"])
            .arg(format!("oci:{}:my-function:1", root.display()))
            .arg(format!("oci:{}:latest", copy.display()))
            .output()
            .expect("skopeo is in the list of test dependencies");
        assert!(output.status.success(), "{output:?}");
        let own = config(root, &image.manifest_digest);
        assert_eq!(config(&copy, &listed(&copy)[0]), own);
        let other = ContentStore::open(&scratch.path("other")).unwrap();
        let same = support::import_path_into(&other.with_form(Form::Erofs), &copy).unwrap();
        let diff_ids =
            |image: &Image| -> Vec<_> { image.layers.iter().map(|layer| layer.diff_id).collect() };
        assert_eq!(diff_ids(&same), diff_ids(&image));
        assert_eq!(same.config, image.config);
    };
    copied(&|file| {
        image().write_oci_archive(file, "latest").unwrap();
    });
    copied(&|file| {
        image().write_docker_archive(file, "a/b:latest").unwrap();
    });
}

#[test]
fn a_store_changes_its_form_without_the_source() {
    if !is_root("a_store_changes_its_form_without_the_source") {
        return;
    }
    for first in [Form::Directory, Form::Erofs] {
        let scratch = Scratch::in_memory_of(first);
        let file = archive(&scratch);
        let image = scratch.import(&file).unwrap();
        fs::remove_file(file).unwrap();
        let root = scratch.store.root();
        let open = |form| ContentStore::open(root).unwrap().with_form(form);
        for form in [Form::Erofs, Form::Directory, Form::Erofs] {
            let store = open(form);
            assert_found(&store, &image);
            verify(&store);
            store.prune(false, &NoProgress).unwrap();
            verify(&store);
        }
        // Once there are streams, they are what is kept.
        let received = image.layers[0].digest.hex();
        assert!(!blobs(root).contains(&received), "{first}");
        let record = root.join("records/blobs").join(&received);
        assert!(record.is_file(), "{first}");
        assert_ne!(listed(root)[0], image.manifest_digest);
    }
}

#[test]
fn a_lost_index_gives_back_images_and_not_what_stands_in_for_them() {
    let scratch = Scratch::in_memory_of(Form::Erofs);
    let image = scratch.import(&archive(&scratch)).unwrap();
    let index = scratch.store.root().join("index.json");
    let before = listed(scratch.store.root());
    fs::write(&index, "{}").unwrap();
    let found = scratch.store.verify(&[], &NoProgress).unwrap();
    assert_eq!(found.findings.len(), 1, "{found:?}");
    assert_eq!(scratch.store.images().unwrap(), [image.manifest_digest]);
    assert_eq!(listed(scratch.store.root()), before);
    verify(&scratch.store);
}

/// Makes of a store what version 1 of its format was.
fn downgrade(scratch: &Scratch, image: &Image, file: &Path) {
    let root = scratch.store.root();
    let received = ContentStore::open(&scratch.path("received")).unwrap();
    let received = received.with_form(Form::Directory);
    support::import_path_into(&received, file).unwrap();
    fs::create_dir_all(root.join("tars/sha256")).unwrap();
    fs::remove_dir(root.join("partial")).unwrap();
    let stands_in = listed(root)[0];
    fs::remove_file(root.join("blobs/sha256").join(stands_in.hex())).unwrap();
    for layer in &image.layers {
        let stream = root.join("blobs/sha256").join(layer.diff_id.hex());
        let tar = root.join("tars/sha256").join(layer.diff_id.hex());
        fs::rename(&stream, &tar).unwrap();
        // There a layer that was not compressed had two names.
        let blob = root.join("blobs/sha256").join(layer.digest.hex());
        if layer.digest == layer.diff_id {
            fs::hard_link(&tar, blob).unwrap();
        } else {
            let from = received.root().join("blobs/sha256");
            fs::copy(from.join(layer.digest.hex()), blob).unwrap();
        }
    }
    fs::copy(received.root().join("index.json"), root.join("index.json")).unwrap();
    fs::write(root.join("lambent-store"), r#"{"version":1}"#).unwrap();
}

#[test]
fn a_store_of_version_1_is_taken_over() {
    if !is_root("a_store_of_version_1_is_taken_over") {
        return;
    }
    let scratch = Scratch::in_memory_of(Form::Erofs);
    let file = archive(&scratch);
    let image = scratch.import(&file).unwrap();
    let root = scratch.store.root();
    let expected = blobs(root);
    // Also one that was killed in the middle of it.
    for moved in [false, true] {
        downgrade(&scratch, &image, &file);
        fs::remove_dir_all(scratch.path("received")).unwrap();
        if moved {
            let stream = image.layers[0].diff_id.hex();
            let (from, to) = (root.join("tars/sha256"), root.join("blobs/sha256"));
            fs::rename(from.join(&stream), to.join(stream)).unwrap();
        }
        let store = ContentStore::open(root).unwrap().with_form(Form::Erofs);
        assert!(!root.join("tars").exists());
        verify(&store);
        assert_found(&store, &image);
        // The next import lists the streams, and then the blobs are of no use.
        assert!(blobs(root).contains(&image.layers[0].digest.hex()));
        assert_eq!(scratch.import(&file).unwrap(), image);
        store.prune(false, &NoProgress).unwrap();
        assert_eq!(blobs(root), expected);
        verify(&store);
    }
}

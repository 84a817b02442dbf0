//! A survey sees what an import brings, and leaves the store as it was.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};
use lambent_images::{
    ContentStore, ErrorKind, Form, ImageFile, ImageFiles, NoProgress, Platform, Surveyed,
};
use support::{Scratch, noise};

/// A layer of each compression, with files that replace, hide and link to others.
fn image() -> ImageBuilder {
    let layer = LayerBuilder::new;
    ImageBuilder::new(Platform::host())
        .entrypoint(["/bin/x"])
        .layer(
            layer()
                .directory("bin", 0o755)
                .file("bin/x", 0o755, noise(1, 300_000))
                .file("bin/y", 0o755, noise(2, 70_000))
                .symlink("lib", "bin"),
        )
        .layer(
            layer()
                .file("etc/deep/file", 0o600, "text")
                .whiteout("bin/y")
                .compression(Compression::None),
        )
        .layer(
            layer()
                .file("bin/x", 0o755, noise(3, 200_000))
                .file("empty", 0o644, "")
                .hardlink("again", "empty")
                .compression(Compression::Zstd),
        )
}

/// Everything below a directory.
fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let of = |entry: fs::DirEntry| {
        let path = entry.path();
        let inner = if path.is_dir() { below(&path) } else { vec![] };
        std::iter::once(path).chain(inner).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = entries.flat_map(|entry| of(entry.unwrap())).collect();
    // Locks are held, not stored: an empty file stays for the next one.
    all.retain(|path| !path.components().any(|part| part.as_os_str() == "locks"));
    all.sort();
    all
}

/// All files, with so many of their first bytes.
fn contents(files: &ImageFiles, length: u64) -> Vec<(ImageFile, Vec<u8>)> {
    let mut all = vec![];
    files.visit("/", &mut |file| {
        all.push((file.clone(), files.head(&file.path, length).unwrap()));
    });
    all.sort_by(|(one, _), (other, _)| one.path.cmp(&other.path));
    all
}

#[test]
fn a_survey_sees_what_an_import_brings() {
    for form in [Form::Erofs, Form::Directory] {
        if form == Form::Directory && !support::is_root("a_survey_sees_what_an_import_brings") {
            continue;
        }
        let scratch = Scratch::new();
        let file = scratch.path("image.tar");
        image().write_oci_archive(&file, "latest").unwrap();
        let reference = format!("oci-archive:{}", file.display()).parse().unwrap();
        let root = scratch.path("store");
        let store = ContentStore::open(&root).unwrap().with_form(form);
        let before = below(&root);
        let survey = || {
            let seen = store.survey(&reference, &Platform::host(), &NoProgress, &|_| true);
            let Surveyed { image, files } = seen.unwrap();
            (image, files.expect("an archive is no registry"))
        };
        let (image, files) = survey();
        let surveyed = [0, 5, 100_000, u64::MAX].map(|length| contents(&files, length));
        assert_eq!(below(&root), before, "{form:?}");
        // Of the store when it is there, whatever is where it came from.
        let imported = store
            .import(&reference, &Platform::host(), &NoProgress)
            .unwrap();
        assert_eq!(image.layers, imported.layers);
        let own = store.files(&imported).unwrap();
        let expected = [0, 5, 100_000, u64::MAX].map(|length| contents(&own, length));
        assert_eq!(surveyed, expected, "{form:?}");
        assert_eq!(files.layers(), own.layers());
        let before = below(&root);
        let (_, files) = survey();
        assert_eq!(contents(&files, 7), contents(&own, 7));
        assert_eq!(below(&root), before, "{form:?}");
    }
}

#[test]
fn what_is_damaged_is_found_and_leaves_nothing() {
    let scratch = Scratch::new();
    let layout = scratch.path("layout");
    let digest = image().write_oci_layout(&layout, "latest").unwrap();
    let blobs = layout.join("blobs/sha256");
    let manifest = fs::read(blobs.join(digest.hex())).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let reference = format!("oci:{}", layout.display()).parse().unwrap();
    let root = scratch.path("store");
    let store = ContentStore::open(&root).unwrap();
    let before = below(&root);
    for layer in manifest["layers"].as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap();
        let path = blobs.join(digest.trim_start_matches("sha256:"));
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let seen = store.survey(&reference, &Platform::host(), &NoProgress, &|_| true);
        assert_eq!(seen.unwrap_err().kind(), ErrorKind::DigestMismatch);
        assert_eq!(below(&root), before);
        fs::write(&path, whole).unwrap();
    }
}

//! What Lambda looks at before a function becomes active.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lambent_images::{Digest, Image, ImageFileKind, ImageSizes};

use super::super::catalogue::{
    IMAGE_INDEX, IMAGE_SIZE, MANIFEST_SIZE, MISSING_PARENT_DIRECTORY, UNSUPPORTED_LAYER,
};
use super::super::finding::shown;
use super::super::{Finding, Severity, Subject};

/// Lambda's limit for all layers, uncompressed, in bytes.
const IMAGE_BYTES_MAX: u64 = 10 * 1024 * 1024 * 1024;
/// From here on the user is told how near it is, and to what it is due.
const IMAGE_BYTES_NEAR: u64 = IMAGE_BYTES_MAX / 10 * 9;
/// Lambda's recommendation for a manifest, in bytes.
const MANIFEST_BYTES: u64 = 25_400;
/// So many of the largest things are named.
const LARGEST: usize = 3;

/// What the documents say.
pub(super) fn of_documents(image: &Image) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(index(image));
    findings.extend(layers(image));
    if image.manifest_size > MANIFEST_BYTES {
        findings.push(Finding::new(
            &MANIFEST_SIZE,
            format!(
                "the manifest has {} bytes; Lambda recommends less than {MANIFEST_BYTES}",
                image.manifest_size
            ),
        ));
    }
    findings
}

/// What is in the layers.
pub(super) fn of_files(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings: Vec<_> = orphans(subject).collect();
    findings.extend(size(subject));
    findings
}

fn index(image: &Image) -> Option<Finding> {
    let index = image.index?;
    let attestations = match index.attestations {
        0 => String::new(),
        1 => " and 1 attestation".to_owned(),
        count => format!(" and {count} attestations"),
    };
    let images = match index.images {
        1 => "1 image".to_owned(),
        count => format!("{count} images"),
    };
    Some(Finding::new(
        &IMAGE_INDEX,
        format!("the reference leads to an image index with {images}{attestations}"),
    ))
}

fn layers(image: &Image) -> impl Iterator<Item = Finding> {
    image.layers.iter().filter_map(|layer| {
        let form = match layer.media_type.as_str() {
            kind if kind.ends_with("zstd") => "compressed with zstd",
            "application/vnd.docker.image.rootfs.diff.tar" => {
                "a plain archive in a Docker manifest"
            }
            _ => return None,
        };
        let message = format!("a layer is {form} ({})", shown(&layer.media_type));
        Some(Finding::new(&UNSUPPORTED_LAYER, message).in_layer(Some(layer.digest)))
    })
}

fn orphans(subject: &Subject<'_>) -> impl Iterator<Item = Finding> {
    let layers = subject.image.layers.iter().zip(subject.files.layers());
    layers.filter_map(|(layer, brought)| {
        let first = brought.orphans.first()?;
        let more = match brought.orphan_count {
            1 => String::new(),
            count => format!(", and {} more of the layer", count - 1),
        };
        let message = format!("no entry before {} makes its directory{more}", shown(first));
        Some(
            Finding::new(&MISSING_PARENT_DIRECTORY, message)
                .at(first)
                .in_layer(Some(layer.digest)),
        )
    })
}

fn size(subject: &Subject<'_>) -> Option<Finding> {
    let layers = subject.files.layers();
    let total = layers
        .iter()
        .fold(0_u64, |sum, layer| sum.saturating_add(layer.bytes));
    if total < IMAGE_BYTES_NEAR {
        return None;
    }
    let by_layer = subject.image.layers.iter().zip(layers);
    let mut by_layer: Vec<_> = by_layer
        .map(|(layer, brought)| (layer.digest, brought.bytes))
        .collect();
    by_layer.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let largest = largest(&by_layer, &largest_directories(subject));
    let (severity, verb) = if total > IMAGE_BYTES_MAX {
        (Severity::Error, "and Lambda takes")
    } else {
        (Severity::Warning, "of")
    };
    let message = format!(
        "the layers have {} uncompressed, {verb} {}; largest: {largest}",
        mb(total),
        mb(IMAGE_BYTES_MAX)
    );
    Some(Finding::new(&IMAGE_SIZE, message).with(severity))
}

/// The finding that an image is which is too large to be looked at any further.
pub(crate) fn too_large(sizes: &ImageSizes) -> Finding {
    let more = if sizes.is_cut { "more than " } else { "" };
    let largest = largest(&sizes.layers, &sizes.directories);
    let message = format!(
        "the layers have {more}{} uncompressed, and Lambda takes {}; largest: {largest}",
        mb(sizes.total()),
        mb(IMAGE_BYTES_MAX)
    );
    Finding::new(&IMAGE_SIZE, message)
}

/// The first of both, which are the largest first.
fn largest(layers: &[(Digest, u64)], directories: &[(PathBuf, u64)]) -> String {
    let layers = layers.iter().take(LARGEST).map(|(digest, bytes)| {
        let digest = &digest.to_string()[..19];
        format!("layer {digest} {}", mb(*bytes))
    });
    let directories = directories.iter().take(LARGEST);
    let directories = directories.map(|(path, bytes)| format!("{} {}", shown(path), mb(*bytes)));
    let parts: Vec<_> = layers.chain(directories).collect();
    parts.join(", ")
}

/// The directories of the second level with the most bytes.
fn largest_directories(subject: &Subject<'_>) -> Vec<(PathBuf, u64)> {
    let mut sizes: BTreeMap<PathBuf, u64> = BTreeMap::new();
    subject.files.visit("/", &mut |file| {
        if file.kind == ImageFileKind::File {
            let directory: PathBuf = file.path.iter().take(3).collect();
            *sizes.entry(directory).or_default() += file.size;
        }
    });
    let mut sizes: Vec<_> = sizes.into_iter().collect();
    sizes.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    sizes.truncate(LARGEST);
    sizes
}

fn mb(bytes: u64) -> String {
    format!("{} MB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_names_what_takes_the_room() {
        let layer = |number: u8, mb: u64| (Digest::of([number]), mb << 20);
        let mut sizes = ImageSizes {
            layers: vec![layer(1, 9_000), layer(2, 2_000)],
            directories: vec![
                ("/opt/ml".into(), 8_000 << 20),
                ("/usr/lib".into(), 1 << 20),
            ],
            is_cut: false,
        };
        let digests = sizes.layers.iter().map(|(digest, _)| digest.to_string());
        let [first, second] = [0, 1].map(|number| digests.clone().nth(number).unwrap());
        let expected = format!(
            "the layers have 11000 MB uncompressed, and Lambda takes 10240 MB; largest: \
             layer {} 9000 MB, layer {} 2000 MB, /opt/ml 8000 MB, /usr/lib 1 MB",
            &first[..19],
            &second[..19]
        );
        let finding = too_large(&sizes);
        assert_eq!(
            (finding.message, finding.severity),
            (expected, Severity::Error)
        );
        sizes.is_cut = true;
        assert!(
            too_large(&sizes)
                .message
                .contains("have more than 11000 MB")
        );
    }
}

//! What Lambda looks at before a function becomes active.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lambent_images::ImageFileKind;

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

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(index(subject));
    findings.extend(layers(subject));
    findings.extend(orphans(subject));
    findings.extend(size(subject));
    if subject.image.manifest_size > MANIFEST_BYTES {
        findings.push(Finding::new(
            &MANIFEST_SIZE,
            format!(
                "the manifest has {} bytes; Lambda recommends less than {MANIFEST_BYTES}",
                subject.image.manifest_size
            ),
        ));
    }
    findings
}

fn index(subject: &Subject<'_>) -> Option<Finding> {
    let index = subject.image.index?;
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

fn layers(subject: &Subject<'_>) -> impl Iterator<Item = Finding> {
    subject.image.layers.iter().filter_map(|layer| {
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
    let mut by_layer: Vec<_> = subject.image.layers.iter().zip(layers).collect();
    by_layer.sort_by_key(|(_, brought)| std::cmp::Reverse(brought.bytes));
    let by_layer = by_layer.iter().take(LARGEST).map(|(layer, brought)| {
        format!(
            "layer {} {}",
            &layer.digest.to_string()[..19],
            mb(brought.bytes)
        )
    });
    let directories = largest_directories(subject);
    let directories = directories
        .iter()
        .map(|(path, bytes)| format!("{} {}", shown(path), mb(*bytes)));
    let parts: Vec<_> = by_layer.chain(directories).collect();
    let (severity, verb) = if total > IMAGE_BYTES_MAX {
        (Severity::Error, "and Lambda takes")
    } else {
        (Severity::Warning, "of")
    };
    Some(
        Finding::new(
            &IMAGE_SIZE,
            format!(
                "the layers have {} uncompressed, {verb} {}; largest: {}",
                mb(total),
                mb(IMAGE_BYTES_MAX),
                parts.join(", ")
            ),
        )
        .with(severity),
    )
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

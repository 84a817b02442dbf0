//! I-M05: extended attributes of every name space, too large, too many and too long, in
//! layers that are brought in, unpacked and mounted.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use lambent_images::{ErrorKind, Form, NoProgress};
use support::Scratch;
use support::tar::{Tar, pax_record};
use support::tree::objects;
use support::user::{also_as_ordinary, is_ordinary};

/// Attributes of one member, each with its value.
type Attributes = Vec<(String, Vec<u8>)>;

fn one(name: &str, value: impl Into<Vec<u8>>) -> Attributes {
    vec![(name.to_owned(), value.into())]
}

/// A layer of files that have these attributes, and a file in which they have none.
fn layer(files: &[(&str, Attributes)]) -> Vec<u8> {
    let add = |tar: Tar, (name, attributes): &(&str, Attributes)| {
        let records = attributes
            .iter()
            .flat_map(|(key, value)| pax_record(&format!("SCHILY.xattr.{key}"), value));
        tar.pax(&records.collect::<Vec<_>>()).file(name, name)
    };
    files.iter().fold(Tar::new(), add).file("plain", "x").end()
}

fn forms() -> &'static [Form] {
    if is_ordinary() {
        &[Form::Erofs]
    } else {
        &[Form::Directory, Form::Erofs]
    }
}

#[test]
fn attributes_are_kept_or_counted() {
    also_as_ordinary("attributes_are_kept_or_counted");
    let many = |count: usize| (0..count).map(|number| (format!("user.{number}"), vec![b'x'; 4]));
    let long = format!("user.{}", "n".repeat(250));
    let files = [
        (
            "selinux",
            one("security.selinux", "system_u:object_r:etc_t:s0\0"),
        ),
        ("ima", one("security.ima", [3, 2, 4, 0])),
        ("evm", one("security.evm", [2; 20])),
        (
            "acl",
            one(
                "system.posix_acl_access",
                [2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255],
            ),
        ),
        ("default-acl", one("system.posix_acl_default", [2, 0, 0, 0])),
        ("trusted", one("trusted.note", "x")),
        ("nowhere", one("note", "x")),
        ("unknown", one("unknown.note", "x")),
        ("no-name", one("user.", "x")),
        ("large", one("user.large", vec![b'x'; 65_536])),
        ("long", one(&long, "x")),
        ("empty", one("user.empty", "")),
        ("note", one("user.note", "\0\n=x")),
        ("some", many(100).collect()),
        ("many", many(1000).collect()),
    ];
    let kept = ["long", "empty", "note", "some", "many"];
    for form in forms() {
        // On a disk: what is in memory takes other attributes.
        let scratch = Scratch::of_form(*form);
        let image = scratch.import_layers(&[layer(&files)]).unwrap();
        let dropped = counted(&image.warnings, ":");
        // Those that are too many for the disk of the store are no part of streams.
        assert!(
            dropped == 10 || *form == Form::Directory && dropped > 10,
            "{form}: {dropped}"
        );
        let bundle = scratch.path("bundle");
        let warnings = scratch.store.unpack(&image, &bundle, &NoProgress).unwrap();
        let found = objects(&bundle.join("rootfs"));
        let mut missing = 0;
        for (name, attributes) in &files {
            let found = &found[Path::new(name)].xattrs;
            let mut expected = BTreeMap::new();
            if kept.contains(name) {
                expected.extend(attributes.iter().cloned());
            }
            if *name == "many" {
                missing = expected.len() - found.len();
                expected.retain(|name, _| found.contains_key(name));
            }
            assert!(*found == expected, "{form}: {name} has {}", found.len());
        }
        assert_eq!(missing, counted(&warnings, "did not take"), "{warnings:?}");
    }
}

/// The number that these words of a warning end in, before more about attributes.
fn counted(warnings: &[String], words: &str) -> usize {
    let number = |warning: &String| {
        let (before, _) = warning.split_once(" extended attributes")?;
        let (before, number) = before.rsplit_once(' ')?;
        before.ends_with(words).then(|| number.parse().unwrap())
    };
    warnings.iter().find_map(number).unwrap_or_default()
}

#[test]
fn attributes_that_linux_does_not_have_are_refused() {
    also_as_ordinary("attributes_that_linux_does_not_have_are_refused");
    let many = (0..1001).map(|number| (format!("user.{number}"), vec![b'x']));
    for (what, attributes, kind) in [
        (
            "a name of 256 bytes",
            one(&format!("user.{}", "n".repeat(251)), "x"),
            ErrorKind::LimitExceeded,
        ),
        (
            "64 KiB and a byte",
            one("user.large", vec![b'x'; 65_537]),
            ErrorKind::LimitExceeded,
        ),
        ("1001 of them", many.collect(), ErrorKind::LimitExceeded),
        ("no name", one("", "x"), ErrorKind::Invalid),
        (
            "a NUL in the name",
            one("user.a\0b", "x"),
            ErrorKind::Invalid,
        ),
    ] {
        for form in forms() {
            let scratch = Scratch::in_memory_of(*form);
            let before = scratch.content();
            let refused = scratch.import_layers(&[layer(&[("f", attributes.clone())])]);
            assert_eq!(refused.unwrap_err().kind(), kind, "{form}: {what}");
            assert_eq!(scratch.content(), before, "{form}: {what}");
        }
    }
}

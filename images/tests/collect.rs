//! Names, and removing what nobody needs.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::path::PathBuf;
use std::process::Command;

use lambent_images::{ContentStore, ErrorKind, Image, ImageName, NoProgress};
use support::{Scratch, good, is_root, large};

fn name(text: &str) -> ImageName {
    text.parse().unwrap()
}

/// Two images that share layers, named `a` and `b`.
fn two() -> (Scratch, PathBuf, Image, Image) {
    let scratch = Scratch::in_memory();
    let files = [0, 1].map(|variant| {
        let file = scratch.path(&format!("{variant}.tar"));
        large(variant).write_oci_archive(&file, "latest").unwrap();
        file
    });
    let a = scratch.import(&files[0]).unwrap();
    let b = scratch.import(&files[1]).unwrap();
    scratch.store.tag(&a.manifest_digest, &name("a")).unwrap();
    scratch
        .store
        .tag(&b.manifest_digest, &name("b:latest"))
        .unwrap();
    let [file, _] = files;
    (scratch, file, a, b)
}

#[test]
fn images_are_found_by_name_digest_and_prefix() {
    if !is_root("images_are_found_by_name_digest_and_prefix") {
        return;
    }
    let (scratch, _, a, b) = two();
    let store = &scratch.store;
    let found = |text: &str| store.find(text).unwrap();
    assert_eq!(found("a").as_ref(), Some(&a));
    assert_eq!(found("b").as_ref(), Some(&b));
    assert_eq!(found(&a.manifest_digest.to_string()).as_ref(), Some(&a));
    assert_eq!(found(&a.manifest_digest.hex()[..12]).as_ref(), Some(&a));
    assert_eq!(found(&a.manifest_digest.hex()[..5]), None);
    assert_eq!(found("c"), None);
    let listed = store.list().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].names, [name("a")]);
    assert!(listed[0].imported.is_some());
    let details = listed[0].details.as_ref().unwrap();
    assert_eq!(details.layers, 3);
    assert!(details.unpacked_size.unwrap() > 3 << 20);
    // A name moves when somebody says so, and only then.
    store.tag(&b.manifest_digest, &name("a")).unwrap();
    assert_eq!(found("a"), Some(b));
    let missing = lambent_images::Digest::of("x");
    let error = store.tag(&missing, &name("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_removed_image_takes_along_what_only_it_needs() {
    if !is_root("a_removed_image_takes_along_what_only_it_needs") {
        return;
    }
    let (scratch, _, a, b) = two();
    let store = &scratch.store;
    store.tag(&a.manifest_digest, &name("other")).unwrap();
    let removal = store.remove("a", &NoProgress).unwrap();
    assert_eq!((removal.names.len(), removal.images.len()), (1, 0));
    let lease = store.rootfs(&a).unwrap();
    let before = scratch.content();
    let error = store.remove("other", &NoProgress).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert_eq!(scratch.content(), before);
    drop(lease);
    let removal = store.remove("other", &NoProgress).unwrap();
    assert_eq!(removal.images, [a.manifest_digest]);
    assert!(removal.bytes_freed > 2 << 20);
    assert_eq!(store.images().unwrap(), [b.manifest_digest]);
    assert!(store.rootfs(&b).is_ok());
    assert!(!scratch.layer(&a, 2).exists());
    assert!(scratch.layer(&a, 0).exists());
    let error = store.remove("other", &NoProgress).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // An empty store is what remains when the last image goes.
    let removal = store.prune(true, &NoProgress).unwrap();
    assert_eq!(removal.images, [b.manifest_digest]);
    let empty = Scratch::in_memory();
    empty.store.prune(false, &NoProgress).unwrap();
    let strip = |scratch: &Scratch| {
        let mut content = scratch.content();
        content.retain(|path, _| !path.starts_with("skeleton"));
        content.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(strip(&scratch), strip(&empty));
    let locks = std::fs::read_dir(store.root().join("locks"))
        .unwrap()
        .count();
    assert_eq!(locks, 2, "store and index");
}

#[test]
fn prune_leaves_what_is_in_use() {
    if !is_root("prune_leaves_what_is_in_use") {
        return;
    }
    let (scratch, _, a, _) = two();
    let store = &scratch.store;
    let lease = store.rootfs(&a).unwrap();
    let removal = store.prune(true, &NoProgress).unwrap();
    assert_eq!(removal.names, [name("b:latest")]);
    assert_eq!(store.images().unwrap(), [a.manifest_digest]);
    assert!((0..3).all(|index| scratch.layer(&a, index).is_dir()));
    // Even what the index no longer knows.
    std::fs::write(
        store.root().join("index.json"),
        r#"{"schemaVersion":2,"manifests":[]}"#,
    )
    .unwrap();
    store.prune(false, &NoProgress).unwrap();
    assert!((0..3).all(|index| scratch.layer(&a, index).is_dir()));
    drop(lease);
    store.prune(false, &NoProgress).unwrap();
    assert!(!scratch.layer(&a, 0).exists());
}

#[test]
fn removal_and_import_at_once_leave_whole_images() {
    if !is_root("removal_and_import_at_once_leave_whole_images") {
        return;
    }
    let (scratch, file, a, _) = two();
    let root = scratch.store.root().to_owned();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..15 {
                    scratch.import(&file).unwrap();
                }
            });
        }
        scope.spawn(|| {
            let store = ContentStore::open(&root).unwrap();
            for round in 0..15 {
                let result = store.prune(round % 2 == 0, &NoProgress);
                result.unwrap();
                let _not_there = store.remove(&a.manifest_digest.to_string(), &NoProgress);
            }
        });
        scope.spawn(|| {
            for _ in 0..50 {
                if let Ok(lease) = scratch.store.rootfs(&a) {
                    let whole = (0..3).all(|index| scratch.layer(&a, index).is_dir());
                    assert!(whole, "a leased layer is gone");
                    drop(lease);
                }
            }
        });
    });
    scratch.import(&file).unwrap();
    assert_eq!(
        scratch.store.find(&a.manifest_digest.hex()).unwrap(),
        Some(a)
    );
}

/// Sets or clears a flag of a file as `chattr` does; false where there are none.
fn chattr(flag: &str, path: &std::path::Path) -> bool {
    let output = Command::new("chattr").arg(flag).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

/// I-M08: what cannot be removed does not hold up the rest, hangs nothing, and goes
/// once it can be.
#[test]
fn what_is_immutable_is_left_until_it_is_not() {
    if !is_root("what_is_immutable_is_left_until_it_is_not") {
        return;
    }
    for (flag, inner) in [("i", true), ("a", true), ("i", false), ("a", false)] {
        let scratch = Scratch::new();
        let file = scratch.path("image.tar");
        good().write_oci_archive(&file, "latest").unwrap();
        let image = scratch.import(&file).unwrap();
        let layer = scratch.layer(&image, 0);
        let fixed = if inner {
            layer.join("etc")
        } else {
            layer.clone()
        };
        if !chattr(&format!("+{flag}"), &fixed) {
            println!("skipped: this file system has no flags, or root may not set them");
            return;
        }
        let removed = scratch
            .store
            .remove(&image.manifest_digest.to_string(), &NoProgress);
        // A directory with a flag cannot even be moved.
        match &removed {
            Ok(removal) => assert!(inner && removal.images.len() == 1, "{flag}"),
            Err(error) => {
                assert!(!inner && error.kind() == ErrorKind::Io, "{flag}: {error}");
                let text = error.to_string();
                assert!(text.contains(&image.layers[0].diff_id.hex()), "{text}");
            }
        }
        assert!(scratch.store.images().unwrap().is_empty());
        // The store works on meanwhile.
        let other = ContentStore::open(scratch.store.root()).unwrap();
        let other = other.with_form(scratch.store.form());
        let blocked = other.prune(true, &NoProgress).is_err();
        assert_eq!(blocked, !inner, "{flag}");
        let left = |what: &str| std::fs::read_dir(other.root().join(what)).unwrap().count();
        assert_eq!(left("tmp") + left("layers/sha256"), 1, "{flag} {inner}");
        let staged = std::fs::read_dir(other.root().join("tmp")).unwrap().next();
        let all = staged.map_or(layer, |entry| entry.unwrap().path());
        // It fails at links, which have no flags, and does the rest.
        let cleared = Command::new("chattr")
            .args(["-R", &format!("-{flag}")])
            .arg(&all)
            .output();
        cleared.unwrap();
        let other = ContentStore::open(scratch.store.root()).unwrap();
        other.prune(true, &NoProgress).unwrap();
        assert_eq!(left("tmp") + left("layers/sha256"), 0, "{flag} {inner}");
    }
}

#[test]
fn other_tools_read_the_store_by_name() {
    if !is_root("other_tools_read_the_store_by_name") {
        return;
    }
    if Command::new("skopeo").arg("--version").output().is_err() {
        return;
    }
    let scratch = Scratch::in_memory();
    let file = scratch.path("image.tar");
    good().write_oci_archive(&file, "latest").unwrap();
    let image = scratch.import(&file).unwrap();
    let names = ["my-function", "my-function:2", "docker.io/library/x:1"];
    for text in names {
        scratch
            .store
            .tag(&image.manifest_digest, &name(text))
            .unwrap();
    }
    let identity = format!("sha256-{}", image.manifest_digest.hex());
    for text in names.into_iter().chain([identity.as_str()]) {
        let reference = format!("oci:{}:{text}", scratch.store.root().display());
        let output = Command::new("skopeo")
            .args(["inspect", &reference])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        assert!(text.contains(&image.manifest_digest.to_string()), "{text}");
    }
}

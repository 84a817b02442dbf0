//! Whiteouts, opaque directories and the skeleton, as overlayfs sees them.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lambent_images::{
    ErrorKind, Image, ImageReference, NoProgress, Platform, RootMount, Rootfs, skeleton,
};
use support::mounts::in_private_mounts;
use support::tar::{Fields, Tar};
use support::{Scratch, snapshot};

/// Mounts an image's root file system and lists it.
fn mounted(scratch: &Scratch, image: &Image) -> (Rootfs, PathBuf, BTreeMap<PathBuf, String>) {
    let rootfs = scratch.store.rootfs(image).unwrap();
    let target = scratch.path(&format!("mnt-{}", image.manifest_digest.hex()));
    std::fs::create_dir_all(&target).unwrap();
    rootfs.mount().mount(&target).unwrap();
    let listed = snapshot(&target);
    if let Some(other) = mounted_as_erofs(scratch, image, &target) {
        assert_eq!(other, listed, "the two forms differ");
    }
    (rootfs, target, listed)
}

/// The same image in the other form.
fn mounted_as_erofs(
    scratch: &Scratch,
    image: &Image,
    beside: &Path,
) -> Option<BTreeMap<PathBuf, String>> {
    let store = scratch.erofs()?;
    let reference = ImageReference::Path {
        path: scratch.path("image.tar"),
    };
    let same = store
        .import(&reference, &Platform::host(), &NoProgress)
        .unwrap();
    assert_eq!(&same, image);
    let rootfs = store.rootfs(&same).unwrap();
    let target = beside.with_extension("erofs");
    std::fs::create_dir_all(&target).unwrap();
    rootfs.mount().mount(&target).unwrap();
    let listed = snapshot(&target);
    for path in listed.keys() {
        let meta = target.join(path).symlink_metadata().unwrap();
        if !meta.is_symlink() {
            let found = rootfs.lookup(path).unwrap().unwrap();
            assert_eq!(found.is_directory(), meta.is_dir(), "{}", path.display());
        }
    }
    unmount(&target);
    Some(listed)
}

/// Lets the directory be removed.
fn unmount(target: &Path) {
    rustix::mount::unmount(target, rustix::mount::UnmountFlags::DETACH).unwrap();
}

/// The image's own paths, without the skeleton's.
fn names(scratch: &Scratch, layers: &[Vec<u8>]) -> Vec<String> {
    let image = scratch.import_layers(layers).unwrap();
    let (rootfs, target, listed) = mounted(scratch, &image);
    let ours = [
        "dev",
        "proc",
        "sys",
        "tmp",
        "etc/hosts",
        "etc/hostname",
        "etc/resolv.conf",
    ];
    let names: Vec<_> = listed
        .iter()
        .filter(|(path, _)| !ours.iter().any(|skip| path.as_path() == Path::new(skip)))
        .map(|(path, line)| {
            let kind = line.split(' ').next().unwrap();
            format!("{} {kind}", path.display())
        })
        .collect();
    // The lookup without a mount must agree with the kernel about everything.
    for path in listed.keys() {
        let meta = target.join(path).symlink_metadata().unwrap();
        if !meta.is_symlink() {
            let found = rootfs.lookup(path).unwrap();
            assert_eq!(
                found.map(|kind| kind.is_directory()),
                Some(meta.is_dir()),
                "{}",
                path.display()
            );
        }
    }
    unmount(&target);
    names
}

#[test]
fn whiteout_table() {
    if !in_private_mounts("whiteout_table") {
        return;
    }
    let scratch = Scratch::new();
    let base = || {
        Tar::new()
            .dir("d")
            .file("d/a", "1")
            .file("d/b", "1")
            .dir("d/sub")
            .file("d/sub/x", "1")
            .file("f", "1")
            .end()
    };
    let wh = |tar: Tar, name: &str| tar.file(name, "body is ignored");
    let cases: Vec<(&str, Tar, &[&str])> = vec![
        (
            "a file",
            wh(Tar::new(), ".wh.f"),
            &[
                "d dir",
                "d/a file",
                "d/b file",
                "d/sub dir",
                "d/sub/x file",
                "etc dir",
            ],
        ),
        (
            "a directory",
            wh(Tar::new(), ".wh.d"),
            &["etc dir", "f file"],
        ),
        (
            "inside",
            wh(Tar::new().dir("d"), "d/.wh.a"),
            &[
                "d dir",
                "d/b file",
                "d/sub dir",
                "d/sub/x file",
                "etc dir",
                "f file",
            ],
        ),
        (
            "parent implied",
            wh(Tar::new(), "d/.wh.sub"),
            &["d dir", "d/a file", "d/b file", "etc dir", "f file"],
        ),
        (
            "opaque first",
            wh(Tar::new().dir("d"), "d/.wh..wh..opq").file("d/n", "2"),
            &["d dir", "d/n file", "etc dir", "f file"],
        ),
        (
            "opaque last",
            wh(Tar::new().dir("d").file("d/n", "2"), "d/.wh..wh..opq"),
            &["d dir", "d/n file", "etc dir", "f file"],
        ),
        (
            "opaque middle",
            wh(Tar::new().file("d/n", "2"), "d/.wh..wh..opq").file("d/o", "2"),
            &["d dir", "d/n file", "d/o file", "etc dir", "f file"],
        ),
        (
            "opaque missing directory",
            wh(Tar::new(), "d/sub/.wh..wh..opq"),
            &[
                "d dir",
                "d/a file",
                "d/b file",
                "d/sub dir",
                "etc dir",
                "f file",
            ],
        ),
        (
            "opaque root",
            wh(Tar::new().file("n", "2"), ".wh..wh..opq"),
            &["etc dir", "n file"],
        ),
        (
            "hide then make a file",
            wh(Tar::new(), ".wh.d").file("d", "2"),
            &["d file", "etc dir", "f file"],
        ),
        (
            "make a file then hide",
            wh(Tar::new().file("d", "2"), ".wh.d"),
            &["d file", "etc dir", "f file"],
        ),
        (
            "hide then make a directory",
            wh(Tar::new(), ".wh.d").dir("d").file("d/n", ""),
            &["d dir", "d/n file", "etc dir", "f file"],
        ),
        (
            "make a directory then hide",
            wh(Tar::new().dir("d").file("d/n", ""), ".wh.d"),
            &["d dir", "d/n file", "etc dir", "f file"],
        ),
        (
            "hide, and hide inside",
            wh(wh(Tar::new(), ".wh.d"), "d/.wh.a"),
            &["etc dir", "f file"],
        ),
        (
            "file, then directory again",
            Tar::new().file("d", "").dir("d"),
            &["d dir", "etc dir", "f file"],
        ),
        (
            "a link is hidden, not its target",
            wh(Tar::new().symlink("l", "/d"), ".wh.l"),
            &[
                "d dir",
                "d/a file",
                "d/b file",
                "d/sub dir",
                "d/sub/x file",
                "etc dir",
                "f file",
                "l link",
            ],
        ),
        (
            "through a dangling link",
            wh(Tar::new().symlink("l", "/dne"), "l/.wh.etc"),
            &[
                "d dir",
                "d/a file",
                "d/b file",
                "d/sub dir",
                "d/sub/x file",
                "etc dir",
                "f file",
                "l link",
            ],
        ),
        (
            "opaque through a link",
            wh(Tar::new().dir("d").symlink("l", "d"), "l/.wh..wh..opq"),
            &[
                "d dir",
                "d/a file",
                "d/b file",
                "d/sub dir",
                "d/sub/x file",
                "etc dir",
                "f file",
                "l link",
            ],
        ),
        (
            "through a link to a directory",
            wh(Tar::new().dir("d").symlink("l", "d"), "l/.wh.a"),
            &[
                "d dir",
                "d/b file",
                "d/sub dir",
                "d/sub/x file",
                "etc dir",
                "f file",
                "l link",
            ],
        ),
        (
            "dot-dot",
            wh(Tar::new(), "dne/../.wh.f"),
            &[
                "d dir",
                "d/a file",
                "d/b file",
                "d/sub dir",
                "d/sub/x file",
                "etc dir",
            ],
        ),
        (
            "aufs",
            wh(Tar::new(), ".wh..wh.aufs"),
            &[
                "d dir",
                "d/a file",
                "d/b file",
                "d/sub dir",
                "d/sub/x file",
                "etc dir",
                "f file",
            ],
        ),
        (
            "overlay's own form",
            Tar::new().entry(
                Fields {
                    name: b"f",
                    kind: b'3',
                    ..Fields::default()
                },
                b"",
            ),
            &[
                "d dir",
                "d/a file",
                "d/b file",
                "d/sub dir",
                "d/sub/x file",
                "etc dir",
                "f file",
            ],
        ),
    ];
    for (name, tar, expected) in cases {
        assert_eq!(names(&scratch, &[base(), tar.end()]), expected, "{name}");
    }
    let nested = [
        base(),
        Tar::new().file("d/.wh.sub", "").end(),
        Tar::new().file("d/sub/c", "3").end(),
        Tar::new().file(".wh.d", "").end(),
        Tar::new().file("d", "5").end(),
        Tar::new().dir("d").end(),
    ];
    assert_eq!(names(&scratch, &nested), ["d dir", "etc dir", "f file"]);
    let linked = [
        Tar::new()
            .dir("d")
            .file("d/a", "1")
            .symlink("l", "/d")
            .end(),
        Tar::new().file(".wh.l", "").end(),
    ];
    assert_eq!(names(&scratch, &linked), ["d dir", "d/a file", "etc dir"]);
    for bad in [".wh.", ".wh..", ".wh...", "d/.wh..", "d/.wh...", ".wh.d/x"] {
        let error = scratch
            .import_layers(&[base(), Tar::new().file(bad, "").end()])
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
    }
}

/// I-T17: what is a directory in one layer and a link in another.
#[test]
fn links_and_directories_of_one_name() {
    if !in_private_mounts("links_and_directories_of_one_name") {
        return;
    }
    let scratch = Scratch::new();
    let base = || Tar::new().dir("e").file("e/kept", "1");
    let link = || Tar::new().symlink("d", "e").end();
    let below = || Tar::new().file("d/new", "3").end();
    for (name, layers, expected) in [
        (
            "a link over a directory",
            vec![base().dir("d").file("d/old", "1").end(), link()],
            &["d link", "e dir", "e/kept file", "etc dir"][..],
        ),
        (
            "a file through the link of a lower layer",
            vec![base().dir("d").file("d/old", "1").end(), link(), below()],
            &["d dir", "d/new file", "e dir", "e/kept file", "etc dir"],
        ),
        (
            "a directory over a link",
            vec![
                base().symlink("d", "e").end(),
                Tar::new().dir("d").end(),
                below(),
            ],
            &["d dir", "d/new file", "e dir", "e/kept file", "etc dir"],
        ),
        (
            "a file over a link to a directory",
            vec![
                base().symlink("d", "e").end(),
                Tar::new().file("d", "2").end(),
            ],
            &["d file", "e dir", "e/kept file", "etc dir"],
        ),
    ] {
        assert_eq!(names(&scratch, &layers), expected, "{name}");
    }
}

#[test]
fn a_hostile_image_cannot_reach_through_the_skeleton() {
    if !in_private_mounts("a_hostile_image_cannot_reach_through_the_skeleton") {
        return;
    }
    let scratch = Scratch::new();
    let outside = scratch.path("canary");
    std::fs::create_dir(&outside).unwrap();
    let outside = outside.display().to_string();
    let mut links = Tar::new().dir(outside.trim_start_matches('/'));
    let mut files = Tar::new();
    let mut dirs = Tar::new();
    for name in ["dev", "proc", "sys", "tmp", "etc"] {
        links = links.symlink(name, &outside);
        files = files.file(name, "not a directory");
        dirs = dirs
            .dir_mode(name, 0)
            .symlink(&format!("{name}/ptmx"), &outside)
            .symlink(&format!("{name}/hosts"), &outside);
    }
    for (name, tar, warnings) in [
        ("links", links, 5),
        ("files", files, 5),
        ("directories", dirs, 0),
    ] {
        let image = scratch.import_layers(&[tar.end()]).unwrap();
        assert_eq!(
            image.warnings.len(),
            warnings,
            "{name}: {:?}",
            image.warnings
        );
        let (rootfs, target, listed) = mounted(&scratch, &image);
        for (path, mode) in [
            ("dev", 0o40755),
            ("proc", 0o40755),
            ("sys", 0o40755),
            ("tmp", 0o41777),
            ("etc", 0o40755),
        ] {
            assert!(
                listed[Path::new(path)].starts_with(&format!("dir mode {mode:o} owner 0:0")),
                "{name}: {path}"
            );
            let inside = listed
                .keys()
                .filter(|known| known.parent() == Some(Path::new(path)))
                .count();
            let expected = match (name, path) {
                ("directories", "etc") => 4,
                (_, "etc") => 3,
                _ => 0,
            };
            assert_eq!(inside, expected, "{name}: {path}");
        }
        assert!(listed[Path::new("etc/hosts")].starts_with("file"));
        assert_eq!(
            std::fs::read_to_string(target.join("etc/resolv.conf")).unwrap(),
            "#\n"
        );
        let error = std::fs::write(target.join("tmp/x"), "").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        let info = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = info
            .lines()
            .find(|line| line.contains(target.to_str().unwrap()))
            .unwrap();
        assert!(line.contains(" ro,nosuid,nodev"), "{line}");
        drop(rootfs);
        unmount(&target);
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(
        skeleton::ensure(&scratch.store)
            .unwrap()
            .ends_with("skeleton/v1")
    );
}

#[test]
fn many_layers() {
    if !in_private_mounts("many_layers") {
        return;
    }
    let scratch = Scratch::new();
    for count in [1, 127, 128, 498] {
        let layers: Vec<_> = (0..count)
            .map(|index| Tar::new().file(&format!("f{index:03}"), "x").end())
            .collect();
        let image = scratch.import_layers(&layers).unwrap();
        let (rootfs, target, listed) = mounted(&scratch, &image);
        let files = listed
            .keys()
            .filter(|path| path.to_string_lossy().starts_with('f'))
            .count();
        assert_eq!(files, count);
        assert!(rootfs.lookup("f000").unwrap().is_some());
        unmount(&target);
    }
    // A layer without entries: Docker makes one of an instruction that changes nothing.
    let nothing = Tar::new().end();
    let empty = [nothing.clone(), Tar::new().file("f", "x").end(), nothing];
    assert_eq!(names(&scratch, &empty), ["etc dir", "f file"]);
    let layers = vec![Tar::new().file("x", "x").end(); 499];
    assert_eq!(
        scratch.import_layers(&layers).unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
    // The same layer many times over is one layer on disk.
    let same = scratch.import_layers(&layers[..3]).unwrap();
    assert_eq!(same.layers.len(), 3);
    let rootfs = scratch.store.rootfs(&same).unwrap();
    let RootMount::Overlay { lower_dirs } = rootfs.mount() else {
        panic!("{:?}", rootfs.mount())
    };
    assert_eq!(lower_dirs.len(), 2);
}

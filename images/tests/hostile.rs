//! Layers that try to leave their root, with a canary tree that must not change.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use lambent_images::{Error, ErrorKind, Form, Image, ImageReference, NoProgress, Platform};
use support::tar::{Fields, Tar, pax_record};
use support::user::{also_as_ordinary, is_ordinary};
use support::{Scratch, good, is_root, snapshot};

/// A scratch directory with things in it that nobody may touch. The store is a
/// sibling, so `../../../../canary` leads here from a layer that is unpacked.
struct Canary {
    scratch: Scratch,
    before: std::collections::BTreeMap<std::path::PathBuf, String>,
}

impl Canary {
    fn new() -> Self {
        let scratch = if is_ordinary() {
            Scratch::of_form(Form::Erofs)
        } else {
            Scratch::new()
        };
        let dir = scratch.path("canary");
        for sub in ["", "etc", "dir", "private"] {
            std::fs::create_dir(dir.join(sub)).unwrap();
        }
        let mode = |name: &str, mode| {
            std::fs::set_permissions(dir.join(name), PermissionsExt::from_mode(mode)).unwrap();
        };
        for (name, bits) in [
            ("file", 0o640),
            ("secret", 0o400),
            ("etc/passwd", 0o644),
            ("linked", 0o600),
        ] {
            std::fs::write(dir.join(name), "canary").unwrap();
            mode(name, bits);
        }
        std::fs::hard_link(dir.join("linked"), dir.join("linked2")).unwrap();
        std::os::unix::fs::symlink("file", dir.join("link")).unwrap();
        mode("private", 0o700);
        let before = snapshot(&dir);
        Self { scratch, before }
    }

    fn path(&self) -> String {
        self.scratch.path("canary").display().to_string()
    }

    /// What an import made: the directory of a layer, or for an ordinary user, who
    /// has none, the bundle of the image.
    fn tree(&self, image: &Image, index: usize) -> PathBuf {
        if is_ordinary() {
            let bundle = format!("bundle-{}", image.manifest_digest.hex());
            self.scratch.path(&bundle).join("rootfs")
        } else {
            self.scratch.layer(image, index)
        }
    }

    /// The owner that a layer's entry gets.
    fn owner(&self, uid: u32) -> u32 {
        let own = self.scratch.dir.path().metadata().unwrap().uid();
        if is_ordinary() { own } else { uid }
    }

    fn unpack(&self, name: &str, image: &Image) {
        let root = self.tree(image, 0);
        let bundle = root.parent().unwrap();
        if !bundle.exists() {
            self.scratch
                .store
                .unpack(image, bundle, &NoProgress)
                .unwrap();
        }
        assert_eq!(
            snapshot(&self.scratch.path("canary")),
            self.before,
            "{name}: the canary"
        );
    }

    /// The other form accepts and refuses the same.
    fn import_as_erofs(&self, name: &str, expected: &Result<Image, Error>) {
        let Some(store) = self.scratch.erofs() else {
            return;
        };
        let reference = ImageReference::Path {
            path: self.scratch.path("image.tar"),
        };
        let result = store.import(&reference, &Platform::host(), &NoProgress);
        match (&result, expected) {
            (Ok(image), Ok(same)) => {
                assert_eq!(image.manifest_digest, same.manifest_digest, "{name}");
                let root = store.rootfs(image).unwrap().lookup("/").unwrap().unwrap();
                assert!(root.is_directory(), "{name}");
            }
            (Err(error), Err(same)) => assert_eq!(error.kind(), same.kind(), "{name}: {error}"),
            (result, _) => panic!("{name}: {result:?} and not {expected:?}"),
        }
        assert_eq!(
            snapshot(&self.scratch.path("canary")),
            self.before,
            "{name}: the canary"
        );
        let left = std::fs::read_dir(store.root().join("tmp")).unwrap().count();
        assert_eq!(left, 0, "{name}: tmp");
    }

    /// Imports layers; checks what must hold whatever comes of it.
    fn import(&self, name: &str, layers: &[Vec<u8>]) -> Result<Image, ErrorKind> {
        let stored = self.scratch.content();
        let result = self.scratch.import_layers(layers);
        assert_eq!(
            snapshot(&self.scratch.path("canary")),
            self.before,
            "{name}: the canary"
        );
        assert_eq!(
            std::fs::read_dir(self.scratch.store.root().join("tmp"))
                .unwrap()
                .count(),
            0,
            "{name}: tmp"
        );
        let top: Vec<_> = std::fs::read_dir(self.scratch.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(
            top.iter()
                .filter(|name| !name.as_encoded_bytes().starts_with(b"bundle-"))
                .all(|name| ["canary", "store", "erofs-store", "image.tar"]
                    .iter()
                    .any(|known| name == known)),
            "{name}: {top:?}"
        );
        if !is_ordinary() {
            self.import_as_erofs(name, &result);
        }
        match result {
            Ok(image) if is_ordinary() => {
                self.unpack(name, &image);
                Ok(image)
            }
            Ok(image) => {
                self.check_inodes(name, &image);
                Ok(image)
            }
            Err(error) => {
                assert_eq!(self.scratch.content(), stored, "{name}: the store");
                assert!(
                    !error.to_string().chars().any(char::is_control),
                    "{name}: {error:?}"
                );
                Err(error.kind())
            }
        }
    }

    /// No file of the layers is a file of the canary.
    fn check_inodes(&self, name: &str, image: &Image) {
        let inodes = |root: &Path| -> Vec<u64> {
            snapshot(root)
                .keys()
                .map(|path| root.join(path).symlink_metadata().unwrap().ino())
                .collect()
        };
        let ours = inodes(&self.scratch.path("canary"));
        for index in 0..image.layers.len() {
            let layer = inodes(&self.tree(image, index));
            assert!(!layer.iter().any(|inode| ours.contains(inode)), "{name}");
        }
    }

    fn read(&self, image: &Image, index: usize, path: &str) -> String {
        std::fs::read_to_string(self.tree(image, index).join(path)).unwrap()
    }
}

/// Lets an ordinary user's temporary directory be removed.
impl Drop for Canary {
    fn drop(&mut self) {
        if is_ordinary() {
            let chmod = Command::new("chmod")
                .args(["--recursive", "u+rwX"])
                .arg(self.scratch.dir.path())
                .status();
            assert!(chmod.is_ok_and(|status| status.success()));
        }
    }
}

#[test]
fn names_that_lead_out() {
    also_as_ordinary("names_that_lead_out");
    let canary = Canary::new();
    for name in [
        "../canary/file",
        "a/../../canary/file",
        "./../canary",
        "..",
        "../../../../canary/file",
    ] {
        for tar in [
            Tar::new().file(name, "x"),
            Tar::new().dir(name),
            Tar::new().symlink(name, "x"),
            Tar::new().hardlink(name, "x"),
        ] {
            assert_eq!(
                canary.import(name, &[tar.end()]),
                Err(ErrorKind::UnsafePath),
                "{name}"
            );
        }
    }
    for name in [
        "/abs/file",
        "//abs/file",
        "///abs/./file",
        "abs/../abs/file",
    ] {
        let image = canary
            .import(name, &[Tar::new().file(name, name).end()])
            .unwrap();
        assert_eq!(canary.read(&image, 0, "abs/file"), name);
    }
}

/// I-T03 to I-T07, I-T16 to I-T18: links, then writes through them.
#[test]
fn writes_through_links_stay_inside() {
    also_as_ordinary("writes_through_links_stay_inside");
    let canary = Canary::new();
    let outside = canary.path();
    let up = "../../../../canary";
    let targets = [
        outside.clone(),
        up.to_owned(),
        format!("/dummy/..{outside}"),
        format!("/dummy/../../../../..{outside}"),
        format!("{}{outside}", "../".repeat(20).trim_end_matches('/')),
    ];
    for target in &targets {
        // With the target missing in the image, and with it there.
        for present in [false, true] {
            let mut tar = Tar::new().dir("dummy");
            if present {
                tar = tar.dir(outside.trim_start_matches('/')).dir("canary");
            }
            let tar = tar
                .symlink("escape", target)
                .file("escape/pwned", "x")
                .file("escape/file", "")
                .file("escape/new/deep/er", "x")
                .dir_mode("escape/private", 0o777)
                .dir_mode("escape/made", 0o777);
            let image = canary.import(target, &[tar.end()]).unwrap();
            let root = canary.tree(&image, 0);
            let found = snapshot(&root)
                .into_keys()
                .filter(|path| path.ends_with("pwned"))
                .count();
            assert_eq!(found, 1, "{target}: in the layer");
        }
    }
    let chained = Tar::new()
        .dir("dummy")
        .symlink("dummy/etc", &outside)
        .symlink("a", "/dummy/etc")
        .symlink("b", "./dummy/etc")
        .file("a/file", "x")
        .file("b/etc/passwd", "x");
    canary.import("chained", &[chained.end()]).unwrap();
    let turned = Tar::new()
        .dir("foo")
        .file("foo/tmp/a", "1")
        .symlink("foo", &outside)
        .file("foo/file", "2")
        .dir("foo")
        .file("foo/file", "3");
    let image = canary
        .import("directory, link, directory", &[turned.end()])
        .unwrap();
    assert_eq!(canary.read(&image, 0, "foo/file"), "3");
    let mut many = Tar::new().dir("a");
    for index in 0..2000 {
        many = many.file(&format!("a/{index}"), "x");
    }
    let many = many
        .symlink("a", &outside)
        .file("a/file", "x")
        .file("a/dir/x", "x");
    canary.import("cached parent", &[many.end()]).unwrap();
    // The directory that was written to last is replaced under another name.
    let renamed = Tar::new()
        .symlink("s", ".")
        .file("d/x", "x")
        .file("s/d", "now a file")
        .file("d/y", "x");
    assert_eq!(
        canary.import("stale parent", &[renamed.end()]),
        Err(ErrorKind::Invalid)
    );
    let across = [
        Tar::new().dir("d").file("d/file", "1").end(),
        Tar::new().symlink("d", &outside).end(),
        Tar::new().file("d/file", "3").end(),
    ];
    canary.import("across layers", &across).unwrap();
}

/// I-W04, I-W09: whiteouts through links.
#[test]
fn whiteouts_through_links_stay_inside() {
    also_as_ordinary("whiteouts_through_links_stay_inside");
    let canary = Canary::new();
    for target in [canary.path(), "../../../../canary".to_owned()] {
        for whiteout in [
            "l/.wh.file",
            "l/etc/.wh.passwd",
            "l/.wh..wh..opq",
            "l/dir/.wh..wh..opq",
            "l/../.wh.canary",
        ] {
            let tar = Tar::new().symlink("l", &target).file(whiteout, "");
            canary.import(whiteout, &[tar.end()]).unwrap();
        }
        let up = Tar::new()
            .symlink("l", &target)
            .file("l/../../.wh.canary", "");
        assert_eq!(canary.import("up", &[up.end()]), Err(ErrorKind::UnsafePath));
    }
}

/// I-T08 to I-T10: metadata through links.
#[test]
fn metadata_stays_inside() {
    also_as_ordinary("metadata_stays_inside");
    let canary = Canary::new();
    let outside = canary.path();
    let bent = |name: &'static str, kind| Fields {
        name: name.as_bytes(),
        kind,
        mode: 0o7777,
        uid: 4242,
        gid: 4242,
        mtime: 42,
        ..Fields::default()
    };
    let xattr = pax_record("SCHILY.xattr.user.x", b"y");
    for target in [
        format!("{outside}/private"),
        "../../../../canary/private".to_owned(),
    ] {
        let tar = Tar::new()
            .symlink("d", &target)
            .pax(&xattr)
            .entry(bent("d", b'5'), b"");
        let image = canary
            .import("directory over a link", &[tar.end()])
            .unwrap();
        let meta = canary.tree(&image, 0).join("d").symlink_metadata().unwrap();
        assert!(meta.is_dir());
        assert_eq!(
            (meta.mode() & 0o7777, meta.uid(), meta.mtime()),
            (0o7777, canary.owner(4242), 42)
        );
    }
    let target = format!("{outside}/secret");
    let tar = Tar::new()
        .symlink("l", &target)
        .pax(&xattr)
        .entry(bent("l", b'0'), b"new");
    let image = canary.import("file over a link", &[tar.end()]).unwrap();
    assert_eq!(canary.read(&image, 0, "l"), "new");
    let tar = Tar::new().symlink("l", &target).pax(&xattr).entry(
        Fields {
            link: b"l",
            ..bent("h", b'1')
        },
        b"",
    );
    let image = canary.import("hard link to a link", &[tar.end()]).unwrap();
    assert!(canary.tree(&image, 0).join("h").is_symlink());
    let mut owned = bent("s", b'2');
    owned.link = b"/etc/passwd";
    let image = canary
        .import("owner of a link", &[Tar::new().entry(owned, b"").end()])
        .unwrap();
    assert_eq!(
        canary
            .tree(&image, 0)
            .join("s")
            .symlink_metadata()
            .unwrap()
            .uid(),
        canary.owner(4242)
    );
}

/// I-T11 to I-T14.
#[test]
fn hard_links_stay_inside() {
    also_as_ordinary("hard_links_stay_inside");
    let canary = Canary::new();
    let outside = canary.path();
    let absolute = format!("{outside}/file");
    // The host has the file; the image does not.
    assert_eq!(
        canary.import("absolute", &[Tar::new().hardlink("h", &absolute).end()]),
        Err(ErrorKind::Invalid)
    );
    let up = Tar::new().hardlink("h", "../../../../canary/file").end();
    assert_eq!(canary.import("relative", &[up]), Err(ErrorKind::UnsafePath));
    for parent in [
        outside.clone(),
        "../../../../canary".to_owned(),
        format!("downandout/../../../../..{outside}"),
    ] {
        let tar = Tar::new()
            .dir("sub")
            .symlink("sub/d", &parent)
            .hardlink("sub/h", "/sub/d/file")
            .end();
        assert_eq!(
            canary.import(&parent, &[tar]),
            Err(ErrorKind::Invalid),
            "{parent}"
        );
    }
    // With its own file in that place, it is that one.
    let inside = Tar::new()
        .file(absolute.trim_start_matches('/'), "own")
        .hardlink("h", &absolute)
        .end();
    let image = canary.import("own", &[inside]).unwrap();
    assert_eq!(canary.read(&image, 0, "h"), "own");
    // To a link: the link itself, and what it leads to is not read or written.
    let tar = Tar::new()
        .symlink("l", &absolute)
        .hardlink("h", "l")
        .file("h", "over")
        .end();
    let image = canary.import("overwritten", &[tar]).unwrap();
    assert_eq!(canary.read(&image, 0, "h"), "over");
    assert!(canary.tree(&image, 0).join("l").is_symlink());
    let tar = Tar::new()
        .file("x", "keep")
        .hardlink("h", "x")
        .file("h", "new")
        .end();
    let image = canary.import("new inode", &[tar]).unwrap();
    assert_eq!(
        (
            canary.read(&image, 0, "x").as_str(),
            canary.read(&image, 0, "h").as_str()
        ),
        ("keep", "new")
    );
    for (name, tar, kind) in [
        (
            "before its target",
            Tar::new().hardlink("h", "x").file("x", ""),
            ErrorKind::Invalid,
        ),
        (
            "to itself",
            Tar::new().file("x", "").hardlink("x", "x"),
            ErrorKind::Invalid,
        ),
        (
            "to a directory",
            Tar::new().dir("d").hardlink("h", "d"),
            ErrorKind::Invalid,
        ),
        (
            "to the root",
            Tar::new().hardlink("h", "/"),
            ErrorKind::Invalid,
        ),
        (
            "to a whiteout",
            Tar::new().file(".wh.x", "").hardlink("h", "x"),
            ErrorKind::Invalid,
        ),
    ] {
        assert_eq!(canary.import(name, &[tar.end()]), Err(kind), "{name}");
    }
    let twice = Tar::new()
        .file("x", "same")
        .hardlink("h", "x")
        .hardlink("h", "x")
        .hardlink("x", "h")
        .end();
    let image = canary.import("twice", &[twice]).unwrap();
    assert_eq!(canary.read(&image, 0, "x"), "same");
}

/// I-T15: the root itself.
#[test]
fn the_root_stays_a_directory() {
    also_as_ordinary("the_root_stays_a_directory");
    let canary = Canary::new();
    let outside = canary.path();
    for name in ["", ".", "/.", "./", "/", "a/.."] {
        let bad = Tar::new().symlink(name, &outside).end();
        let second = Tar::new().file("file", "x").end();
        assert_eq!(
            canary.import(name, &[bad, second]),
            Err(ErrorKind::Invalid),
            "{name:?}"
        );
    }
    let image = canary
        .import(
            "modes",
            &[Tar::new().dir_mode("./", 0o711).file("f", "x").end()],
        )
        .unwrap();
    assert_eq!(
        canary.tree(&image, 0).metadata().unwrap().mode() & 0o7777,
        0o711
    );
}

/// I-T20, I-T21, I-P24.
#[test]
fn depth_loops_and_odd_names() {
    also_as_ordinary("depth_loops_and_odd_names");
    let canary = Canary::new();
    let target = "t".repeat(4096);
    for (length, expected) in [(4095, None), (4096, Some(ErrorKind::LimitExceeded))] {
        let tar = Tar::new().symlink("l", &target[..length]).end();
        let found = canary.import("a long target", &[tar]);
        assert_eq!(found.err(), expected, "{length}");
    }
    let looping = Tar::new()
        .symlink("a", "b")
        .symlink("b", "a")
        .file("a/x", "x")
        .end();
    assert_eq!(
        canary.import("loop", &[looping]),
        Err(ErrorKind::UnsafePath)
    );
    let mut chain = Tar::new().dir("d0");
    for index in 1..300 {
        chain = chain.symlink(&format!("d{index}"), &format!("d{}", index - 1));
    }
    assert_eq!(
        canary.import("chain", &[chain.file("d299/x", "x").end()]),
        Err(ErrorKind::UnsafePath)
    );
    let deep = "d/".repeat(1900) + "f";
    let image = canary
        .import(
            "deep",
            &[Tar::new()
                .pax(&pax_record("path", deep.as_bytes()))
                .file("x", "deep")
                .end()],
        )
        .unwrap();
    drop(image);
    // Deeper than any path: the tree grows through a link at its own bottom.
    let bottom = "d/".repeat(1500);
    let deeper = Tar::new()
        .pax(&pax_record("path", bottom.as_bytes()))
        .dir("x")
        .symlink("s", bottom.trim_end_matches('/'))
        .pax(&pax_record("path", format!("s/{bottom}f").as_bytes()))
        .file("x", "x")
        .end();
    assert_eq!(
        canary.import("deeper", &[deeper]),
        Err(ErrorKind::LimitExceeded)
    );
    let long = "n".repeat(256);
    let long = Tar::new()
        .pax(&pax_record("path", long.as_bytes()))
        .file("x", "x")
        .end();
    assert_eq!(
        canary.import("long name", &[long]),
        Err(ErrorKind::LimitExceeded)
    );
    for name in [
        "new\nline",
        "esc\x1b]52;c;x\x07",
        "back\\slash",
        "   ",
        "co:lon,quote\"",
        "\u{202e}rtl",
        "file/",
    ] {
        let image = canary
            .import(name, &[Tar::new().file(name, "odd").end()])
            .unwrap();
        assert_eq!(canary.read(&image, 0, name.trim_end_matches('/')), "odd");
    }
    let shown = canary.import("shown", &[Tar::new().file("\x1b[2J/../../x", "").end()]);
    assert_eq!(shown, Err(ErrorKind::UnsafePath));
    let below = Tar::new().file("a", "file").file("a/b", "x").end();
    assert_eq!(
        canary.import("below a file", &[below]),
        Err(ErrorKind::Invalid)
    );
    let implied = canary
        .import("implied", &[Tar::new().file("x/y/z", "x").end()])
        .unwrap();
    let meta = canary.tree(&implied, 0).join("x/y").metadata().unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o755, canary.owner(0)));
    let closed = Tar::new()
        .dir_mode("c", 0)
        .dir_mode("c/d", 0o111)
        .file("c/d/e", "x")
        .end();
    let image = canary.import("closed", &[closed]).unwrap();
    assert_eq!(
        canary.tree(&image, 0).join("c").metadata().unwrap().mode() & 0o7777,
        0
    );
}

/// I-M01 to I-M06.
#[test]
fn devices_modes_attributes_and_owners() {
    also_as_ordinary("devices_modes_attributes_and_owners");
    let canary = Canary::new();
    let mut tar = Tar::new();
    for (name, kind) in [("zero", b'3'), ("sda", b'4')] {
        tar = tar.entry(
            Fields {
                name: name.as_bytes(),
                kind,
                ..Fields::default()
            },
            b"",
        );
    }
    tar = tar
        .entry(
            Fields {
                name: b"fifo",
                kind: b'6',
                mode: 0o622,
                ..Fields::default()
            },
            b"",
        )
        .entry(
            Fields {
                name: b"su",
                mode: 0o4755,
                uid: 1,
                ..Fields::default()
            },
            b"x",
        );
    for name in [
        "security.capability",
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "user.overlay.opaque",
        "user.kept",
    ] {
        tar = tar
            .pax(&pax_record(&format!("SCHILY.xattr.{name}"), b"y"))
            .file(&format!("x.{name}"), "");
    }
    tar = tar
        .pax(&pax_record("SCHILY.xattr.trusted.overlay.opaque", b"y"))
        .dir("dir");
    let image = canary.import("devices", &[tar.end()]).unwrap();
    let root = canary.tree(&image, 0);
    assert!(!root.join("zero").exists());
    // Only root can make it.
    assert_eq!(root.join("sda").exists(), !is_ordinary());
    assert_eq!(root.join("su").metadata().unwrap().mode() & 0o7777, 0o4755);
    assert_eq!(root.join("su").metadata().unwrap().uid(), canary.owner(1));
    assert_eq!(root.join("fifo").metadata().unwrap().mode() & 0o7777, 0o622);
    assert_eq!(image.warnings.len(), 2, "{:?}", image.warnings);
    assert!(
        image.warnings[0].contains("1 device nodes") && image.warnings[1].contains("5 extended")
    );
    for path in snapshot(&root).keys() {
        let mut names = [0; 1024];
        let length = rustix::fs::llistxattr(root.join(path), &mut names).unwrap();
        let expected: &[u8] = if path == Path::new("x.user.kept") {
            b"user.kept\0"
        } else {
            b""
        };
        assert_eq!(&names[..length], expected, "{path:?}");
    }
    assert_eq!(
        canary.scratch.store.root().metadata().unwrap().mode() & 0o7777,
        0o700
    );
    let nobody = Tar::new()
        .pax(&pax_record("uid", b"4294967295"))
        .file("f", "")
        .end();
    assert_eq!(canary.import("uid", &[nobody]), Err(ErrorKind::Invalid));
    let high = Tar::new()
        .pax(&pax_record("uid", b"4294967294"))
        .file("f", "")
        .end();
    let image = canary.import("high uid", &[high]).unwrap();
    assert_eq!(
        canary.tree(&image, 0).join("f").metadata().unwrap().uid(),
        canary.owner(u32::MAX - 1)
    );
    let late = Tar::new()
        .pax(&pax_record("mtime", b"99999999999999999999.5"))
        .file("f", "")
        .end();
    canary.import("mtime", &[late]).unwrap();
}

/// Adds a member of some kind under a name.
type AddMember = fn(Tar, &str) -> Tar;

/// I-P08, I-P13, I-T23: what is said twice.
#[test]
fn the_last_word_counts() {
    also_as_ordinary("the_last_word_counts");
    let canary = Canary::new();
    let targets = [b"a", b"b"].map(|target| pax_record("linkpath", target));
    let tar = Tar::new().pax(&targets.concat()).symlink("l", "c").end();
    let image = canary.import("two targets", &[tar]).unwrap();
    let link = canary.tree(&image, 0).join("l").read_link().unwrap();
    assert_eq!(link, Path::new("b"));
    // What is said of all members is heard by none, as Go has it.
    let global = [
        ("uid", "4242"),
        ("gid", "4242"),
        ("mtime", "42"),
        ("uname", "x"),
    ]
    .map(|(key, value)| pax_record(key, value.as_bytes()));
    let tar = Tar::new().pax_global(&global.concat()).file("f", "x").end();
    let image = canary.import("global", &[tar]).unwrap();
    let meta = canary.tree(&image, 0).join("f").metadata().unwrap();
    assert_eq!((meta.uid(), meta.mtime()), (canary.owner(0), 1_000_000_000));
    // Three names of one object, whose kinds differ.
    let names = ["a/b", "a//b/", "./a/./b"];
    let kinds: [(&str, AddMember); 3] = [
        ("a file", |tar, name| tar.file(name, "x")),
        ("a directory", |tar, name| tar.dir(name)),
        ("a link", |tar, name| tar.symlink(name, "x")),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let tar = names
            .iter()
            .zip(order)
            .fold(Tar::new(), |tar, (name, kind)| {
                let name = if kind == 1 {
                    name
                } else {
                    name.trim_end_matches('/')
                };
                kinds[kind].1(tar, name)
            });
        let image = canary.import("kinds", &[tar.end()]).unwrap();
        let root = canary.tree(&image, 0);
        let meta = root.join("a/b").symlink_metadata().unwrap();
        let found = [meta.is_file(), meta.is_dir(), meta.is_symlink()];
        assert!(found[order[2]], "{order:?}: not {}", kinds[order[2]].0);
        assert_eq!(std::fs::read_dir(root.join("a")).unwrap().count(), 1);
    }
}

/// I-M09: times that no file system, or not this one, can hold.
#[test]
fn times_are_those_that_a_disk_can_hold() {
    also_as_ordinary("times_are_those_that_a_disk_can_hold");
    // The years 1900 and 2500, both ends of what a clock counts, and beyond them.
    let times = [
        ("-2208988800", -2_208_988_800),
        ("16725225600.999999999", 16_725_225_600),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775807", -i64::MAX),
        ("99999999999999999999.5", i64::MAX),
    ];
    let tar = times.iter().fold(Tar::new(), |tar, (text, _)| {
        tar.pax(&pax_record("mtime", text.as_bytes()))
            .file(text, "")
    });
    let layers = [tar.end()];
    let forms: &[Form] = if is_ordinary() {
        &[Form::Erofs]
    } else {
        &[Form::Directory, Form::Erofs]
    };
    for form in forms {
        let scratch = Scratch::of_form(*form);
        let image = scratch.import_layers(&layers).unwrap();
        let bundle = scratch.path("bundle");
        scratch.store.unpack(&image, &bundle, &NoProgress).unwrap();
        let mut roots = vec![bundle.join("rootfs")];
        if *form == Form::Directory {
            roots.push(scratch.layer(&image, 0));
        }
        let probe = std::fs::File::create(scratch.path("probe")).unwrap();
        for (text, seconds) in times {
            let time = rustix::fs::Timespec {
                tv_sec: seconds,
                tv_nsec: 0,
            };
            let both = rustix::fs::Timestamps {
                last_access: time,
                last_modification: time,
            };
            rustix::fs::futimens(&probe, &both).unwrap();
            let held = probe.metadata().unwrap().mtime();
            for root in &roots {
                let found = root.join(text).metadata().unwrap().mtime();
                assert_eq!(found, held, "{form}: {text}");
            }
        }
    }
}

#[test]
fn a_good_image_works_after_all_that() {
    also_as_ordinary("a_good_image_works_after_all_that");
    let canary = Canary::new();
    for bad in [
        Tar::new().file("../x", ""),
        Tar::new().file(".wh..", ""),
        Tar::new().hardlink("a", "b"),
    ] {
        canary
            .import("bad", &[Tar::new().file("x", "1").end(), bad.end()])
            .unwrap_err();
        assert!(canary.scratch.store.images().unwrap().is_empty());
    }
    let file = canary.scratch.path("image.tar");
    good().write_oci_archive(&file, "latest").unwrap();
    canary.scratch.import(&file).unwrap();
}

/// I-C01. (As streams its gigabytes would be written before they are too many; that they
/// are counted there too is in `sparse`.)
#[test]
fn too_large() {
    if !is_root("too_large") {
        return;
    }
    let scratch = Scratch::new();
    let before = scratch.content();
    support::write_bomb(&scratch.path("bomb"), 10);
    let peak = support::peak_memory_kib();
    let error = scratch.import(&scratch.path("bomb")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ImageTooLarge);
    assert!(error.to_string().contains("10 GB uncompressed"), "{error}");
    assert_eq!(scratch.content(), before);
    let grown = support::peak_memory_kib() - peak;
    assert!(grown < 64 << 10, "{grown} KiB");
}

//! Files with holes, as GNU tar writes them in each of its formats.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use lambent_images::{ErrorKind, Form, NoProgress};
use support::mounts::in_private_mounts;
use support::tar::{Fields, Tar, pax_record};
use support::tree::{assert_same, mounted, objects, without_skeleton};
use support::{Scratch, can_mount_erofs, is_root, noise};

/// The options of GNU tar that choose how a map of pieces is written.
const FORMATS: [&[&str]; 4] = [
    &["--format=gnu"],
    &["--format=posix", "--sparse-version=0.0"],
    &["--format=posix", "--sparse-version=0.1"],
    &["--format=posix", "--sparse-version=1.0"],
];

/// A file of this size with pieces of this length at these places.
fn write_holes(path: &Path, size: u64, pieces: &[(u64, usize)]) {
    let file = File::create_new(path).unwrap();
    file.set_len(size).unwrap();
    for &(offset, length) in pieces {
        file.write_all_at(&noise(offset + 1, length), offset)
            .unwrap();
    }
}

fn spread(pieces: u64, step: u64, length: usize) -> Vec<(u64, usize)> {
    (0..pieces).map(|index| (index * step, length)).collect()
}

/// Every shape of map, in `directory`.
fn write_files(directory: &Path) {
    std::fs::create_dir(directory).unwrap();
    let file = |name: &str, size: u64, pieces: &[(u64, usize)]| {
        write_holes(&directory.join(name), size, pieces);
    };
    file("only-a-hole", 1 << 20, &[]);
    file("hole-at-the-end", 1 << 20, &[(0, 4096)]);
    file(
        "hole-at-the-beginning",
        1 << 20,
        &[((1 << 20) - 4096, 4096)],
    );
    // Pieces are whole blocks, but for the last one of a file.
    file("unaligned-size", 100_001, &[(0, 10), (98_304, 1697)]);
    file("one-byte-at-the-end", 1_000_001, &[(1_000_000, 1)]);
    file("hole-of-odd-size", 1_000_001, &[(8192, 4096)]);
    // More than the header has room for, and than one extension block has.
    file("five", 200_000, &spread(5, 40_960, 4096));
    file("twenty-five", 2 << 20, &spread(25, 81_920, 8192));
    file("twenty-six", 2 << 20, &spread(26, 65_536, 4096));
    file("eighty", 4_000_123, &spread(80, 49_152, 12_288));
    // Larger than any buffer, with a large hole.
    file("large", 24 << 20, &[(0, 300_000), (16 << 20, 700_000)]);
    std::fs::write(directory.join("no-hole"), noise(1, 5000)).unwrap();
    std::fs::write(directory.join("empty"), "").unwrap();
    let long = format!("{}-{}", "long".repeat(40), "name");
    file(&long, 300_000, &[(131_072, 4096)]);
    // GNU tar's own format has whole seconds only.
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    for entry in std::fs::read_dir(directory).unwrap() {
        let file = File::open(entry.unwrap().path()).unwrap();
        file.set_modified(time).unwrap();
    }
}

fn archive(directory: &Path, name: &str, options: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["--create", "--sparse", "--numeric-owner"])
        .args(options)
        .arg("--directory")
        .arg(directory)
        .arg(name)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn files_with_holes_are_what_they_were() {
    if !in_private_mounts("files_with_holes_are_what_they_were") {
        return;
    }
    let scratch = Scratch::new();
    let erofs = scratch.erofs();
    write_files(&scratch.path("holes"));
    let mut expected = objects(&scratch.path("holes"));
    expected.remove(Path::new(""));
    // By blocks of zeros, or by what the file system has no blocks for.
    let raw = FORMATS.map(|format| (format, "--hole-detection=raw"));
    let seek = [(FORMATS[0], "--hole-detection=seek")];
    for (number, (format, detection)) in raw.into_iter().chain(seek).enumerate() {
        let what = format!("{format:?} {detection}");
        let options = [format, &[detection]].concat();
        let layer = archive(scratch.dir.path(), "holes", &options);
        assert!(layer.len() < 8 << 20, "{what}: no holes");
        let image = scratch.import_layers(&[layer]).unwrap();
        let target = scratch.path("mnt");
        let check = |form: &str, root: &Path| {
            let mut found = objects(&root.join("holes"));
            found.remove(Path::new(""));
            assert_same(&format!("{what}: {form}"), &found, &expected);
        };
        let layer = scratch.layer(&image, 0);
        check("directory", &layer);
        let blocks = layer.join("holes/large").metadata().unwrap().blocks();
        assert!(blocks < 4 << 11, "{what}: {blocks} blocks");
        let overlay = without_skeleton(mounted(&scratch.store, &image, &target));
        if let Some(store) = &erofs {
            let same = scratch.import_into(store).unwrap();
            assert_eq!(same, image);
            let shown = without_skeleton(mounted(store, &same, &target));
            assert_same(&format!("{what}: mounted"), &shown, &overlay);
            let unpacked = scratch.path(&format!("bundle-{number}"));
            store.unpack(&same, &unpacked, &NoProgress).unwrap();
            check("bundle", &unpacked.join("rootfs"));
            let large = unpacked.join("rootfs/holes/large");
            assert!(large.metadata().unwrap().blocks() < 4 << 11, "{what}");
        }
    }
}

/// I-C07: a few kilobytes that claim to be 60 GB.
#[test]
fn holes_count_like_any_bytes() {
    if !is_root("holes_count_like_any_bytes") {
        return;
    }
    for form in [Form::Directory, Form::Erofs] {
        let scratch = Scratch::of_form(form);
        std::fs::create_dir(scratch.path("bomb")).unwrap();
        write_holes(&scratch.path("bomb/f"), 60_000_000_000, &[(0, 4096)]);
        let before = scratch.content();
        for format in FORMATS {
            let layer = archive(scratch.dir.path(), "bomb", format);
            assert!(layer.len() <= 20 * 512 * 2, "{format:?}: {}", layer.len());
            let error = scratch.import_layers(&[layer]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ImageTooLarge, "{format:?}");
            let text = error.to_string();
            assert!(text.contains("10 GB uncompressed"), "{text}");
            assert_eq!(scratch.content(), before, "{format:?}");
        }
    }
}

/// A small piece makes all chunks of its file small, however large that is.
#[test]
fn small_pieces_in_large_files() {
    if !is_root("small_pieces_in_large_files") {
        return;
    }
    let scratch = Scratch::new();
    let erofs = scratch.erofs();
    std::fs::create_dir(scratch.path("odd")).unwrap();
    let last = (6 << 30) - 4096;
    let files = [
        ("pages", 6 << 30, [(4096, 4096), (last, 4096)]),
        ("blocks", 1 << 30, [(512, 512), ((1 << 30) - 1024, 512)]),
    ];
    for (name, size, pieces) in files {
        write_holes(&scratch.path("odd").join(name), size, &pieces);
    }
    let detection = "--hole-detection=raw";
    // Reading all of the holes takes as long as it would take here.
    let seek = "--hole-detection=seek";
    let options = |detection| [FORMATS[3], &[detection]].concat();
    for (name, size, pieces) in files {
        let detection = if name == "blocks" { detection } else { seek };
        let layer = archive(
            scratch.dir.path(),
            &format!("odd/{name}"),
            &options(detection),
        );
        let image = scratch.import_layers(&[layer]).unwrap();
        let check = |file: &File| {
            assert_eq!(file.metadata().unwrap().len(), size, "{name}");
            for (offset, length) in pieces {
                // With some of the holes around it.
                let start = offset.saturating_sub(700);
                let end = size.min(offset + length as u64 + 700);
                let mut found = vec![1; usize::try_from(end - start).unwrap()];
                file.read_exact_at(&mut found, start).unwrap();
                let before = usize::try_from(offset - start).unwrap();
                let mut expected = vec![0; found.len()];
                expected[before..before + length].copy_from_slice(&noise(offset + 1, length));
                assert!(found == expected, "{name} at {offset}");
            }
        };
        let path = format!("odd/{name}");
        check(&File::open(scratch.layer(&image, 0).join(&path)).unwrap());
        if let Some(erofs) = &erofs {
            let same = scratch.import_into(erofs).unwrap();
            let root = erofs.rootfs(&same).unwrap();
            check(&root.open(format!("/{path}")).unwrap().unwrap());
        }
    }
}

/// What lies between blocks of the stream cannot be mounted from there, and the error
/// says what to do; directories take it.
#[test]
fn pieces_between_blocks() {
    if !is_root("pieces_between_blocks") {
        return;
    }
    let scratch = Scratch::new();
    let Some(erofs) = scratch.erofs() else {
        return;
    };
    let map = "2\n0\n100\n4096\n100\n";
    let mut body = map.as_bytes().to_vec();
    body.resize(512, 0);
    body.extend_from_slice(&noise(1, 200));
    let records = [
        pax_record("GNU.sparse.major", b"1"),
        pax_record("GNU.sparse.minor", b"0"),
        pax_record("GNU.sparse.name", b"odd"),
        pax_record("GNU.sparse.realsize", b"4196"),
    ];
    let file = Fields {
        name: b"x",
        ..Fields::default()
    };
    let layer = Tar::new().pax(&records.concat()).entry(file, &body).end();
    let image = scratch.import_layers(&[layer]).unwrap();
    let file = scratch.layer(&image, 0).join("odd");
    assert_eq!(file.metadata().unwrap().len(), 4196);
    let error = scratch.import_into(&erofs).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("--sparse"), "{error}");
    assert!(can_mount_erofs(&erofs) && erofs.images().unwrap().is_empty());
}

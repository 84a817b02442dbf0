//! I-T19: somebody swaps directories and special files for links while a layer or an image is unpacked.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lambent_images::{Form, Image, NoProgress};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use support::tar::{Fields, Tar};
use support::user::also_as_ordinary;
use support::{Scratch, is_root, snapshot};

/// How long the two race.
const RACE: Duration = Duration::from_secs(5);

/// Swaps `a/b` and `a` of every tree that is being written two levels below `place` with
/// links to the canary, which is `up` from there, back and forth, until told to stop.
fn swap(place: &Path, canary: &Path, up: &str, stop: &AtomicBool, swaps: &AtomicU32) {
    while !stop.load(Ordering::Relaxed) {
        let staging = fs::read_dir(place).unwrap().flatten();
        for tree in staging.flat_map(|entry| fs::read_dir(entry.path()).into_iter().flatten()) {
            let Ok(tree) = tree else { continue };
            let root = tree.path();
            if !root.join("a/b").is_dir() {
                continue;
            }
            // Absolute, and up from where `a` is.
            let links = [("a/b", canary), ("a", Path::new(up))];
            for (index, (name, target)) in links.into_iter().enumerate() {
                let link = root.join(format!(".link{index}"));
                let _there_already = symlink(target, &link);
                for _ in 0..2 {
                    let done =
                        renameat_with(CWD, root.join(name), CWD, &link, RenameFlags::EXCHANGE);
                    swaps.fetch_add(u32::from(done.is_ok()), Ordering::Relaxed);
                }
            }
        }
    }
}

/// Puts a link to the canary in the place of each special file as soon as it is there.
fn swap_specials(place: &Path, canary: &Path, stop: &AtomicBool, swaps: &AtomicU32) {
    while !stop.load(Ordering::Relaxed) {
        let staging = fs::read_dir(place).unwrap().flatten();
        for tree in staging.flat_map(|entry| fs::read_dir(entry.path()).into_iter().flatten()) {
            let Ok(tree) = tree else { continue };
            let directory = tree.path().join("a/b");
            let link = tree.path().join(".link");
            let mut next = 0;
            while next < SPECIALS && directory.is_dir() && !stop.load(Ordering::Relaxed) {
                let _there_already = symlink(canary.join("f"), &link);
                let fifo = directory.join(format!("p{next}"));
                for _ in 0..1_000 {
                    if renameat_with(CWD, &link, CWD, &fifo, RenameFlags::EXCHANGE).is_ok() {
                        swaps.fetch_add(1, Ordering::Relaxed);
                        let _fifo = fs::remove_file(&link);
                        next += 1;
                        break;
                    }
                }
            }
        }
    }
}

/// How many fifos a layer of them has.
const SPECIALS: u32 = 3_000;

/// What is written while its special files are swapped: with modes that show where they
/// are not meant.
fn layer_of_specials() -> Tar {
    let mut tar = Tar::new().dir("a").dir("a/b");
    for index in 0..SPECIALS {
        let name = format!("a/b/p{index}");
        let fields = Fields {
            name: name.as_bytes(),
            kind: b'6',
            mode: 0o777,
            ..Fields::default()
        };
        tar = tar.entry(fields, b"");
    }
    tar
}

/// What is written, again and again, while it is swapped.
fn layer() -> Tar {
    let mut tar = Tar::new().dir("a").dir("a/b").file("a/b/f", "x");
    for index in 0..3_000 {
        tar = tar
            .file(&format!("a/b/{index}"), "x")
            .dir_mode(&format!("a/b/d{}", index % 7), 0o777)
            .hardlink(&format!("a/b/h{index}"), "a/b/f")
            .symlink(&format!("a/b/s{index}"), "f")
            .file(&format!("a/b/.wh.{}", index / 2), "");
    }
    tar
}

/// Has `write` write for a while what `swap` swaps, and sees that nothing of it, and no link
/// to what is there, comes to be outside.
fn race(
    scratch: &Scratch,
    swap: impl Fn(&Path, &AtomicBool, &AtomicU32) + Sync,
    mut write: impl FnMut(u32),
) {
    let canary = scratch.path("canary");
    fs::create_dir_all(canary.join("b")).unwrap();
    for name in ["f", "0", "1", "b/f", "b/0", "b/1"] {
        fs::write(canary.join(name), "canary").unwrap();
    }
    let before = snapshot(&canary);
    let (stop, swaps) = (AtomicBool::new(false), AtomicU32::new(0));
    let mut times = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| swap(&canary, &stop, &swaps));
        let started = Instant::now();
        while started.elapsed() < RACE {
            times += 1;
            write(times);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let swaps = swaps.into_inner();
    assert_eq!(snapshot(&canary), before);
    assert!(
        swaps > 1_000,
        "{swaps} swaps in {times} tries: this tests nothing"
    );
}

#[test]
fn swapped_directories_lead_nowhere() {
    if !is_root("swapped_directories_lead_nowhere") {
        return;
    }
    let tar = layer().end();
    let scratch = Scratch::in_memory();
    let tmp = scratch.store.root().join("tmp");
    let swap = |canary: &Path, stop: &AtomicBool, swaps: &AtomicU32| {
        swap(&tmp, canary, "../../../../canary", stop, swaps);
    };
    race(&scratch, swap, |time| import(&scratch, &tar, time));
}

/// Imports a layer that differs each time: one that is there is not unpacked again.
fn import(scratch: &Scratch, tar: &[u8], time: u32) {
    let mut tar = tar.to_vec();
    tar.extend(format!("{time}").as_bytes());
    let _either = scratch.import_layers(&[tar]);
}

#[test]
fn swapped_special_files_lead_nowhere() {
    if !is_root("swapped_special_files_lead_nowhere") {
        return;
    }
    let tar = layer_of_specials().end();
    let scratch = Scratch::in_memory();
    let tmp = scratch.store.root().join("tmp");
    let swap = |canary: &Path, stop: &AtomicBool, swaps: &AtomicU32| {
        swap_specials(&tmp, canary, stop, swaps);
    };
    race(&scratch, swap, |time| import(&scratch, &tar, time));
}

#[test]
fn swapped_special_files_of_a_bundle_lead_nowhere() {
    also_as_ordinary("swapped_special_files_of_a_bundle_lead_nowhere");
    let scratch = Scratch::in_memory_of(Form::Erofs);
    let image = scratch.import_layers(&[layer_of_specials().end()]).unwrap();
    let swap = |canary: &Path, stop: &AtomicBool, swaps: &AtomicU32| {
        swap_specials(scratch.dir.path(), canary, stop, swaps);
    };
    race(&scratch, swap, |time| unpack(&scratch, &image, time));
}

#[test]
fn swapped_directories_of_a_bundle_lead_nowhere() {
    also_as_ordinary("swapped_directories_of_a_bundle_lead_nowhere");
    let scratch = Scratch::in_memory_of(Form::Erofs);
    let image = scratch.import_layers(&[layer().end()]).unwrap();
    let swap = |canary: &Path, stop: &AtomicBool, swaps: &AtomicU32| {
        swap(scratch.dir.path(), canary, "../../canary", stop, swaps);
    };
    race(&scratch, swap, |time| unpack(&scratch, &image, time));
}

/// Unpacks an image into another bundle each time: what is made stays, with any link to
/// what is outside.
fn unpack(scratch: &Scratch, image: &Image, time: u32) {
    let bundle = scratch.path(&format!("bundle{time}"));
    let _either = scratch.store.unpack(image, &bundle, &NoProgress);
}

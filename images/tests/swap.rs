//! I-T19: somebody swaps directories for links while a layer or an image is unpacked.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lambent_images::{Form, NoProgress};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use support::tar::Tar;
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

/// Has `write` write below `place` for a while, and sees that nothing of it, and no link
/// to what is there, comes to be outside.
fn race(scratch: &Scratch, place: &Path, up: &str, mut write: impl FnMut(u32)) {
    let canary = scratch.path("canary");
    fs::create_dir_all(canary.join("b")).unwrap();
    for name in ["f", "0", "1", "b/f", "b/0", "b/1"] {
        fs::write(canary.join(name), "canary").unwrap();
    }
    let before = snapshot(&canary);
    let (stop, swaps) = (AtomicBool::new(false), AtomicU32::new(0));
    let mut times = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| swap(place, &canary, up, &stop, &swaps));
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
    race(&scratch, &tmp, "../../../../canary", |time| {
        // Another layer each time: one that is there is not unpacked again.
        let mut tar = tar.clone();
        tar.extend(format!("{time}").as_bytes());
        let _either = scratch.import_layers(&[tar]);
    });
}

#[test]
fn swapped_directories_of_a_bundle_lead_nowhere() {
    also_as_ordinary("swapped_directories_of_a_bundle_lead_nowhere");
    let scratch = Scratch::in_memory_of(Form::Erofs);
    let image = scratch.import_layers(&[layer().end()]).unwrap();
    race(&scratch, scratch.dir.path(), "../../canary", |time| {
        let bundle = scratch.path(&format!("bundle{time}"));
        // What is made stays, with any link to what is outside.
        let _either = scratch.store.unpack(&image, &bundle, &NoProgress);
    });
}

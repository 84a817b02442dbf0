//! I-T19: somebody swaps directories for links while a layer is unpacked.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use support::tar::Tar;
use support::{Scratch, is_root, snapshot};

/// How long the two race.
const RACE: Duration = Duration::from_secs(5);

/// Swaps `a/b` and `a` of every layer that is being unpacked with links to the
/// canary, back and forth, until told to stop.
fn swap(tmp: &Path, canary: &Path, stop: &AtomicBool, swaps: &AtomicU32) {
    while !stop.load(Ordering::Relaxed) {
        let staging = fs::read_dir(tmp).unwrap().flatten();
        for layer in staging.flat_map(|entry| fs::read_dir(entry.path()).into_iter().flatten()) {
            let Ok(layer) = layer else { continue };
            let root = layer.path();
            if !root.join("a/b").is_dir() {
                continue;
            }
            // Absolute, and up from where `a` is.
            let links = [("a/b", canary), ("a", Path::new("../../../../canary"))];
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

#[test]
fn swapped_directories_lead_nowhere() {
    if !is_root("swapped_directories_lead_nowhere") {
        return;
    }
    let mut tar = Tar::new().dir("a").dir("a/b").file("a/b/f", "x");
    for index in 0..3_000 {
        tar = tar
            .file(&format!("a/b/{index}"), "x")
            .dir_mode(&format!("a/b/d{}", index % 7), 0o777)
            .hardlink(&format!("a/b/h{index}"), "a/b/f")
            .symlink(&format!("a/b/s{index}"), "f")
            .file(&format!("a/b/.wh.{}", index / 2), "");
    }
    let tar = tar.end();
    let scratch = Scratch::in_memory();
    let canary = scratch.path("canary");
    fs::create_dir_all(canary.join("b")).unwrap();
    for name in ["f", "0", "1", "b/f", "b/0", "b/1"] {
        fs::write(canary.join(name), "canary").unwrap();
    }
    let before = snapshot(&canary);
    let tmp = scratch.store.root().join("tmp");
    let (stop, swaps) = (AtomicBool::new(false), AtomicU32::new(0));
    let mut imports = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| swap(&tmp, &canary, &stop, &swaps));
        let started = Instant::now();
        while started.elapsed() < RACE {
            imports += 1;
            // Another layer each time: one that is there is not unpacked again.
            let mut tar = tar.clone();
            tar.extend(format!("{imports}").as_bytes());
            let _either = scratch.import_layers(&[tar]);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let swaps = swaps.into_inner();
    println!("{swaps} swaps in {imports} imports");
    assert_eq!(snapshot(&canary), before);
    assert!(swaps > 1_000, "{swaps} swaps: this tests nothing");
}

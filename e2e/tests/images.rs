//! The image commands: what they show, what they keep, and what they leave when
//! they are interrupted or killed.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lambent_e2e::fixtures::{self, Fixture};
use lambent_e2e::{Lambent, Run, privileged, wait};
use lambent_images::Platform;
use lambent_images::writer::{ImageBuilder, LayerBuilder};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

const COUNTER: [&str; 2] = ["--payload", r#"{"action":"counter"}"#];

/// Bytes that do not compress, the same on every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Writes an image of three layers with `megabytes` each; the first two are the
/// same whatever the variant.
fn write_image(directory: &Path, variant: u64, megabytes: usize) -> PathBuf {
    let file = directory.join(format!("image{variant}.tar"));
    let image = (0..3).fold(
        ImageBuilder::new(Platform::host()).entrypoint(["/x"]),
        |image, layer| {
            let seed = if layer == 2 { 100 + variant } else { layer };
            let mut files = LayerBuilder::new().file(
                format!("noise{seed}"),
                0o644,
                noise(seed + 1, megabytes << 20),
            );
            for number in 0..100 {
                files = files.file(format!("dir{seed}/{number}"), 0o644, noise(number, 99));
            }
            image.layer(files)
        },
    );
    image.write_oci_archive(&file, "latest").unwrap();
    file
}

/// The layers of the store, in whichever form it keeps them.
fn content(lambent: &Lambent) -> Vec<PathBuf> {
    let store = store(lambent);
    let list = |name: &str| {
        fs::read_dir(store.join(name))
            .unwrap()
            .map(|entry| entry.unwrap())
    };
    // A stream is a blob, which its record tells from others.
    let streams =
        list("records/tars").map(|entry| store.join("blobs/sha256").join(entry.file_name()));
    streams
        .chain(list("layers/sha256").map(|entry| entry.path()))
        .collect()
}

fn store(lambent: &Lambent) -> PathBuf {
    lambent.root().join("lib/images")
}

/// What is being worked on in the store.
fn working(lambent: &Lambent) -> usize {
    fs::read_dir(store(lambent).join("tmp")).map_or(0, Iterator::count)
}

fn kill(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    // It may have ended already.
    let _ = rustix::process::kill_process(pid, signal);
}

fn succeed(run: Run) -> Run {
    assert_eq!(run.status, 0, "{run:?}");
    run
}

/// Loads a file and returns the image's digest.
fn load(lambent: &Lambent, file: &str, name: &str) -> String {
    let run = succeed(lambent.run(["image", "load", file, "--name", name, "--output", "json"]));
    run.result()["digest"].as_str().unwrap().to_owned()
}

fn verify(lambent: &Lambent) {
    succeed(lambent.run(["image", "verify", "--quiet"]));
}

#[test]
fn privileged_an_image_from_load_to_prune() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let run = succeed(lambent.run(["image", "ls"]));
    assert_eq!(run.stdout.lines().count(), 1, "{run:?}");
    let file = Fixture::RustOciArchive.reference();
    let digest = load(&lambent, &file, "my-function");
    load(&lambent, &file, "my-function:2");

    let table = succeed(lambent.run(["image", "ls"])).stdout;
    assert!(table.contains(&digest["sha256:".len()..][..12]), "{table}");
    let names: Vec<_> = table
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["NAME", "my-function", "my-function:2"]);
    let listed = succeed(lambent.run(["image", "ls", "--output", "json"])).result();
    assert_eq!(listed["digest"], json!(digest));
    assert_eq!(listed["names"], json!(["my-function", "my-function:2"]));
    assert_eq!(listed["damage"], Value::Null);
    let run = succeed(lambent.run(["image", "ls", "--quiet"]));
    assert_eq!(run.stdout, format!("{digest}\n"));

    let run = succeed(lambent.run(["image", "inspect", "my-function:2"]));
    let shown: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(shown["digest"], json!(digest));
    assert!(shown["config"]["entrypoint"].is_array() && shown["config"]["env"].is_array());
    let layers = shown["layers"].as_array().unwrap();
    assert_eq!(json!(layers.len()), listed["layers"]);
    for key in ["digest", "diffId", "size", "mediaType"] {
        assert!(layers.iter().all(|layer| !layer[key].is_null()), "{key}");
    }

    // From the store, by any of its names, and without the file that it came from.
    for image in [
        "my-function",
        &digest,
        &digest[..20],
        &digest["sha256:".len()..][..8],
    ] {
        let run = succeed(lambent.run(["invoke", image].into_iter().chain(COUNTER)));
        assert!(run.stdout.contains("count"), "{run:?}");
    }
    verify(&lambent);

    let run = succeed(lambent.run(["image", "rm", "my-function"]));
    assert_eq!(run.stdout, "untagged my-function\n");
    let run = succeed(lambent.run(["image", "rm", "my-function:2", "--output", "json"]));
    assert_eq!(run.result()["images"], json!([digest]));
    assert!(run.result()["bytesFreed"].as_u64().unwrap() > 100_000);
    let run = lambent.run(["invoke", "my-function"].into_iter().chain(COUNTER));
    assert_eq!(run.status, 3, "{run:?}");
    assert!(run.stderr.contains("lambent image ls"), "{run:?}");
    let run = succeed(lambent.run(["image", "prune", "--all"]));
    assert_eq!(run.stdout, "freed 0 B\n");
}

#[test]
fn privileged_what_cannot_be_done_says_why() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let file = Fixture::RustOciArchive.reference();
    let full = lambent.root().join("full");
    let nowhere = full.join("nowhere/bundle");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("file"), "").unwrap();
    let [full, nowhere] = [&full, &nowhere].map(|path| path.to_str().unwrap());
    for (arguments, status, parts) in [
        (
            vec!["unpack", &file, full],
            2,
            [full, "name a new or an empty directory"],
        ),
        (
            vec!["unpack", &file, nowhere],
            2,
            [nowhere, "there is no directory"],
        ),
        (vec!["rm", "none"], 3, ["\"none\"", "image ls"]),
        (vec!["inspect", "none"], 3, ["\"none\"", "image ls"]),
        (vec!["verify", "none"], 3, ["\"none\"", "image ls"]),
        (
            vec!["load", &file, "--name", "a b"],
            2,
            ["\"a b\"", "letters and digits"],
        ),
        (
            vec!["load", &file, "--name", "oci:x"],
            2,
            ["oci:x", "outside of the store"],
        ),
        (
            vec!["load", &file, &file, "--name", "x"],
            2,
            ["--name", "one by one"],
        ),
        (
            vec!["load", &file, "--platform", "linux"],
            2,
            ["OS/ARCH", "linux/arm64"],
        ),
        (
            vec!["load", &file, "--platform", "linux/riscv64"],
            3,
            ["riscv64", "needed"],
        ),
        (
            vec!["load", "no.tar"],
            3,
            ["no.tar", "no file or directory"],
        ),
    ] {
        let run = lambent.run(["image"].into_iter().chain(arguments));
        assert_eq!(run.status, status, "{run:?}");
        assert_eq!(run.stdout, "", "{run:?}");
        for part in parts {
            assert!(run.stderr.contains(part), "{part}: {run:?}");
        }
    }
}

#[test]
fn privileged_progress_is_plain_where_there_is_no_terminal() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let file = Fixture::RustOciArchive.reference();
    let run = succeed(lambent.run(["image", "load", &file]));
    assert!(
        run.stderr.contains(" started\n") && run.stderr.contains(" done\n"),
        "{run:?}"
    );
    assert!(!run.stderr.contains('\x1b'), "{run:?}");
    let run = succeed(lambent.run(["image", "load", &file]));
    assert!(run.stderr.contains("stored already"), "{run:?}");
    let run = succeed(lambent.run(["image", "load", &file, "--quiet"]));
    assert_eq!(run.stderr, "");
    // A standard error that nobody reads any more is no failure.
    let fresh = Lambent::new();
    let mut child = fresh.command(["image", "load", &file]).spawn().unwrap();
    drop(child.stderr.take());
    succeed(child.wait_with_output().unwrap().into());
}

#[test]
fn privileged_bars_are_gone_before_the_function_logs() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = Fixture::RustOciArchive.reference();
    let line = format!(
        "{} invoke {image} --payload '{}'",
        lambent_e2e::program().display(),
        COUNTER[1]
    );
    // A terminal of its own.
    let output = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("LAMBENT_ROOT", lambent.root())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{screen:?}");
    let (before, after) = screen.split_once("START RequestId").unwrap();
    assert!(
        before.contains(" of ") && before.contains("/s"),
        "{before:?}"
    );
    // The last that happened to the screen is that the cursor's line was cleared.
    let last = before.rsplit("\x1b[2K").next().unwrap();
    assert!(last.is_empty() || last.starts_with("\x1b["), "{last:?}");
    assert!(
        !last.contains(" of ") && !after.contains("\x1b["),
        "{screen:?}"
    );
}

#[test]
fn privileged_damage_is_found_and_loading_again_repairs_it() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let file = Fixture::RustOciArchive.reference();
    let digest = load(&lambent, &file, "x");
    let program = content(&lambent)
        .into_iter()
        .map(|layer| {
            if layer.is_dir() {
                layer.join("var/task/bootstrap")
            } else {
                layer
            }
        })
        .filter(|path| path.is_file())
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&program).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&program, bytes).unwrap();
    let run = lambent.run(["image", "verify", "x", "--output", "json"]);
    assert_eq!(run.status, 3, "{run:?}");
    let finding = run.result();
    assert_eq!(finding["kind"], "layer");
    let what = finding["what"].as_str().unwrap();
    assert!(
        what.contains("var/task/bootstrap") || what.contains("digest"),
        "{what}"
    );
    assert_eq!(finding["images"], json!([digest]));
    let invoke = || lambent.run(["invoke", "x"].into_iter().chain(COUNTER));
    if program.starts_with(store(&lambent).join("layers")) {
        // What was dropped is made again from the layer's blob.
        succeed(invoke());
        verify(&lambent);
    } else {
        // Of a stream there is nothing else.
        let run = invoke();
        assert_ne!(run.status, 0, "{run:?}");
        // By the name that `verify` has for it.
        let layer = finding["digest"].as_str().unwrap();
        for part in ["import it again", &format!("layer {layer} is missing")] {
            assert!(run.stderr.contains(part), "{part}: {run:?}");
        }
    }
    load(&lambent, &file, "x");
    verify(&lambent);
    succeed(invoke());
}

#[test]
fn privileged_commands_at_the_same_time() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let files = [0, 1].map(|variant| write_image(directory.path(), variant, 4));
    // The same image twice, another one, and a prune among them.
    let loads = [&files[0], &files[0], &files[1]].map(|file| {
        let arguments = ["image".as_ref(), "load".as_ref(), file.as_os_str()];
        lambent.command(arguments).spawn().unwrap()
    });
    let prune = lambent.command(["image", "prune"]).spawn().unwrap();
    for child in loads.into_iter().chain([prune]) {
        succeed(child.wait_with_output().unwrap().into());
    }
    let run = succeed(lambent.run(["image", "ls", "--quiet"]));
    assert_eq!(run.stdout.lines().count(), 2, "{run:?}");
    verify(&lambent);

    // What runs keeps its image.
    let digest = load(&lambent, &Fixture::RustOciArchive.reference(), "busy");
    let mut child = lambent.start_invoke(
        "busy",
        &json!({"action": "sleep", "ms": 5000}),
        &["--timeout", "10"],
    );
    let lease = format!("locks/image-{}", &digest["sha256:".len()..]);
    wait::until("the image is in use", || {
        store(&lambent).join(&lease).exists()
    });
    let run = lambent.run(["image", "rm", &digest]);
    assert_eq!(run.status, 4, "{run:?}");
    assert!(run.stderr.contains("in use"), "{run:?}");
    let run = succeed(lambent.run(["image", "prune", "--all", "--output", "json"]));
    assert_eq!(run.result()["images"].as_array().unwrap().len(), 2);
    assert!(child.wait().unwrap().success());
    succeed(lambent.run(["image", "rm", "busy"]));
}

#[test]
fn privileged_killed_removals_leave_a_store_that_works() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let directory = tempfile::tempdir().unwrap();
    let files = [0, 1].map(|variant| write_image(directory.path(), variant, 1));
    let load_both = || {
        for (file, name) in files.iter().zip(["a", "b"]) {
            load(&lambent, file.to_str().unwrap(), name);
        }
    };
    load_both();
    let started = Instant::now();
    succeed(lambent.run(["image", "rm", "a"]));
    let mut takes = started.elapsed() + Duration::from_millis(5);
    load_both();
    let mut killed = 0;
    for round in 0..32_u32 {
        let arguments: &[&str] = match round % 2 {
            0 => &["image", "rm", "a"],
            _ => &["image", "prune", "--all"],
        };
        let mut child = lambent.command(arguments).spawn().unwrap();
        sleep(takes * round / 32);
        kill(&child, Signal::KILL);
        if child.wait().unwrap().success() {
            // Or less: the machine may have been busy when it was measured.
            takes = takes * 7 / 8;
        } else {
            killed += 1;
        }
        // What is listed is whole, and what is not can come back.
        verify(&lambent);
        load_both();
        verify(&lambent);
        assert_eq!(working(&lambent), 0);
    }
    assert!(killed >= 6, "only {killed} rounds were killed in time");
    succeed(lambent.run(["image", "prune", "--all"]));
    let blobs = fs::read_dir(store(&lambent).join("blobs/sha256"))
        .unwrap()
        .count();
    assert_eq!((blobs, content(&lambent).len()), (0, 0));
}

#[test]
fn privileged_ctrl_c_ends_an_import_at_once_and_leaves_nothing() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = write_image(directory.path(), 0, 32);
    let reference = file.to_str().unwrap();
    for (command, at_mb) in [("load", 1), ("load", 20), ("load", 45), ("invoke", 10)] {
        let lambent = Lambent::new();
        let mut child = match command {
            "load" => lambent
                .command(["image", "load", reference])
                .spawn()
                .unwrap(),
            _ => lambent.command(["invoke", reference]).spawn().unwrap(),
        };
        wait::until("the import has read something", || {
            size(&store(&lambent).join("tmp")) > at_mb << 20
        });
        kill(&child, Signal::INT);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{command}");
        assert_eq!(working(&lambent), 0, "{command}");
        // It did not go on to the end: nothing of the image was published.
        let blobs = fs::read_dir(store(&lambent).join("blobs/sha256"));
        let blobs = blobs.map_or(0, Iterator::count);
        assert_eq!((blobs, content(&lambent).len()), (0, 0), "{command}");
        assert_eq!(lambent.run(["image", "ls", "-q"]).stdout, "", "{command}");
    }

    // While it waits as well, here for what nobody ever gives it.
    let lambent = Lambent::new();
    succeed(lambent.run(["image", "ls"]));
    let lock = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(store(&lambent).join("locks/store"))
        .unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut child = lambent
        .command(["image", "load", reference])
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    assert!(line.contains("waiting for another lambent"), "{line}");
    kill(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// Bytes of all files below a directory that may be changing.
fn size(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

#[test]
fn privileged_other_tools_read_images_by_name() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    load(
        &lambent,
        &format!("oci:{}", fixtures::path(Fixture::RustOciLayout).display()),
        "team/x:1",
    );
    let reference = format!("oci:{}:team/x:1", store(&lambent).display());
    let Ok(output) = std::process::Command::new("skopeo")
        .args(["inspect", &reference])
        .output()
    else {
        return;
    };
    assert!(output.status.success(), "{output:?}");
}

//! Bad input: an exit status, one clear message, and a store as it was.

use std::fs;
use std::path::Path;

use lambent_e2e::fixtures::{self, Fixture};
use lambent_e2e::terminal::Terminal;
use lambent_e2e::{Lambent, Run, privileged};
use lambent_images::Platform;
use lambent_images::writer::{ImageBuilder, LayerBuilder};
use rustix::fs::FileType;

/// Every path below the store, apart from what an open store always has.
fn store(lambent: &Lambent) -> Vec<String> {
    fn walk(directory: &Path, found: &mut Vec<String>) {
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        for entry in entries.flatten() {
            // Locks are held, not stored: an empty file stays for the next one.
            if entry.file_name() == "locks" {
                continue;
            }
            found.push(entry.path().display().to_string());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&entry.path(), found);
            }
        }
    }
    let mut found = vec![];
    walk(&lambent.root().join("lib/images"), &mut found);
    found.sort();
    found
}

/// Runs `invoke` on a good image first, so that there is a store to spoil.
fn with_store() -> (Lambent, Vec<String>) {
    let lambent = Lambent::new();
    let run = lambent.run([
        "invoke",
        &Fixture::RustOciArchive.reference(),
        "--payload",
        r#"{"action":"counter"}"#,
    ]);
    assert_eq!(run.status, 0, "{run:?}");
    let before = store(&lambent);
    (lambent, before)
}

/// One line of diagnosis that says all of `parts`.
fn assert_refused(run: &Run, status: i32, parts: &[&str]) {
    assert_eq!(run.status, status, "{run:?}");
    assert_eq!(run.stdout, "", "{run:?}");
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{run:?}");
    for part in parts {
        assert!(lines[0].contains(part), "{part:?} is not in {:?}", lines[0]);
    }
}

#[test]
fn privileged_files_that_are_no_images() {
    if !privileged() {
        return;
    }
    let (lambent, before) = with_store();
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    fs::write(&text, "not an image\n".repeat(100)).unwrap();
    let empty = directory.path().join("empty.tar");
    fs::write(&empty, "").unwrap();
    for path in [
        text.to_str().unwrap(),
        empty.to_str().unwrap(),
        directory.path().to_str().unwrap(),
    ] {
        let run = lambent.run(["invoke", path]);
        assert_refused(&run, 3, &[path]);
    }
    let missing = directory.path().join("missing.tar");
    let run = lambent.run(["invoke", missing.to_str().unwrap()]);
    assert_refused(&run, 3, &[missing.to_str().unwrap()]);
    assert_eq!(store(&lambent), before);
}

#[test]
fn privileged_truncated_archives() {
    if !privileged() {
        return;
    }
    let (lambent, before) = with_store();
    let good = fs::read(fixtures::path(Fixture::ShellOciArchive)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cut.tar");
    for tenth in 1..10 {
        fs::write(&path, &good[..good.len() / 10 * tenth]).unwrap();
        let run = lambent.run(["invoke", &format!("oci-archive:{}", path.display())]);
        assert_refused(&run, 3, &[]);
        assert_eq!(store(&lambent), before, "cut at {tenth}/10");
    }
}

#[test]
fn privileged_a_layer_with_the_wrong_digest() {
    if !privileged() {
        return;
    }
    let (lambent, before) = with_store();
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout");
    ImageBuilder::new(Platform::host())
        .entrypoint(["/main"])
        .layer(LayerBuilder::new().file("main", 0o755, vec![b'x'; 10_000]))
        .write_oci_layout(&layout, "latest")
        .unwrap();
    // The largest blob is the layer... or the smallest change anywhere in it.
    let blob = fs::read_dir(layout.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| fs::read(path).unwrap().starts_with(&[0x1f, 0x8b]))
        .expect("a gzip layer");
    let mut bytes = fs::read(&blob).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let run = lambent.run(["invoke", &format!("oci:{}", layout.display())]);
    let digest = blob.file_name().unwrap().to_str().unwrap();
    assert_refused(&run, 3, &[digest]);
    let after = store(&lambent);
    let new: Vec<_> = after.iter().filter(|path| !before.contains(path)).collect();
    assert_eq!(after, before, "new: {new:?}");
}

#[test]
fn privileged_an_image_for_another_architecture() {
    if !privileged() {
        return;
    }
    let (lambent, before) = with_store();
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("other.tar");
    let platform = Platform::new("linux", "riscv64");
    ImageBuilder::new(platform)
        .entrypoint(["/main"])
        .layer(LayerBuilder::new().file("main", 0o755, b"x".to_vec()))
        .write_oci_archive(&archive, "latest")
        .unwrap();
    let run = lambent.run(["invoke", &format!("oci-archive:{}", archive.display())]);
    assert_refused(&run, 3, &["riscv64", &Platform::host().architecture]);
    assert_eq!(store(&lambent), before);
}

#[test]
fn settings_out_of_range_name_the_range() {
    let lambent = Lambent::new();
    for (setting, value, rule) in [
        ("--memory", "127", "128 to 10240 MB"),
        ("--memory", "10241", "128 to 10240 MB"),
        ("--tmp", "511", "512 to 10240 MB"),
        ("--timeout", "0", "1 to 900 seconds"),
        ("--env", "NOVALUE", "NAME=VALUE"),
        ("--env", "AWS_REGION=x", "reserved keys"),
        ("--payload", "{", "not JSON"),
        ("--payload", "", "is empty"),
        ("--payload", "file://event.json", "--event FILE"),
        ("--name", "a b", "letters, digits"),
        ("--workdir", "relative", "not an absolute path"),
        ("--entrypoint", "[]", "names no program"),
        ("--memory", "-5", "128 to 10240 MB"),
    ] {
        let run = lambent.run(["invoke", "image.tar", setting, value]);
        assert_eq!(run.status, 2, "{run:?}");
        assert_eq!(run.stdout, "", "{run:?}");
        assert!(run.stderr.contains(rule), "{setting} {value}: {run:?}");
    }
    // Nothing was created for a command line that is wrong.
    assert!(!lambent.root().join("lib").exists());
}

#[test]
fn variables_from_a_file_are_refused_with_their_line() {
    let lambent = Lambent::new();
    let file = lambent.root().join("variables");
    fs::write(&file, "# a comment\n\nGOOD=1\nexport BAD=2\n").unwrap();
    let run = lambent.run(["invoke", "image.tar", "--env-file", file.to_str().unwrap()]);
    assert_refused(&run, 2, &[&format!("{}:4: ", file.display()), "export BAD"]);
}

#[test]
fn privileged_a_relative_root_and_a_short_path_do() {
    if !privileged() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let image = Fixture::RustOciArchive.reference();
    let output = Lambent::new()
        .command(["invoke", &image, "--payload", r#"{"action":"counter"}"#])
        .env("LAMBENT_ROOT", "relative")
        .env("PATH", "/usr/bin:/bin")
        .current_dir(&directory)
        .output()
        .unwrap();
    let run = Run::from(output);
    assert_eq!(run.status, 0, "{run:?}");
    assert!(directory.path().join("relative/lib/images").is_dir());
}

#[test]
fn privileged_a_closed_standard_output_is_the_end_and_no_failure() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = Fixture::RustOciArchive.reference();
    let mut child = lambent
        .command([
            "invoke",
            &image,
            "--repeat",
            "50",
            "--payload",
            r#"{"action":"counter"}"#,
        ])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let run = Run::from(output);
    assert_eq!(run.status, 0, "{run:?}");
    assert!(!run.stderr.contains("lambent:"), "{run:?}");
}

/// An event that nobody has written yet is waited for, and who waits is told so.
#[test]
fn privileged_what_an_event_is_awaited_from_is_said() {
    if !privileged() {
        return;
    }
    let lambent = Lambent::new();
    let image = Fixture::RustOciArchive.reference();
    let fifo = lambent.root().join("fifo");
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, mode, 0).expect("a FIFO");
    let event = "{\"action\": \"counter\"}";
    let command = lambent.command(["invoke", &image, "--event", fifo.to_str().expect("UTF-8")]);
    let mut terminal = Terminal::start(&command, (40, 120));
    terminal.shows("waiting for the event from /");
    terminal.shows("a FIFO: until a program has written it");
    fs::write(&fifo, event).expect("a reader");
    assert!(terminal.ends().success(), "{}", terminal.screen());

    let command = lambent.command(["invoke", &image, "--event", "-"]);
    let mut terminal = Terminal::start(&command, (40, 120));
    terminal.shows("standard input, a terminal: type JSON");
    terminal.press(event);
    // Once for the line, and once for the end.
    terminal.press("\u{4}\u{4}");
    assert!(terminal.ends().success(), "{}", terminal.screen());
}

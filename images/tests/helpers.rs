//! I-T26: programs and libraries in an image, or in the caller's `PATH`, that an
//! importer might use. Lambent runs none and loads none.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use lambent_images::Form;
use lambent_images::writer::{Compression, ImageBuilder, LayerBuilder};
use lambent_images::{ContentStore, NoProgress, Platform};
use support::{Scratch, is_root};

const STORE: &str = "LAMBENT_TEST_CHILD_STORE";
const IMAGE: &str = "LAMBENT_TEST_CHILD_IMAGE";
const FORM: &str = "LAMBENT_TEST_CHILD_FORM";

/// What other tools have run: decompressors, and what finds users.
const PROGRAMS: [&str; 9] = [
    "gzip",
    "unpigz",
    "pigz",
    "igzip",
    "xz",
    "zstd",
    "tar",
    "getent",
    "newuidmap",
];

/// Not a test by itself: what is traced.
#[test]
fn child() {
    let Some(store) = std::env::var_os(STORE) else {
        return;
    };
    let form: Form = std::env::var(FORM).unwrap().parse().unwrap();
    let place = PathBuf::from(store);
    let store = ContentStore::open(&place.join("store"))
        .unwrap()
        .with_form(form);
    let file = PathBuf::from(std::env::var_os(IMAGE).unwrap());
    let image = support::import_path_into(&store, &file).unwrap();
    store
        .unpack(&image, &place.join("bundle"), &NoProgress)
        .unwrap();
    let found = store.verify(&[], &NoProgress).unwrap();
    assert!(found.findings.is_empty(), "{found:?}");
}

/// An image full of bait: each program and library would make the file `canary`.
fn image(script: &str) -> ImageBuilder {
    let mut layer = LayerBuilder::new()
        .file("etc/ld.so.preload", 0o644, "/lib/evil.so\n")
        .file("etc/nsswitch.conf", 0o644, "passwd: evil\ngroup: evil\n")
        .file("etc/passwd", 0o644, "someone:x:7:7::/:/bin/sh\n")
        .file("lib/evil.so", 0o755, script)
        .file("lib/libnss_evil.so.2", 0o755, script)
        .file("lib64/ld-linux-x86-64.so.2", 0o755, script);
    for program in PROGRAMS {
        layer = layer.file(format!("usr/bin/{program}"), 0o755, script);
    }
    [Compression::Gzip, Compression::Zstd, Compression::None]
        .into_iter()
        .fold(
            ImageBuilder::new(Platform::host()).user("someone"),
            |image, compression| image.layer(layer.clone().compression(compression)),
        )
}

/// What the child runs, and the files of which it maps code, by a trace of its calls.
fn used(trace: &str) -> (Vec<&str>, Vec<&str>) {
    let run = trace.lines().filter(|line| line.contains("execve"));
    let mapped = trace.lines().filter(|line| line.contains("PROT_EXEC"));
    // mmap(NULL, 8192, PROT_READ|PROT_EXEC, MAP_PRIVATE, 3</usr/lib/libc.so.6>, 0) = ...
    let mapped = mapped.filter_map(|line| line.split('<').nth(1)?.split('>').next());
    (run.collect(), mapped.collect())
}

#[test]
fn nothing_of_an_image_is_run_or_loaded() {
    let test = "nothing_of_an_image_is_run_or_loaded";
    if !is_root(test) {
        return;
    }
    let bait = tempfile::tempdir().unwrap();
    let canary = bait.path().join("canary");
    let script = format!("#!/bin/sh\n: > {}\n", canary.display());
    let path = bait.path().join("bin");
    fs::create_dir(&path).unwrap();
    for program in PROGRAMS {
        fs::write(path.join(program), &script).unwrap();
        fs::set_permissions(path.join(program), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let file = bait.path().join("image.tar");
    image(&script).write_oci_archive(&file, "latest").unwrap();
    for form in [Form::Directory, Form::Erofs] {
        let scratch = Scratch::new();
        let log = bait.path().join(format!("log-{form}"));
        let output = Command::new("strace")
            .args(["--follow-forks", "--quiet=all", "--decode-fds=path"])
            .args(["-e", "trace=execve,execveat,mmap,mprotect"])
            .arg(format!("--output={}", log.display()))
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child"])
            .env(STORE, scratch.dir.path())
            .env(IMAGE, &file)
            .env(FORM, form.to_string())
            .env("PATH", format!("{}:/usr/bin:/bin", path.display()))
            .output()
            .expect("strace is in the list of test dependencies");
        assert!(output.status.success(), "{output:?}");
        let trace = fs::read_to_string(&log).unwrap();
        let (run, mapped) = used(&trace);
        assert_eq!(run.len(), 1, "{run:?}");
        // Its own program and libraries, so the trace shows what there is to see.
        assert!(
            mapped.iter().any(|file| file.contains("libc.so")),
            "{mapped:?}"
        );
        for file in mapped {
            let within = |place: &Path| Path::new(file).starts_with(place);
            assert!(
                !within(scratch.dir.path()) && !within(bait.path()),
                "{file}"
            );
        }
        assert!(!canary.exists(), "{form}");
    }
    // The bait does what it is for.
    let status = Command::new(path.join("zstd")).status().unwrap();
    assert!(status.success() && canary.exists());
}

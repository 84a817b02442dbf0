//! Odd and malformed layers, what becomes of each, and what other readers of tar
//! make of those that are accepted. Ids are those of the project's list of attacks
//! on images; what is not here is in `tarball::tests`, `hostile` and `whiteouts`.
#![expect(clippy::unwrap_used, reason = "tests state their expectations")]

mod extensions;
mod fields;
mod members;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use lambent_images::ErrorKind;
use support::tar::{Tar, pax_record, with_checksum};
use support::{Scratch, is_root, snapshot};

/// What becomes of a layer.
enum Verdict {
    /// It unpacks to these names.
    Names(&'static [&'static str]),
    /// It is refused, with these words in the message.
    Refused(ErrorKind, &'static str),
}

use Verdict::{Names, Refused};

/// Readers that a row is shown to.
const READERS: [&str; 3] = ["gnu tar", "bsdtar", "python"];

struct Row {
    name: &'static str,
    tar: Vec<u8>,
    verdict: Verdict,
    /// Readers known to see something else, each for a reason given at the row.
    dissent: &'static [&'static str],
}

fn row(name: &'static str, tar: Vec<u8>, verdict: Verdict) -> Row {
    Row {
        name,
        tar,
        verdict,
        dissent: &[],
    }
}

fn but(dissent: &'static [&'static str], row: Row) -> Row {
    Row { dissent, ..row }
}

/// One header with bytes overwritten before its checksum is taken.
fn bent(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut stream = Tar::new().file("f", "x").end();
    stream[at..at + bytes.len()].copy_from_slice(bytes);
    mended(stream)
}

fn mended(mut stream: Vec<u8>) -> Vec<u8> {
    let mut header = [0; 512];
    header.copy_from_slice(&stream[..512]);
    stream[..512].copy_from_slice(&with_checksum(header));
    stream
}

fn pax(key: &str, value: &str) -> Vec<u8> {
    pax_record(key, value.as_bytes())
}

#[test]
fn verdicts() {
    if !is_root("verdicts") {
        return;
    }
    let mut wrong = Vec::new();
    for row in [extensions::rows(), fields::rows(), members::rows()]
        .into_iter()
        .flatten()
    {
        let scratch = Scratch::in_memory();
        let before = scratch.content();
        let found = scratch.import_layers(std::slice::from_ref(&row.tar));
        match (found, &row.verdict) {
            (Ok(image), Names(expected)) => {
                let names = snapshot(&scratch.layer(&image, 0)).into_keys().collect();
                let expected: BTreeSet<PathBuf> = expected.iter().map(PathBuf::from).collect();
                if names != expected {
                    wrong.push(format!("{}: {names:?}", row.name));
                }
                wrong.extend(second_opinions(&row, &names));
            }
            (Err(error), Refused(kind, words)) => {
                if error.kind() != *kind || !error.to_string().contains(words) {
                    wrong.push(format!("{}: {error:?}", row.name));
                }
                if scratch.content() != before {
                    wrong.push(format!("{}: it left something", row.name));
                }
            }
            (Ok(_), Refused(..)) => wrong.push(format!("{}: accepted", row.name)),
            (Err(error), Names(_)) => wrong.push(format!("{}: {error:?}", row.name)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What readers say that see other names, unless that is expected of them.
fn second_opinions(row: &Row, names: &BTreeSet<PathBuf>) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("layer.tar");
    std::fs::write(&file, &row.tar).unwrap();
    let mut wrong = Vec::new();
    for reader in READERS {
        let Some(listed) = listed(reader, &file) else {
            continue;
        };
        let agrees = listed.as_ref().is_ok_and(|listed| listed == names);
        if agrees == row.dissent.contains(&reader) {
            wrong.push(format!(
                "{}: {reader} has {listed:?}, we {names:?}",
                row.name
            ));
        }
    }
    wrong
}

/// The names that a reader finds, with their parents, or its complaint; `None`
/// if it is not installed.
fn listed(reader: &str, file: &Path) -> Option<Result<BTreeSet<PathBuf>, String>> {
    let mut command = match reader {
        "gnu tar" => Command::new("tar"),
        "bsdtar" => Command::new("bsdtar"),
        _ => Command::new("python3"),
    };
    if reader == "python" {
        let code = "import sys, tarfile\n\
            for member in tarfile.open(sys.argv[1], errorlevel=2): print(member.name)";
        command.args(["-c", code]);
    } else {
        command.arg("-tf");
    }
    let output = command.arg(file).env("LC_ALL", "C.UTF-8").output().ok()?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Some(Err(complaint.lines().last().unwrap_or_default().to_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut names = BTreeSet::new();
    for line in text.lines().filter(|line| !line.contains(".wh.")) {
        let path: PathBuf = Path::new(line)
            .components()
            .filter(|part| matches!(part, std::path::Component::Normal(_)))
            .collect();
        let parents = path.ancestors().map(Path::to_owned);
        names.extend(parents.filter(|path| !path.as_os_str().is_empty()));
    }
    Some(Ok(names))
}

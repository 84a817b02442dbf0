//! `make bench-start`: how fast Lambent is, beside its peers, in the same run.
//!
//! | part | measures |
//! |---|---|
//! | [`cold`](parts::cold) | from the request to the entry point's first instruction |
//! | [`invoke`](parts::invoke) | a cold invoke, from the client to the answer |
//! | [`warm`, `python`](parts::warm) | warm invokes of one client |
//! | [`throughput`](parts::throughput) | warm invokes of eight clients |
//! | [`burst`](parts::burst) | two hundred cold starts at once |
//! | [`density`](parts::density) | memory of five hundred frozen environments |
//! | [`command`](parts::command) | `lambent invoke` as a whole |
//!
//! All programs take turns in each round. Medians and the 99th percentile are printed,
//! with what was promised; all samples are kept as JSON below the target directory. Tests
//! of a moment (`--smoke`) show that everything runs; their figures mean nothing.

mod against;
mod clock;
mod endpoint;
mod figures;
mod host;
mod images;
mod options;
mod parts;
mod peers;
mod promises;
mod report;
mod service;

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use self::figures::Results;
use self::host::Host;
use self::images::Files;
use self::options::{Options, Size, USAGE};
use crate::fixtures::cache::Cache;
use crate::fixtures::{self, Error, at};

type Part = fn(&Scene, &mut Results) -> Result<(), Error>;

/// In the order in which they run.
const PARTS: [(&str, Part); 8] = [
    ("cold", parts::cold::run),
    ("invoke", parts::invoke::run),
    ("warm", parts::warm::rust),
    ("python", parts::warm::python),
    ("throughput", parts::throughput::run),
    ("burst", parts::burst::run),
    ("density", parts::density::run),
    ("command", parts::command::run),
];

/// What a part works with.
struct Scene {
    options: Options,
    files: Files,
    /// Bundles and states of peers.
    work: TempDir,
}

/// What is kept of a run.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    host: Host,
    results: Results,
}

impl Scene {
    fn work(&self) -> &Path {
        self.work.path()
    }

    /// The emulator, if it is to be compared with and is there; else a remark.
    fn emulator(&self, results: &mut Results) -> Option<&Path> {
        if self.options.alone {
            return None;
        }
        let missing = match &self.files.emulator {
            Ok(_) if !peers::is_installed("runc") => "runc is not installed".to_owned(),
            Ok(program) => return Some(program),
            Err(error) => format!("RIE cannot be fetched: {error}"),
        };
        results.remark(missing);
        None
    }
}

/// Runs what the words of the command line ask for.
///
/// # Errors
/// A part cannot be run, or an answer was wrong. A promise that is missed is none.
pub fn run(words: &[OsString]) -> Result<(), Error> {
    let words: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
    let options = Options::parse(words.ok_or(USAGE)?)?;
    let chosen = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let chosen: Vec<_> = PARTS.into_iter().filter(|(name, _)| chosen(name)).collect();
    if chosen.is_empty() {
        return Err(USAGE.into());
    }
    let directory = fixtures::target_directory().join("bench");
    fixtures::build(&fixtures::directory())?;
    let host = Host::look()?;
    if options.results.is_none() {
        print(&host.show());
    }
    if let Some(base) = &options.against {
        let names: Vec<_> = chosen.iter().map(|(name, _)| *name).collect();
        let results = against::run(&options, base, &names)?;
        print(&report::compare(&results, against::BASE, against::HEAD)?);
        return keep(&Record { host, results }, &directory.join("start-ab.json"));
    }
    // Only cold starts need a large image.
    let size = if chosen.iter().any(|(name, _)| *name == "cold") {
        options.size
    } else {
        Size::Tiny
    };
    let scene = Scene {
        files: Files::build(&Cache::open(&directory)?, size)?,
        options,
        work: tempfile::Builder::new()
            .prefix("lambent-bench-")
            .tempdir()?,
    };
    for (name, part) in chosen {
        say(format_args!("{name}"));
        let mut results = Results::default();
        part(&scene, &mut results).map_err(|error| format!("{name}: {error}"))?;
        let record = Record {
            host: host.clone(),
            results,
        };
        if let Some(file) = &scene.options.results {
            return keep(&record, file);
        }
        print(&report::show(&record.results)?);
        if scene.options.smoke {
            print("  (a moment of it: these figures mean nothing)");
        }
        keep(&record, &directory.join(format!("start-{name}.json")))?;
    }
    let after = Host::look()?;
    print(&format!(
        "\nload {:.2}; a move into a group after a moment of quiet takes {:.3} ms now; all samples: \
         {}/start-*.json",
        after.load,
        after.move_ms,
        directory.display()
    ));
    Ok(())
}

fn keep(record: &Record, file: &Path) -> Result<(), Error> {
    let text = serde_json::to_string(record)?;
    fs::write(file, text + "\n").map_err(at(file))
}

#[expect(clippy::print_stderr, reason = "progress of a long run")]
fn say(what: std::fmt::Arguments<'_>) {
    eprintln!("bench: {what}");
}

#[expect(clippy::print_stdout, reason = "the result")]
fn print(text: &str) {
    println!("{text}");
}

//! Two builds of Lambent beside each other: `make bench-ab BASE=rev`.
//!
//! Each turn is a process of this program that measures one build alone for some rounds.
//! The builds take turns, and who begins alternates, so that the drift of a host weighs
//! on both alike.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::figures::Results;
use super::options::Options;
use super::promises::LAMBENT;
use super::{Record, say};
use crate::fixtures::{Error, at};
use crate::program;

pub(super) const BASE: &str = "base";
pub(super) const HEAD: &str = "head";

/// Turns of each build.
const TURNS: usize = 6;
const SMOKE_TURNS: usize = 1;
/// Parts whose rounds are not short.
const ROUNDS: [(&str, usize); 4] = [("throughput", 1), ("burst", 1), ("warm", 4), ("python", 4)];
const OTHER_ROUNDS: usize = 10;

/// Measures these parts of both builds.
///
/// # Errors
/// A turn fails.
pub(super) fn run(options: &Options, base: &Path, parts: &[&str]) -> Result<Results, Error> {
    let head = program();
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("results.json");
    let mut all = Results::default();
    let turns = if options.smoke { SMOKE_TURNS } else { TURNS };
    for part in parts {
        let usual = ROUNDS.iter().find(|(name, _)| name == part);
        let usual = usual.map_or(OTHER_ROUNDS, |(_, rounds)| *rounds);
        let rounds = options.rounds(usual).to_string();
        for turn in 0..turns {
            let mut pair = [(BASE, base), (HEAD, head.as_path())];
            if turn % 2 == 1 {
                pair.reverse();
            }
            for (name, program) in pair {
                say(format_args!("{part}: {name}, turn {} of {turns}", turn + 1));
                let mut command = Command::new(env::current_exe()?);
                command.env("LAMBENT_BIN", program);
                command.args(["--only", part, "--rounds", &rounds, "--alone"]);
                if options.smoke {
                    command.arg("--smoke");
                }
                let status = command.arg("--results").arg(&file).status()?;
                if !status.success() {
                    return Err(format!("{part} of {}: {status}", program.display()).into());
                }
                let record: Record = serde_json::from_slice(&fs::read(&file).map_err(at(&file))?)?;
                all.merge(record.results, |of| {
                    if of == LAMBENT {
                        name.to_owned()
                    } else {
                        format!("{name}: {of}")
                    }
                });
            }
        }
    }
    Ok(all)
}

//! What an environment holds after an invocation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use super::pattern::pattern;

/// Many things with one name: their number, their bytes if they have a size, and one of
/// them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    pub(crate) example: String,
}

/// One look at an environment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    /// From 0.
    pub(crate) environment: u32,
    /// The number of the invocation that was the last one, from 1.
    pub(crate) invocation: u64,
    /// Of that invocation.
    pub(crate) duration_ms: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) tmp_bytes: u64,
    pub(crate) tmp_files: u64,
    /// Of the process that has most.
    pub(crate) descriptors: u64,
    pub(crate) sockets: u64,
    /// Processes and threads of the function.
    pub(crate) threads: u64,
    pub(crate) processes: u64,
    /// Files of `/tmp`, descriptors and processes by their patterns.
    #[serde(skip)]
    pub(crate) files: BTreeMap<String, Tally>,
    #[serde(skip)]
    pub(crate) kinds: BTreeMap<String, Tally>,
    #[serde(skip)]
    pub(crate) names: BTreeMap<String, Tally>,
}

/// What was seen: the input of a sample.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    pub(crate) memory_bytes: u64,
    pub(crate) tmp_bytes: u64,
    /// Paths below `/tmp`, and bytes.
    pub(crate) files: Vec<(PathBuf, u64)>,
    /// Name, threads and descriptors of each process.
    pub(crate) processes: Vec<(String, u64, Vec<String>)>,
}

impl Sample {
    /// Counts what is held after an invocation.
    pub(crate) fn new(environment: u32, invocation: u64, duration_ms: f64, held: &Held) -> Self {
        let (mut kinds, mut names) = (BTreeMap::new(), BTreeMap::new());
        for (name, threads, descriptors) in &held.processes {
            add(&mut names, pattern(name), *threads, 0, name);
            for descriptor in descriptors {
                add(&mut kinds, kind(descriptor), 1, 0, descriptor);
            }
        }
        let descriptors = held.processes.iter().map(|process| process.2.len() as u64);
        let all = held.processes.iter().flat_map(|process| &process.2);
        // A child has its parent's too.
        let sockets: BTreeSet<_> = all.filter(|link| link.starts_with("socket:")).collect();
        Self {
            environment,
            invocation,
            duration_ms,
            memory_bytes: held.memory_bytes,
            tmp_bytes: held.tmp_bytes,
            tmp_files: held.files.len() as u64,
            descriptors: descriptors.max().unwrap_or(0),
            sockets: sockets.len() as u64,
            threads: held.processes.iter().map(|process| process.1).sum(),
            processes: held.processes.len() as u64,
            files: tally_files(held.files.iter()),
            kinds,
            names,
        }
    }
}

/// Files of `/tmp` by the patterns of their paths.
fn tally_files<'a>(files: impl Iterator<Item = &'a (PathBuf, u64)>) -> BTreeMap<String, Tally> {
    let mut tallies = BTreeMap::new();
    for (path, bytes) in files {
        let path = format!("/tmp/{}", path.display());
        add(&mut tallies, pattern(&path), 1, *bytes, &path);
    }
    tallies
}

/// The files that were there after the invocation before too: what one request can see
/// of another.
pub(crate) fn crossing(before: &Held, now: &Held) -> BTreeMap<String, Tally> {
    let earlier: BTreeSet<_> = before.files.iter().map(|file| &file.0).collect();
    tally_files(now.files.iter().filter(|file| earlier.contains(&file.0)))
}

fn add(
    tallies: &mut BTreeMap<String, Tally>,
    pattern: String,
    count: u64,
    bytes: u64,
    example: &str,
) {
    let tally = tallies.entry(pattern).or_default();
    tally.count += count;
    tally.bytes += bytes;
    if tally.example.is_empty() {
        example.clone_into(&mut tally.example);
    }
}

/// The kind of a descriptor: `socket`, `pipe`, `anon_inode:[eventpoll]`, or the pattern
/// of a path.
fn kind(link: &str) -> String {
    match link.split_once(":[") {
        Some((kind @ ("socket" | "pipe"), _)) => kind.to_owned(),
        _ if link.starts_with("anon_inode:") => link.to_owned(),
        _ => pattern(link),
    }
}

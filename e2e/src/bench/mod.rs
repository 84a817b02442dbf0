//! `make bench`: Lambent and its peers on the same files in the same run.
//!
//! Every import starts with an empty store and a synced disk; the archive is in
//! the page cache for everyone. Lambent's time contains the sync of what it has
//! stored, since an image that was reported must survive a power cut.
//!
//! | tool | reads | unpacks to |
//! |---|---|---|
//! | Lambent (this checkout, in a process of its own) | OCI layout | its store |
//! | `umoci unpack` | OCI layout | one directory |
//! | `podman load` | OCI archive | overlay storage |
//! | `ctr images import` | OCI archive | overlayfs snapshotter |

mod blobs;
mod content;
mod floors;
mod python;
mod table;
mod tools;
mod workloads;

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use lambent_images::{ContentStore, Form, ImageReference, NoProgress, Platform};

use self::table::{Results, Task};
use self::tools::{Scene, Tool};
use self::workloads::{Built, Workload};
use crate::fixtures::cache::{Cache, remove};
use crate::fixtures::{self, Error, at};

/// First word of a child process that imports one image: see [`import`].
const IMPORT: &str = "--import";
const USAGE: &str =
    "usage: bench_import [--smoke | --only python|small|large] [--rounds N] [--no-peers]";

/// Runs what the words of the command line ask for.
pub fn run(words: &[OsString]) -> Result<(), Error> {
    let mut text: Vec<_> = words.iter().map(|word| word.to_str()).collect();
    let mut rounds = None;
    let has_peers = text.last() != Some(&Some("--no-peers"));
    if !has_peers {
        text.pop();
    }
    if let [.., Some("--rounds"), Some(count)] = text.as_slice() {
        rounds = Some(count.parse().map_err(|_| USAGE)?);
        text.truncate(text.len() - 2);
    }
    let workloads = match text.as_slice() {
        [Some(IMPORT), _, Some(reference), Some(form)] => {
            return import(Path::new(&words[1]), reference, form.parse()?);
        }
        [] => Workload::LISTED.to_vec(),
        [Some("--smoke")] => vec![Workload::Smoke],
        [Some("--only"), Some(name)] => Workload::LISTED
            .into_iter()
            .filter(|workload| workload.name() == *name)
            .collect(),
        _ => return Err(USAGE.into()),
    };
    if workloads.is_empty() {
        return Err(USAGE.into());
    }
    let directory = fixtures::target_directory().join("bench");
    let cache = Cache::open(&directory)?;
    let directory = directory.canonicalize().map_err(at(&directory))?;
    for workload in workloads {
        require_space(&directory, workload)?;
        say(format_args!(
            "{} (where it is not there yet, building it takes minutes)",
            workload.name()
        ));
        let built = workload.build(&cache)?;
        let rounds = rounds.unwrap_or_else(|| workload.rounds());
        let peers: &[Tool] = if has_peers { &Tool::PEERS } else { &[] };
        let results = measure(workload, &built, rounds, peers, &directory.join("run"))?;
        print(&results.show(workload, &built)?);
    }
    Ok(())
}

/// The measured process: imports, and prints the most memory it had, in bytes.
fn import(store: &Path, reference: &str, form: Form) -> Result<(), Error> {
    let reference: ImageReference = reference.parse()?;
    let store = ContentStore::open(store)?.with_form(form);
    store.import(&reference, &Platform::host(), &NoProgress)?;
    let status = fs::read_to_string("/proc/self/status")?;
    let kilobytes: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .ok_or("no VmHWM in /proc/self/status")?
        .parse()?;
    print(&format!("{}\n", kilobytes * 1024));
    Ok(())
}

fn measure(
    workload: Workload,
    built: &Built,
    rounds: usize,
    peers: &[Tool],
    directory: &Path,
) -> Result<Results, Error> {
    let tools = tools(peers, directory)?;
    let mut results = Results::default();
    for _ in 0..rounds {
        results.loads.push(load()?);
        results.inflate.push(floors::inflate(&built.image.layout)?);
        let file = directory.with_extension("floor");
        results
            .write
            .push(floors::write(&file, built.facts.uncompressed)?);
        for &tool in &tools {
            let mut scene = Scene::new(tool, directory)?;
            let run = scene.import(&built.image)?;
            say(format_args!(
                "{}: {} {:.1} s",
                workload.name(),
                tool.name(),
                run.seconds
            ));
            results.runs.push((tool, Task::Fresh, run));
            if tool.has_store() {
                results
                    .runs
                    .push((tool, Task::Again, scene.import(&built.image)?));
                if let Some(changed) = &built.changed {
                    results
                        .runs
                        .push((tool, Task::Changed, scene.import(changed)?));
                }
            }
            scene.close()?;
        }
    }
    Ok(results)
}

/// What is compared: each form in which Lambent can keep layers on this machine,
/// and those of the peers that it has.
fn tools(peers: &[Tool], directory: &Path) -> Result<Vec<Tool>, Error> {
    let probe = directory.with_extension("probe");
    let best = ContentStore::open(&probe)?.form();
    remove(&probe)?;
    let mut tools = vec![Tool::Lambent(Form::Directory)];
    if best == Form::Erofs {
        tools.insert(0, Tool::Lambent(Form::Erofs));
    }
    for &peer in peers {
        if peer.is_there() {
            tools.push(peer);
        } else {
            say(format_args!("{} is not installed: left out", peer.name()));
        }
    }
    Ok(tools)
}

fn load() -> Result<f64, Error> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

fn require_space(directory: &Path, workload: Workload) -> Result<(), Error> {
    let status = rustix::fs::statvfs(directory)?;
    let free = status.f_bavail * status.f_frsize;
    // Of an earlier run: the archive and the directory that it was made of.
    let archive = directory.join(workload.name()).join("image.tar");
    let there = fs::metadata(archive).map_or(0, |archive| 2 * archive.len());
    if free + there < workload.space() {
        return Err(format!(
            "the workload {} needs {} GB below {} and {} GB are free",
            workload.name(),
            workload.space() / 1_000_000_000,
            directory.display(),
            free / 1_000_000_000
        )
        .into());
    }
    // Of a run that was killed.
    remove(&directory.join("run"))
}

#[expect(clippy::print_stderr, reason = "progress of a long run")]
fn say(what: std::fmt::Arguments<'_>) {
    eprintln!("bench: {what}");
}

#[expect(clippy::print_stdout, reason = "the result")]
fn print(text: &str) {
    print!("{text}");
}

//! Functions of a known kind, and what is said of them.

use std::path::PathBuf;

use super::*;
use crate::model::{EphemeralStorage, MemorySize, Timeout};

const KB: u64 = 1_024;
const MB: u64 = 1_024 * KB;

fn subject(environments: u32, done: u64) -> Subject {
    Subject {
        image: "image.tar".to_owned(),
        digest: "sha256:0".to_owned(),
        environments,
        invocations: done,
        done,
        limits: Limits {
            memory_size: MemorySize::MIN,
            tmp: EphemeralStorage::MIN,
            timeout: Timeout::default(),
        },
        horizon: 100_000,
        seed: 1,
        interrupted: false,
        failure: None,
    }
}

fn process(descriptors: Vec<String>) -> (String, u64, Vec<String>) {
    ("python3".to_owned(), 1, descriptors)
}

/// A function that holds what `held` says after each of 500 invocations.
fn soak(environments: u32, held: impl Fn(u32, u64) -> Held) -> Report {
    let mut samples = vec![];
    for invocation in 1..=500 {
        for environment in 0..environments {
            let held = held(environment, invocation);
            samples.push(Sample::new(environment, invocation, 2.0, &held));
        }
    }
    let last = (held(0, 499), held(0, 500));
    Report::new(subject(environments, 500), samples, Some(last))
}

fn text(report: &Report) -> String {
    report.sentences().join("\n")
}

#[test]
fn a_clean_function_has_no_finding() {
    let report = soak(1, |_, n| Held {
        memory_bytes: 20 * MB + (n * 7_919) % (64 * KB),
        tmp_bytes: 4 * KB,
        files: vec![],
        processes: vec![process(vec!["pipe:[1]".to_owned(); 3])],
    });
    assert!(!report.fails());
    assert!(
        text(&report).starts_with("Nothing grows"),
        "{}",
        text(&report)
    );
    assert_eq!(report.rows().len(), 9);
    assert_eq!(report.csv().lines().count(), 501);
}

#[test]
fn leaks_are_found_and_named() {
    let report = soak(1, |_, n| Held {
        memory_bytes: 20 * MB + n * 40 * KB,
        tmp_bytes: n * 8 * KB,
        files: (0..n)
            .map(|k| (PathBuf::from(format!("req-{k}.bin")), 8 * KB))
            .collect(),
        processes: vec![process((0..n).map(|k| format!("socket:[{k}]")).collect())],
    });
    assert!(report.fails());
    let text = text(&report);
    // (128 − 20) MB of 40 KB each, and 1,024 descriptors of one each.
    assert!(
        text.contains("memory, by 40.000 KB an invocation; it runs out at invocation 2,765"),
        "{text}"
    );
    assert!(text.contains("/tmp, by 8.000 KB an invocation"), "{text}");
    assert!(text.contains("× /tmp/req-*.bin of"), "{text}");
    assert!(
        text.contains("descriptors, by 1.000 an invocation; it runs out at invocation 1,024"),
        "{text}"
    );
    assert!(text.contains("× socket"), "{text}");
    assert!(
        text.contains("State crosses invocations: files of earlier requests are in /tmp: 499 × "),
        "{text}"
    );
    let charts = report.charts();
    let names: Vec<_> = charts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "memory",
            "tmp",
            "tmp-files",
            "descriptors",
            "threads",
            "processes",
            "sockets",
            "duration"
        ]
    );
    assert!(charts[0].1.svg().contains("memory: growing"));
}

#[test]
fn what_runs_out_beyond_the_horizon_fails_nothing() {
    let report = soak(1, |_, n| Held {
        memory_bytes: 20 * MB + n * KB,
        ..Held::default()
    });
    let slow = soak(1, |_, n| Held {
        memory_bytes: 20 * MB + n * 100,
        ..Held::default()
    });
    // 1 KB: all that there is in some 110,000 invocations; but half a MB is negligible.
    assert!(!report.fails() && !slow.fails());
    let mut wide = subject(1, 500);
    wide.horizon = 1_000;
    let samples = soak(1, |_, n| Held {
        memory_bytes: 20 * MB + n * 10 * KB,
        ..Held::default()
    })
    .samples;
    let beyond = Report::new(wide, samples, None);
    assert!(!beyond.fails());
    assert!(
        beyond.rows()[1][5].contains("beyond the horizon"),
        "{:?}",
        beyond.rows()
    );
}

#[test]
fn one_environment_of_three_is_chance_and_two_are_not() {
    let leaking = |count: u32| {
        soak(3, move |environment, n| Held {
            memory_bytes: 20 * MB + if environment < count { n * 40 * KB } else { 0 },
            ..Held::default()
        })
    };
    assert!(!leaking(1).fails());
    let two = leaking(2);
    assert!(two.fails());
    assert!(
        text(&two).contains("in 2 of 3 environments"),
        "{}",
        text(&two)
    );
}

#[test]
fn a_cache_is_state_and_no_leak() {
    let report = soak(1, |_, _| Held {
        files: vec![(PathBuf::from("model.bin"), MB)],
        tmp_bytes: MB,
        ..Held::default()
    });
    assert!(!report.fails());
    let text = text(&report);
    assert!(text.contains("1 × /tmp/model.bin of 1,024 KB"), "{text}");
}

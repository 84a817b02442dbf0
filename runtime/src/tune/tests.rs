//! Functions of a known kind, and what is said of them.

use proptest::prelude::*;

use super::*;
use crate::model::{EphemeralStorage, MemorySize};

fn size(mb: u32) -> MemorySize {
    MemorySize::new(mb).unwrap()
}

fn sizes(list: &[u32]) -> Vec<MemorySize> {
    list.iter().map(|mb| size(*mb)).collect()
}

fn price() -> Price {
    Price::find("us-east-1", "amd64", EphemeralStorage::default(), &[]).unwrap()
}

/// A warm invocation that waits, and uses CPU with so many threads.
fn sample(mb: u32, wait_ms: f64, cpu_ms: f64, threads: f64) -> Sample {
    let share = size(mb).vcpus();
    let computing = cpu_ms / share.min(threads);
    let duration_ms = wait_ms + computing;
    Sample {
        memory_size_mb: mb,
        round: 0,
        cold: false,
        duration_ms,
        init_ms: None,
        billed_ms: (1..1_000_000)
            .find(|ms| crate::statistics::number(*ms) >= duration_ms)
            .unwrap(),
        cpu_used_ms: cpu_ms,
        throttled_ms: computing * (1.0 - (share / threads).min(1.0)),
        max_memory_used_mb: 40,
        trouble: None,
        outlier: false,
    }
}

fn troubled(mb: u32, trouble: Trouble) -> Sample {
    Sample {
        cold: true,
        trouble: Some(trouble),
        ..sample(mb, 1.0, 0.0, 1.0)
    }
}

const SWEEP: [u32; 6] = [128, 256, 512, 1_024, 1_769, 3_008];

/// A sweep of five invocations at each size.
fn report(of: impl Fn(u32) -> Sample, beyond: &[u32], extrapolating: bool) -> Report {
    let samples = SWEEP.iter().flat_map(|mb| vec![of(*mb); 5]).collect();
    let subject = Subject {
        image: "image.tar".to_owned(),
        digest: "sha256:0".to_owned(),
        seed: 1,
        rounds: 1,
        warm: 5,
        host_cpus: 2,
        host_busy_share: 0.5,
        tmp_mb: EphemeralStorage::default(),
        interrupted: false,
    };
    let search = Search::new([(size(128), Tried::Worked)]);
    Report::new(
        subject,
        price(),
        samples,
        search,
        sizes(beyond),
        extrapolating,
    )
}

/// With little memory there is little CPU: what is too late there has memory enough, or not.
#[test]
fn a_time_out_is_no_answer_to_how_much_memory_is_enough() {
    let mut search = Search::new([
        (size(128), Tried::RanOut),
        (size(256), Tried::of(None)),
        (size(192), Tried::of(Some(&Trouble::Timeout))),
        (size(160), Tried::Worked),
    ]);
    assert_eq!(search.smallest(), Some(size(256)));
    assert_eq!(search.next(), Some(size(224)));
    search.learn(size(224), Tried::Worked);
    search.learn(size(208), Tried::Unclear);
    assert_eq!(search.next(), None);
    let found = (search.smallest(), search.too_small(), search.unclear());
    assert_eq!(found, (Some(size(224)), Some(size(128)), Some(size(208))));
    let mut report = report(|mb| sample(mb, 5.0, 1.0, 1.0), &[], false);
    report.smallest_working_mb = found.0;
    report.out_of_memory_mb = found.1;
    report.timed_out_or_failed_mb = found.2;
    let sentences = report.sentences().join("\n");
    let expected = "The smallest size that it works with: 224 MB (128 MB is too small; with 208 MB \
                    it timed out or failed";
    assert!(sentences.contains(expected), "{sentences}");
}

#[test]
fn a_function_that_computes_with_one_thread() {
    let report = report(|mb| sample(mb, 0.0, 500.0, 1.0), &[], false);
    let verdict = report.verdict.clone().unwrap();
    assert_eq!(verdict.bound, Bound::Cpu);
    assert!(verdict.single_threaded && !verdict.helps_to_the_end);
    assert_eq!(
        (verdict.stops_helping_mb, verdict.fastest_mb),
        (1_769, 1_769)
    );
    assert!(report.sentences()[1].contains("CPU-bound, and keeps no more than one"));
    assert!(
        report
            .sentences()
            .iter()
            .any(|text| text.contains("others used 50 %"))
    );
}

#[test]
fn a_function_that_computes_with_all_that_it_gets() {
    let report = report(|mb| sample(mb, 0.0, 500.0, 8.0), &[5_307, 10_240], true);
    let verdict = report.verdict.clone().unwrap();
    assert_eq!(verdict.bound, Bound::Cpu);
    assert!(!verdict.single_threaded && verdict.helps_to_the_end);
    assert_eq!(verdict.fastest_mb, 10_240);
    let last = report.sizes.last().unwrap();
    assert!(last.extrapolated);
    let expected = 500.0 / size(10_240).vcpus();
    let found = last.figures.as_ref().unwrap().duration_p50_ms;
    assert!((found / expected - 1.0).abs() < 0.01, "{found} {expected}");
    assert_eq!(report.chart().left.series.len(), 3);
}

#[test]
fn a_function_that_sleeps() {
    let report = report(|mb| sample(mb, 100.0, 0.1, 1.0), &[5_307], true);
    let verdict = report.verdict.clone().unwrap();
    assert_eq!(verdict.bound, Bound::Waiting);
    assert_eq!((verdict.cheapest_mb, verdict.stops_helping_mb), (128, 128));
    let last = report.sizes.last().unwrap().figures.as_ref().unwrap();
    assert!((last.duration_p50_ms - 100.1).abs() < 0.1, "{last:?}");
}

#[test]
fn a_function_is_not_bound_by_a_cpu_that_it_was_not_denied() {
    // Done before its first period was over.
    let short = |mb| Sample {
        throttled_ms: 0.0,
        duration_ms: 0.9,
        ..sample(mb, 0.7, 0.2, 1.0)
    };
    let verdict = report(short, &[], false).verdict.unwrap();
    assert_eq!(verdict.bound, Bound::Waiting);
}

#[test]
fn one_size_says_nothing_of_others() {
    let computing = |mb| match mb {
        256 => sample(mb, 0.0, 500.0, 1.0),
        _ => troubled(mb, Trouble::OutOfMemory),
    };
    let sentences = report(computing, &[], false).sentences().join("\n");
    assert!(sentences.contains("One size does not tell"), "{sentences}");
    assert!(!sentences.contains("hardly any faster"), "{sentences}");
}

#[test]
fn a_function_that_nearly_fills_its_memory() {
    let report = report(
        |mb| Sample {
            max_memory_used_mb: u64::from(mb.min(400)),
            ..sample(mb, if mb < 512 { 300.0 } else { 100.0 }, 0.1, 1.0)
        },
        &[],
        false,
    );
    let verdict = report.verdict.unwrap();
    assert_eq!(
        (verdict.bound, verdict.stops_helping_mb),
        (Bound::Memory, 512)
    );
}

#[test]
fn sizes_that_fail_are_shown_and_not_chosen() {
    let report = report(
        |mb| match mb {
            128 => troubled(mb, Trouble::OutOfMemory),
            256 => troubled(mb, Trouble::Timeout),
            _ => sample(mb, 100.0, 0.5, 1.0),
        },
        &[5_307],
        false,
    );
    assert_eq!(report.verdict.as_ref().unwrap().cheapest_mb, 512);
    let rows = report.rows();
    assert!(rows[1][9].contains("5 out of memory"), "{rows:?}");
    assert!(rows[2][9].contains("5 timed out"), "{rows:?}");
    assert!(
        report
            .sentences()
            .iter()
            .any(|text| text.contains("Left out, because this host"))
    );
    assert_eq!(report.csv().lines().count(), 7);
    assert!(
        report
            .csv()
            .lines()
            .all(|line| line.matches(',').count() == 16)
    );
    let nothing = super::Verdict::of(&report.sizes[..2]);
    assert_eq!(nothing, None);
}

#[test]
fn outliers_are_left_out_and_said() {
    let mut samples = vec![sample(512, 100.0, 1.0, 1.0); 20];
    samples[3].duration_ms = 900.0;
    let summaries = Summary::of(&mut samples, &price(), EphemeralStorage::default());
    assert_eq!((summaries[0].outliers, summaries[0].warm_runs), (1, 19));
    assert!(samples[3].outlier && !samples[4].outlier);
    let figures = summaries[0].figures.as_ref().unwrap();
    assert!(figures.duration_p95_ms < 110.0, "{figures:?}");
}

#[test]
fn what_lambda_asks_for() {
    // AWS's own example: 1,024 MB for a second is a GB-second.
    let million = price().per_million(1_024, EphemeralStorage::default(), 1_000.0);
    assert!((million - (16.6667 + 0.20)).abs() < 1e-3, "{million}");
    let tmp = EphemeralStorage::new(1_536).unwrap();
    let with_storage = Price::find("us-east-1", "arm64", tmp, &[]).unwrap();
    let million = with_storage.per_million(1_024, tmp, 1_000.0);
    assert!(
        (million - (13.3334 + 0.20 + 0.0309)).abs() < 1e-3,
        "{million}"
    );
}

#[test]
fn unknown_prices_are_asked_for() {
    let none = EphemeralStorage::default();
    let error = Price::find("mars-north-1", "amd64", none, &[]).unwrap_err();
    assert!(
        error.contains("gb-second") && error.contains("--price"),
        "{error}"
    );
    let told = ["gb-second=0.00002", "million-requests=0.3"].map(|text| text.parse().unwrap());
    let price = Price::find("mars-north-1", "amd64", none, &told).unwrap();
    assert!((price.per_million(1_024, none, 1_000.0) - 20.3).abs() < 1e-9);
    let large = EphemeralStorage::new(1_024).unwrap();
    assert!(Price::find("eu-west-1", "amd64", large, &[]).is_err());
    for bad in [
        "gb-second",
        "gb-second=x",
        "gb-second=-1",
        "gold=1",
        "gb-second=inf",
    ] {
        assert!(bad.parse::<PriceOverride>().is_err(), "{bad}");
    }
}

#[test]
fn sizes_stop_at_the_hosts_cpus() {
    let two = Sizes::choose(&SizeChoice::Usual, 2);
    assert_eq!(two.measured, sizes(&SWEEP));
    assert_eq!(two.beyond, sizes(&[5_307, 7_076, 8_845, 10_240]));
    assert_eq!(Sizes::choose(&SizeChoice::Usual, 6).beyond, []);
    let list = SizeChoice::List(sizes(&[512, 128, 512]));
    assert_eq!(Sizes::choose(&list, 1).measured, sizes(&[128, 512]));
    let steps = Sizes::choose(&SizeChoice::Step(512), 1);
    assert_eq!(steps.measured, sizes(&[128, 640, 1_152, 1_664]));
}

proptest! {
    #[test]
    fn every_size_has_its_runs_and_the_same_mean_place_in_two_rounds(
        count in 1..12_u32,
        pairs in 1..4_u32,
        seed in any::<u64>(),
    ) {
        let list: Vec<_> = (0..count).map(|index| size(128 + 64 * index)).collect();
        let plan = Plan { sizes: list.clone(), rounds: 2 * pairs, warm: 1, seed };
        let steps = plan.steps();
        prop_assert_eq!(&steps, &plan.steps());
        prop_assert_eq!(steps.len(), list.len() * 2 * pairs as usize);
        let places = |size| -> usize {
            steps.iter().enumerate().filter(|(_, step)| step.size == size).map(|(at, _)| at).sum()
        };
        for size in &list {
            prop_assert_eq!(places(*size), places(list[0]));
        }
    }

    #[test]
    fn the_smallest_size_is_found_within_16_mb(needed in 100_u32..3_000) {
        let tried = |size: MemorySize| if size.get() < needed {
            Tried::RanOut
        } else {
            Tried::Worked
        };
        let known = SWEEP.map(|mb| (size(mb), tried(size(mb))));
        let mut search = Search::new(known);
        let mut tries = 0;
        while let Some(size) = search.next() {
            search.learn(size, tried(size));
            tries += 1;
            prop_assert!(tries <= 7);
        }
        let found = search.smallest().unwrap().get();
        prop_assert!(found >= needed.max(128) && found <= needed.max(128) + 16, "{}", found);
    }

    #[test]
    fn a_size_that_fails_once_is_never_the_answer(
        tried in proptest::collection::vec((128_u32..1_000, 0_usize..3), 0..12),
    ) {
        let kinds = [Tried::Worked, Tried::RanOut, Tried::Unclear];
        let mut search = Search::new(tried.iter().map(|(mb, kind)| (size(*mb), kinds[*kind])));
        if let Some(smallest) = search.smallest() {
            for (mb, kind) in &tried {
                prop_assert!(*kind == 0 || *mb < smallest.get());
            }
        }
        // However it goes on, it comes to an end.
        for (number, (_, kind)) in tried.iter().cycle().enumerate().take(40) {
            let Some(size) = search.next() else { break };
            search.learn(size, kinds[*kind]);
            prop_assert!(number < 12);
        }
    }

    #[test]
    fn more_cpu_never_makes_an_extrapolated_size_slower(
        wait in 0.0_f64..500.0,
        cpu in 1.0_f64..500.0,
        threads in 1.0_f64..6.0,
    ) {
        let report = report(|mb| sample(mb, wait, cpu, threads), &[5_307, 10_240], true);
        let durations: Vec<_> = report
            .sizes
            .iter()
            .filter_map(|size| size.figures.as_ref())
            .map(|figures| figures.duration_p50_ms)
            .collect();
        prop_assert_eq!(durations.len(), 8);
        prop_assert!(durations.windows(2).all(|pair| pair[1] <= pair[0] + 1e-9), "{:?}", durations);
    }
}

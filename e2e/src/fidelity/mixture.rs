//! What all kinds of abuse at once leave behind, and that a neighbour keeps its
//! environment meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::thread::{self, ScopedJoinHandle, sleep};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::neighbours::{ATTACKS, hostile};
use crate::Lambent;
use crate::client::Client;
use crate::fixtures::{Error, Fixture};
use crate::leftovers::{self, Leftovers};
use crate::resources::Resources;
use crate::serve::Served;

/// Seconds for which each misbehaves.
const TIMEOUT_S: u32 = 3;

/// How much memory a service may gain between the first half and the second.
const GROWTH_KB: usize = 64 << 10;

/// How often the neighbour is invoked.
const INTERVAL: Duration = Duration::from_millis(20);

/// How much abuse.
#[derive(Debug, Clone, Copy)]
pub struct Mixture {
    /// Environments at once.
    environments: usize,
    /// How often each misbehaves.
    rounds: usize,
}

impl Mixture {
    /// Each kind in one environment, for a moment.
    pub const MOMENT: Self = Self {
        environments: ATTACKS.len(),
        rounds: 2,
    };

    /// Many environments, for a quarter of an hour.
    const FULL: Self = Self {
        environments: 64,
        rounds: 200,
    };
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    mixture: Mixture,
    /// How often the abuse had which end.
    ends: BTreeMap<String, usize>,
    /// Answers of the neighbour.
    answers: u64,
    /// The most that the service had in each half.
    halves: [Resources; 2],
    left: Leftovers,
}

impl Outcome {
    /// Whether the service has what it had, and nothing is left of it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        let [early, late] = self.halves;
        if late.resident_kb > early.resident_kb + GROWTH_KB {
            return Err("the service grows".to_owned());
        }
        if self.ends.contains_key("answered") {
            return Err("something that misbehaves was through".to_owned());
        }
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(format!("left behind: {:#?}", self.left))
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mixture {
            environments,
            rounds,
        } = self.mixture;
        writeln!(
            formatter,
            "{} kinds of abuse in {environments} environments at once, {rounds} times each; a \
             neighbour of the same service answered {} times",
            ATTACKS.len(),
            self.answers
        )?;
        for (end, count) in &self.ends {
            writeln!(formatter, "| {end} | {count} |")?;
        }
        let [early, late] = self.halves;
        writeln!(
            formatter,
            "the service, first and second half: {early:?}, {late:?}"
        )
    }
}

/// Lets functions misbehave in one service, and invokes another one beside them.
///
/// # Errors
/// The neighbour has lost its environment, or something could not be run.
pub fn run(mixture: Mixture) -> Result<Outcome, Error> {
    let lambent = Lambent::new();
    // None has so much in fact: they are killed first.
    let served = Served::start(&lambent, &["--memory-limit", "100000"]);
    let services = leftovers::services(lambent.root());
    let client = Client::new(&served.url());
    let settings = json!({"MemorySize": 1_769, "Timeout": 60});
    client.create("neighbour", &Fixture::RustOciArchive, settings)?;
    for (number, (_, code)) in ATTACKS.iter().enumerate() {
        let settings = hostile(code, TIMEOUT_S);
        client.create(&name(number), &Fixture::PythonOciArchive, settings)?;
    }
    let mut answers = 0;
    let mut samples = vec![];
    let url = served.url();
    let ends = thread::scope(|scope| {
        let abuses: Vec<_> = (0..mixture.environments)
            .map(|number| {
                let url = &url;
                scope.spawn(move || misbehave(url, number % ATTACKS.len(), mixture.rounds))
            })
            .collect();
        let mut last = false;
        while !last {
            last = abuses.iter().all(ScopedJoinHandle::is_finished);
            answers += 1;
            let answer = client.invoke("neighbour", &json!({"action": "counter"}))?;
            if answer.payload["count"] != answers {
                return Err(format!("answer {answers}: {}", answer.payload).into());
            }
            samples.push(Resources::of(served.pid()));
            sleep(INTERVAL);
        }
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        for abuse in abuses {
            for end in abuse.join().map_err(|_| "a client panicked")?? {
                *ends.entry(end).or_default() += 1;
            }
        }
        Ok::<_, Error>(ends)
    })?;
    served.end(Signal::TERM);
    let (early, late) = samples.split_at(samples.len() / 2);
    let most = |half: &[Resources]| {
        let all = half.iter().copied();
        all.fold(Resources::default(), Resources::max)
    };
    Ok(Outcome {
        mixture,
        ends,
        answers,
        halves: [most(early), most(late)],
        left: Leftovers::of(lambent.root(), &services),
    })
}

fn name(number: usize) -> String {
    format!("abuse-{number}")
}

/// Invokes a function that misbehaves, and returns how each invocation ended.
fn misbehave(url: &str, number: usize, rounds: usize) -> Result<Vec<String>, Error> {
    let client = Client::new(url);
    let invoke = |_| {
        let answer = client.invoke(&name(number), &json!({}))?;
        let end = answer.payload["errorType"].as_str();
        Ok(end.unwrap_or("answered").to_owned())
    };
    (0..rounds).map(invoke).collect()
}

/// The outcome of much of it. What is wrong in the end is an error.
pub(super) fn table() -> Result<String, Error> {
    let outcome = run(Mixture::FULL)?;
    match outcome.check() {
        Ok(()) => Ok(outcome.to_string()),
        Err(error) => Err(format!("{outcome}{error}").into()),
    }
}

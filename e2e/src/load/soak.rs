//! A long time: many invocations, and what the service holds meanwhile.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Lambent;
use crate::client::Client;
use crate::fixtures::{Error, Fixture};
use crate::leftovers;
use crate::resources::Resources;
use crate::serve::Served;

/// Invocations of the bench.
pub const FULL: u64 = 100_000;

/// Invocations of a test.
pub const MOMENT: u64 = 3_000;

/// Connections, each with one request at a time.
const CONNECTIONS: u64 = 8;

/// Samples of a run.
const SAMPLES: u64 = 20;

/// How much more memory the second half of the samples may show than the second
/// quarter: allocators are not exact, and the log that is kept of a function fills up.
const GROWTH_KB: usize = 4_096;

/// The service and its launcher at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Invocations so far.
    pub invocations: u64,
    /// What the service holds.
    pub service: Resources,
    /// What its launcher holds.
    pub launcher: Resources,
}

/// Whose resources of a sample.
type Holder = fn(&Sample) -> Resources;

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// In their order.
    pub samples: Vec<Sample>,
    /// Invocations that were answered rightly.
    pub answered: u64,
    /// Different request IDs among the answers.
    pub unique: u64,
    seconds: f64,
}

/// Runs it.
///
/// # Errors
/// An answer was wrong, or none came.
pub fn run(invocations: u64) -> Result<Outcome, Error> {
    let lambent = Lambent::new();
    let image = Fixture::RustOciArchive.reference();
    let served = Served::start(&lambent, &[&image, "--name", "f", "--memory", "512"]);
    let launcher = leftovers::children(served.pid());
    let launcher = *launcher.first().ok_or("there is no launcher")?;
    let (begun, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let url = served.url();
    let started = Instant::now();
    let (ids, samples) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| work(&url, invocations, &begun, &done)))
            .collect();
        let mut samples = vec![];
        while workers.iter().any(|worker| !worker.is_finished()) {
            let now = done.load(Ordering::Relaxed);
            let next = (samples.len() as u64 + 1) * invocations / SAMPLES;
            if now >= next {
                samples.push(Sample {
                    invocations: now,
                    service: Resources::of(served.pid()),
                    launcher: Resources::of(launcher),
                });
            }
            sleep(Duration::from_millis(5));
        }
        let mut ids = vec![];
        for worker in workers {
            ids.extend(worker.join().map_err(|_| "a client panicked")??);
        }
        Ok::<_, Error>((ids, samples))
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let different: HashSet<&String> = ids.iter().collect();
    Ok(Outcome {
        samples,
        answered: ids.len() as u64,
        unique: different.len() as u64,
        seconds,
    })
}

/// Invokes until there are enough invocations. The request IDs.
fn work(
    url: &str,
    invocations: u64,
    begun: &AtomicU64,
    done: &AtomicU64,
) -> Result<Vec<String>, Error> {
    let client = Client::new(url);
    let mut ids = vec![];
    loop {
        let number = begun.fetch_add(1, Ordering::Relaxed);
        if number >= invocations {
            return Ok(ids);
        }
        let event = json!({"action": "echo", "token": number});
        let answer = client.invoke("f", &event)?;
        if answer.payload["event"]["token"] != number {
            return Err(format!("invocation {number} was answered with {answer:?}").into());
        }
        ids.push(answer.request_id);
        done.fetch_add(1, Ordering::Relaxed);
    }
}

impl Outcome {
    /// Whether all were answered, and nothing grew.
    ///
    /// # Errors
    /// The first promise that was broken.
    pub fn check(&self) -> Result<(), Error> {
        if self.unique != self.answered {
            let (answered, unique) = (self.answered, self.unique);
            return Err(format!("{answered} answers have {unique} request IDs").into());
        }
        let highest = |samples: &[Sample], of: Holder| {
            let all = samples.iter().map(of);
            all.fold(Resources::default(), Resources::max)
        };
        let (quarter, half) = (self.samples.len() / 4, self.samples.len() / 2);
        if quarter == 0 {
            return Err("too few samples".into());
        }
        let (early, late) = (&self.samples[quarter..half], &self.samples[half..]);
        let parts: [(&str, Holder); 2] = [
            ("service", |sample| sample.service),
            ("launcher", |sample| sample.launcher),
        ];
        for (name, of) in parts {
            let (before, after) = (highest(early, of), highest(late, of));
            if after.descriptors > before.descriptors {
                return Err(format!("the {name}'s descriptors grow: {before:?}, {after:?}").into());
            }
            if after.resident_kb > before.resident_kb + GROWTH_KB {
                return Err(format!("the {name}'s memory grows: {before:?}, {after:?}").into());
            }
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = self.answered as f64 / self.seconds;
        writeln!(
            formatter,
            "{} invocations over {CONNECTIONS} connections in {:.0} s, {rate:.0} a second; \
             different request IDs: {}",
            self.answered, self.seconds, self.unique
        )?;
        writeln!(
            formatter,
            "| invocations | service: memory | descriptors | launcher: memory | descriptors |"
        )?;
        let last = self.samples.len().saturating_sub(1);
        for (number, sample) in self.samples.iter().enumerate() {
            if number % 4 == 0 || number == last {
                writeln!(
                    formatter,
                    "| {} | {} KB | {} | {} KB | {} |",
                    sample.invocations,
                    sample.service.resident_kb,
                    sample.service.descriptors,
                    sample.launcher.resident_kb,
                    sample.launcher.descriptors,
                )?;
            }
        }
        Ok(())
    }
}

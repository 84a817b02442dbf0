//! Warm throughput: clients that invoke as fast as they can.

use std::time::{Duration, Instant};

use super::super::Scene;
use super::super::endpoint::Endpoint;
use super::super::figures::Results;
use super::super::peers::bundle::Bundle;
use super::super::peers::emulator::{self, Emulator};
use super::super::promises::{EMULATOR, LAMBENT, THROUGHPUT};
use super::super::service::{self, Service};
use super::FULL_CPU_MB;
use crate::fixtures::{Error, Fixture};

const ROUNDS: usize = 5;
const ENVIRONMENTS: usize = 8;
const TURN: Duration = Duration::from_secs(2);
const SMOKE_TURN: Duration = Duration::from_millis(200);
const EVENT: &str = r#"{"action":"echo"}"#;
/// The function whose clients take 8 environments: each invocation lasts until all run.
const TOGETHER: &str = r#"{"action":"sleep","ms":300}"#;

pub(in super::super) fn run(scene: &Scene, results: &mut Results) -> Result<(), Error> {
    let rounds = scene.options.rounds(ROUNDS);
    let turn = if scene.options.smoke {
        SMOKE_TURN
    } else {
        TURN
    };
    let mut service = Service::start()?;
    let image = Fixture::RustOciArchive.reference();
    service.create("warm", &image, FULL_CPU_MB)?;
    let mut own = connections(ENVIRONMENTS, || Endpoint::connect(service.address()))?;
    // So many at once need so many environments, which are warm from then on.
    at_once(&mut own, |endpoint| {
        service::invoke(endpoint, "warm", TOGETHER)?
            .json()
            .map(drop)
    })?;
    let bundles = scene.emulator(results).map(|program| {
        let unpack = |number| {
            let name = format!("throughput-{number}");
            let bundle = Bundle::unpack(service.lambent(), &image, scene.work(), &name)?;
            let words = bundle.words()?;
            emulator::install(program, &bundle)?;
            Emulator::start(&bundle, &words, &scene.work().join("state"), &name)
        };
        (0..ENVIRONMENTS).map(unpack).collect::<Result<Vec<_>, _>>()
    });
    let emulators = bundles.transpose()?.unwrap_or_default();
    let mut others = emulators
        .iter()
        .map(Emulator::connect)
        .collect::<Result<Vec<_>, _>>()?;
    at_once(&mut others, |endpoint| {
        emulator::invoke(endpoint, EVENT).map(drop)
    })?;
    for _ in 0..rounds {
        let rate = rate(&mut own, turn, |endpoint| {
            service::invoke(endpoint, "warm", EVENT)?.json().map(drop)
        })?;
        results.add(THROUGHPUT, LAMBENT, rate);
        for (of, count) in [(EMULATOR, 1), ("8 of RIE in runc", ENVIRONMENTS)] {
            if let Some(others) = others.get_mut(..count) {
                let rate = self::rate(others, turn, |endpoint| {
                    emulator::invoke(endpoint, EVENT).map(drop)
                })?;
                results.add(THROUGHPUT, of, rate);
            }
        }
    }
    Ok(())
}

fn connections(
    count: usize,
    connect: impl Fn() -> Result<Endpoint, Error>,
) -> Result<Vec<Endpoint>, Error> {
    (0..count).map(|_| connect()).collect()
}

/// Answers a second of clients that invoke as fast as they can, each on a thread.
fn rate(
    endpoints: &mut [Endpoint],
    turn: Duration,
    invoke: impl Fn(&mut Endpoint) -> Result<(), Error> + Sync,
) -> Result<f64, Error> {
    let started = Instant::now();
    let counts = at_once(endpoints, |endpoint| {
        let mut count = 0_u32;
        while started.elapsed() < turn {
            invoke(endpoint)?;
            count += 1;
        }
        Ok(count)
    })?;
    let answered: u32 = counts.into_iter().sum();
    Ok(f64::from(answered) / started.elapsed().as_secs_f64())
}

/// Does something on all connections, each on a thread.
fn at_once<T: Send>(
    endpoints: &mut [Endpoint],
    work: impl Fn(&mut Endpoint) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = endpoints
            .iter_mut()
            .map(|endpoint| scope.spawn(|| work(endpoint)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a client panicked")?)
            .collect()
    })
}

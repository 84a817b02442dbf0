//! Cold starts at once.

use std::sync::Barrier;
use std::thread::sleep;

use super::super::Scene;
use super::super::clock::{milliseconds, now_ns};
use super::super::endpoint::Endpoint;
use super::super::figures::Results;
use super::super::host::QUIET;
use super::super::images::Files;
use super::super::peers::bundle::Bundle;
use super::super::peers::oci;
use super::super::promises::{BURST, LAMBENT};
use super::super::service::{self, Service};
use super::{LEAST_MB, started_ns};
use crate::fixtures::Error;

const ROUNDS: usize = 5;
const STARTS: usize = 200;
const SMOKE_STARTS: usize = 4;
/// Runs of a peer for each round, one after the other.
const LOOP: usize = 20;

pub(in super::super) fn run(scene: &Scene, results: &mut Results) -> Result<(), Error> {
    let rounds = scene.options.rounds(ROUNDS);
    let mut service = Service::start()?;
    let wanted = if scene.options.smoke {
        SMOKE_STARTS
    } else {
        STARTS
    };
    let count = service.room(wanted)?;
    if count < wanted {
        results.remark(format!(
            "{count} starts at once instead of {wanted}: the service admits no more of 128 MB"
        ));
    }
    let image = Files::reference(&scene.files.small);
    let runc = oci::ALL[0];
    let bundle = if scene.options.alone {
        None
    } else if runc.is_there() {
        Some(Bundle::unpack(
            service.lambent(),
            &image,
            scene.work(),
            "burst",
        )?)
    } else {
        results.remark("runc is not installed".to_owned());
        None
    };
    for _ in 0..rounds {
        results.add(BURST, LAMBENT, burst(&mut service, &image, count)?);
        if let Some(bundle) = &bundle {
            let started = now_ns();
            for _ in 0..LOOP {
                runc.run(bundle.directory(), &scene.work().join("state"), "burst")?;
            }
            results.add(BURST, "runc run, in a loop", rate(LOOP, started, now_ns()));
        }
    }
    Ok(())
}

/// Invokes as many new functions at once. Answers a second.
fn burst(service: &mut Service, image: &str, count: usize) -> Result<f64, Error> {
    let names: Vec<String> = (0..count).map(|number| format!("burst-{number}")).collect();
    for name in &names {
        service.create(name, image, LEAST_MB)?;
    }
    sleep(QUIET);
    let address = service.address();
    let gate = Barrier::new(count);
    let answers = std::thread::scope(|scope| {
        let clients: Vec<_> = names
            .iter()
            .map(|name| {
                let gate = &gate;
                scope.spawn(move || {
                    let endpoint = Endpoint::connect(address);
                    // Also without a connection: others wait for this one.
                    gate.wait();
                    service::invoke(&mut endpoint?, name, "{}")
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().map_err(|_| "a client panicked")?)
            .collect::<Result<Vec<_>, Error>>()
    })?;
    for name in &names {
        service.delete(name)?;
    }
    for answer in &answers {
        started_ns(answer)?;
    }
    let first = answers.iter().map(|answer| answer.sent_ns).min();
    let last = answers.iter().map(|answer| answer.answered_ns).max();
    match (first, last) {
        (Some(first), Some(last)) => Ok(rate(count, first, last)),
        _ => Err("no room for a single environment".into()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "hundreds")]
fn rate(count: usize, from_ns: i64, to_ns: i64) -> f64 {
    count as f64 * 1_000.0 / milliseconds(from_ns, to_ns)
}

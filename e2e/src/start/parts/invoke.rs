//! Cold invoke: from the client to the answer of a function on AWS's client for Rust.

use std::thread::sleep;

use super::super::Scene;
use super::super::clock::milliseconds;
use super::super::endpoint::Answer;
use super::super::figures::Results;
use super::super::host::QUIET;
use super::super::peers::bundle::Bundle;
use super::super::peers::emulator::{self, Emulator};
use super::super::promises::{EMULATOR, INVOKE, LAMBENT};
use super::super::service::Service;
use super::FULL_CPU_MB;
use crate::fixtures::{Error, Fixture};

const ROUNDS: usize = 50;
/// What the function counts are the invocations of its process.
const EVENT: &str = r#"{"action":"counter"}"#;

pub(in super::super) fn run(scene: &Scene, results: &mut Results) -> Result<(), Error> {
    let rounds = scene.options.rounds(ROUNDS);
    let mut service = Service::start()?;
    let image = Fixture::RustOciArchive.reference();
    start(&mut service, &image)?;
    let bundle = scene.emulator(results).map(|program| {
        let bundle = Bundle::unpack(service.lambent(), &image, scene.work(), "invoke")?;
        emulator::install(program, &bundle)?;
        let words = bundle.words()?;
        Ok::<_, Error>((bundle, words))
    });
    let bundle = bundle.transpose()?;
    for round in 0..rounds {
        results.add(INVOKE, LAMBENT, start(&mut service, &image)?);
        if let Some((bundle, words)) = &bundle {
            sleep(QUIET);
            let state = scene.work().join("state");
            let emulator = Emulator::start(bundle, words, &state, &format!("invoke-{round}"))?;
            let answer = emulator::invoke(&mut emulator.connect()?, EVENT)?;
            check(&answer)?;
            let took = milliseconds(emulator.started_ns(), answer.answered_ns);
            results.add(INVOKE, EMULATOR, took);
        }
    }
    Ok(())
}

/// The cold invoke of a new function, after a moment of quiet.
pub(super) fn start(service: &mut Service, image: &str) -> Result<f64, Error> {
    service.create("cold", image, FULL_CPU_MB)?;
    sleep(QUIET);
    let answer = service.invoke("cold", EVENT)?;
    service.delete("cold")?;
    check(&answer)?;
    Ok(milliseconds(answer.sent_ns, answer.answered_ns))
}

fn check(answer: &Answer) -> Result<(), Error> {
    let said = answer.json()?;
    if said["count"] == 1 {
        return Ok(());
    }
    Err(format!("{said} is not from a cold start").into())
}

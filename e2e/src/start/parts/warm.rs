//! Warm invokes of one client, of Rust and of Python.

use std::thread::sleep;
use std::time::Duration;

use super::super::Scene;
use super::super::clock::milliseconds;
use super::super::endpoint::{Answer, Endpoint};
use super::super::figures::{Figure, Results};
use super::super::peers::bundle::Bundle;
use super::super::peers::echo::Echo;
use super::super::peers::emulator::{self, Emulator};
use super::super::promises::{EMULATOR, LAMBENT, PYTHON, PYTHON_FROZEN, WARM, WARM_FROZEN};
use super::super::service::{self, Service};
use super::FULL_CPU_MB;
use crate::fixtures::{Error, Fixture};

const ROUNDS: usize = 20;
/// Invocations of each kind for each round.
const TURN: usize = 100;
/// Long enough for an environment to be frozen.
const PAUSE: Duration = Duration::from_millis(5);
const EVENT: &str = r#"{"action":"echo"}"#;

pub(in super::super) fn rust(scene: &Scene, results: &mut Results) -> Result<(), Error> {
    let image = Fixture::RustOciArchive.reference();
    let echo = Echo::start()?;
    let mut peer = (!scene.options.alone)
        .then(|| Endpoint::connect(echo.address()))
        .transpose()?;
    measure(
        scene,
        results,
        ("warm", &image),
        (WARM, WARM_FROZEN),
        |results| {
            let Some(peer) = &mut peer else {
                return Ok(());
            };
            turns(results, WARM, WARM_FROZEN, "hyper, bare echo", || {
                peer.ask("POST", "/", EVENT)
            })
        },
    )
}

pub(in super::super) fn python(scene: &Scene, results: &mut Results) -> Result<(), Error> {
    let image = Fixture::PythonOciArchive.reference();
    let nobody_else = |_: &mut Results| Ok(());
    let figures = (PYTHON, PYTHON_FROZEN);
    measure(scene, results, ("python", &image), figures, nobody_else)
}

fn measure(
    scene: &Scene,
    results: &mut Results,
    (name, image): (&str, &str),
    (busy, frozen): (Figure, Figure),
    mut others: impl FnMut(&mut Results) -> Result<(), Error>,
) -> Result<(), Error> {
    let rounds = scene.options.rounds(ROUNDS);
    let mut service = Service::start()?;
    service.create("warm", image, FULL_CPU_MB)?;
    service.invoke("warm", EVENT)?.json()?;
    let peer = scene.emulator(results).map(|program| {
        let bundle = Bundle::unpack(service.lambent(), image, scene.work(), name)?;
        let words = bundle.words()?;
        emulator::install(program, &bundle)?;
        Emulator::start(&bundle, &words, &scene.work().join("state"), "warm")
    });
    let peer = peer.transpose()?;
    let mut connection = peer.as_ref().map(Emulator::connect).transpose()?;
    if let Some(connection) = &mut connection {
        emulator::invoke(connection, EVENT)?;
    }
    let mut own = Endpoint::connect(service.address())?;
    for _ in 0..rounds {
        turns(results, busy, frozen, LAMBENT, || {
            service::invoke(&mut own, "warm", EVENT)
        })?;
        if let Some(connection) = &mut connection {
            turns(results, busy, frozen, EMULATOR, || {
                emulator::invoke(connection, EVENT)
            })?;
        }
        others(results)?;
    }
    Ok(())
}

/// A turn of each kind.
fn turns(
    results: &mut Results,
    busy: Figure,
    frozen: Figure,
    of: &str,
    mut invoke: impl FnMut() -> Result<Answer, Error>,
) -> Result<(), Error> {
    for (figure, pause) in [(busy, Duration::ZERO), (frozen, PAUSE)] {
        for _ in 0..TURN {
            if !pause.is_zero() {
                sleep(pause);
            }
            let answer = invoke()?;
            answer.json()?;
            results.add(figure, of, milliseconds(answer.sent_ns, answer.answered_ns));
        }
    }
    Ok(())
}

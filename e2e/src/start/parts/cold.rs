//! Cold start: from the request to the first instruction of the entry point.

use std::thread::sleep;

use super::super::Scene;
use super::super::clock::milliseconds;
use super::super::figures::{Figure, Results};
use super::super::host::QUIET;
use super::super::images::Files;
use super::super::peers::bundle::Bundle;
use super::super::peers::{floor, oci};
use super::super::promises::{COLD, COLD_BUSY, COLD_LARGE, LAMBENT};
use super::super::service::Service;
use super::{LEAST_MB, started_ns};
use crate::fixtures::Error;

const ROUNDS: usize = 50;
/// Starts one after the other, for each round.
const BUSY: usize = 4;

pub(in super::super) fn run(scene: &Scene, results: &mut Results) -> Result<(), Error> {
    let rounds = scene.options.rounds(ROUNDS);
    let mut service = Service::start()?;
    let [small, large] =
        [&scene.files.small, &scene.files.large].map(|file| Files::reference(file));
    results.remark(match scene.files.large_gb {
        0 => "the large image is the small one again".to_owned(),
        1 => "the large image has 1 GB; SIZE=large has one of 10 GB".to_owned(),
        size => format!("the large image has {size} GB"),
    });
    // Both in the store, and each started once.
    for image in [&small, &large] {
        start(&mut service, image)?;
    }
    let peers = Peers::new(scene, &service, &small, results)?;
    for round in 0..rounds {
        add(results, COLD, start(&mut service, &small)?);
        add(results, COLD_LARGE, start(&mut service, &large)?);
        for took in start_several(&mut service, &small)? {
            add(results, COLD_BUSY, took);
        }
        if let Some(peers) = &peers {
            peers.run(round, results)?;
        }
    }
    Ok(())
}

fn add(results: &mut Results, figure: Figure, took: f64) {
    results.add(figure, LAMBENT, took);
}

/// The cold start of a new function, after a moment of quiet.
fn start(service: &mut Service, image: &str) -> Result<f64, Error> {
    service.create("cold", image, LEAST_MB)?;
    sleep(QUIET);
    let answer = service.invoke("cold", "{}")?;
    service.delete("cold")?;
    Ok(milliseconds(answer.sent_ns, started_ns(&answer)?))
}

/// The cold starts of some new functions, one after the other.
fn start_several(service: &mut Service, image: &str) -> Result<Vec<f64>, Error> {
    let names: Vec<String> = (0..BUSY).map(|number| format!("busy-{number}")).collect();
    for name in &names {
        service.create(name, image, LEAST_MB)?;
    }
    sleep(QUIET);
    let mut answers = vec![];
    for name in &names {
        answers.push(service.invoke(name, "{}")?);
    }
    for name in &names {
        service.delete(name)?;
    }
    answers
        .iter()
        .map(|answer| Ok(milliseconds(answer.sent_ns, started_ns(answer)?)))
        .collect()
}

/// What starts the same program by other means.
struct Peers<'a> {
    scene: &'a Scene,
    bundle: Bundle,
    runtimes: Vec<oci::OciRuntime>,
}

impl<'a> Peers<'a> {
    /// Those that are there; a remark for each other one.
    fn new(
        scene: &'a Scene,
        service: &Service,
        image: &str,
        results: &mut Results,
    ) -> Result<Option<Self>, Error> {
        if scene.options.alone {
            return Ok(None);
        }
        let bundle = Bundle::unpack(service.lambent(), image, scene.work(), "cold")?;
        let mut runtimes = vec![];
        for runtime in oci::ALL {
            if !runtime.is_there() {
                results.remark(format!("{} is not installed", runtime.program));
                continue;
            }
            // What it refuses here is told, and is no reason to give up.
            match runtime.run(bundle.directory(), &scene.work().join("state"), "first") {
                Ok(_) => runtimes.push(runtime),
                Err(error) => results.remark(format!("{} fails here: {error}", runtime.program)),
            }
        }
        Ok(Some(Self {
            scene,
            bundle,
            runtimes,
        }))
    }

    fn run(&self, round: usize, results: &mut Results) -> Result<(), Error> {
        for runtime in &self.runtimes {
            sleep(QUIET);
            let id = format!("cold-{round}");
            let state = self.scene.work().join("state");
            let run = runtime.run(self.bundle.directory(), &state, &id)?;
            let took = milliseconds(run.asked, run.first_instruction);
            results.add(COLD, runtime.name, took);
            let whole = milliseconds(run.asked, run.ended);
            results.add(COLD, &format!("{}, to its end", runtime.name), whole);
        }
        let run = floor::run(&self.scene.files.stopwatch, &self.bundle.rootfs())?;
        let took = milliseconds(run.asked, run.first_instruction);
        results.add(COLD, "floor (system calls alone)", took);
        Ok(())
    }
}

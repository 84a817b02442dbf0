//! The whole process of `lambent invoke`, with the image in the store.

use std::thread::sleep;

use super::super::Scene;
use super::super::clock::{milliseconds, now_ns};
use super::super::figures::Results;
use super::super::host::QUIET;
use super::super::peers::podman::Podman;
use super::super::promises::{COLD_INVOKE, COMMAND, LAMBENT};
use super::super::service::Service;
use super::{FULL_CPU_MB, invoke};
use crate::Lambent;
use crate::fixtures::{Error, Fixture};

const ROUNDS: usize = 40;

pub(in super::super) fn run(scene: &Scene, results: &mut Results) -> Result<(), Error> {
    let rounds = scene.options.rounds(ROUNDS);
    let image = Fixture::RustOciArchive.reference();
    let mut service = Service::start()?;
    invoke::start(&mut service, &image)?;
    // An installation of its own: nothing else runs in it.
    let lambent = Lambent::new();
    let loaded = lambent.run(["image", "load", &image, "--name", "stored"]);
    if loaded.status != 0 {
        return Err(format!("lambent image load: {loaded:?}").into());
    }
    command(&lambent)?;
    let podman = podman(scene, results)?;
    for _ in 0..rounds {
        sleep(QUIET);
        results.add(COMMAND, LAMBENT, command(&lambent)?);
        results.add(COMMAND, COLD_INVOKE, invoke::start(&mut service, &image)?);
        if let Some(podman) = &podman {
            sleep(QUIET);
            let run = podman.run()?;
            let took = milliseconds(run.asked, run.ended);
            results.add(COMMAND, "podman run, of a program that ends", took);
        }
    }
    Ok(())
}

fn command(lambent: &Lambent) -> Result<f64, Error> {
    let memory = FULL_CPU_MB.to_string();
    let mut command = lambent.command(["invoke", "stored", "--memory", &memory]);
    command.args(["--payload", r#"{"action":"counter"}"#]);
    let started = now_ns();
    let output = command.output()?;
    let took = milliseconds(started, now_ns());
    if output.status.success() && output.stdout.starts_with(br#"{"count":1}"#) {
        return Ok(took);
    }
    Err(format!("lambent invoke: {output:?}").into())
}

/// podman with the image, if it works here; else a remark.
pub(super) fn podman(scene: &Scene, results: &mut Results) -> Result<Option<Podman>, Error> {
    if scene.options.alone {
        return Ok(None);
    }
    if !Podman::is_there() {
        results.remark("podman, conmon or runc is not installed".to_owned());
        return Ok(None);
    }
    let podman = Podman::load(scene.work(), &scene.files.docker)?;
    match podman.run() {
        Ok(_) => Ok(Some(podman)),
        Err(error) => {
            results.remark(format!("podman run fails here: {error}"));
            Ok(None)
        }
    }
}

//! `lambent soak`: invoke a function again and again, and say what it leaks.

mod run;

use super::args::Soak;
use super::event_input::event;
use super::exit_status::{CommandError, ExitStatus};
use super::strict::refuse_unenforced;
use super::{extra_layers, measured, output};
use crate::soak::{Limits, Report, Subject};
use crate::state::StateDirectories;

pub(super) async fn run(
    command: Soak,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let measurement = &command.measurement;
    measured::check(measurement)?;
    let every = command.every();
    let strict = command.function.other.strict;
    let layers = command.function.other.layer.clone();
    extra_layers::check(&layers, strict)?;
    let function = command.function.configuration()?;
    let payload = event(measurement.event.as_deref(), measurement.payload.clone())?;
    if strict {
        refuse_unenforced(&directories, &function)?;
    }
    let plan = run::Plan {
        environments: command.environments,
        invocations: command.invocations.into(),
        every,
        seed: measurement.seed,
    };
    let image = command.image.to_string();
    let quiet = command.choice.quiet;
    let soaked = measured::with_function(
        directories,
        command.image,
        &command.choice,
        &layers,
        async |service, code| {
            let digest = code.image.image.manifest_digest.to_string();
            let soaked = run::soak(service, code, &plan, &function, payload, quiet);
            Ok((digest, soaked.await?))
        },
    );
    let (digest, soaked) = soaked.await?;
    if soaked.samples.is_empty() {
        let failure = soaked.failure.ok_or(CommandError::Interrupted)?;
        output::diagnostic(&format!(
            "the function failed {failure} (`--payload` and `--event` choose what it gets)"
        ));
        return Ok(ExitStatus::FunctionError);
    }
    let interrupted = soaked.interrupted;
    let subject = Subject {
        image,
        digest,
        environments: plan.environments,
        invocations: plan.invocations,
        done: soaked.done,
        limits: Limits {
            memory_size: function.memory_size,
            tmp: function.ephemeral_storage,
            timeout: function.timeout,
        },
        horizon: command.horizon.into(),
        seed: plan.seed,
        interrupted,
        failure: soaked.failure,
    };
    let report = Report::new(subject, soaked.samples, soaked.last);
    // Files first: whoever reads standard output may close it.
    measured::write(measurement, &report.charts(), || report.html())?;
    measured::print(
        measurement.output,
        || report.json(),
        || report.csv(),
        || (report.rows(), report.sentences()),
    )?;
    if interrupted {
        return Err(CommandError::Interrupted);
    }
    Ok(if report.fails() {
        ExitStatus::FunctionError
    } else {
        ExitStatus::Success
    })
}

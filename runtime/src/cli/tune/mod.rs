//! `lambent tune`: measure a function at each memory size, and say which to choose.

mod host;
mod sweep;

use super::args::Tune;
use super::event_input::event;
use super::exit_status::{CommandError, ExitStatus};
use super::strict::refuse_unenforced;
use super::{extra_layers, measured};
use crate::model::MemorySize;
use crate::service::region;
use crate::state::StateDirectories;
use crate::tune::{Plan, Price, Report, Sizes, Subject};

pub(super) async fn run(
    command: Tune,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let measurement = &command.measurement;
    measured::check(measurement)?;
    let host_cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let sizes = Sizes::choose(&command.sizes(), host_cpus);
    let Some(largest) = sizes.measured.last().copied() else {
        return Err(CommandError::Usage(format!(
            "none of the sizes can be measured here: this host has {host_cpus} CPUs, which are \
             enough for {} MB",
            largest_size(host_cpus)
        )));
    };
    let strict = command.function.strict;
    let layers = command.function.layer.clone();
    extra_layers::check(&layers, strict)?;
    let function = command.function.configuration(largest)?;
    let platform = command.choice.platform();
    let price = Price::find(
        &command.region.unwrap_or_else(region),
        &platform.architecture,
        function.ephemeral_storage,
        &command.price,
    )
    .map_err(CommandError::Usage)?;
    let payload = event(measurement.event.as_deref(), measurement.payload.clone())?;
    if strict {
        refuse_unenforced(&directories, &function)?;
    }
    let plan = Plan {
        sizes: sizes.measured,
        rounds: command.rounds,
        warm: command.warm,
        seed: measurement.seed,
    };
    let name = command.image.to_string();
    let choice = &command.choice;
    let tmp_mb = function.ephemeral_storage;
    let swept = measured::with_function(
        directories,
        command.image,
        choice,
        &layers,
        async |service, code| {
            let digest = code.image.image.manifest_digest.to_string();
            let swept = sweep::sweep(service, code, &plan, &function, payload, choice.quiet);
            Ok((digest, swept.await?))
        },
    );
    let (digest, swept) = swept.await?;
    if swept.samples.is_empty() {
        return Err(CommandError::Interrupted);
    }
    let interrupted = swept.interrupted;
    let subject = Subject {
        image: name,
        digest,
        seed: plan.seed,
        rounds: plan.rounds,
        warm: plan.warm,
        host_cpus,
        host_busy_share: swept.host_busy_share,
        tmp_mb,
        interrupted,
    };
    let report = Report::new(
        subject,
        price,
        swept.samples,
        swept.search,
        sizes.beyond,
        command.extrapolate,
    );
    // Files first: whoever reads standard output may close it.
    measured::write(measurement, &[(String::new(), report.chart())], || {
        report.html()
    })?;
    measured::print(
        measurement.output,
        || report.json(),
        || report.csv(),
        || (report.rows(), report.sentences()),
    )?;
    match report.verdict {
        _ if interrupted => Err(CommandError::Interrupted),
        Some(_) => Ok(ExitStatus::Success),
        None => Ok(ExitStatus::FunctionError),
    }
}

/// The largest size whose CPU a host has.
fn largest_size(cpus: usize) -> MemorySize {
    let all = MemorySize::MIN.get()..=MemorySize::MAX.get();
    let sizes = all.rev().filter_map(|size| MemorySize::new(size).ok());
    let cpus = crate::statistics::number(cpus as u64);
    sizes
        .into_iter()
        .find(|size| size.vcpus() <= cpus)
        .unwrap_or(MemorySize::MIN)
}

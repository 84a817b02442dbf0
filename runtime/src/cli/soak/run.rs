//! The measurement: environments invoked in turn, and looked at while they are frozen.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;

use super::super::exit_status::CommandError;
use super::super::measured::{MeasuringProgress, message, until_interrupted, unusable};
use super::super::sink::Quiet;
use crate::environment::{Footprint, Invocation};
use crate::model::{FunctionConfiguration, InitializationType};
use crate::service::{FunctionEnvironment, PreparedCode, Service};
use crate::soak::{Held, Sample};
use crate::statistics::Generator;

/// How much is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) environments: u32,
    /// In each.
    pub(super) invocations: u64,
    /// Invocations between two looks at an environment.
    pub(super) every: u64,
    pub(super) seed: u64,
}

/// What was seen until the end, a failure, or ctrl-C.
#[derive(Debug, Default)]
pub(super) struct Soaked {
    pub(super) samples: Vec<Sample>,
    /// What the first environment held after the last two invocations.
    pub(super) last: Option<(Held, Held)>,
    /// Invocations of every environment.
    pub(super) done: u64,
    pub(super) failure: Option<String>,
    pub(super) interrupted: bool,
}

/// Invokes until all is done.
pub(super) async fn soak(
    service: &Service,
    code: Arc<PreparedCode>,
    plan: &Plan,
    function: &FunctionConfiguration,
    payload: Bytes,
    quiet: bool,
) -> Result<Soaked, CommandError> {
    let progress = MeasuringProgress::new(plan.invocations, quiet);
    let mut environments = vec![];
    for number in 0..plan.environments {
        let (code, function) = (Arc::clone(&code), function.clone());
        let on_demand = InitializationType::OnDemand;
        let started = service.environment(code, function, on_demand, Arc::new(Quiet))?;
        environments.push((number, started));
    }
    let soaked = RefCell::new(Soaked::default());
    let running = invoke_all(&environments, plan, payload, &progress, &soaked);
    let interrupted = until_interrupted(&progress, running).await?;
    for (_, started) in environments {
        started.environment.shutdown().await;
    }
    let soaked = soaked.into_inner();
    Ok(Soaked {
        interrupted,
        ..soaked
    })
}

async fn invoke_all(
    environments: &[(u32, FunctionEnvironment)],
    plan: &Plan,
    payload: Bytes,
    progress: &MeasuringProgress,
    soaked: &RefCell<Soaked>,
) -> Result<(), CommandError> {
    let mut generator = Generator::new(plan.seed);
    let mut order: Vec<_> = environments.iter().collect();
    // What the first environment held after the invocation before.
    let mut before = None;
    for invocation in 1..=plan.invocations {
        generator.shuffle(&mut order);
        for (number, started) in &order {
            let environment = &started.environment;
            let result = environment.invoke(Invocation::new(payload.clone())).await;
            let result = result.map_err(|gone| {
                CommandError::Host(format!(
                    "{gone} (`lambent doctor` says what this host lacks)"
                ))
            })?;
            if let Some(error) = unusable(&result) {
                return Err(error);
            }
            if invocation == 1 && *number == 0 {
                for warning in &result.warnings {
                    progress.say(&format!("warning: {warning}"));
                }
            }
            let cold_again = result.cold_start && invocation > 1;
            if result.function_error().is_some() || cold_again {
                let reason = if cold_again {
                    "its environment had to be initialised again".to_owned()
                } else {
                    message(&result)
                };
                soaked.borrow_mut().failure = Some(format!("at invocation {invocation}: {reason}"));
                return Ok(());
            }
            let (looking, ending) = (
                invocation % plan.every == 0 || invocation == 1,
                invocation + 1 >= plan.invocations,
            );
            if looking || ending {
                let footprint = environment.footprint().await.unwrap_or_default();
                let held = held(footprint);
                let duration_ms = result.report.duration.as_secs_f64() * 1e3;
                let sample = Sample::new(*number, invocation, duration_ms, &held);
                let mut soaked = soaked.borrow_mut();
                soaked.samples.push(sample);
                if *number == 0
                    && let Some(before) = before.replace(held.clone())
                {
                    soaked.last = Some((before, held));
                }
            }
        }
        soaked.borrow_mut().done = invocation;
        progress.done(invocation, "invocations");
    }
    Ok(())
}

fn held(footprint: Footprint) -> Held {
    let files = footprint.files.into_iter();
    let processes = footprint.processes.into_iter();
    Held {
        memory_bytes: footprint.memory_bytes,
        tmp_bytes: footprint.tmp_bytes,
        files: files.map(|file| (file.path, file.bytes)).collect(),
        processes: processes
            .map(|process| (process.name, process.threads, process.descriptors))
            .collect(),
    }
}

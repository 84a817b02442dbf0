//! Groups of cases side by side, each in its environments.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};

use super::super::exit_status::CommandError;
use super::super::sink::Quiet;
use super::files::SelectedCase;
use super::outcome::{Outcome, actual};
use super::stage::Stage;
use super::transformer::Transformer;
use crate::environment::{InitFailure, Invocation, InvocationResult};
use crate::model::InitializationType;
use crate::service::{FunctionEnvironment, Service};
use crate::suite::{Actual, Mismatch, Start, judge};

/// What all groups share.
#[derive(Debug)]
pub(super) struct Runner {
    service: Arc<Service>,
    stage: Stage,
    transformer: Arc<Transformer>,
    jobs: u32,
    /// A place for each environment that may run.
    places: Semaphore,
}

impl Runner {
    pub(super) fn new(
        service: Arc<Service>,
        stage: Stage,
        transformer: Arc<Transformer>,
        jobs: u32,
    ) -> Self {
        Self {
            service,
            stage,
            transformer,
            jobs,
            places: Semaphore::new(jobs as usize),
        }
    }

    /// A new environment; its log is in each result.
    fn environment(&self, case: &SelectedCase) -> Result<FunctionEnvironment, CommandError> {
        let code = self.stage.code(case)?;
        let configuration = case.case.function.configuration.clone();
        let on_demand = InitializationType::OnDemand;
        Ok(self
            .service
            .environment(code, configuration, on_demand, Arc::new(Quiet))?)
    }
}

/// Runs all groups; `done` gets the outcome of each case as soon as there is one.
pub(super) async fn all(
    runner: &Arc<Runner>,
    cases: Vec<SelectedCase>,
    groups: Vec<Vec<usize>>,
    mut done: impl FnMut(usize, Outcome) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let cases = Arc::new(cases);
    let (sender, mut outcomes) = mpsc::unbounded_channel();
    let mut running = JoinSet::new();
    for group in groups {
        let (runner, cases, sender) = (Arc::clone(runner), Arc::clone(&cases), sender.clone());
        running.spawn(async move { run_group(&runner, &cases, &group, &sender).await });
    }
    drop(sender);
    loop {
        tokio::select! {
            // What there is to show comes before what went wrong.
            biased;
            outcome = outcomes.recv() => match outcome {
                Some((number, outcome)) => done(number, outcome)?,
                None => break,
            },
            Some(ended) = running.join_next() => ended.map_err(|error| panicked(&error))??,
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.map_err(|error| panicked(&error))??;
    }
    Ok(())
}

async fn run_group(
    runner: &Arc<Runner>,
    cases: &Arc<Vec<SelectedCase>>,
    group: &[usize],
    sender: &mpsc::UnboundedSender<(usize, Outcome)>,
) -> Result<(), CommandError> {
    let most = group.iter().map(|number| cases[*number].case.concurrency);
    // All of them, rather than wait for what can never be.
    let places = most.max().unwrap_or(1).min(runner.jobs);
    let _places = runner
        .places
        .acquire_many(places)
        .await
        .map_err(|error| CommandError::Internal(error.to_string()))?;
    let mut shared = None;
    for number in group {
        let case = &cases[*number];
        let outcome = if case.case.start == Start::Warm && case.case.concurrency == 1 {
            warm(runner, case, &mut shared).await?
        } else {
            side_by_side(runner, cases, *number).await?
        };
        // Nobody listens any more once somebody else has failed.
        let _ = sender.send((*number, outcome));
    }
    if let Some(environment) = shared {
        environment.environment.shutdown().await;
    }
    Ok(())
}

/// All invocations of a case in one environment, which later cases go on with.
async fn warm(
    runner: &Runner,
    case: &SelectedCase,
    shared: &mut Option<FunctionEnvironment>,
) -> Result<Outcome, CommandError> {
    let mut outcome = Outcome::default();
    for number in 1..=case.case.repeat {
        let environment = warmed(runner, case, shared.take()).await?;
        let invoked = invoke(runner, &environment, case).await;
        *shared = Some(environment);
        let (result, seen, mismatches) = invoked?;
        outcome.warnings.extend(result.warnings);
        outcome.add(number, seen, mismatches);
    }
    Ok(outcome)
}

/// An environment that is initialised: the one that there is, unless its function has
/// died. Where INIT fails, a new one, whose invocation says why.
async fn warmed(
    runner: &Runner,
    case: &SelectedCase,
    current: Option<FunctionEnvironment>,
) -> Result<FunctionEnvironment, CommandError> {
    if let Some(current) = current {
        if current.environment.is_warm() {
            return Ok(current);
        }
        current.environment.shutdown().await;
    }
    let new = runner.environment(case)?;
    match new.environment.initialise().await {
        Ok(()) => Ok(new),
        Err(InitFailure::Host(reason)) => Err(CommandError::Host(reason)),
        Err(InitFailure::Function(_)) => {
            new.environment.shutdown().await;
            runner.environment(case)
        }
    }
}

/// The invocations of a case, so many at a time as it says.
async fn side_by_side(
    runner: &Arc<Runner>,
    cases: &Arc<Vec<SelectedCase>>,
    number: usize,
) -> Result<Outcome, CommandError> {
    let next = Arc::new(AtomicU32::new(1));
    let mut lanes = JoinSet::new();
    for _ in 0..cases[number].case.concurrency {
        let (runner, cases, next) = (Arc::clone(runner), Arc::clone(cases), Arc::clone(&next));
        lanes.spawn(async move { lane(&runner, &cases[number], &next).await });
    }
    let mut outcome = Outcome::default();
    while let Some(ended) = lanes.join_next().await {
        for (number, result, seen, mismatches) in ended.map_err(|error| panicked(&error))?? {
            outcome.warnings.extend(result.warnings);
            outcome.add(number, seen, mismatches);
        }
    }
    Ok(outcome)
}

/// One invocation after the other, until there are enough of all lanes.
async fn lane(
    runner: &Runner,
    case: &SelectedCase,
    next: &AtomicU32,
) -> Result<Vec<(u32, InvocationResult, Actual, Vec<Mismatch>)>, CommandError> {
    let mut done = vec![];
    let mut environment: Option<FunctionEnvironment> = None;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number > case.case.repeat {
            break;
        }
        let current = if case.case.start == Start::Warm {
            warmed(runner, case, environment.take()).await?
        } else {
            runner.environment(case)?
        };
        let (result, seen, mismatches) = invoke(runner, &current, case).await?;
        done.push((number, result, seen, mismatches));
        if case.case.start == Start::Warm {
            environment = Some(current);
        } else {
            current.environment.shutdown().await;
        }
    }
    if let Some(environment) = environment {
        environment.environment.shutdown().await;
    }
    Ok(done)
}

async fn invoke(
    runner: &Runner,
    environment: &FunctionEnvironment,
    case: &SelectedCase,
) -> Result<(InvocationResult, Actual, Vec<Mismatch>), CommandError> {
    let event = &case.case.event;
    let mut invocation = Invocation {
        client_context: event.client_context.clone(),
        cognito_identity: event.cognito_identity.clone(),
        ..Invocation::new(event.payload.clone())
    };
    if let Some(trace) = &event.trace {
        invocation.trace_id = trace.clone();
    }
    let invoked = environment.environment.invoke(invocation).await;
    let result = invoked.map_err(|gone| {
        CommandError::Host(format!(
            "{gone} (`lambent doctor` says what this host lacks)"
        ))
    })?;
    let seen = actual(&result);
    // Transforms are waited for on a thread; signals do not wait for it.
    let case = case.case.clone();
    let transformer = Arc::clone(&runner.transformer);
    let (seen, mismatches) = tokio::task::spawn_blocking(move || {
        let mismatches = judge(&case, &seen, &|filter| transformer.transform(filter));
        (seen, mismatches)
    })
    .await
    .map_err(|error| panicked(&error))?;
    Ok((result, seen, mismatches))
}

fn panicked(error: &JoinError) -> CommandError {
    CommandError::Internal(format!("a case could not be run: {error}"))
}

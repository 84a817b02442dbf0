//! The measurement: one environment after the other.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::exit_status::CommandError;
use super::super::measured::{MeasuringProgress, message, until_interrupted, unusable};
use super::super::sink::Quiet;
use super::host::HostLoad;
use crate::environment::{Invocation, InvocationResult, Outcome};
use crate::model::{Failure, FunctionConfiguration, InitializationType, MemorySize};
use crate::service::{PreparedCode, Service};
use crate::tune::{Plan, Sample, Search, Step, Tried, Trouble};

/// Warm invocations that show whether a size is enough memory.
const PROBE_WARM: u32 = 2;

/// What was measured until the end, or until ctrl-C.
#[derive(Debug)]
pub(super) struct Swept {
    pub(super) samples: Vec<Sample>,
    pub(super) search: Search,
    /// The part of the host's CPU that others used meanwhile.
    pub(super) host_busy_share: f64,
    pub(super) interrupted: bool,
}

struct Sweep<'a> {
    service: &'a Service,
    code: Arc<PreparedCode>,
    function: &'a FunctionConfiguration,
    payload: Bytes,
    progress: MeasuringProgress,
    samples: RefCell<Vec<Sample>>,
    search: Cell<Search>,
    load: RefCell<HostLoad>,
    cpus: usize,
    /// What has been said already.
    said: RefCell<Vec<String>>,
}

/// Measures all of a plan, and then looks for the smallest size that is enough.
pub(super) async fn sweep(
    service: &Service,
    code: Arc<PreparedCode>,
    plan: &Plan,
    function: &FunctionConfiguration,
    payload: Bytes,
    quiet: bool,
) -> Result<Swept, CommandError> {
    let steps = plan.steps();
    let sweep = Sweep {
        service,
        code,
        function,
        payload,
        progress: MeasuringProgress::new(steps.len() as u64, quiet),
        samples: RefCell::default(),
        search: Cell::new(Search::new([])),
        load: RefCell::default(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        said: RefCell::default(),
    };
    let measuring = async {
        sweep.measure(&steps, plan.warm).await?;
        sweep.find_smallest().await
    };
    let interrupted = until_interrupted(&sweep.progress, measuring).await?;
    Ok(Swept {
        samples: sweep.samples.into_inner(),
        search: sweep.search.get(),
        host_busy_share: sweep.load.into_inner().share(),
        interrupted,
    })
}

impl Sweep<'_> {
    async fn measure(&self, steps: &[Step], warm: u32) -> Result<(), CommandError> {
        for (done, step) in (1..).zip(steps) {
            // A size that was too small once stays it.
            let too_small = self.search.get().too_small();
            if too_small.is_none_or(|too_small| step.size > too_small) {
                self.run(*step, warm, |sample| self.samples.borrow_mut().push(sample))
                    .await?;
            }
            self.progress.done(done, &format!("{} MB", step.size));
        }
        Ok(())
    }

    async fn find_smallest(&self) -> Result<(), CommandError> {
        let answered = |sample: &Sample| sample.trouble.is_none();
        if !self.samples.borrow().iter().any(answered) {
            return Ok(());
        }
        while let Some(size) = self.search.get().next() {
            let what = format!("looking for the smallest size that works, {size} MB");
            self.progress.beyond(&what);
            self.run(Step { size, round: 0 }, PROBE_WARM, |_| {})
                .await?;
        }
        Ok(())
    }

    /// One environment, until it has been invoked often enough or fails.
    async fn run(
        &self,
        step: Step,
        warm: u32,
        mut keep: impl FnMut(Sample),
    ) -> Result<(), CommandError> {
        let function = FunctionConfiguration {
            memory_size: step.size,
            ..self.function.clone()
        };
        let on_demand = InitializationType::OnDemand;
        let code = Arc::clone(&self.code);
        let started = self
            .service
            .environment(code, function, on_demand, Arc::new(Quiet))?;
        let mut tried = Tried::Worked;
        // Starting an environment is work of this host's, too: it does not count.
        let (mut begin, mut own) = (HostLoad::begin(), Duration::ZERO);
        for number in 0..=warm {
            let invocation = Invocation::new(self.payload.clone());
            let result = started
                .environment
                .invoke(invocation)
                .await
                .map_err(|gone| {
                    CommandError::Host(format!(
                        "{gone} (`lambent doctor` says what this host lacks)"
                    ))
                })?;
            if let Some(error) = unusable(&result) {
                return Err(error);
            }
            for warning in &result.warnings {
                self.say_once(&format!("warning: {warning}"));
            }
            let trouble = trouble(&result);
            tried = Tried::of(trouble.as_ref());
            let failed = trouble.is_some();
            if let Some(trouble) = &trouble {
                self.tell(step.size, trouble);
            }
            if number == 0 {
                begin = HostLoad::begin();
            } else {
                own += result.report.cpu_used;
            }
            keep(Sample::new(step, number == 0, &result.report, trouble));
            if failed {
                break;
            }
        }
        self.load.borrow_mut().end(&begin, own, self.cpus);
        started.environment.shutdown().await;
        let mut search = self.search.get();
        search.learn(step.size, tried);
        self.search.set(search);
        Ok(())
    }

    fn tell(&self, size: MemorySize, trouble: &Trouble) {
        let text = match trouble {
            Trouble::OutOfMemory => format!("{size} MB: out of memory"),
            Trouble::Timeout => format!(
                "{size} MB: the function timed out after {} s (--timeout S gives it longer)",
                self.function.timeout
            ),
            Trouble::Error(message) => format!("{size} MB: the function failed: {message}"),
        };
        self.say_once(&text);
    }

    fn say_once(&self, text: &str) {
        let mut said = self.said.borrow_mut();
        if !said.iter().any(|other| other == text) {
            said.push(text.to_owned());
            self.progress.say(text);
        }
    }
}

fn trouble(result: &InvocationResult) -> Option<Trouble> {
    match &result.outcome {
        Outcome::Response(_) | Outcome::Streamed(None) => None,
        Outcome::Failure(Failure::OutOfMemory) => Some(Trouble::OutOfMemory),
        Outcome::Failure(Failure::Timeout(_)) => Some(Trouble::Timeout),
        Outcome::Streamed(Some(_)) | Outcome::FunctionError(_) | Outcome::Failure(_) => {
            Some(Trouble::Error(message(result)))
        }
    }
}

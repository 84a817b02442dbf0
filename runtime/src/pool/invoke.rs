//! An invocation on its way through the pool: an environment for it, its answer, its
//! end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::book::{Admission, SlotId};
use super::life::Life;
use super::standby::Standby;
use super::{FunctionVersion, Pools, Settling, Throttle};
use crate::environment::{
    EnvironmentGone, Invocation, InvocationAnswer, InvocationResult, RunningInvocation,
};
use crate::model::InitializationType;
use crate::service::FunctionEnvironment;
use crate::service_error::ServiceError;
use crate::telemetry::{Event, Occurrence};

/// How long a request waits for a runtime that is about to ask for the next event.
const SETTLING_LIMIT: Duration = Duration::from_secs(1);

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Too many at once.
    #[error("too many concurrent invocations")]
    Throttled(Throttle),
    /// No environment could be made.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The environment was lost.
    #[error(transparent)]
    Gone(#[from] EnvironmentGone),
}

impl PoolError {
    /// The task that ran the invocation is gone, which only a bug can do.
    pub(crate) fn lost() -> Self {
        EnvironmentGone::ended().into()
    }
}

/// An invocation that runs.
#[derive(Debug)]
struct Started {
    answer: oneshot::Receiver<InvocationAnswer>,
    result: oneshot::Receiver<Result<InvocationResult, EnvironmentGone>>,
}

impl Pools {
    /// Invokes a function and waits until its environment is done with it.
    ///
    /// # Errors
    /// Nothing can serve it now, or what served it was lost.
    pub async fn invoke(
        self: &Arc<Self>,
        version: &Arc<FunctionVersion>,
        invocation: Invocation,
    ) -> Result<InvocationResult, PoolError> {
        let started = self.start(version, invocation).await?;
        let result = started.result.await;
        result.map_err(|_| PoolError::lost())?.map_err(Into::into)
    }

    /// Invokes a function and waits for its answer. Its environment may be busy for
    /// longer.
    ///
    /// # Errors
    /// Nothing can serve it now, or what served it was lost.
    pub async fn answer(
        self: &Arc<Self>,
        version: &Arc<FunctionVersion>,
        invocation: Invocation,
    ) -> Result<InvocationAnswer, PoolError> {
        let started = self.start(version, invocation).await?;
        match started.answer.await {
            Ok(answer) => Ok(answer),
            // Without an answer there is a reason, and it is known by now.
            Err(_) => match started.result.await {
                Ok(Err(gone)) => Err(gone.into()),
                Ok(Ok(_)) | Err(_) => Err(PoolError::lost()),
            },
        }
    }

    async fn start(
        self: &Arc<Self>,
        version: &Arc<FunctionVersion>,
        mut invocation: Invocation,
    ) -> Result<Started, PoolError> {
        if self.traces.is_some() && invocation.trace_id.is_sampled() {
            // Each attempt of an event has a span of its own.
            invocation.trace_id = invocation.trace_id.recorded();
        }
        self.settled(version).await;
        let (slot, environment) = self.environment(version)?;
        let life = self.begun(slot);
        let (pools, version) = (Arc::clone(self), Arc::clone(version));
        let (answer, answered) = oneshot::channel();
        let (done, result) = oneshot::channel();
        // A task of its own: it goes on when the caller leaves.
        tokio::spawn(async move {
            let result = match environment.environment.begin(invocation).await {
                Ok(running) => pools.follow(slot, &version, running, answer).await,
                Err(gone) => Err(gone),
            };
            if let (Err(_), Some(life)) = (&result, life) {
                life.lost();
            }
            pools.give_back(&version, slot, environment, result.is_ok());
            // A caller that has left, or has its answer, does not need it.
            let _ = done.send(result);
        });
        Ok(Started {
            answer: answered,
            result,
        })
    }

    /// Takes note of an invocation that runs from now on, in this environment.
    fn begun(&self, slot: SlotId) -> Option<Arc<Life>> {
        let mut state = self.lock();
        state.running += 1;
        state.lives.get(&slot).cloned()
    }

    /// Follows an invocation to its end, and passes on its answer.
    async fn follow(
        &self,
        slot: SlotId,
        version: &FunctionVersion,
        mut running: RunningInvocation,
        answer: oneshot::Sender<InvocationAnswer>,
    ) -> Result<InvocationResult, EnvironmentGone> {
        let Some(answered) = running.answered().await else {
            return running.finished().await;
        };
        let settling = Settling {
            key: version.key(),
            claimed: false,
        };
        self.lock().settling.insert(slot, settling);
        let _ = answer.send(answered);
        if running.runtime_done().await {
            self.lock().settling.remove(&slot);
            self.changed.notify_waiters();
        }
        running.finished().await
    }

    /// Waits for an environment of this function whose caller has its answer, until
    /// its runtime has asked for the next event. Lambda's own latency hides that
    /// moment; here a caller could be faster, and would always meet a new
    /// environment. What extensions take is not waited for, as on Lambda.
    async fn settled(&self, version: &FunctionVersion) {
        let Some(slot) = self.lock().claim_settling(&version.key()) else {
            return;
        };
        let waiting = self.until(|state| !state.settling.contains_key(&slot));
        // One that takes longer works on in the background, and is no hope.
        let _ = tokio::time::timeout(SETTLING_LIMIT, waiting).await;
    }

    fn environment(
        &self,
        version: &Arc<FunctionVersion>,
    ) -> Result<(SlotId, FunctionEnvironment), PoolError> {
        let mut state = self.lock();
        if state.closed {
            return Err(EnvironmentGone::ended().into());
        }
        let key = version.key();
        let needs = state.needs(version);
        let admission = state.book.admit(&key, needs);
        let admission = admission.map_err(|reason| {
            let function = &version.configuration;
            version
                .sink
                .emit(&Occurrence::now(&Event::Throttled, function));
            PoolError::Throttled(reason)
        })?;
        if state.provisions.contains_key(&key) {
            let slot = match &admission {
                Admission::Reuse(slot) | Admission::Create(slot, _) => *slot,
            };
            let provisioned = state.book.is_provisioned(&key, slot);
            let counters = self.observer.function(&key.function);
            counters.provisioned_concurrency_used(provisioned);
        }
        let (slot, evicted) = match admission {
            Admission::Reuse(slot) => match state.idle.remove(&slot) {
                Some(environment) => return Ok((slot, environment)),
                // The book and the map change together.
                None => (slot, vec![]),
            },
            Admission::Create(slot, evicted) => (slot, evicted),
        };
        let ended = state.take(&evicted);
        let standby = state.standbys.take(&key);
        // One may have been lost with the launcher.
        let standby = standby.filter(|standby| !standby.environment.environment.is_dead());
        if let Some(Standby { environment, life }) = standby {
            life.begin();
            state.keep_life(slot, &life);
            drop(state);
            drop(ended);
            return Ok((slot, environment));
        }
        let life = Arc::new(self.life(version));
        state.keep_life(slot, &life);
        drop(state);
        drop(ended);
        let made = self.service.environment(
            Arc::clone(&version.code),
            version.configuration.clone(),
            InitializationType::OnDemand,
            life,
        );
        match made {
            Ok(environment) => Ok((slot, environment)),
            Err(error) => {
                let key = version.key();
                self.lock().book.release(&key, slot, Instant::now(), false);
                Err(error.into())
            }
        }
    }

    fn give_back(
        self: &Arc<Self>,
        version: &FunctionVersion,
        slot: SlotId,
        environment: FunctionEnvironment,
        usable: bool,
    ) {
        let key = version.key();
        let mut state = self.lock();
        // A provisioned one that would initialise again is replaced.
        let provisioned = state.book.is_provisioned(&key, slot);
        let usable = usable && (environment.environment.is_warm() || !provisioned);
        let keep = usable && !state.closed && !version.retired.load(Ordering::Relaxed);
        if state.book.release(&key, slot, Instant::now(), keep) {
            state.idle.insert(slot, environment);
        }
        state.settling.remove(&slot);
        state.running -= 1;
        drop(state);
        if provisioned && !usable {
            self.replenish();
        }
        self.changed.notify_waiters();
        self.stand_by(version);
    }
}

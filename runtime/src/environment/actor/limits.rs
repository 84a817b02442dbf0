//! The limits of the environment's processes, and what they use.

use std::time::Instant;

use super::{Actor, Pace};
use crate::model::{Event, Failure};
use crate::telemetry;

impl Actor {
    pub(super) fn limit_cpu(&mut self) {
        let quota = self.settings.function.memory_size.cpu_quota_us();
        let Some(runtime) = &self.runtime else { return };
        if let Err(error) = runtime.meter.cgroup().limit_cpu(quota) {
            self.warn_once(format!("the CPU quota could not be set: {error}"));
        }
    }

    pub(super) fn set_frozen(&mut self, frozen: bool) {
        let pace = if frozen { Pace::Frozen } else { Pace::Running };
        self.subscribers.set_pace(pace);
        let Some(runtime) = &self.runtime else { return };
        let begun = Instant::now();
        match runtime.meter.cgroup().set_frozen(frozen) {
            Ok(true) => {
                let duration = begun.elapsed();
                self.emit(&telemetry::Event::Freezer { frozen, duration });
            }
            Ok(false) => {}
            Err(error) => {
                self.warn_once(format!("the environment could not be frozen: {error}"));
            }
        }
    }

    pub(super) fn sample(&mut self) {
        let limit = self.settings.spec.memory_bytes;
        let Some(runtime) = &mut self.runtime else {
            return;
        };
        let reading = runtime.meter.memory();
        self.memory_peak = runtime.meter.memory_peak(self.memory_peak, &reading);
        if runtime.killed_for_memory {
            return;
        }
        // The kernel kills one process; Lambda's environment dies as a whole.
        let starving = runtime.thrash.observe(Instant::now(), limit, &reading);
        if starving || runtime.meter.out_of_memory() {
            runtime.killed_for_memory = true;
            self.memory_peak = limit;
            self.handle(Event::Failed(Failure::OutOfMemory));
        }
    }

    pub(super) fn sample_memory(&mut self) {
        if let Some(runtime) = &mut self.runtime {
            let reading = runtime.meter.memory();
            self.memory_peak = runtime.meter.memory_peak(self.memory_peak, &reading);
        }
    }
}

//! The limits of the environment's processes, and what they use.

use std::os::fd::AsFd;
use std::time::Instant;

use super::super::footprint::Places;
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
        let Some(runtime) = &mut self.runtime else {
            return;
        };
        let begun = Instant::now();
        match runtime.meter.cgroup().set_frozen(frozen) {
            Ok(true) => {
                let duration = begun.elapsed();
                self.emit(&telemetry::Event::Freezer { frozen, duration });
            }
            // Here it may go on.
            Ok(false) => runtime.meter.forget_count(),
            Err(error) => {
                runtime.meter.forget_count();
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
        let tmp = runtime.meter.tmp().charged;
        let charged_limit = limit + if tmp { self.settings.spec.tmp_bytes } else { 0 };
        let (now, meter) = (Instant::now(), &runtime.meter);
        let starving = runtime.thrash.observe(now, charged_limit, &reading);
        // The kernel kills one process; Lambda's environment dies as a whole.
        if starving || meter.out_of_memory() || meter.unlimited_memory(&reading) > limit {
            runtime.killed_for_memory = true;
            self.memory_peak = limit;
            self.handle(Event::Failed(Failure::OutOfMemory));
        }
    }

    /// Where what the environment holds can be read; none without processes.
    pub(super) fn places(&self) -> Option<Places> {
        let meter = &self.runtime.as_ref()?.meter;
        let (reading, tmp) = (meter.memory(), meter.tmp());
        let tmp_bytes = tmp.used();
        let files_in_memory = if tmp.charged { tmp_bytes } else { 0 };
        Some(Places {
            memory_bytes: reading.anonymous + reading.shared.saturating_sub(files_in_memory),
            tmp_bytes,
            tmp: tmp.directory.as_fd().try_clone_to_owned().ok()?.into(),
            processes: meter.cgroup().processes().ok()?,
        })
    }

    pub(super) fn sample_memory(&mut self) {
        if let Some(runtime) = &mut self.runtime {
            let reading = runtime.meter.memory();
            self.memory_peak = runtime.meter.memory_peak(self.memory_peak, &reading);
        }
    }
}

//! A service at this moment, from what its parts say.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::protocol::{Environment, EnvironmentState, FunctionStatus};
use crate::model::FunctionName;
use crate::pool::{Activity, EnvironmentStatus};
use crate::server::Context;

const MEGABYTE: u64 = 1024 * 1024;

/// Every function that is deployed or still has environments.
pub(super) fn functions(context: &Context) -> Vec<FunctionStatus> {
    let now = SystemTime::now();
    let mut all: BTreeMap<FunctionName, FunctionStatus> = BTreeMap::new();
    let mut entry = |name: &FunctionName, memory_size_mb: u32, found: Option<Environment>| {
        let status = all.entry(name.clone()).or_insert_with(|| {
            let numbers = context.pools.observer().function(name).numbers();
            FunctionStatus {
                function_name: name.to_string(),
                memory_size_mb,
                invocations: numbers.invocations,
                errors: numbers.errors,
                throttles: numbers.throttles,
                cold_starts: numbers.init_duration.count(),
                environments: vec![],
            }
        });
        status.environments.extend(found);
    };
    for version in context.functions.latest() {
        let configuration = &version.configuration;
        let memory = configuration.memory_size.get();
        entry(&configuration.function_name, memory, None);
    }
    for found in context.pools.environments() {
        let memory = found.memory_size.get();
        entry(&found.function, memory, Some(environment(&found, now)));
    }
    all.into_values().collect()
}

fn environment(found: &EnvironmentStatus, now: SystemTime) -> Environment {
    let (state, idle_seconds) = match found.activity {
        Activity::Initialising => (EnvironmentState::Initialising, None),
        Activity::Busy => (EnvironmentState::Busy, None),
        Activity::Idle(idle) => (EnvironmentState::Idle, Some(idle.as_secs())),
    };
    Environment {
        id: found.id,
        version: found.version.clone(),
        state,
        provisioned: found.provisioned,
        idle_seconds,
        // The clock may have been set back.
        age_seconds: now
            .duration_since(found.created)
            .unwrap_or_default()
            .as_secs(),
        invocations: found.invocations,
        max_memory_used_mb: found
            .max_memory_used
            .div_ceil(MEGABYTE)
            .min(found.memory_size.get().into()),
        tmp_used_mb: (found.tmp_used + MEGABYTE / 2) / MEGABYTE,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::MemorySize;

    #[test]
    fn sizes_are_rounded_as_in_reports() {
        let now = SystemTime::now();
        let mut found = EnvironmentStatus {
            id: 3,
            function: FunctionName::default(),
            version: "$LATEST".to_owned(),
            memory_size: MemorySize::MIN,
            created: now - Duration::from_secs(9),
            activity: Activity::Idle(Duration::from_millis(2_500)),
            provisioned: true,
            invocations: 4,
            max_memory_used: 129 * MEGABYTE,
            tmp_used: MEGABYTE - 10_000,
        };
        let expected = Environment {
            id: 3,
            version: "$LATEST".to_owned(),
            state: EnvironmentState::Idle,
            provisioned: true,
            idle_seconds: Some(2),
            age_seconds: 9,
            invocations: 4,
            max_memory_used_mb: 128,
            tmp_used_mb: 1,
        };
        assert_eq!(environment(&found, now), expected);
        found.activity = Activity::Busy;
        let busy = environment(&found, found.created - Duration::from_secs(1));
        assert_eq!(
            (busy.state, busy.idle_seconds, busy.age_seconds),
            (EnvironmentState::Busy, None, 0)
        );
    }
}

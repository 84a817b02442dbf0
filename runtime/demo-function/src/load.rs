//! Load on CPU and memory, in amounts that a limit can be checked against.

use crate::action::Failure;
use crate::state;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

const MIB: usize = 1024 * 1024;
/// Rounds between two looks at the clock: about 20 µs, so that reading the
/// clock is not what is measured.
const ROUNDS: u64 = 20_000;

/// Computes until the thread has used `cpu_ms` of CPU time.
pub(crate) fn burn(cpu_ms: u64) -> Value {
    let wanted = Duration::from_millis(cpu_ms);
    measured(|cpu, _wall| cpu >= wanted)
}

/// Computes for `wall_ms` of wall-clock time.
pub(crate) fn spin_for(wall_ms: u64) -> Value {
    let wanted = Duration::from_millis(wall_ms);
    measured(|_cpu, wall| wall >= wanted)
}

/// Computes until `done(cpu, wall)` and reports both times and their ratio.
fn measured(done: impl Fn(Duration, Duration) -> bool) -> Value {
    let started = Instant::now();
    let cpu_at_start = thread_cpu_time();
    loop {
        let cpu = thread_cpu_time().saturating_sub(cpu_at_start);
        let wall = started.elapsed();
        if done(cpu, wall) {
            let (cpu, wall) = (cpu.as_secs_f64(), wall.as_secs_f64());
            return json!({
                "cpuMs": cpu * 1000.0,
                "wallMs": wall * 1000.0,
                "share": if wall > 0.0 { cpu / wall } else { 0.0 },
            });
        }
        for round in 0..ROUNDS {
            black_box(round.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }
    }
}

/// CPU time that this thread has used so far.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Allocates `mb` MiB and writes to every byte.
pub(crate) fn allocate(mb: usize, keep: bool) -> Result<Value, Failure> {
    let refused = |reason: &str| Failure::new("AllocationFailed", format!("{mb} MiB: {reason}"));
    let bytes = mb
        .checked_mul(MIB)
        .ok_or_else(|| refused("more than an address space"))?;
    let mut memory = Vec::new();
    memory
        .try_reserve_exact(bytes)
        .map_err(|error| refused(&error.to_string()))?;
    memory.resize(bytes, 0xA5);
    let memory = black_box(memory);
    if keep {
        state::keep(memory);
    }
    Ok(json!({ "allocatedBytes": bytes, "kept": keep }))
}

/// Waits for `ms` milliseconds.
pub(crate) async fn sleep(ms: u64) -> Value {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    json!({ "sleptMs": ms })
}

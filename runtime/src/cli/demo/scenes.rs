//! The scenes: what Lambda does, and that it happened. Each returns whether it
//! ended as it should.

use serde_json::{Value, json};

use super::super::exit_status::CommandError;
use super::super::output::line;
use super::stage::{Stage, invoke};
use crate::environment::{InvocationResult, Outcome};
use crate::model::{Failure, FunctionConfiguration, MemorySize, Timeout};

/// CPU time of the work in the first scene, in milliseconds.
const WORK_MS: u64 = 300;

/// How far from strict proportion a duration may be. Quotas are refilled every
/// 20 ms and accounted at ticks of 4 ms, here and on Lambda.
const TOLERANCE: f64 = 0.10;

/// Measurements per size, at most: something else may have had the CPU.
const ATTEMPTS: u32 = 3;

/// The same work at four sizes.
pub(super) async fn proportional_cpu(stage: &Stage<'_>) -> Result<bool, CommandError> {
    title("CPU in proportion to memory: 1,769 MB is one vCPU")?;
    line("    memory    share    CPU used    duration   in proportion   measured / proportional")?;
    let mut all_good = true;
    for memory in [128, 442, 884, 1_769] {
        let memory_size = size(memory)?;
        let mut best = burn(stage, memory_size).await?;
        for _ in 1..ATTEMPTS {
            if best.is_in_proportion() {
                break;
            }
            let again = burn(stage, memory_size).await?;
            if again.ratio() < best.ratio() {
                best = again;
            }
        }
        let good = best.is_in_proportion();
        all_good &= good;
        line(&format!(
            "  {} {memory:>5} MB  {:>5.1} %  {:>7.1} ms  {:>7.1} ms      {:>7.1} ms  {:>24.3}",
            mark(good),
            memory_size.vcpus() * 100.0,
            best.cpu_ms,
            best.duration_ms,
            best.proportional_ms(),
            best.ratio(),
        ))?;
        line(&format!("      {}", report_line(&best.result)))?;
    }
    Ok(all_good)
}

/// The work of the first scene, measured.
struct Burned {
    memory_size: MemorySize,
    cpu_ms: f64,
    duration_ms: f64,
    result: InvocationResult,
}

impl Burned {
    /// What strict proportion would take.
    fn proportional_ms(&self) -> f64 {
        self.cpu_ms / self.memory_size.vcpus().min(1.0)
    }

    fn ratio(&self) -> f64 {
        self.duration_ms / self.proportional_ms()
    }

    fn is_in_proportion(&self) -> bool {
        succeeded(&self.result) && (self.ratio() - 1.0).abs() <= TOLERANCE
    }
}

async fn burn(stage: &Stage<'_>, memory_size: MemorySize) -> Result<Burned, CommandError> {
    let environment = stage.environment(FunctionConfiguration {
        memory_size,
        timeout: seconds(60)?,
        ..FunctionConfiguration::default()
    })?;
    let result = invoke(&environment, &json!({"action": "burn", "cpuMs": WORK_MS})).await?;
    environment.environment.shutdown().await;
    let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1_000.0;
    Ok(Burned {
        memory_size,
        cpu_ms: ms(result.report.cpu_used),
        duration_ms: ms(result.report.duration),
        result,
    })
}

/// A counter in the process's memory.
pub(super) async fn warm_reuse(stage: &Stage<'_>) -> Result<bool, CommandError> {
    title("Warm reuse: the second invocation finds the process of the first")?;
    let environment = stage.environment(FunctionConfiguration::default())?;
    let mut all_good = true;
    for expected in 1..=3 {
        let result = invoke(&environment, &json!({"action": "counter"})).await?;
        let count = payload(&result)["count"].as_u64();
        let good = count == Some(expected) && result.cold_start == (expected == 1);
        all_good &= good;
        let kind = if result.cold_start { "cold" } else { "warm" };
        line(&format!("  {} {kind}: {}", mark(good), payload(&result)))?;
        line(&format!("      {}", report_line(&result)))?;
    }
    environment.environment.shutdown().await;
    Ok(all_good)
}

/// One byte more than fits.
pub(super) async fn full_tmp(stage: &Stage<'_>) -> Result<bool, CommandError> {
    title("/tmp: 512 MB for a function of 128 MB, and not one byte more")?;
    let environment = stage.environment(FunctionConfiguration {
        timeout: seconds(60)?,
        ..FunctionConfiguration::default()
    })?;
    let result = invoke(&environment, &json!({"action": "fillTmp", "mb": 513})).await?;
    environment.environment.shutdown().await;
    let answer = payload(&result);
    // ENOSPC is 28. What a full file system needs to describe its files may
    // leave some KB more.
    let good = answer["errno"] == 28
        && answer["writtenBytes"]
            .as_u64()
            .is_some_and(|bytes| (512 << 20..513 << 20).contains(&bytes));
    line(&format!("  {} {answer}", mark(good)))?;
    line(&format!("      {}", report_line(&result)))?;
    Ok(good)
}

/// More memory than there is.
pub(super) async fn out_of_memory(stage: &Stage<'_>) -> Result<bool, CommandError> {
    title("Memory: 160 MB in a function of 128 MB")?;
    let event = json!({"action": "allocate", "mb": 160});
    fails(stage, 30, &event, |failure| {
        *failure == Failure::OutOfMemory
    })
    .await
}

/// Longer than allowed.
pub(super) async fn time_out(stage: &Stage<'_>) -> Result<bool, CommandError> {
    title("Time: 10 seconds of work, a timeout of 1 second")?;
    let event = json!({"action": "sleep", "ms": 10_000});
    fails(stage, 1, &event, |failure| {
        matches!(failure, Failure::Timeout(_))
    })
    .await
}

/// Shows that an event ends in the failure that Lambda would answer with.
async fn fails(
    stage: &Stage<'_>,
    timeout_s: u32,
    event: &Value,
    expected: impl Fn(&Failure) -> bool,
) -> Result<bool, CommandError> {
    let environment = stage.environment(FunctionConfiguration {
        timeout: seconds(timeout_s)?,
        ..FunctionConfiguration::default()
    })?;
    let result = invoke(&environment, event).await?;
    environment.environment.shutdown().await;
    let good = matches!(&result.outcome, Outcome::Failure(failure) if expected(failure));
    line(&format!("  {} {}", mark(good), payload(&result)))?;
    line(&format!("      {}", report_line(&result)))?;
    Ok(good)
}

fn title(text: &str) -> std::io::Result<()> {
    line("")?;
    line(text)
}

fn mark(good: bool) -> char {
    if good { '✓' } else { '!' }
}

fn succeeded(result: &InvocationResult) -> bool {
    matches!(result.outcome, Outcome::Response(_))
}

fn payload(result: &InvocationResult) -> Value {
    let bytes = result.payload();
    serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The REPORT line as Lambda prints it.
fn report_line(result: &InvocationResult) -> String {
    String::from_utf8_lossy(&result.logs)
        .lines()
        .rfind(|line| line.starts_with("REPORT"))
        .unwrap_or("(no REPORT line)")
        .trim_end()
        .to_owned()
}

fn size(mb: u32) -> Result<MemorySize, CommandError> {
    MemorySize::new(mb).map_err(|error| CommandError::Internal(error.to_string()))
}

fn seconds(count: u32) -> Result<Timeout, CommandError> {
    Timeout::new(count).map_err(|error| CommandError::Internal(error.to_string()))
}

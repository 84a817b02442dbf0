//! The share of a CPU.

use std::fmt::Write;
use std::process::Command;
use std::thread::available_parallelism;

use crate::fixtures::Error;
use crate::{Lambent, Run, script};

/// Long enough that the periods that have begun at either end do not count.
const SECONDS: u32 = 10;

/// As many processes that want a CPU as the function is told to run.
fn spin(processes: u32) -> String {
    format!(
        "import time\nend = time.monotonic() + {SECONDS}\n\
         for _ in range({processes} - 1):\n  if os.fork() == 0: break\n\
         while time.monotonic() < end: pass\n\
         if os.getpid() != 2: os._exit(0)\n\
         try:\n  while True: os.wait()\nexcept ChildProcessError: pass\n{}",
        script::DONE
    )
}

fn measure(memory: u32, processes: u32) -> Result<f64, Error> {
    let memory = memory.to_string();
    let arguments = ["--memory", &memory, "--timeout", "120"];
    let run = script::start(&Lambent::new(), &spin(processes), &arguments).wait_with_output()?;
    let run = Run::from(run);
    let report = run.result()["report"].clone();
    let ms = |name: &str| report[name].as_f64().ok_or_else(|| format!("{run:?}"));
    Ok(ms("cpuUsedMs")? / ms("durationMs")?)
}

/// What as many processes get of this machine's CPUs without any limits: a function
/// that is promised all of them gets no more.
fn bare(processes: u32) -> Result<f64, Error> {
    let program = format!(
        "import os, time\nbegun = time.monotonic()\nfor _ in range({processes}):\n  \
         if os.fork() == 0:\n    while time.monotonic() < begun + {SECONDS}: pass\n    \
         os._exit(0)\n\
         for _ in range({processes}): os.wait()\n\
         print(os.times().children_user + os.times().children_system, \
         time.monotonic() - begun)"
    );
    let output = Command::new("python3").args(["-c", &program]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut seconds = text.split_whitespace().map(str::parse::<f64>);
    match (seconds.next(), seconds.next()) {
        (Some(used), Some(elapsed)) => Ok(used? / elapsed?),
        _ => Err(format!("python3 -c: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// One row for each memory size.
pub(super) fn table() -> Result<String, Error> {
    let host = f64::from(u32::try_from(available_parallelism()?.get())?);
    let mut text = format!(
        "CPU share over {SECONDS} s against MemorySize/1769 (CPU time by the cgroup, wall clock by REPORT)\n\
         | memory | nominal | 1 process | error | 4 processes | error |\n|---|---|---|---|---|---|\n"
    );
    for memory in [128, 256, 512, 1_024, 1_769, 3_538] {
        let nominal = f64::from(memory) / 1_769.0;
        let mut row = format!("| {memory} MB | {nominal:.4} |");
        for processes in [1, 4] {
            let possible = f64::from(processes).min(host).min(nominal);
            let share = measure(memory, processes)?;
            let error = (share / possible - 1.0) * 100.0;
            let _ = write!(row, " {share:.4} | {error:+.2} % |");
        }
        let _ = writeln!(text, "{row}");
        if nominal >= host {
            let (before, share, after) = (bare(4)?, measure(memory, 4)?, bare(4)?);
            let without = f64::midpoint(before, after);
            let error = (share / without - 1.0) * 100.0;
            let _ = writeln!(
                text,
                "{memory} MB are all CPUs of this machine: without limits 4 processes get \
                 {without:.4} of them, in the function {share:.4} | {error:+.2} %"
            );
        }
    }
    Ok(text)
}

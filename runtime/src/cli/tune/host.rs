//! What else the host does while a function is measured: it takes CPU from it.

use std::time::{Duration, Instant};

use crate::statistics::number;

/// CPU time of all of the host's CPUs, in the kernel's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
}

/// Counts over the parts of a measurement that matter.
#[derive(Debug, Default)]
pub(super) struct HostLoad {
    /// CPU seconds that others used, and that there were.
    others: f64,
    capacity: f64,
}

/// The begin of such a part.
#[derive(Debug)]
pub(super) struct Begin {
    ticks: Option<Ticks>,
    at: Instant,
}

impl HostLoad {
    /// A part begins.
    pub(super) fn begin() -> Begin {
        Begin {
            ticks: read(),
            at: Instant::now(),
        }
    }

    /// A part ends, in which the function itself has used so much.
    pub(super) fn end(&mut self, begin: &Begin, own: Duration, cpus: usize) {
        if let (Some(before), Some(now)) = (begin.ticks, read()) {
            self.add(before, now, begin.at.elapsed(), own, cpus);
        }
    }

    fn add(&mut self, before: Ticks, now: Ticks, wall: Duration, own: Duration, cpus: usize) {
        let all = now.all.saturating_sub(before.all);
        if all == 0 {
            return;
        }
        let busy = number(now.busy.saturating_sub(before.busy)) / number(all);
        let capacity = wall.as_secs_f64() * number(cpus as u64);
        self.capacity += capacity;
        self.others += (busy * capacity - own.as_secs_f64()).max(0.0);
    }

    /// The part of the host's CPU that others used, 0 to 1; 0 if nobody knows.
    pub(super) fn share(&self) -> f64 {
        if self.capacity > 0.0 {
            self.others / self.capacity
        } else {
            0.0
        }
    }
}

fn read() -> Option<Ticks> {
    parse(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal;
/// what guests use is in the first two.
fn parse(stat: &str) -> Option<Ticks> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields = line.split_ascii_whitespace().take(8);
    let fields: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    let idle = fields.get(3)? + fields.get(4).unwrap_or(&0);
    let all = fields.iter().sum::<u64>();
    Some(Ticks {
        busy: all - idle,
        all,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_use_is_what_the_function_does_not() {
        let before = parse("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n").unwrap();
        assert_eq!((before.busy, before.all), (200, 1_000));
        let now = parse("cpu  160 0 110 820 110 0 0 0 0 0\n").unwrap();
        // Two CPUs for a second, 35 % of them busy: 0.7 s, of which 0.3 s are its own.
        let mut load = HostLoad::default();
        let (second, own) = (Duration::from_secs(1), Duration::from_millis(300));
        load.add(before, now, second, own, 2);
        assert!((load.share() - 0.2).abs() < 1e-9, "{load:?}");
        load.add(now, now, second, own, 2);
        assert!((load.share() - 0.2).abs() < 1e-9, "{load:?}");
        assert_eq!(parse("cpu0 1"), None);
        assert!(read().is_some_and(|ticks| ticks.all > 0));
    }
}

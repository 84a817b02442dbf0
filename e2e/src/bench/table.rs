//! What was measured, as text.

use std::fmt::{self, Write};

use super::tools::{Run, Tool};
use super::workloads::{Built, Workload};

/// Rows of a tool's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Into an empty store.
    Fresh,
    /// The same image into the same store.
    Again,
    /// The same image with another last layer.
    Changed,
}

/// All measurements of one workload.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) runs: Vec<(Tool, Task, Run)>,
    pub(super) inflate: Vec<f64>,
    pub(super) write: Vec<f64>,
    /// One-minute loads before each round.
    pub(super) loads: Vec<f64>,
}

const MB: f64 = 1e6;

impl Results {
    fn seconds(&self, tool: Tool, task: Task) -> Option<f64> {
        median(self.of(tool, task).map(|run| run.seconds).collect())
    }

    fn of(&self, tool: Tool, task: Task) -> impl Iterator<Item = Run> {
        self.runs
            .iter()
            .filter(move |(of, what, _)| (*of, *what) == (tool, task))
            .map(|(.., run)| *run)
    }

    /// The tools in the order of their first run.
    fn tools(&self) -> Vec<Tool> {
        let mut tools: Vec<Tool> = Vec::new();
        for (tool, ..) in &self.runs {
            if !tools.contains(tool) {
                tools.push(*tool);
            }
        }
        tools
    }

    fn fastest_peer(&self, task: Task) -> Option<f64> {
        self.tools()
            .into_iter()
            .filter(|tool| !tool.is_lambent())
            .filter_map(|tool| self.seconds(tool, task))
            .min_by(f64::total_cmp)
    }

    /// The larger of the two floors.
    fn floor(&self) -> Option<f64> {
        let (inflate, write) = (median(self.inflate.clone())?, median(self.write.clone())?);
        Some(inflate.max(write))
    }

    /// The table.
    pub(super) fn show(&self, workload: Workload, built: &Built) -> Result<String, fmt::Error> {
        let facts = built.facts;
        let (mb, packed) = (megabytes(facts.uncompressed), megabytes(facts.compressed));
        let mut text = String::new();
        writeln!(
            text,
            "{}: {mb:.0} MB, {packed:.0} MB as gzip, {} entries, {} layers; {}; load {}",
            workload.name(),
            facts.entries,
            facts.layers,
            match self.loads.len() {
                1 => "one run".to_owned(),
                count => format!("median of {count}"),
            },
            list(&self.loads),
        )?;
        writeln!(
            text,
            "  {:<28}{:>9}{:>8}{:>10}{:>14}{:>14}",
            "", "seconds", "MB/s", "peak MB", "fastest peer", "lambent to"
        )?;
        writeln!(
            text,
            "  {:<28}{:>9}{:>8}{:>10}{:>14}{:>14}",
            "", "", "", "", "to lambent", "floor"
        )?;
        for tool in self.tools() {
            let Some(seconds) = self.seconds(tool, Task::Fresh) else {
                continue;
            };
            let peak = self.of(tool, Task::Fresh).filter_map(|run| run.peak).max();
            let lambent = tool.is_lambent();
            let ratio = |of: Option<f64>| of.filter(|_| lambent).map(|ratio| format!("{ratio:.2}"));
            writeln!(
                text,
                "  {:<28}{seconds:>9.2}{:>8.0}{:>10}{:>14}{:>14}",
                tool.name(),
                mb / seconds,
                peak.map_or_else(String::new, |peak| format!("{:.0}", megabytes(peak))),
                ratio(self.fastest_peer(Task::Fresh).map(|peer| peer / seconds))
                    .unwrap_or_default(),
                ratio(self.floor().map(|floor| seconds / floor)).unwrap_or_default(),
            )?;
        }
        for (name, floor) in [
            ("floor: inflate and hash", &self.inflate),
            ("floor: write and sync", &self.write),
        ] {
            if let Some(seconds) = median(floor.clone()) {
                writeln!(text, "  {name:<28}{seconds:>9.2}{:>8.0}", mb / seconds)?;
            }
        }
        for (name, task) in [
            ("the same image again", Task::Again),
            ("one layer of 1 MB changed", Task::Changed),
        ] {
            let tools = self.tools().into_iter().filter_map(|tool| {
                let seconds = self.seconds(tool, task)?;
                Some(format!("{} {seconds:.3} s", tool.name()))
            });
            let tools: Vec<_> = tools.collect();
            if !tools.is_empty() {
                writeln!(text, "  {name}: {}", tools.join(", "))?;
            }
        }
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        Ok(lines.join("\n") + "\n")
    }
}

fn list(loads: &[f64]) -> String {
    let loads: Vec<_> = loads.iter().map(|load| format!("{load:.1}")).collect();
    loads.join(" ")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes of images, printed with few digits"
)]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / MB
}

/// The middle one.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![1.0]), Some(1.0));
        assert_eq!(median(Vec::new()), None);
    }
}

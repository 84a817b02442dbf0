//! Results as text.

use std::fmt::{self, Write};

use super::figures::{Figure, Results, Series};
use super::promises::{LAMBENT, PROMISES, Verdict};

/// All figures with what they are beside, and what became of the promises.
pub(super) fn show(results: &Results) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for figure in figures(results) {
        writeln!(text, "\n{figure}")?;
        let rows = results.series.iter().filter(|row| row.figure == figure);
        let own = results.of(&figure, LAMBENT).map(Series::median);
        for row in rows {
            write!(text, "  {}", line(row))?;
            match own {
                Some(own) if row.of != LAMBENT => {
                    writeln!(text, "   lambent has {:.2} of it", own / row.median())?;
                }
                _ => writeln!(text)?,
            }
        }
        let promises = PROMISES.iter().filter(|(of, _)| of.name == figure);
        for (figure, rule) in promises {
            let figure: Figure = *figure;
            if let Some(verdict) = rule.judge(figure, results) {
                let word = match verdict {
                    Verdict::Kept => "ok      ",
                    Verdict::Missed => "MISSED  ",
                    Verdict::Unknown => "unknown ",
                };
                writeln!(text, "  {word}{}", rule.show(figure, results))?;
            }
        }
    }
    remarks(&mut text, results)?;
    Ok(text)
}

/// Two programs beside each other.
pub(super) fn compare(results: &Results, base: &str, head: &str) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for figure in figures(results) {
        writeln!(text, "\n{figure}")?;
        let pair = [base, head].map(|of| results.of(&figure, of));
        for row in pair.into_iter().flatten() {
            writeln!(text, "  {}", line(row))?;
        }
        if let [Some(base), Some(head)] = pair {
            writeln!(
                text,
                "  new to old: {:.3} (p99 {:.3})",
                head.median() / base.median(),
                head.p99() / base.p99()
            )?;
        }
    }
    remarks(&mut text, results)?;
    Ok(text)
}

fn line(row: &Series) -> String {
    format!(
        "{:<40} p50 {:>10.3}  p99 {:>10.3} {:<4} n={:<6}",
        row.of,
        row.median(),
        row.p99(),
        row.unit,
        row.samples.len()
    )
}

/// Names of figures in the order of their first sample.
fn figures(results: &Results) -> Vec<String> {
    let mut names: Vec<String> = vec![];
    for series in &results.series {
        if !names.contains(&series.figure) {
            names.push(series.figure.clone());
        }
    }
    names
}

fn remarks(text: &mut String, results: &Results) -> fmt::Result {
    if !results.remarks.is_empty() {
        writeln!(text)?;
    }
    for remark in &results.remarks {
        writeln!(text, "  ({remark})")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::promises::{COLD, EMULATOR, PYTHON};
    use super::*;

    #[test]
    fn a_missed_promise_and_an_unknown_one_can_be_seen() {
        let mut results = Results::default();
        results.add(COLD, LAMBENT, 4.0);
        results.add(COLD, "runc", 16.0);
        results.add(PYTHON, LAMBENT, 1.0);
        results.remark("RIE is not there".to_owned());
        let text = show(&results).expect("text");
        for part in [
            "MISSED  p50 at most 3 ms: 4.000",
            "ok      p99 at most 10 ms: 4.000",
            "lambent has 0.25 of it",
            &format!("unknown at most 0.6 of {EMULATOR}: not compared"),
            "(RIE is not there)",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn revisions_are_compared_by_their_medians() {
        let mut results = Results::default();
        results.add(COLD, "old", 4.0);
        results.add(COLD, "new", 3.0);
        let text = compare(&results, "old", "new").expect("text");
        assert!(text.contains("new to old: 0.750 (p99 0.750)"), "{text}");
    }
}

//! The soak as a page that needs nothing else.

use std::fmt::Write;

use super::Report;
use crate::chart::{escape, page, table};

impl Report {
    /// The page.
    pub(crate) fn html(&self) -> String {
        let mut body = String::new();
        for sentence in self.sentences() {
            // A string takes all that is written to it.
            let _ = writeln!(body, "<p>{}</p>", escape(&sentence));
        }
        body.push_str(&table(&self.rows()));
        for (_, chart) in self.charts() {
            body.push_str(&chart.svg());
        }
        let subject = &self.subject;
        let how = format!(
            "{} ({}): {} environments, {} invocations in each, seed {}.",
            subject.image, subject.digest, subject.environments, subject.done, subject.seed
        );
        let _ = writeln!(body, "<p class=\"how\">{}</p>", escape(&how));
        page(&format!("A long run of {}", subject.image), &body)
    }
}

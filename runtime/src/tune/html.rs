//! The sweep as a page that needs nothing else: the picture is in it, and no script.

use std::fmt::Write;

use super::Report;
use crate::chart::{escape, page, table};

impl Report {
    /// The page.
    pub(crate) fn html(&self) -> String {
        let mut body = self.chart().svg();
        body.push_str(&table(&self.rows()));
        for sentence in self.sentences() {
            // A string takes all that is written to it.
            let _ = writeln!(body, "<p>{}</p>", escape(&sentence));
        }
        let subject = &self.subject;
        let how = format!(
            "{} ({}): {} environments for each size, {} warm invocations in each, seed {}.",
            subject.image, subject.digest, subject.rounds, subject.warm, subject.seed
        );
        let _ = writeln!(body, "<p class=\"how\">{}</p>", escape(&how));
        page(&format!("Memory sizes of {}", subject.image), &body)
    }
}

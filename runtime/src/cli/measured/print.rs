//! A report on standard output.

use serde_json::Value;

use super::super::args::ReportOutput;
use super::super::exit_status::CommandError;
use super::super::output;

/// Prints one form of a report: as text a table with sentences below it.
pub(in crate::cli) fn print<const N: usize>(
    form: ReportOutput,
    json: impl FnOnce() -> Value,
    csv: impl FnOnce() -> String,
    text: impl FnOnce() -> (Vec<[String; N]>, Vec<String>),
) -> Result<(), CommandError> {
    match form {
        ReportOutput::Json => output::json_document(&json())?,
        ReportOutput::Csv => output::line(csv().trim_end())?,
        ReportOutput::Text => {
            let (rows, sentences) = text();
            for line in output::table(&rows) {
                output::line(&line)?;
            }
            output::line("")?;
            for sentence in sentences {
                output::line(&sentence)?;
            }
        }
    }
    Ok(())
}

//! The form of a function's log: Lambda's `LoggingConfig`.

use clap::Args;

use super::super::exit_status::CommandError;
use super::OutputFormat;
use crate::model::{LogLevel, Logging};

#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(in super::super) struct LoggingSettings {
    /// Form of the log: text, or JSON as with Lambda's log format JSON
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    log_format: OutputFormat,

    /// Least level of the function's own JSON lines, TRACE to FATAL [default: INFO];
    /// needs --log-format json
    #[arg(long, value_name = "LEVEL")]
    application_log_level: Option<LogLevel>,

    /// Least level of Lambda's lines, DEBUG, INFO or WARN [default: INFO]; needs
    /// --log-format json
    #[arg(long, value_name = "LEVEL")]
    system_log_level: Option<LogLevel>,
}

impl LoggingSettings {
    /// What the settings describe.
    pub(in super::super) fn logging(&self) -> Result<Logging, CommandError> {
        let json = self.log_format == OutputFormat::Json;
        Logging::new(json, self.application_log_level, self.system_log_level)
            .map_err(|error| CommandError::Usage(error.to_string()))
    }
}

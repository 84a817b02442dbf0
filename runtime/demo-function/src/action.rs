//! The events: what a caller may ask for, and how a refusal looks.

use lambda_runtime::Diagnostic;
use serde::Deserialize;
use serde_json::Value;

/// Every name that `action` may have, in the order of the documentation.
const NAMES: [&str; 21] = [
    "echo", "counter", "burn", "spinFor", "allocate", "sleep", "fillTmp", "writeTmp", "readTmp",
    "listTmp", "raise", "exit", "crash", "log", "fork", "open", "connect", "env", "inspect",
    "sequence", "stream",
];

/// One event, by its `action` member.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(
    tag = "action",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Action {
    /// Give the event back.
    Echo,
    /// Count the invocations of this process: shows whether it was reused.
    Counter,
    /// Use this much CPU time.
    Burn {
        /// CPU time of the thread, in milliseconds.
        cpu_ms: u64,
    },
    /// Be busy for this long: shows the CPU share.
    SpinFor {
        /// Wall-clock time, in milliseconds.
        wall_ms: u64,
    },
    /// Answer part by part (the fixtures in other languages do not).
    Stream {
        /// The parts.
        texts: Vec<String>,
        /// Milliseconds before each of them.
        #[serde(default)]
        delay_ms: u64,
        /// Fail after the last of them.
        #[serde(default)]
        abort: bool,
    },
    /// Allocate memory and write to every page of it.
    Allocate {
        /// Size in MiB.
        mb: usize,
        /// Hold on to it until the process ends.
        #[serde(default)]
        keep: bool,
    },
    /// Wait without using the CPU.
    Sleep {
        /// Milliseconds.
        ms: u64,
    },
    /// Write to `/tmp/fill` until done or refused.
    FillTmp {
        /// Size in MiB.
        mb: u64,
    },
    /// Write a file in `/tmp`.
    WriteTmp {
        /// Plain file name.
        name: String,
        /// Contents.
        text: String,
    },
    /// Read a file in `/tmp`.
    ReadTmp {
        /// Plain file name.
        name: String,
    },
    /// List `/tmp`.
    ListTmp,
    /// Fail with a handler error.
    Raise {
        /// Becomes `errorMessage`.
        message: String,
    },
    /// Leave the process from inside the handler.
    Exit {
        /// Exit status.
        code: i32,
    },
    /// Abort the process.
    Crash,
    /// Print lines.
    Log {
        /// One line each.
        lines: Vec<String>,
        /// To stderr instead of stdout.
        #[serde(default)]
        stderr: bool,
    },
    /// Start tasks (threads here) until done or refused.
    Fork {
        /// How many.
        count: u32,
    },
    /// Open `/dev/null` until done or refused.
    Open {
        /// How many times.
        count: u32,
    },
    /// Open a TCP connection.
    Connect {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Return the environment variables.
    Env,
    /// Describe the surroundings: user, rights, mounts, devices, network.
    Inspect,
    /// Perform several events in one invocation, and return all results.
    Sequence {
        /// In this order; the first failure ends it.
        events: Vec<Value>,
        /// Print each result as a line when it is there: what was reached shows
        /// even if the function does not live to return it.
        #[serde(default)]
        log: bool,
    },
}

impl Action {
    /// Reads an event; the error of an unknown action lists the known ones.
    pub(crate) fn parse(event: &Value) -> Result<Self, Failure> {
        let name = event.get("action").and_then(Value::as_str).unwrap_or("");
        if !NAMES.contains(&name) {
            return Err(Failure::new(
                "UnknownAction",
                format!(
                    "unknown action {name:?}: expected one of {}",
                    NAMES.join(", ")
                ),
            ));
        }
        Self::deserialize(event)
            .map_err(|error| Failure::new("InvalidEvent", format!("action {name:?}: {error}")))
    }
}

/// A handler error as the caller sees it.
#[derive(Debug)]
pub(crate) struct Failure {
    error_type: &'static str,
    message: String,
}

impl Failure {
    /// An error with this `errorType` and `errorMessage`.
    pub(crate) fn new(error_type: &'static str, message: String) -> Self {
        Self {
            error_type,
            message,
        }
    }

    /// What the action `raise` fails with.
    pub(crate) fn raised(message: String) -> Self {
        Self::new("DemoError", message)
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self {
            error_type: failure.error_type.to_owned(),
            error_message: failure.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, NAMES};
    use serde_json::json;

    #[test]
    fn every_documented_name_is_an_action() {
        for name in NAMES {
            let event = json!({
                "action": name, "cpuMs": 1, "wallMs": 1, "mb": 1, "ms": 1, "name": "n",
                "text": "t", "message": "m", "code": 1, "lines": [], "count": 1,
                "host": "localhost", "port": 1, "events": [], "texts": [],
            });
            Action::parse(&event).unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        }
    }

    #[test]
    fn an_unknown_action_lists_the_known_ones() {
        let failure = Action::parse(&json!({ "action": "dance" })).expect_err("must be refused");
        assert_eq!(failure.error_type, "UnknownAction");
        assert!(
            failure
                .message
                .starts_with("unknown action \"dance\": expected one of echo, ")
        );
        assert!(failure.message.ends_with(", stream"));
    }

    #[test]
    fn a_missing_argument_is_named() {
        let failure = Action::parse(&json!({ "action": "burn" })).expect_err("must be refused");
        assert_eq!(failure.error_type, "InvalidEvent");
        assert_eq!(failure.message, "action \"burn\": missing field `cpuMs`");
    }
}

//! `lambent ps`: what the running service holds.

use serde_json::json;

use super::args::{OutputFormat, Ps};
use super::exit_status::{CommandError, ExitStatus};
use super::output;
use super::running::service;
use crate::admin::protocol::{Environment, EnvironmentState, FunctionStatus, ServiceStatus};
use crate::state::StateDirectories;

/// Changes when a script that reads the JSON would have to.
const JSON_VERSION: u32 = 1;

pub(super) async fn run(
    command: Ps,
    directories: StateDirectories,
) -> Result<ExitStatus, CommandError> {
    let status = service(&directories).await?.status().await?;
    match command.output {
        OutputFormat::Json => {
            output::json_document(&json!({"version": JSON_VERSION, "services": [status]}))?;
        }
        OutputFormat::Text => {
            for line in as_text(&status) {
                output::line(&line)?;
            }
        }
    }
    Ok(ExitStatus::Success)
}

/// A line for the service, its functions and its environments.
fn as_text(service: &ServiceStatus) -> Vec<String> {
    let events = match service.asynchronous_events {
        0 => String::new(),
        1 => ", with 1 asynchronous event".to_owned(),
        events => format!(", with {events} asynchronous events"),
    };
    let mut lines = vec![
        format!(
            "{} at {}, process {}, for {}{events}",
            service.service,
            service.endpoint,
            service.pid,
            span(service.uptime_seconds)
        ),
        String::new(),
    ];
    lines.extend(output::table(&functions(&service.functions)));
    let environments = environments(&service.functions);
    if environments.len() > 1 {
        lines.push(String::new());
        lines.extend(output::table(&environments));
    }
    lines
}

fn functions(functions: &[FunctionStatus]) -> Vec<[String; 8]> {
    let head = [
        "FUNCTION",
        "MEMORY",
        "BUSY",
        "IDLE",
        "INVOCATIONS",
        "ERRORS",
        "THROTTLES",
        "COLD STARTS",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for function in functions {
        let count = |state| {
            let environments = function.environments.iter();
            environments
                .filter(|environment| environment.state == state)
                .count()
        };
        rows.push([
            function.function_name.clone(),
            format!("{} MB", function.memory_size_mb),
            count(EnvironmentState::Busy).to_string(),
            count(EnvironmentState::Idle).to_string(),
            function.invocations.to_string(),
            function.errors.to_string(),
            function.throttles.to_string(),
            function.cold_starts.to_string(),
        ]);
    }
    rows
}

fn environments(functions: &[FunctionStatus]) -> Vec<[String; 7]> {
    let head = [
        "ENVIRONMENT",
        "FUNCTION",
        "STATE",
        "AGE",
        "INVOCATIONS",
        "MAX MEMORY USED",
        "/TMP",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for function in functions {
        for environment in &function.environments {
            rows.push(row(&function.function_name, environment));
        }
    }
    rows
}

fn row(function: &str, environment: &Environment) -> [String; 7] {
    [
        environment.id.to_string(),
        format!("{function}:{}", environment.version),
        state(environment),
        span(environment.age_seconds),
        environment.invocations.to_string(),
        format!("{} MB", environment.max_memory_used_mb),
        format!("{} MB", environment.tmp_used_mb),
    ]
}

fn state(environment: &Environment) -> String {
    let state = match (environment.state, environment.idle_seconds) {
        (EnvironmentState::Initialising, _) => "initialising".to_owned(),
        (EnvironmentState::Idle, Some(seconds)) => format!("idle for {}", span(seconds)),
        (EnvironmentState::Idle, None) => "idle".to_owned(),
        (EnvironmentState::Busy, _) => "busy".to_owned(),
    };
    if environment.provisioned {
        format!("{state}, provisioned")
    } else {
        state
    }
}

/// A span of time in its largest unit.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(id: u64, idle: Option<u64>) -> Environment {
        Environment {
            id,
            version: "$LATEST".to_owned(),
            state: if idle.is_some() {
                EnvironmentState::Idle
            } else {
                EnvironmentState::Busy
            },
            idle_seconds: idle,
            provisioned: id == 1,
            age_seconds: 130,
            invocations: 4,
            max_memory_used_mb: 33,
            tmp_used_mb: 1,
        }
    }

    fn service(environments: Vec<Environment>) -> ServiceStatus {
        ServiceStatus {
            service: "0123abcd".to_owned(),
            pid: 12,
            endpoint: "http://127.0.0.1:9000".to_owned(),
            uptime_seconds: 7_300,
            asynchronous_events: 1,
            functions: vec![FunctionStatus {
                function_name: "f".to_owned(),
                memory_size_mb: 128,
                invocations: 8,
                errors: 1,
                throttles: 0,
                cold_starts: 2,
                environments,
            }],
        }
    }

    #[test]
    fn a_service_is_told_in_tables() {
        let busy = service(vec![environment(0, None), environment(1, Some(9))]);
        let expected = [
            "0123abcd at http://127.0.0.1:9000, process 12, for 2 h, with 1 asynchronous event",
            "",
            "FUNCTION   MEMORY   BUSY   IDLE   INVOCATIONS   ERRORS   THROTTLES   COLD STARTS",
            "f          128 MB   1      1      8             1        0           2",
            "",
            "ENVIRONMENT   FUNCTION    STATE                       AGE     INVOCATIONS   MAX MEMORY USED   /TMP",
            "0             f:$LATEST   busy                        2 min   4             33 MB             1 MB",
            "1             f:$LATEST   idle for 9 s, provisioned   2 min   4             33 MB             1 MB",
        ];
        assert_eq!(as_text(&busy), expected);
        // Without environments there is no second table.
        assert_eq!(as_text(&service(vec![])).len(), 4);
    }
}

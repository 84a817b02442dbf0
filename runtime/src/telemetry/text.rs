//! Lambda's text log format. Tabs and trailing tabs are as the service prints
//! them: tools parse these lines.

use std::fmt::Write;
use std::time::Duration;

use super::{Api, Category, Event};
use crate::model::{ExtensionInfo, InitKind, Report, RequestId, Status};

/// The log lines of an event, each ending in a newline. Function lines are
/// passed through byte for byte.
pub(super) fn text_lines(event: &Event) -> Vec<u8> {
    match event {
        Event::Function(line) | Event::ExtensionLine(line) => [line.as_slice(), b"\n"].concat(),
        // An INIT that went well is told by REPORT, if there is an invocation.
        Event::InitReport {
            kind,
            duration,
            status,
        } if *kind == InitKind::Provisioned || *status != Status::Success => {
            init_report(*kind, *duration, status).into_bytes()
        }
        Event::Start {
            request_id,
            version,
            ..
        } => format!("START RequestId: {request_id} Version: {version}\n").into_bytes(),
        Event::Report {
            request_id, report, ..
        } => {
            let end = format!("END RequestId: {request_id}\n");
            (end + &report_line(*request_id, report)).into_bytes()
        }
        Event::Extension(info) => extension(info).into_bytes(),
        Event::Subscribed { api, name, types } => subscribed(*api, name, types).into_bytes(),
        Event::InitStart { .. }
        | Event::InitRuntimeDone { .. }
        | Event::InitReport { .. }
        | Event::RuntimeDone { .. }
        | Event::Fault { .. }
        | Event::Freezer { .. }
        | Event::LogsDropped(_)
        | Event::Throttled => vec![],
    }
}

fn extension(info: &ExtensionInfo) -> String {
    let events: Vec<_> = info.events.iter().map(ToString::to_string).collect();
    let mut line = format!(
        "EXTENSION\tName: {}\tState: {}\tEvents: [{}]",
        info.name,
        info.state,
        events.join(", ")
    );
    if let Some(error_type) = &info.error_type {
        // Infallible: the target is a string.
        let _ = write!(line, "\tError Type: {error_type}");
    }
    line.push('\n');
    line
}

fn subscribed(api: Api, name: &str, types: &[Category]) -> String {
    let kind = match api {
        Api::Telemetry => "TELEMETRY",
        Api::Logs => "LOGS",
    };
    let types: Vec<_> = types
        .iter()
        .map(|category| capitalised(*category))
        .collect();
    let types = types.join(", ");
    format!("{kind}\tName: {name}\tState: Subscribed\tTypes: [{types}]\n")
}

fn capitalised(category: Category) -> &'static str {
    match category {
        Category::Platform => "Platform",
        Category::Function => "Function",
        Category::Extension => "Extension",
    }
}

fn init_report(kind: InitKind, duration: Duration, status: &Status) -> String {
    let phase = match kind {
        InitKind::OnDemand | InitKind::Provisioned => "init",
        InitKind::Suppressed => "invoke",
    };
    let duration = milliseconds(duration);
    let status = status_fields(status);
    format!("INIT_REPORT Init Duration: {duration} ms\tPhase: {phase}{status}\n")
}

fn report_line(request_id: RequestId, report: &Report) -> String {
    let mut line = format!(
        "REPORT RequestId: {request_id}\tDuration: {} ms\tBilled Duration: {} ms\t\
         Memory Size: {} MB\tMax Memory Used: {} MB",
        milliseconds(report.duration),
        report.billed_duration_ms(),
        report.memory_size,
        report.max_memory_used_mb(),
    );
    if let Some(init) = report.init_duration {
        // Infallible: the target is a string.
        let _ = write!(line, "\tInit Duration: {} ms", milliseconds(init));
    }
    match &report.status {
        Status::Success => line.push('\t'),
        failed => line.push_str(&status_fields(failed)),
    }
    line.push('\n');
    line
}

fn status_fields(status: &Status) -> String {
    match status {
        Status::Success => "\tStatus: success".to_owned(),
        Status::Timeout => "\tStatus: timeout".to_owned(),
        Status::Error(error_type) => format!("\tStatus: error\tError Type: {error_type}"),
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ExtensionEvent, ExtensionState, MemorySize};

    #[test]
    fn extension_lines_are_lambdas() {
        let mut info = ExtensionInfo {
            name: "AppConfigAgent".to_owned(),
            state: ExtensionState::Ready,
            events: vec![ExtensionEvent::Invoke, ExtensionEvent::Shutdown],
            error_type: None,
        };
        assert_eq!(
            extension(&info),
            "EXTENSION\tName: AppConfigAgent\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n"
        );
        info.state = ExtensionState::LaunchError;
        info.events.clear();
        info.error_type = Some("PermissionDenied".to_owned());
        assert_eq!(
            extension(&info),
            "EXTENSION\tName: AppConfigAgent\tState: LaunchError\tEvents: []\tError Type: PermissionDenied\n"
        );
    }

    #[test]
    fn subscription_lines_are_lambdas() {
        for (api, types, expected) in [
            (
                Api::Telemetry,
                &[Category::Platform, Category::Function, Category::Extension][..],
                "TELEMETRY\tName: agent\tState: Subscribed\tTypes: [Platform, Function, Extension]\n",
            ),
            (
                Api::Logs,
                &[Category::Platform],
                "LOGS\tName: agent\tState: Subscribed\tTypes: [Platform]\n",
            ),
        ] {
            assert_eq!(subscribed(api, "agent", types), expected);
        }
    }

    fn line(init_ms: Option<u64>, status: Status) -> String {
        let report = Report {
            duration: Duration::from_micros(2_460),
            init_duration: init_ms.map(Duration::from_millis),
            memory_size: MemorySize::MIN,
            max_memory_used: 36 << 20,
            cpu_used: Duration::ZERO,
            cpu_throttled: Duration::ZERO,
            tmp_used: 0,
            status,
        };
        report_line(RequestId::random(), &report)
            .split_once('\t')
            .unwrap()
            .1
            .to_owned()
    }

    #[test]
    fn report_lines_are_lambdas() {
        assert_eq!(
            line(Some(110), Status::Success),
            "Duration: 2.46 ms\tBilled Duration: 113 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 110.00 ms\t\n"
        );
        assert_eq!(
            line(None, Status::Success),
            "Duration: 2.46 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\n"
        );
        assert_eq!(
            line(None, Status::Timeout),
            "Duration: 2.46 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tStatus: timeout\n"
        );
        assert_eq!(
            line(Some(1), Status::Error("Runtime.ExitError".to_owned())),
            "Duration: 2.46 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 1.00 ms\tStatus: error\tError Type: Runtime.ExitError\n"
        );
    }

    #[test]
    fn init_reports_are_lambdas() {
        assert_eq!(
            init_report(
                InitKind::OnDemand,
                Duration::from_micros(9_999_790),
                &Status::Timeout
            ),
            "INIT_REPORT Init Duration: 9999.79 ms\tPhase: init\tStatus: timeout\n"
        );
        assert_eq!(
            init_report(
                InitKind::Provisioned,
                Duration::from_micros(120_330),
                &Status::Success
            ),
            "INIT_REPORT Init Duration: 120.33 ms\tPhase: init\tStatus: success\n"
        );
        assert_eq!(
            init_report(
                InitKind::Suppressed,
                Duration::from_micros(118_020),
                &Status::Error("Runtime.ExitError".to_owned())
            ),
            "INIT_REPORT Init Duration: 118.02 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.ExitError\n"
        );
    }
}

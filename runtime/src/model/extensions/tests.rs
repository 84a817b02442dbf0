//! Every refusal, with its words; and who is woken for what.

use super::*;

fn words(events: &[&str]) -> Vec<String> {
    events.iter().map(|event| (*event).to_owned()).collect()
}

fn started(names: &[&str]) -> Extensions {
    let mut extensions = Extensions::default();
    extensions.launched(
        names
            .iter()
            .map(|name| ExtensionLaunch {
                name: (*name).to_owned(),
                failure: None,
            })
            .collect(),
    );
    extensions
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, ExtensionError>, kind: &str, text: &str) {
    let error = result.unwrap_err();
    assert_eq!(
        (error.error_type(), error.to_string().as_str()),
        (kind, text)
    );
}

#[test]
fn what_register_refuses() {
    let mut extensions = started(&["outer"]);
    let all = words(&["INVOKE", "SHUTDOWN"]);
    refused(
        extensions.register("", &all),
        "Extension.InvalidExtensionName",
        "Empty extension name",
    );
    refused(
        extensions.register("outer", &words(&["invoke"])),
        "Extension.InvalidEventType",
        "invoke: ErrorInvalidEventType",
    );
    refused(
        extensions.register("inner", &words(&["INVOKE", "START"])),
        "Extension.InvalidEventType",
        "START: ErrorInvalidEventType",
    );
    refused(
        extensions.register("inner", &all),
        "Extension.InvalidEventType",
        "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension",
    );
    // What was refused may be tried again.
    extensions.register("outer", &all).unwrap();
    refused(
        extensions.register("outer", &all),
        "Extension.InvalidExtensionState",
        "State transition from Registered to Registered failed for extension outer. \
         Error: State transition is not allowed",
    );
    extensions.register("inner", &[]).unwrap();
    refused(
        extensions.register("inner", &[]),
        "Extension.InvalidExtensionState",
        "Extension with this name already registered",
    );
    for number in 2..MAX_EXTENSIONS {
        extensions.register(&number.to_string(), &[]).unwrap();
    }
    refused(
        extensions.register("one too many", &[]),
        "Extension.TooManyExtensions",
        "Extension limit (10) reached",
    );
    extensions.close_registration();
    refused(
        extensions.register("late", &[]),
        "Extension.RegistrationClosed",
        "Extension registration closed already",
    );
}

#[test]
fn what_identifiers_are_refused() {
    refused(
        parse_extension_identifier(None),
        "Extension.MissingExtensionIdentifier",
        "Missing Lambda-Extension-Identifier header",
    );
    refused(
        parse_extension_identifier(Some("")),
        "Extension.MissingExtensionIdentifier",
        "Missing Lambda-Extension-Identifier header",
    );
    refused(
        parse_extension_identifier(Some("none")),
        "Extension.InvalidExtensionIdentifier",
        "Invalid Lambda-Extension-Identifier",
    );
    let id = parse_extension_identifier(Some("2f2c6f4e-60e5-4fcd-8b3a-d4a4a7d6b1a0")).unwrap();
    let mut extensions = started(&["outer"]);
    refused(
        extensions.next(id),
        "Extension.UnknownExtensionIdentifier",
        "Unknown extension 2f2c6f4e-60e5-4fcd-8b3a-d4a4a7d6b1a0",
    );
    refused(
        extensions.report(ReportedFault::Init, id, Some("Extension.X")),
        "Extension.UnknownExtensionIdentifier",
        "Unknown Lambda-Extension-Identifier",
    );
}

#[test]
fn what_errors_and_next_refuse() {
    let mut extensions = started(&["outer"]);
    let id = extensions.register("outer", &words(&["INVOKE"])).unwrap();
    for missing in [None, Some("")] {
        refused(
            extensions.report(ReportedFault::Init, id, missing),
            "Extension.MissingHeader",
            "Lambda-Extension-Function-Error-Type not found",
        );
    }
    assert_eq!(extensions.next(id), Ok(0));
    refused(
        extensions.next(id),
        "Extension.InvalidExtensionState",
        &format!(
            "State transition from Ready to Ready failed for extension {id}. \
             Error: State transition is not allowed"
        ),
    );
    refused(
        extensions.report(ReportedFault::Init, id, Some("Extension.X")),
        "Extension.InvalidExtensionState",
        &format!(
            "State transition from Ready to InitError failed for extension {id}. \
             Error: State transition is not allowed"
        ),
    );
    assert_eq!(extensions.fault(), None);
    extensions
        .report(ReportedFault::Exit, id, Some("Extension.First"))
        .unwrap();
    // Again is allowed, and the first counts.
    extensions
        .report(ReportedFault::Exit, id, Some("Extension.Second"))
        .unwrap();
    assert_eq!(extensions.fault(), Some(ExtensionFault::Exit));
    let info = extensions.infos().next().unwrap();
    assert_eq!(info.error_type.as_deref(), Some("Extension.First"));
    refused(
        extensions.next(id),
        "Extension.InvalidExtensionState",
        &format!(
            "State transition from ExitError to Ready failed for extension {id}. \
             Error: State transition is not allowed"
        ),
    );
    // Lambda calls the state that exit/error leads to by another name here.
    let mut extensions = started(&["outer"]);
    let id = extensions.register("outer", &[]).unwrap();
    extensions
        .report(ReportedFault::Init, id, Some("Extension.X"))
        .unwrap();
    refused(
        extensions.report(ReportedFault::Exit, id, Some("Extension.X")),
        "Extension.InvalidExtensionState",
        &format!(
            "State transition from InitError to Exited failed for extension {id}. \
             Error: State transition is not allowed"
        ),
    );
}

#[test]
fn events_go_to_who_waits_and_wants_them() {
    let mut extensions = started(&["both", "end", "nothing"]);
    let both = extensions
        .register("both", &words(&["SHUTDOWN", "INVOKE", "INVOKE"]))
        .unwrap();
    let end = extensions.register("end", &words(&["SHUTDOWN"])).unwrap();
    assert!(!extensions.all_registered());
    let nothing = extensions.register("nothing", &[]).unwrap();
    assert!(extensions.all_registered());
    let inner = extensions.register("inner", &words(&["INVOKE"])).unwrap();
    for id in [both, end, nothing] {
        extensions.next(id).unwrap();
    }
    assert!(!extensions.all_ready());
    extensions.next(inner).unwrap();
    assert!(extensions.all_ready());
    assert_eq!(extensions.begin_invocation(), [0, 3]);
    extensions.next(inner).unwrap();
    assert!(!extensions.invocation_done());
    extensions.next(both).unwrap();
    assert!(extensions.invocation_done());

    // One of the two that want SHUTDOWN still works on an invocation.
    assert_eq!(extensions.begin_invocation(), [0, 3]);
    assert_eq!(extensions.begin_shutdown(), [1]);
    assert_eq!(extensions.uninterested(), [2]);
    let index = extensions.next(both).unwrap();
    assert!(extensions.owes_shutdown(index));
    // Asked again, both wait for ever.
    for id in [both, end] {
        let index = extensions.next(id).unwrap();
        assert!(!extensions.owes_shutdown(index));
    }
    extensions.ended(0, Some(ExitStatus::Code(0)));
    assert!(extensions.any_leaving());
    extensions.ended(1, Some(ExitStatus::Signal(9)));
    assert!(!extensions.any_leaving());
    let states: Vec<_> = extensions.infos().map(|info| info.state).collect();
    assert_eq!(
        states[..2],
        [ExtensionState::Exited, ExtensionState::ShutdownFailed]
    );
}

#[test]
fn windows_depend_on_who_is_there() {
    let mut extensions = Extensions::default();
    assert_eq!(extensions.window(), ShutdownWindow::None);
    extensions.register("inner", &[]).unwrap();
    assert_eq!(extensions.window(), ShutdownWindow::Internal);
    assert_eq!(started(&["outer"]).window(), ShutdownWindow::External);
}

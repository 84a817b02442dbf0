//! Cases from the contract, and the books of every order of events.

use proptest::prelude::*;

use super::*;
use crate::model::ExitStatus;

fn exited() -> Event {
    Event::RuntimeEnded(Failure::Exit(ExitStatus::Code(1)))
}

/// Runs `events` and returns the phase and all effects.
fn run(events: &[Event]) -> (Phase, Vec<Effect>) {
    let mut phase = Phase::Fresh;
    let mut all = vec![];
    for event in events {
        let (next, effects) = phase.on(event.clone());
        phase = next;
        all.extend(effects);
    }
    (phase, all)
}

#[test]
fn a_cold_and_a_warm_invocation() {
    use Event::{Invoke, RuntimeAnswered, RuntimeNext};
    let (phase, effects) = run(&[
        Invoke,
        RuntimeNext,
        RuntimeAnswered(Answer::Runtime),
        RuntimeNext,
        Invoke,
        RuntimeAnswered(Answer::Runtime),
        RuntimeNext,
    ]);
    assert_eq!(phase, Phase::Idle);
    assert_eq!(
        effects,
        vec![
            Effect::StartRuntime,
            Effect::Arm(Deadline::Init),
            Effect::InitSucceeded,
            Effect::LimitCpu,
            Effect::BeginInvoke,
            Effect::Arm(Deadline::Invoke),
            Effect::HandOut,
            Effect::Reply(Answer::Runtime),
            Effect::Disarm,
            Effect::Freeze,
            Effect::EndInvoke(Status::Success),
            Effect::Thaw,
            Effect::BeginInvoke,
            Effect::Arm(Deadline::Invoke),
            Effect::HandOut,
            Effect::Reply(Answer::Runtime),
            Effect::Disarm,
            Effect::Freeze,
            Effect::EndInvoke(Status::Success),
        ]
    );
}

#[test]
fn a_crash_at_import_is_tried_twice_and_reported_twice() {
    let (phase, effects) = run(&[Event::Invoke, exited(), exited()]);
    assert_eq!(phase, Phase::Down);
    let error = Status::Error("Runtime.ExitError".to_owned());
    assert_eq!(
        effects,
        vec![
            Effect::StartRuntime,
            Effect::Arm(Deadline::Init),
            Effect::ReportInit(InitKind::OnDemand, error.clone()),
            Effect::Arm(Deadline::Invoke),
            Effect::StartRuntime,
            Effect::Disarm,
            Effect::ReportInit(InitKind::Suppressed, error.clone()),
            Effect::BeginInvoke,
            Effect::Reply(Answer::Failure(Failure::Exit(ExitStatus::Code(1)))),
            Effect::EndInvoke(error),
        ]
    );
}

#[test]
fn after_a_timeout_the_next_invocation_initialises_inside_itself() {
    use Event::{DeadlinePassed, Invoke, RuntimeNext};
    let (phase, effects) = run(&[Invoke, RuntimeNext, DeadlinePassed, exited()]);
    assert_eq!(phase, Phase::Down);
    assert!(effects.ends_with(&[
        Effect::Reply(Answer::Timeout),
        Effect::KillRuntime,
        Effect::EndInvoke(Status::Timeout),
    ]));
    let (phase, effects) = phase.on(Invoke);
    assert_eq!(phase, Phase::Init(InitKind::Suppressed));
    assert_eq!(
        effects,
        vec![Effect::Arm(Deadline::Invoke), Effect::StartRuntime]
    );
}

#[test]
fn a_provisioned_environment_is_warm_before_its_first_invocation() {
    use Event::{Initialise, Invoke, RuntimeNext};
    let begun = [Effect::StartRuntime, Effect::Arm(Deadline::ProvisionedInit)];
    let (phase, effects) = run(&[Initialise, RuntimeNext]);
    assert_eq!(phase, Phase::Idle);
    assert_eq!(effects[..2], begun);
    assert_eq!(
        effects[2..],
        [
            Effect::Disarm,
            Effect::LimitCpu,
            Effect::Freeze,
            Effect::ReportInit(InitKind::Provisioned, Status::Success),
        ]
    );
    let (phase, effects) = phase.on(Invoke);
    assert_eq!(phase, Phase::Invoking);
    assert_eq!(effects[0], Effect::Thaw);
    for (failure, status) in [
        (Event::DeadlinePassed, Status::Timeout),
        (
            Event::RuntimeInitError("Runtime.ImportModuleError".to_owned()),
            Status::Error("Runtime.ImportModuleError".to_owned()),
        ),
        (exited(), Status::Error("Runtime.ExitError".to_owned())),
    ] {
        let (phase, effects) = run(&[Initialise, failure.clone(), exited()]);
        assert_eq!(phase, Phase::Gone, "{failure:?}");
        let report = Effect::ReportInit(InitKind::Provisioned, status);
        assert!(effects.contains(&report), "{failure:?}: {effects:?}");
    }
}

/// Mostly what a working function does, so that long lives come about.
fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => Just(Event::Invoke),
        6 => Just(Event::Initialise),
        20 => Just(Event::RuntimeNext),
        16 => Just(Event::RuntimeAnswered(Answer::Runtime)),
        4 => Just(Event::RuntimeAnswered(Answer::Failure(
            Failure::ResponseTooLarge
        ))),
        2 => Just(Event::RuntimeInitError(
            "Runtime.ImportModuleError".to_owned()
        )),
        6 => Just(exited()),
        3 => Just(Event::RuntimeEnded(Failure::OutOfMemory)),
        3 => Just(Event::DeadlinePassed),
        1 => Just(Event::Shutdown),
        1 => Just(Event::HostFailed),
    ]
}

proptest! {
    /// Whatever happens in whatever order: every invocation is answered
    /// exactly once and closed exactly once, the runtime is started only
    /// when there is none and nothing is frozen, and no event goes to a runtime
    /// that is not there.
    #[test]
    fn the_books_balance(events in prop::collection::vec(any_event(), 0..60)) {
        let mut phase = Phase::Fresh;
        let mut runtime_alive = false;
        let mut frozen = false;
        let mut answers_due = 0;
        let mut closings_due = 0;
        for event in events {
            if event == Event::Invoke && !phase.accepts_invocation() {
                continue;
            }
            if event == Event::Invoke {
                answers_due += 1;
                closings_due += 1;
            }
            // A process that does not exist does nothing.
            let from_runtime = matches!(
                event,
                Event::RuntimeNext
                    | Event::RuntimeAnswered(_)
                    | Event::RuntimeInitError(_)
                    | Event::RuntimeEnded(_)
            );
            if from_runtime && !runtime_alive {
                continue;
            }
            if matches!(event, Event::RuntimeEnded(_)) {
                runtime_alive = false;
            }
            if event == Event::HostFailed {
                runtime_alive = false;
            }
            let (next, effects) = phase.on(event);
            phase = next;
            for effect in effects {
                match effect {
                    Effect::StartRuntime => {
                        prop_assert!(!runtime_alive && !frozen);
                        runtime_alive = true;
                    }
                    Effect::HandOut => {
                        prop_assert!(runtime_alive && !frozen);
                    }
                    Effect::Freeze => {
                        prop_assert!(runtime_alive && !frozen);
                        frozen = true;
                    }
                    Effect::Thaw => {
                        prop_assert!(frozen);
                        frozen = false;
                    }
                    Effect::KillRuntime => prop_assert!(runtime_alive),
                    Effect::Reply(_) => answers_due -= 1,
                    Effect::EndInvoke(_) => closings_due -= 1,
                    Effect::Abandon => {
                        // Ends what is open, answered or not.
                        answers_due = 0;
                        closings_due = 0;
                    }
                    _ => {}
                }
                prop_assert!(answers_due >= 0 && closings_due >= 0);
            }
            let open = i32::from(phase.has_invocation());
            prop_assert_eq!(closings_due, open, "in {:?}", phase);
            prop_assert!(answers_due <= open);
            if phase.accepts_invocation() {
                prop_assert_eq!(answers_due, 0);
            }
        }
    }
}

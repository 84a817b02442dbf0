//! Cases from the contract, and the books of every order of events.

mod books;

use super::*;
use crate::model::ExtensionState as State;
use crate::model::{ExitStatus, ExtensionEvent, ExtensionInfo, ExtensionLaunch, LaunchFailure};

fn exited() -> Event {
    Event::RuntimeEnded(Ending::Exit(ExitStatus::Code(1)))
}

fn launched(names: &[&str]) -> Event {
    Event::Launched(
        names
            .iter()
            .map(|name| ExtensionLaunch {
                name: (*name).to_owned(),
                failure: None,
            })
            .collect(),
    )
}

fn info(name: &str, state: State, events: &[ExtensionEvent]) -> ExtensionInfo {
    ExtensionInfo {
        name: name.to_owned(),
        state,
        events: events.to_vec(),
        error_type: None,
    }
}

/// Feeds `events` and returns all effects.
fn feed(life: &mut Lifecycle, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
    let mut effects = vec![];
    for event in events {
        effects.extend(life.on(event));
    }
    effects
}

/// An environment without extensions, from its start to the first event.
fn started() -> [Event; 3] {
    [launched(&[]), Event::RuntimeStarted, Event::RuntimeNext]
}

/// An environment with one external extension for both events, and one internal
/// for INVOKE, that has its first event; and their identifiers.
fn with_extensions() -> (Lifecycle, Uuid, Uuid, Vec<Effect>) {
    let mut life = Lifecycle::default();
    let mut effects = feed(&mut life, [Event::Invoke, launched(&["outer"])]);
    let events = ["INVOKE".to_owned(), "SHUTDOWN".to_owned()];
    let (outer, more) = life.register("outer", &events).unwrap();
    effects.extend(more);
    effects.extend(life.extension_next(outer).unwrap().1);
    effects.extend(life.on(Event::RuntimeStarted));
    let (inner, more) = life.register("inner", &events[..1]).unwrap();
    effects.extend(more);
    effects.extend(life.on(Event::RuntimeNext));
    effects.extend(life.extension_next(inner).unwrap().1);
    (life, outer, inner, effects)
}

const STOP_RUNTIME: Deadline = Deadline::Stop(std::time::Duration::from_millis(600));
const STOP_ALL: Deadline = Deadline::Stop(std::time::Duration::from_secs(2));

#[test]
fn a_cold_and_a_warm_invocation() {
    use Event::{Invoke, RuntimeAnswered, RuntimeNext};
    let mut life = Lifecycle::default();
    let mut effects = life.on(Invoke);
    effects.extend(feed(&mut life, started()));
    let rest = [
        RuntimeAnswered(Answer::Runtime),
        RuntimeNext,
        Invoke,
        RuntimeAnswered(Answer::Runtime),
        RuntimeNext,
    ];
    effects.extend(feed(&mut life, rest));
    assert_eq!(*life.phase(), Phase::Idle);
    assert_eq!(
        effects,
        vec![
            Effect::Start,
            Effect::Arm(Deadline::Init),
            Effect::InitSucceeded,
            Effect::LimitCpu,
            Effect::ReportInit(InitKind::OnDemand, Status::Success),
            Effect::BeginInvoke,
            Effect::Arm(Deadline::Invoke),
            Effect::HandOut,
            Effect::Reply(Answer::Runtime),
            Effect::RuntimeDone(Status::Success),
            Effect::Disarm,
            Effect::Freeze,
            Effect::EndInvoke(Status::Success),
            Effect::Thaw,
            Effect::BeginInvoke,
            Effect::Arm(Deadline::Invoke),
            Effect::HandOut,
            Effect::Reply(Answer::Runtime),
            Effect::RuntimeDone(Status::Success),
            Effect::Disarm,
            Effect::Freeze,
            Effect::EndInvoke(Status::Success),
        ]
    );
    // Nobody has registered: no signal but SIGKILL, and no waiting.
    assert_eq!(
        feed(&mut life, [Event::Shutdown, exited(), Event::AllEnded]),
        vec![Effect::Disarm, Effect::KillAll]
    );
    assert_eq!(*life.phase(), Phase::Gone);
}

#[test]
fn a_provisioned_environment_is_warm_before_its_first_invocation() {
    let initialising = [Effect::Start, Effect::Arm(Deadline::ProvisionedInit)];
    let mut life = Lifecycle::default();
    let mut effects = life.on(Event::Initialise);
    effects.extend(feed(&mut life, started()));
    assert_eq!(*life.phase(), Phase::Idle);
    assert_eq!(effects[..2], initialising);
    assert_eq!(
        effects[2..],
        [
            Effect::Disarm,
            Effect::LimitCpu,
            Effect::ReportInit(InitKind::Provisioned, Status::Success),
            Effect::Freeze,
        ]
    );
    assert_eq!(life.on(Event::Invoke)[0], Effect::Thaw);
    assert_eq!(*life.phase(), Phase::Invoking);
    let init_error = "Runtime.ImportModuleError".to_owned();
    for (failure, status) in [
        (Event::DeadlinePassed, Status::Timeout),
        (
            Event::RuntimeInitError(init_error.clone()),
            Status::Error(init_error),
        ),
        (exited(), Status::Error("Runtime.ExitError".to_owned())),
    ] {
        let mut life = Lifecycle::default();
        let begin = [Event::Initialise, launched(&[]), Event::RuntimeStarted];
        let effects = feed(
            &mut life,
            begin.into_iter().chain([failure.clone(), Event::AllEnded]),
        );
        assert_eq!(*life.phase(), Phase::Gone, "{failure:?}");
        let report = Effect::ReportInit(InitKind::Provisioned, status);
        assert!(effects.contains(&report), "{failure:?}: {effects:?}");
    }
}

#[test]
fn subscriptions_are_accepted_until_init_is_over() {
    let mut life = Lifecycle::default();
    let _ = feed(&mut life, [Event::Invoke, launched(&["outer"])]);
    assert_eq!(life.extension(Uuid::nil()), None);
    let (outer, _) = life.register("outer", &[]).unwrap();
    let _ = feed(&mut life, [Event::RuntimeStarted, Event::RuntimeNext]);
    // Nobody registers any more, but INIT goes on.
    assert!(life.register("inner", &[]).is_err());
    assert_eq!(life.extension(outer), Some(("outer", true)));
    let _ = life.extension_next(outer).unwrap();
    assert_eq!(life.extension(outer), Some(("outer", false)));
}

#[test]
fn an_extension_that_has_ended_is_not_told_of_the_end() {
    let mut life = Lifecycle::default();
    feed(&mut life, [Event::Invoke, launched(&["one", "two"])]);
    let events = ["SHUTDOWN".to_owned()];
    let (one, _) = life.register("one", &events).unwrap();
    life.extension_next(one).unwrap();
    life.register("two", &events).unwrap();
    // It waited for an event, which nobody can give to it any more.
    let effects = life.on(Event::ExtensionEnded(0, Ending::Exit(ExitStatus::Code(0))));
    let told = |effect: &Effect| matches!(effect, Effect::TellShutdown(_));
    assert!(!effects.iter().any(told), "{effects:?}");
}

#[test]
fn extensions_come_first_and_are_waited_for() {
    use ExtensionEvent::{Invoke, Shutdown};
    let (mut life, outer, inner, effects) = with_extensions();
    assert_eq!(
        effects,
        vec![
            Effect::Start,
            Effect::Arm(Deadline::Init),
            Effect::StartRuntime,
            Effect::InitSucceeded,
            Effect::ReportExtensions(vec![
                info("outer", State::Ready, &[Invoke, Shutdown]),
                info("inner", State::Ready, &[Invoke]),
            ]),
            Effect::LimitCpu,
            Effect::ReportInit(InitKind::OnDemand, Status::Success),
            Effect::BeginInvoke,
            Effect::Arm(Deadline::Invoke),
            Effect::TellInvoke(vec![0, 1]),
            Effect::HandOut,
        ]
    );
    // INIT is over, and with it the time to register and to subscribe.
    assert_eq!(life.extension(outer), Some(("outer", false)));
    assert_eq!(life.extension(Uuid::nil()), None);
    // Asked again, the runtime gets its event again and the extensions do not.
    assert_eq!(life.on(Event::RuntimeNext), vec![Effect::HandOut]);
    assert_eq!(life.extension_next(inner).unwrap(), (1, vec![]));
    assert_eq!(
        feed(
            &mut life,
            [
                Event::RuntimeAnswered(Answer::Runtime),
                Event::RuntimeNext,
                Event::RuntimeNext
            ]
        ),
        vec![
            Effect::Reply(Answer::Runtime),
            Effect::RuntimeDone(Status::Success),
            Effect::AwaitExtensions
        ]
    );
    assert_eq!(
        life.extension_next(outer).unwrap().1,
        vec![
            Effect::Disarm,
            Effect::Freeze,
            Effect::EndInvoke(Status::Success)
        ]
    );
    assert_eq!(*life.phase(), Phase::Idle);

    // The end: SIGTERM, then SHUTDOWN, then SIGKILL.
    assert_eq!(
        life.on(Event::Shutdown),
        vec![
            Effect::Disarm,
            Effect::Thaw,
            Effect::BeginStop(ShutdownReason::Spindown),
            Effect::Arm(STOP_RUNTIME),
            Effect::TerminateRuntime
        ]
    );
    assert_eq!(
        life.on(exited()),
        vec![
            Effect::Disarm,
            Effect::Arm(STOP_ALL),
            Effect::TellShutdown(vec![0])
        ]
    );
    assert_eq!(
        life.on(Event::ExtensionEnded(0, Ending::Exit(ExitStatus::Code(0)))),
        vec![Effect::Disarm, Effect::KillAll]
    );
    assert_eq!(life.on(Event::AllEnded), vec![]);
    assert_eq!(*life.phase(), Phase::Gone);
}

#[test]
fn a_timeout_ends_extensions_too_and_those_who_do_not_go_are_killed() {
    let (mut life, outer, ..) = with_extensions();
    assert_eq!(
        life.on(Event::DeadlinePassed),
        vec![
            Effect::Reply(Answer::Timeout),
            Effect::RuntimeDone(Status::Timeout),
            Effect::BeginStop(ShutdownReason::Timeout),
            Effect::Arm(STOP_RUNTIME),
            Effect::TerminateRuntime
        ]
    );
    // Both still work on the invocation; the runtime ignores the signal.
    assert_eq!(
        life.on(Event::DeadlinePassed),
        vec![Effect::KillRuntime, Effect::Arm(STOP_ALL)]
    );
    assert_eq!(life.on(exited()), vec![]);
    assert_eq!(
        life.extension_next(outer).unwrap().1,
        vec![Effect::TellShutdown(vec![0])]
    );
    assert_eq!(life.on(Event::DeadlinePassed), vec![Effect::KillAll]);
    assert_eq!(
        life.on(Event::AllEnded),
        vec![Effect::EndInvoke(Status::Timeout)]
    );
    assert_eq!(*life.phase(), Phase::Down);
}

#[test]
fn internal_extensions_earn_the_runtime_half_a_second() {
    let mut life = Lifecycle::default();
    let _ = feed(
        &mut life,
        [Event::Invoke, launched(&[]), Event::RuntimeStarted],
    );
    let (inner, effects) = life.register("inner", &[]).unwrap();
    assert_eq!(effects, vec![]);
    let _ = life.on(Event::RuntimeNext);
    let _ = life.extension_next(inner).unwrap();
    let _ = feed(
        &mut life,
        [Event::RuntimeAnswered(Answer::Runtime), Event::RuntimeNext],
    );
    assert_eq!(*life.phase(), Phase::Idle);
    assert_eq!(
        feed(&mut life, [Event::Shutdown, Event::DeadlinePassed]),
        vec![
            Effect::Disarm,
            Effect::Thaw,
            Effect::BeginStop(ShutdownReason::Spindown),
            Effect::Arm(Deadline::Stop(std::time::Duration::from_millis(500))),
            Effect::TerminateRuntime,
            Effect::KillAll
        ]
    );
}

#[test]
fn who_has_no_subscription_is_killed_when_others_are_told() {
    let mut life = Lifecycle::default();
    let _ = feed(&mut life, [Event::Invoke, launched(&["quiet", "told"])]);
    let shutdown = ["SHUTDOWN".to_owned()];
    let (quiet, effects) = life.register("quiet", &[]).unwrap();
    assert_eq!(effects, vec![]);
    let (told, effects) = life.register("told", &shutdown).unwrap();
    assert_eq!(effects, vec![Effect::StartRuntime]);
    for id in [quiet, told] {
        let _ = life.extension_next(id).unwrap();
    }
    let _ = feed(
        &mut life,
        [
            Event::RuntimeStarted,
            Event::RuntimeNext,
            Event::RuntimeAnswered(Answer::Runtime),
            Event::RuntimeNext,
        ],
    );
    // Neither is told of invocations, so neither is waited for.
    assert_eq!(*life.phase(), Phase::Idle);
    assert_eq!(
        feed(&mut life, [Event::Shutdown, exited()])[5..],
        [
            Effect::Disarm,
            Effect::Arm(STOP_ALL),
            Effect::KillExtensions(vec![0]),
            Effect::TellShutdown(vec![1])
        ]
    );
}

#[test]
fn an_extension_that_does_not_start_fails_the_init() {
    let mut life = Lifecycle::default();
    let launches = vec![
        ExtensionLaunch {
            name: "good".to_owned(),
            failure: None,
        },
        ExtensionLaunch {
            name: "text".to_owned(),
            failure: Some(LaunchFailure {
                error_type: "PermissionDenied".to_owned(),
                reason: "fork/exec /opt/extensions/text: permission denied".to_owned(),
            }),
        },
    ];
    let error = Status::Error("Extension.LaunchError".to_owned());
    let mut infos = vec![
        info("good", State::Started, &[]),
        info("text", State::LaunchError, &[]),
    ];
    infos[1].error_type = Some("PermissionDenied".to_owned());
    assert_eq!(
        feed(
            &mut life,
            [
                Event::Invoke,
                Event::Launched(launches.clone()),
                Event::AllEnded,
                Event::Launched(launches),
                Event::AllEnded
            ]
        ),
        vec![
            Effect::Start,
            Effect::Arm(Deadline::Init),
            Effect::Disarm,
            Effect::ReportExtensions(infos.clone()),
            Effect::ReportInit(InitKind::OnDemand, error.clone()),
            Effect::BeginStop(ShutdownReason::Failure),
            Effect::KillAll,
            Effect::Arm(Deadline::Invoke),
            Effect::Start,
            Effect::Disarm,
            Effect::ReportExtensions(infos.clone()),
            Effect::ReportInit(InitKind::Suppressed, error.clone()),
            Effect::BeginInvoke,
            Effect::Reply(Answer::Failure(Failure::Extension(
                ExtensionFault::Launch,
                "fork/exec /opt/extensions/text: permission denied".to_owned()
            ))),
            Effect::RuntimeDone(error.clone()),
            Effect::BeginStop(ShutdownReason::Failure),
            Effect::KillAll,
            Effect::EndInvoke(error),
        ]
    );
}

#[test]
fn a_reported_error_is_the_reason_of_the_end_that_follows() {
    for (ends, fault, reason) in [
        (
            Event::ExtensionEnded(0, Ending::Exit(ExitStatus::Code(2))),
            None,
            "exit status 2",
        ),
        (
            Event::ExtensionEnded(0, Ending::Exit(ExitStatus::Code(0))),
            Some(ReportedFault::Exit),
            "exit code 0",
        ),
        (
            exited(),
            Some(ReportedFault::Exit),
            "Runtime exited with error: exit status 1",
        ),
    ] {
        let (mut life, outer, ..) = with_extensions();
        if let Some(fault) = fault {
            life.extension_error(fault, outer, Some("Extension.Mine"))
                .unwrap();
        }
        let expected = fault.map_or(ExtensionFault::Crash, |_| ExtensionFault::Exit);
        let failure = Failure::Extension(expected, reason.to_owned());
        let effects = life.on(ends);
        assert!(
            effects.contains(&Effect::Reply(Answer::Failure(failure))),
            "{effects:?}"
        );
        assert!(
            effects.contains(&Effect::BeginStop(ShutdownReason::Failure)),
            "{effects:?}"
        );
    }
}

#[test]
fn a_crash_at_import_is_tried_twice_and_reported_twice() {
    let once = || {
        [
            launched(&[]),
            Event::RuntimeStarted,
            exited(),
            Event::AllEnded,
        ]
    };
    let mut life = Lifecycle::default();
    let mut effects = life.on(Event::Invoke);
    effects.extend(feed(&mut life, once()));
    effects.extend(feed(&mut life, once()));
    assert_eq!(*life.phase(), Phase::Down);
    let error = Status::Error("Runtime.ExitError".to_owned());
    assert_eq!(
        effects,
        vec![
            Effect::Start,
            Effect::Arm(Deadline::Init),
            Effect::Disarm,
            Effect::ReportInit(InitKind::OnDemand, error.clone()),
            Effect::KillAll,
            Effect::Arm(Deadline::Invoke),
            Effect::Start,
            Effect::Disarm,
            Effect::ReportInit(InitKind::Suppressed, error.clone()),
            Effect::BeginInvoke,
            Effect::Reply(Answer::Failure(Failure::Exit(ExitStatus::Code(1)))),
            Effect::RuntimeDone(error.clone()),
            Effect::KillAll,
            Effect::EndInvoke(error),
        ]
    );
}

#[test]
fn after_a_timeout_the_next_invocation_initialises_inside_itself() {
    let mut life = Lifecycle::default();
    let mut effects = life.on(Event::Invoke);
    effects.extend(feed(&mut life, started()));
    effects.extend(feed(
        &mut life,
        [Event::DeadlinePassed, exited(), Event::AllEnded],
    ));
    assert_eq!(*life.phase(), Phase::Down);
    assert!(effects.ends_with(&[
        Effect::Reply(Answer::Timeout),
        Effect::RuntimeDone(Status::Timeout),
        Effect::KillAll,
        Effect::EndInvoke(Status::Timeout),
    ]));
    assert_eq!(
        life.on(Event::Invoke),
        vec![Effect::Arm(Deadline::Invoke), Effect::Start]
    );
    assert_eq!(*life.phase(), Phase::Init(InitKind::Suppressed));
}

#[test]
fn a_runtime_may_ask_before_the_news_of_its_start() {
    let mut life = Lifecycle::default();
    let effects = feed(
        &mut life,
        [
            Event::Invoke,
            launched(&[]),
            Event::RuntimeNext,
            Event::RuntimeStarted,
            Event::RuntimeAnswered(Answer::Runtime),
            Event::RuntimeNext,
        ],
    );
    assert!(effects.contains(&Effect::HandOut));
    assert_eq!(*life.phase(), Phase::Idle);
}

#[test]
fn what_dies_while_it_is_frozen_is_thawed_ended_and_said() {
    // Somebody has killed it, or the kernel for want of memory.
    for end in [exited(), Event::RuntimeEnded(Ending::OutOfMemory)] {
        dies_while_it_is_frozen(end);
    }
}

fn dies_while_it_is_frozen(end: Event) {
    let mut life = Lifecycle::default();
    let _ = life.on(Event::Invoke);
    let _ = feed(&mut life, started());
    let _ = feed(
        &mut life,
        [Event::RuntimeAnswered(Answer::Runtime), Event::RuntimeNext],
    );
    assert_eq!(*life.phase(), Phase::Idle);
    assert_eq!(
        life.on(end),
        vec![Effect::Died, Effect::Thaw, Effect::KillAll]
    );
    // In an invocation nobody has to be told: its answer says it.
    assert_eq!(life.on(Event::AllEnded), vec![]);
    assert_eq!(*life.phase(), Phase::Down);
    let _ = life.on(Event::Invoke);
    let effects = feed(&mut life, started().into_iter().chain([exited()]));
    assert!(!effects.contains(&Effect::Died), "{effects:?}");
}

use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::model::{FunctionName, MemorySize, Version};

fn function() -> Function {
    Function {
        name: "f".to_owned(),
        version: "$LATEST".to_owned(),
        arn: "arn:f".to_owned(),
        region: "us-east-1".to_owned(),
        memory_bytes: 128 << 20,
    }
}

fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + ms)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn trace() -> TraceId {
    let text = "Root=1-65f1a2b3-0123456789abcdef01234567;Parent=53995c3f42cd8ad8;Sampled=1";
    text.parse().unwrap()
}

fn init_start(kind: InitKind) -> Event {
    Event::InitStart {
        kind,
        function_name: FunctionName::default(),
        version: Version::default(),
        memory_size: MemorySize::default(),
        instance_id: "i".to_owned(),
    }
}

fn init_report(kind: InitKind, duration: u64, status: Status) -> Event {
    Event::InitReport {
        kind,
        duration: ms(duration),
        status,
    }
}

fn start(trace_id: TraceId) -> Event {
    Event::Start {
        request_id: RequestId::random(),
        version: Version::default(),
        trace_id,
    }
}

fn done(status: Status, spans: &[(SpanName, u64, u64)]) -> Event {
    Event::RuntimeDone {
        request_id: RequestId::random(),
        duration: ms(1),
        status,
        produced_bytes: 0,
        spans: of(spans),
        trace_id: trace(),
    }
}

fn of(spans: &[(SpanName, u64, u64)]) -> Vec<telemetry::Span> {
    let spans = spans.iter().map(|(name, start, duration)| telemetry::Span {
        name: *name,
        start: at(*start),
        duration: ms(*duration),
    });
    spans.collect()
}

fn report(status: Status, failed: bool, spans: &[(SpanName, u64, u64)]) -> Event {
    Event::Report {
        request_id: RequestId::random(),
        report: Report {
            duration: ms(1),
            init_duration: None,
            memory_size: MemorySize::default(),
            max_memory_used: 0,
            cpu_used: Duration::ZERO,
            cpu_throttled: Duration::ZERO,
            tmp_used: 0,
            status,
        },
        failed,
        spans: of(spans),
        trace_id: trace(),
    }
}

fn freezer(frozen: bool, duration: u64) -> Event {
    Event::Freezer {
        frozen,
        duration: ms(duration),
    }
}

/// The spans of events, each with its time.
fn tell(story: &mut Story, events: Vec<(u64, Event)>) -> Vec<Span> {
    let events = events.into_iter();
    events
        .flat_map(|(time, event)| story.on(at(time), &event))
        .collect()
}

/// Name, name of the parent, begin and end.
fn shape(spans: &[Span]) -> Vec<(&str, &str, u64, u64)> {
    let name_of = |id: SpanId| {
        let found = spans.iter().find(|span| span.id == id);
        found.map_or("elsewhere", |span| span.name.as_str())
    };
    let since = |time: SystemTime| {
        let since = time.duration_since(at(0)).unwrap();
        u64::try_from(since.as_millis()).unwrap()
    };
    let spans = spans.iter().map(|span| {
        let parent = span.parent.map_or("", name_of);
        (
            span.name.as_str(),
            parent,
            since(span.start),
            since(span.end),
        )
    });
    spans.collect()
}

fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a Value> {
    let found = span.attributes.iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| value)
}

fn warm() -> Vec<(u64, Event)> {
    vec![
        (100, freezer(false, 1)),
        (101, start(trace().recorded())),
        (
            110,
            done(
                Status::Success,
                &[
                    (SpanName::ResponseLatency, 101, 5),
                    (SpanName::ResponseDuration, 106, 1),
                    (SpanName::RuntimeOverhead, 107, 3),
                ],
            ),
        ),
        (115, freezer(true, 1)),
        (
            116,
            report(
                Status::Success,
                false,
                &[(SpanName::ExtensionOverhead, 110, 4)],
            ),
        ),
    ]
}

const WARM: [(&str, &str, u64, u64); 9] = [
    ("f", "elsewhere", 99, 116),
    ("thaw", "f", 99, 100),
    ("invoke", "f", 101, 107),
    ("overhead", "f", 107, 114),
    ("responseLatency", "invoke", 101, 106),
    ("responseDuration", "invoke", 106, 107),
    ("runtimeOverhead", "overhead", 107, 110),
    ("extensionOverhead", "overhead", 110, 114),
    ("freeze", "f", 114, 115),
];

/// What nobody has ended: an error, unless its caller has the answer already.
#[test]
fn a_lost_invocation_is_a_trace() {
    for (answered, error) in [(false, Some("ServiceException")), (true, None)] {
        let mut story = Story::new(function());
        story.on(at(0), &init_start(InitKind::OnDemand));
        story.on(at(5), &init_report(InitKind::OnDemand, 5, Status::Success));
        assert_eq!(story.lost(at(5)).len(), 0);
        story.on(at(6), &start(trace().recorded()));
        if answered {
            story.on(at(8), &done(Status::Success, &[]));
        }
        let spans = story.lost(at(10));
        let root = &spans[0];
        assert_eq!((root.start, root.end), (at(0), at(10)));
        let kind = root
            .attributes
            .iter()
            .find(|(name, _)| *name == "error.type");
        let kind = kind.map(|(_, value)| value.clone());
        assert_eq!(kind, error.map(|error| Value::Text(error.to_owned())));
        assert_eq!(root.error.is_some(), error.is_some());
        assert_eq!(spans.len(), if answered { 4 } else { 3 }, "{spans:?}");
        assert_eq!(story.lost(at(11)).len(), 0);
    }
}

#[test]
fn a_cold_start_has_an_init_and_a_warm_one_none() {
    let mut story = Story::new(function());
    let trace = trace().recorded();
    let cold = tell(
        &mut story,
        vec![
            (0, init_start(InitKind::OnDemand)),
            (50, init_report(InitKind::OnDemand, 40, Status::Success)),
            (50, start(trace.clone())),
            (60, done(Status::Success, &[])),
            (62, report(Status::Success, false, &[])),
        ],
    );
    assert_eq!(
        shape(&cold),
        [
            ("f", "elsewhere", 0, 62),
            ("init", "f", 10, 50),
            ("invoke", "f", 50, 60),
            ("overhead", "f", 60, 62),
        ]
    );
    // The function's own spans come under the one that is called "invoke".
    assert_eq!(cold[2].id, trace.parent());
    assert_eq!(cold[0].parent, trace.caller());
    assert!(cold.iter().all(|span| span.trace == trace.root()));
    for (span, name, expected) in [
        (0, "faas.coldstart", Value::Flag(true)),
        (2, "faas.coldstart", Value::Flag(true)),
        (2, "faas.name", Value::Text("f".to_owned())),
        (2, "faas.version", Value::Text("$LATEST".to_owned())),
        (2, "cloud.resource_id", Value::Text("arn:f".to_owned())),
        (0, "faas.instance", Value::Text("i".to_owned())),
        (1, "aws.lambda.phase", Value::Text("init".to_owned())),
    ] {
        assert_eq!(attribute(&cold[span], name), Some(&expected), "{name}");
    }
    assert!(cold.iter().all(|span| span.error.is_none()));
    let warm = tell(&mut story, warm());
    assert_eq!(shape(&warm), WARM);
    assert_eq!(
        attribute(&warm[0], "faas.coldstart"),
        Some(&Value::Flag(false))
    );
}

#[test]
fn an_init_that_is_done_again_is_told_twice() {
    let mut story = Story::new(function());
    let exit = || Status::Error("Runtime.ExitError".to_owned());
    let spans = tell(
        &mut story,
        vec![
            (0, init_start(InitKind::OnDemand)),
            (10, init_report(InitKind::OnDemand, 10, exit())),
            (20, init_start(InitKind::Suppressed)),
            (35, init_report(InitKind::Suppressed, 15, exit())),
            (35, start(trace().recorded())),
            (
                36,
                Event::Fault {
                    request_id: RequestId::random(),
                    message: "exited".to_owned(),
                    error_type: "Runtime.ExitError",
                },
            ),
            (36, done(exit(), &[])),
            (40, report(exit(), true, &[])),
        ],
    );
    assert_eq!(
        shape(&spans),
        [
            ("f", "elsewhere", 0, 40),
            ("init", "f", 0, 10),
            ("init", "f", 20, 35),
            ("invoke", "f", 35, 36),
            ("overhead", "f", 36, 40),
        ]
    );
    let errors: Vec<_> = spans.iter().map(|span| span.error.as_deref()).collect();
    let own = Some("Runtime.ExitError");
    assert_eq!(errors, [Some("exited"), own, own, Some("exited"), None]);
    // An environment that was thawed only to end says nothing of that later.
    let spans = tell(
        &mut story,
        vec![
            (100, freezer(false, 1)),
            (200, init_start(InitKind::Suppressed)),
            (210, init_report(InitKind::Suppressed, 10, Status::Success)),
            (210, start(trace().recorded())),
            (215, report(Status::Timeout, true, &[])),
        ],
    );
    assert_eq!(
        shape(&spans),
        [
            ("f", "elsewhere", 200, 215),
            ("init", "f", 200, 210),
            ("invoke", "f", 210, 215),
        ]
    );
    let timeout = Value::Text("Sandbox.Timedout".to_owned());
    assert_eq!(attribute(&spans[2], "error.type"), Some(&timeout));
}

#[test]
fn an_init_ahead_is_part_of_the_first_invocation() {
    let mut story = Story::new(function());
    let ahead = vec![
        (0, init_start(InitKind::Provisioned)),
        (9, init_report(InitKind::Provisioned, 9, Status::Success)),
        (9, freezer(true, 0)),
    ];
    assert_eq!(tell(&mut story, ahead), []);
    let first = tell(&mut story, warm());
    let mut expected = WARM.to_vec();
    expected.insert(1, ("init", "f", 0, 9));
    assert_eq!(shape(&first), expected);
    assert_eq!(
        attribute(&first[0], "faas.coldstart"),
        Some(&Value::Flag(false))
    );
    assert_eq!(shape(&tell(&mut story, warm())), WARM);
}

#[test]
fn what_is_not_sampled_is_not_told_and_leaves_nothing() {
    let mut story = Story::new(function());
    let mut events = vec![
        (0, init_start(InitKind::OnDemand)),
        (50, init_report(InitKind::OnDemand, 40, Status::Success)),
    ];
    events.extend(warm().into_iter().skip(1));
    events[2].1 = start(trace());
    assert_eq!(tell(&mut story, events), []);
    assert_eq!(shape(&tell(&mut story, warm())), WARM);
    // A function's own error has no type that Lambda knows.
    let mut events = warm();
    events[4].1 = report(Status::Success, true, &[]);
    let spans = tell(&mut story, events);
    let unhandled = Value::Text("Unhandled".to_owned());
    assert_eq!(attribute(&spans[0], "error.type"), Some(&unhandled));
}

fn any_event() -> impl Strategy<Value = Event> {
    let kinds = [
        InitKind::OnDemand,
        InitKind::Suppressed,
        InitKind::Provisioned,
    ];
    let kind = proptest::sample::select(kinds.to_vec());
    prop_oneof![
        kind.clone().prop_map(init_start),
        (kind, 0_u64..50).prop_map(|(kind, ms)| init_report(kind, ms, Status::Success)),
        (any::<bool>(), 0_u64..50).prop_map(|(frozen, ms)| freezer(frozen, ms)),
        any::<bool>().prop_map(|recorded| start(if recorded {
            trace().recorded()
        } else {
            trace()
        })),
        Just(done(Status::Timeout, &[(SpanName::ResponseLatency, 3, 4)])),
        Just(report(Status::Timeout, true, &[])),
    ]
}

proptest! {
    /// Whatever comes in whatever order: a trace is one tree, and none ends before it
    /// begins.
    #[test]
    fn a_trace_is_a_tree(events in proptest::collection::vec(any_event(), 0..30)) {
        let mut story = Story::new(function());
        for (number, event) in events.iter().enumerate() {
            let spans = story.on(at(number as u64), event);
            for (index, span) in spans.iter().enumerate() {
                prop_assert!(span.start <= span.end);
                let parents = spans[..index].iter().filter(|other| Some(other.id) == span.parent);
                prop_assert_eq!(parents.count(), usize::from(index > 0));
                let same = spans.iter().filter(|other| other.id == span.id).count();
                prop_assert_eq!(same, 1);
            }
        }
    }
}

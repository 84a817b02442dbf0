//! Whatever happens in whatever order, the books balance.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// What may happen. Numbers choose among the extensions that there are.
#[derive(Debug, Clone)]
enum Step {
    Invoke,
    Initialise,
    Launched,
    LaunchFailed,
    RuntimeStarted,
    RuntimeNext,
    Answer(Answer),
    InitError,
    RuntimeEnds(Ending),
    Register(usize, bool, bool),
    ExtensionNext(usize),
    ExtensionError(usize, ReportedFault),
    ExtensionEnds(usize, Ending),
    AllEnded,
    Deadline,
    Memory,
    Shutdown,
    HostFailed,
}

/// Mostly what working functions and extensions do, so that long lives come about.
fn any_step() -> impl Strategy<Value = Step> {
    let who = 0..4_usize;
    let ending = prop_oneof![
        3 => (0..2).prop_map(|code| Ending::Exit(ExitStatus::Code(code))),
        1 => Just(Ending::OutOfMemory),
    ];
    prop_oneof![
        20 => Just(Step::Invoke),
        6 => Just(Step::Initialise),
        16 => Just(Step::Launched),
        1 => Just(Step::LaunchFailed),
        16 => Just(Step::RuntimeStarted),
        24 => Just(Step::RuntimeNext),
        16 => Just(Step::Answer(Answer::Runtime)),
        3 => Just(Step::Answer(Answer::Failure(Failure::ResponseTooLarge))),
        2 => Just(Step::InitError),
        3 => ending.clone().prop_map(Step::RuntimeEnds),
        20 => (who.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(who, invoke, shutdown)| Step::Register(who, invoke, shutdown)),
        40 => who.clone().prop_map(Step::ExtensionNext),
        1 => (who.clone(), prop_oneof![Just(ReportedFault::Init), Just(ReportedFault::Exit)])
            .prop_map(|(who, fault)| Step::ExtensionError(who, fault)),
        3 => (who, ending).prop_map(|(who, ending)| Step::ExtensionEnds(who, ending)),
        6 => Just(Step::AllEnded),
        3 => Just(Step::Deadline),
        1 => Just(Step::Memory),
        1 => Just(Step::Shutdown),
        1 => Just(Step::HostFailed),
    ]
}

const NAMES: [&str; 4] = ["outer 1", "outer 2", "inner 1", "inner 2"];

/// What really is, as far as an observer knows it from the effects.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and the machine under test has the states"
)]
struct World {
    /// How many programs are in `/opt/extensions`.
    externals: usize,
    /// The sandbox was started and is not yet gone.
    sandbox: bool,
    launched: bool,
    /// External extensions, by index, whose processes run.
    alive: HashSet<usize>,
    runtime_allowed: bool,
    runtime: bool,
    frozen: bool,
    /// Who waits in `next`, by index.
    waiting: HashSet<usize>,
    runtime_waits: bool,
    /// Identifier, index, and subscriptions of each name that has registered.
    registered: [Option<(Uuid, usize, bool, bool)>; 4],
    count: usize,
    shutdown_told: HashSet<usize>,
    stopping: bool,
    answers_due: i32,
    closings_due: i32,
}

impl World {
    /// Whether processes do anything at all.
    fn runs(&self) -> bool {
        self.launched && !self.frozen
    }

    fn start_over(&mut self) {
        *self = Self {
            externals: self.externals,
            answers_due: self.answers_due,
            closings_due: self.closings_due,
            ..Self::default()
        };
    }

    fn subscribed(&self, index: usize) -> (bool, bool) {
        let mut all = self.registered.iter().flatten();
        let found = all.find(|(_, other, ..)| *other == index);
        found.map_or((false, false), |(.., invoke, shutdown)| {
            (*invoke, *shutdown)
        })
    }

    fn note(&mut self, effect: Effect) -> Result<(), TestCaseError> {
        match effect {
            Effect::Start => {
                prop_assert!(!self.sandbox && !self.frozen);
                self.start_over();
                self.sandbox = true;
            }
            Effect::StartRuntime => {
                // Not before every external extension has registered, nor twice.
                prop_assert!(self.launched && !self.runtime_allowed);
                prop_assert!(
                    self.registered[..self.externals]
                        .iter()
                        .all(Option::is_some)
                );
                self.runtime_allowed = true;
            }
            Effect::TellInvoke(told) => {
                prop_assert!(!self.frozen && !self.stopping);
                for index in &told {
                    prop_assert!(self.waiting.remove(index) && self.subscribed(*index).0);
                }
                // Nobody who wants it is left out.
                let mut rest = self.waiting.iter();
                prop_assert!(rest.all(|index| !self.subscribed(*index).0));
            }
            Effect::TellShutdown(told) => {
                prop_assert!(!self.frozen && self.stopping);
                for index in told {
                    prop_assert!(self.waiting.remove(&index) && self.subscribed(index).1);
                    prop_assert!(self.shutdown_told.insert(index), "told twice");
                }
            }
            Effect::HandOut => {
                prop_assert!(self.runtime && self.runtime_waits && !self.frozen);
                self.runtime_waits = false;
            }
            Effect::Freeze => {
                prop_assert!(self.runtime_waits && !self.frozen);
                for (.., index, invoke, _) in self.registered.iter().flatten() {
                    prop_assert!(!invoke || self.waiting.contains(index));
                }
                self.frozen = true;
            }
            Effect::Thaw => {
                prop_assert!(self.frozen);
                self.frozen = false;
            }
            Effect::Died => prop_assert!(self.frozen && self.answers_due == 0),
            Effect::BeginStop(_) => {
                prop_assert!(self.count > 0, "nobody to wait for");
                self.stopping = true;
            }
            Effect::TerminateRuntime => prop_assert!(self.stopping && !self.frozen),
            Effect::KillAll => self.stopping = true,
            Effect::Reply(_) => self.answers_due -= 1,
            Effect::EndInvoke(_) => self.closings_due -= 1,
            Effect::Abandon => {
                // Ends what is open, answered or not.
                self.answers_due = 0;
                self.closings_due = 0;
            }
            _ => {}
        }
        prop_assert!(self.answers_due >= 0 && self.closings_due >= 0);
        Ok(())
    }

    /// Makes the step happen, if it can, and returns what is to be done about it.
    fn take(&mut self, life: &mut Lifecycle, step: Step) -> Option<Vec<Effect>> {
        let externals = self.externals;
        let alive = |world: &Self, who: usize| {
            if who < externals {
                world.runs() && world.alive.contains(&who)
            } else {
                world.runs() && world.runtime
            }
        };
        Some(match step {
            Step::Invoke => {
                if !life.phase().accepts_invocation() {
                    return None;
                }
                self.answers_due += 1;
                self.closings_due += 1;
                life.on(Event::Invoke)
            }
            Step::Initialise if *life.phase() == Phase::Fresh => life.on(Event::Initialise),
            Step::Launched if self.sandbox && !self.launched => {
                self.launched = true;
                self.count = externals;
                self.alive = (0..externals).collect();
                self.runtime_allowed = externals == 0;
                // The names that are not in the directory need no registration.
                life.on(launched(&NAMES[..externals]))
            }
            Step::LaunchFailed if self.sandbox && !self.launched && externals > 0 => {
                self.launched = true;
                self.count = externals;
                let failed = NAMES[..externals].iter().map(|name| ExtensionLaunch {
                    name: (*name).to_owned(),
                    failure: Some(LaunchFailure {
                        error_type: "UnknownError".to_owned(),
                        reason: "exec format error".to_owned(),
                    }),
                });
                life.on(Event::Launched(failed.collect()))
            }
            Step::RuntimeStarted if self.runs() && self.runtime_allowed && !self.runtime => {
                self.runtime = true;
                life.on(Event::RuntimeStarted)
            }
            Step::RuntimeNext if self.runs() && self.runtime => {
                self.runtime_waits = true;
                life.on(Event::RuntimeNext)
            }
            // As the Runtime API lets it through.
            Step::Answer(answer) if *life.phase() == Phase::Invoking && self.runtime => {
                self.runtime_waits = false;
                life.on(Event::RuntimeAnswered(answer))
            }
            Step::InitError if self.runs() && self.runtime && !self.runtime_waits => {
                life.on(Event::RuntimeInitError("Runtime.X".to_owned()))
            }
            // Frozen or not: who is killed dies.
            Step::RuntimeEnds(ending) if self.launched && self.runtime => {
                self.runtime = false;
                self.runtime_allowed = false;
                self.runtime_waits = false;
                life.on(Event::RuntimeEnded(ending))
            }
            Step::Register(who, invoke, shutdown) if alive(self, who) => {
                let shutdown = shutdown && who < externals;
                let events: Vec<String> = [(invoke, "INVOKE"), (shutdown, "SHUTDOWN")]
                    .iter()
                    .filter(|(wanted, _)| *wanted)
                    .map(|(_, word)| (*word).to_owned())
                    .collect();
                let (id, effects) = life.register(NAMES[who], &events).ok()?;
                let index = if who < externals {
                    who
                } else {
                    self.count += 1;
                    self.count - 1
                };
                self.registered[who] = Some((id, index, invoke, shutdown));
                effects
            }
            Step::ExtensionNext(who) if alive(self, who) => {
                let (id, index, ..) = self.registered[who]?;
                let (found, effects) = life.extension_next(id).ok()?;
                assert_eq!(found, index);
                self.waiting.insert(index);
                effects
            }
            Step::ExtensionError(who, fault) if alive(self, who) => {
                let (id, index, ..) = self.registered[who]?;
                life.extension_error(fault, id, Some("Extension.X")).ok()?;
                self.waiting.remove(&index);
                vec![]
            }
            Step::ExtensionEnds(who, ending) if self.launched && self.alive.contains(&who) => {
                self.alive.remove(&who);
                self.waiting.remove(&who);
                life.on(Event::ExtensionEnded(who, ending))
            }
            // Processes end all together when they are killed, or one by one.
            Step::AllEnded if self.sandbox && (self.stopping || !self.runtime) => {
                if !matches!(life.phase(), Phase::Stopping { .. }) {
                    return None;
                }
                self.start_over();
                life.on(Event::AllEnded)
            }
            Step::Deadline => life.on(Event::DeadlinePassed),
            Step::Memory if self.runs() => life.on(Event::Failed(Failure::OutOfMemory)),
            Step::Shutdown => life.on(Event::Shutdown),
            Step::HostFailed => {
                self.start_over();
                life.on(Event::HostFailed)
            }
            _ => return None,
        })
    }
}

proptest! {
    /// Every invocation is answered exactly once and closed exactly once; processes
    /// are started only when there are none and nothing is frozen; events go to who
    /// waits for them and wants them, SHUTDOWN once; the environment is frozen only
    /// when all wait; nobody is waited for where there are no extensions; and
    /// whatever the processes do, two deadlines end them.
    #[test]
    fn balance(externals in 0..3_usize, steps in prop::collection::vec(any_step(), 0..120)) {
        let mut life = Lifecycle::default();
        let mut world = World { externals, ..World::default() };
        for step in steps {
            let Some(effects) = world.take(&mut life, step) else {
                continue;
            };
            for effect in effects {
                world.note(effect)?;
            }
            let open = i32::from(life.phase().has_invocation());
            prop_assert_eq!(world.closings_due, open, "in {:?}", life.phase());
            prop_assert!(world.answers_due <= open);
            if life.phase().accepts_invocation() {
                prop_assert_eq!(world.answers_due, 0);
            }
        }
        if matches!(life.phase(), Phase::Stopping { .. }) {
            let mut effects = life.on(Event::DeadlinePassed);
            effects.extend(life.on(Event::DeadlinePassed));
            let killed = matches!(life.phase(), Phase::Stopping { step: StopStep::Killed, .. });
            prop_assert!(killed, "{:?}", life.phase());
            for effect in effects {
                world.note(effect)?;
            }
            world.start_over();
            for effect in life.on(Event::AllEnded) {
                world.note(effect)?;
            }
            let stopping = matches!(life.phase(), Phase::Stopping { .. });
            prop_assert!(!stopping, "{:?}", life.phase());
        }
    }
}

//! Who serves which request: the pool's book-keeping. Pure.
//!
//! An environment serves one invocation at a time. A request takes the
//! environment of its function that was used last, so that the others grow old
//! and go; without one it gets a new environment, as long as the function's
//! reserved concurrency, the account's limit and the host's memory allow it.
//!
//! Provisioned environments are made before anybody asks for them, are taken before
//! others, and stay: they neither grow old nor make room. They count for every limit.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Names an environment in the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SlotId(u64);

impl SlotId {
    /// Its number, which no other environment of the service ever has.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// Why a request is turned away: the `Reason` of Lambda's
/// `TooManyRequestsException`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttle {
    /// The function's reserved concurrency is used up.
    Reserved,
    /// All environments that this host can hold are busy.
    Account,
}

impl Throttle {
    /// Lambda's word for it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Reserved => "ReservedFunctionConcurrentInvocationLimitExceeded",
            Self::Account => "ConcurrentInvocationLimitExceeded",
        }
    }
}

/// What to do for a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Take this environment, which is warm.
    Reuse(SlotId),
    /// Make one, after ending these, which are idle, to make room.
    Create(SlotId, Vec<SlotId>),
}

/// What all environments together may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Environments (the account's concurrency limit).
    pub(crate) environments: usize,
    /// Memory in MB.
    pub(crate) memory_mb: u64,
}

/// What a pool knows of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Of each environment.
    pub(crate) memory_mb: u64,
    /// What is left to it of its function's reserved concurrency.
    pub(crate) reserved: Option<usize>,
}

/// The environments of a version at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// With an invocation, on demand.
    pub busy: usize,
    /// Warm without one, on demand.
    pub idle: usize,
    /// Provisioned, with an invocation.
    pub provisioned_busy: usize,
    /// Provisioned, initialised and without one.
    pub provisioned_idle: usize,
    /// Provisioned, being initialised.
    pub starting: usize,
}

impl Counts {
    /// What counts against reserved concurrency: what was provisioned is taken from
    /// it, be it used or not.
    pub fn reserving(self) -> usize {
        self.busy + self.provisioned_busy + self.provisioned_idle + self.starting
    }

    /// Provisioned environments that have been initialised.
    pub fn ready(self) -> usize {
        self.provisioned_busy + self.provisioned_idle
    }
}

/// An environment's place in the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is being initialised ahead of invocations.
    Starting,
    /// It has an invocation.
    Busy,
    /// It is warm, since then.
    Idle(Instant),
}

/// The book. `K` names a version of a function.
#[derive(Debug)]
pub(crate) struct Book<K> {
    capacity: Capacity,
    next: u64,
    functions: HashMap<K, Function>,
}

#[derive(Debug)]
struct Function {
    memory_mb: u64,
    busy: Vec<SlotId>,
    /// In the order of their last use.
    idle: Vec<(SlotId, Instant)>,
    /// How many provisioned environments there should be.
    target: usize,
    /// Those that there are; the last used is the last.
    provisioned: Vec<(SlotId, Place)>,
}

impl Function {
    fn new(memory_mb: u64) -> Self {
        Self {
            memory_mb,
            busy: vec![],
            idle: vec![],
            target: 0,
            provisioned: vec![],
        }
    }

    fn environments(&self) -> usize {
        self.busy.len() + self.idle.len() + self.provisioned.len()
    }

    fn counts(&self) -> Counts {
        let count = |wanted: fn(&Place) -> bool| {
            let places = self.provisioned.iter();
            places.filter(|(_, place)| wanted(place)).count()
        };
        Counts {
            busy: self.busy.len(),
            idle: self.idle.len(),
            provisioned_busy: count(|place| matches!(place, Place::Busy)),
            provisioned_idle: count(|place| matches!(place, Place::Idle(_))),
            starting: count(|place| matches!(place, Place::Starting)),
        }
    }

    /// The provisioned environment that was used last and has nothing to do.
    fn take_provisioned(&mut self) -> Option<SlotId> {
        let mut places = self.provisioned.iter_mut().rev();
        let (slot, place) = places.find(|(_, place)| matches!(place, Place::Idle(_)))?;
        *place = Place::Busy;
        Some(*slot)
    }

    /// Whether there is no room in what is reserved.
    fn is_full(&self, needs: Needs) -> bool {
        let reserved = needs.reserved;
        reserved.is_some_and(|reserved| self.counts().reserving() >= reserved)
    }
}

impl<K: Clone + Eq + Hash> Book<K> {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            next: 0,
            functions: HashMap::new(),
        }
    }

    /// Admits a request, or says why not.
    pub(crate) fn admit(&mut self, key: &K, needs: Needs) -> Result<Admission, Throttle> {
        let function = self.functions.get_mut(key);
        let mut full = needs.reserved == Some(0);
        if let Some(function) = function {
            if let Some(slot) = function.take_provisioned() {
                return Ok(Admission::Reuse(slot));
            }
            full = full || function.is_full(needs);
            if !full && let Some((slot, _)) = function.idle.pop() {
                function.busy.push(slot);
                return Ok(Admission::Reuse(slot));
            }
        }
        if full {
            return Err(Throttle::Reserved);
        }
        let evicted = self.make_room(needs.memory_mb)?;
        let slot = self.slot();
        self.function(key, needs).busy.push(slot);
        Ok(Admission::Create(slot, evicted))
    }

    /// The environment is idle again, or (`keep` unset) gone. False if it shall end
    /// all the same: there are more provisioned ones than are asked for.
    pub(crate) fn release(&mut self, key: &K, slot: SlotId, now: Instant, keep: bool) -> bool {
        let Some(function) = self.functions.get_mut(key) else {
            return false;
        };
        let provisioned = function.provisioned.iter();
        let position = provisioned.clone().position(|(other, _)| *other == slot);
        let kept = if let Some(position) = position {
            let kept = keep && function.provisioned.len() <= function.target;
            function.provisioned.remove(position);
            if kept {
                let place = Place::Idle(now);
                function.provisioned.push((slot, place));
            }
            kept
        } else {
            function.busy.retain(|busy| *busy != slot);
            if keep {
                function.idle.push((slot, now));
            }
            keep
        };
        self.forget_empty();
        kept
    }

    /// Asks for so many provisioned environments. Returns those without work that
    /// are too many.
    pub(crate) fn set_target(&mut self, key: &K, needs: Needs, target: usize) -> Vec<SlotId> {
        let function = self.function(key, needs);
        function.target = target;
        let mut excess = function.provisioned.len().saturating_sub(target);
        let mut ended = vec![];
        function.provisioned.retain(|(slot, place)| {
            let end = excess > 0 && matches!(place, Place::Idle(_));
            if end {
                excess -= 1;
                ended.push(*slot);
            }
            !end
        });
        self.forget_empty();
        ended
    }

    /// The next provisioned environment to initialise, with those that make room for
    /// it; `None` if there are enough. [`Book::release`] says that it is ready, or
    /// that it failed.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn provision(
        &mut self,
        key: &K,
        needs: Needs,
    ) -> Result<Option<(SlotId, Vec<SlotId>)>, Throttle> {
        let Some(function) = self.functions.get(key) else {
            return Ok(None);
        };
        if function.provisioned.len() >= function.target {
            return Ok(None);
        }
        if function.is_full(needs) || needs.reserved == Some(0) {
            return Err(Throttle::Reserved);
        }
        let evicted = self.make_room(needs.memory_mb)?;
        let slot = self.slot();
        let function = self.function(key, needs);
        function.provisioned.push((slot, Place::Starting));
        Ok(Some((slot, evicted)))
    }

    fn slot(&mut self) -> SlotId {
        let slot = SlotId(self.next);
        self.next += 1;
        slot
    }

    fn function(&mut self, key: &K, needs: Needs) -> &mut Function {
        let function = self.functions.entry(key.clone());
        function.or_insert_with(|| Function::new(needs.memory_mb))
    }

    /// Takes out the environments that have been idle for so long.
    pub(crate) fn expire(&mut self, now: Instant, idle_limit: Duration) -> Vec<SlotId> {
        self.take_idle(|_, since| now.saturating_duration_since(since) >= idle_limit)
    }

    /// Takes out the idle environments of functions that match, for which nothing is
    /// provisioned any more.
    pub(crate) fn retire(&mut self, matches: impl Fn(&K) -> bool) -> Vec<SlotId> {
        let mut taken = vec![];
        for (key, function) in &mut self.functions {
            if matches(key) {
                function.target = 0;
                function.provisioned.retain(|(slot, place)| {
                    let idle = matches!(place, Place::Idle(_));
                    if idle {
                        taken.push(*slot);
                    }
                    !idle
                });
            }
        }
        taken.extend(self.take_idle(|key, _| matches(key)));
        taken
    }

    /// The environments of a version.
    pub(crate) fn of(&self, key: &K) -> Counts {
        let function = self.functions.get(key);
        function.map_or_else(Counts::default, Function::counts)
    }

    /// The environments of each version.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&K, Counts)> {
        let functions = self.functions.iter();
        functions.map(|(key, function)| (key, function.counts()))
    }

    /// Whether an environment is a provisioned one.
    pub(crate) fn is_provisioned(&self, key: &K, slot: SlotId) -> bool {
        let function = self.functions.get(key);
        function.is_some_and(|function| {
            let mut provisioned = function.provisioned.iter();
            provisioned.any(|(other, _)| *other == slot)
        })
    }

    /// Every environment: its function, its place, and whether it is provisioned.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (&K, SlotId, Place, bool)> {
        self.functions.iter().flat_map(|(key, function)| {
            let busy = function.busy.iter();
            let busy = busy.map(|slot| (*slot, Place::Busy, false));
            let idle = function.idle.iter();
            let idle = idle.map(|(slot, since)| (*slot, Place::Idle(*since), false));
            let provisioned = function.provisioned.iter();
            let provisioned = provisioned.map(|(slot, place)| (*slot, *place, true));
            busy.chain(idle)
                .chain(provisioned)
                .map(move |(slot, place, provisioned)| (key, slot, place, provisioned))
        })
    }

    fn take_idle(&mut self, wanted: impl Fn(&K, Instant) -> bool) -> Vec<SlotId> {
        let mut taken = vec![];
        for (key, function) in &mut self.functions {
            function.idle.retain(|(slot, since)| {
                let take = wanted(key, *since);
                if take {
                    taken.push(*slot);
                }
                !take
            });
        }
        self.forget_empty();
        taken.sort_unstable();
        taken
    }

    /// Ends idle environments, the longest unused first, until there is room for
    /// one with so much memory.
    fn make_room(&mut self, memory_mb: u64) -> Result<Vec<SlotId>, Throttle> {
        let mut idle: Vec<(Instant, SlotId, u64)> = self
            .functions
            .values()
            .flat_map(|function| {
                let memory = function.memory_mb;
                function
                    .idle
                    .iter()
                    .map(move |(slot, since)| (*since, *slot, memory))
            })
            .collect();
        idle.sort_unstable();
        let (mut environments, mut used) = self.used();
        let mut evicted = vec![];
        let mut idle = idle.into_iter();
        while environments + 1 > self.capacity.environments
            || used + memory_mb > self.capacity.memory_mb
        {
            // Nothing is ended for a request that is turned away all the same.
            let (_, slot, memory) = idle.next().ok_or(Throttle::Account)?;
            environments -= 1;
            used -= memory;
            evicted.push(slot);
        }
        for function in self.functions.values_mut() {
            function.idle.retain(|(slot, _)| !evicted.contains(slot));
        }
        self.forget_empty();
        Ok(evicted)
    }

    /// Environments and memory in MB.
    fn used(&self) -> (usize, u64) {
        self.functions
            .values()
            .fold((0, 0), |(count, memory), function| {
                let environments = function.environments();
                (
                    count + environments,
                    memory + environments as u64 * function.memory_mb,
                )
            })
    }

    fn forget_empty(&mut self) {
        self.functions
            .retain(|_, function| function.environments() > 0 || function.target > 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Needs = Needs {
        memory_mb: 128,
        reserved: None,
    };

    fn book(environments: usize, memory_mb: u64) -> Book<u8> {
        Book::new(Capacity {
            environments,
            memory_mb,
        })
    }

    fn created(admission: Result<Admission, Throttle>) -> SlotId {
        match admission {
            Ok(Admission::Create(slot, evicted)) if evicted.is_empty() => slot,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_last_used_is_the_first_taken() {
        let mut book = book(10, 10_000);
        let now = Instant::now();
        let (a, b) = (
            created(book.admit(&1, SMALL)),
            created(book.admit(&1, SMALL)),
        );
        book.release(&1, b, now, true);
        book.release(&1, a, now, true);
        assert_eq!(book.admit(&1, SMALL), Ok(Admission::Reuse(a)));
        assert_eq!(book.admit(&1, SMALL), Ok(Admission::Reuse(b)));
        // Another function's is no help.
        assert_ne!(book.admit(&2, SMALL), Ok(Admission::Reuse(a)));
    }

    #[test]
    fn reserved_concurrency_is_a_cap() {
        let mut book = book(10, 10_000);
        let two = Needs {
            reserved: Some(2),
            ..SMALL
        };
        let slot = created(book.admit(&1, two));
        created(book.admit(&1, two));
        assert_eq!(book.admit(&1, two), Err(Throttle::Reserved));
        book.release(&1, slot, Instant::now(), false);
        created(book.admit(&1, two));
        let none = Needs {
            reserved: Some(0),
            ..SMALL
        };
        assert_eq!(book.admit(&2, none), Err(Throttle::Reserved));
    }

    #[test]
    fn idle_environments_make_room_for_others() {
        let mut book = book(10, 512);
        let now = Instant::now();
        let (a, b) = (
            created(book.admit(&1, SMALL)),
            created(book.admit(&1, SMALL)),
        );
        book.release(&1, b, now, true);
        book.release(&1, a, now + Duration::from_secs(1), true);
        let large = Needs {
            memory_mb: 300,
            reserved: None,
        };
        // Room for 256 MB: the one that is unused for longer goes.
        let Ok(Admission::Create(_, evicted)) = book.admit(&2, large) else {
            panic!("not admitted");
        };
        assert_eq!(evicted, [b]);
        // Nothing idle is large enough: nothing goes for nothing.
        assert_eq!(book.admit(&3, large), Err(Throttle::Account));
        assert_eq!(book.admit(&1, SMALL), Ok(Admission::Reuse(a)));
    }

    #[test]
    fn what_is_idle_for_too_long_goes() {
        let mut book = book(10, 10_000);
        let now = Instant::now();
        let slot = created(book.admit(&1, SMALL));
        book.release(&1, slot, now, true);
        let limit = Duration::from_secs(300);
        assert_eq!(book.expire(now + Duration::from_secs(299), limit), []);
        assert_eq!(book.expire(now + limit, limit), [slot]);
        assert_eq!(book.counts().count(), 0);
    }

    fn provisioned(book: &mut Book<u8>, key: u8, needs: Needs) -> SlotId {
        match book.provision(&key, needs) {
            Ok(Some((slot, evicted))) if evicted.is_empty() => slot,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn provisioned_environments_are_taken_first_and_stay() {
        let mut book = book(10, 10_000);
        let now = Instant::now();
        let on_demand = created(book.admit(&1, SMALL));
        assert!(book.release(&1, on_demand, now, true));
        assert_eq!(book.set_target(&1, SMALL, 2), []);
        let (a, b) = (
            provisioned(&mut book, 1, SMALL),
            provisioned(&mut book, 1, SMALL),
        );
        assert_eq!(book.provision(&1, SMALL), Ok(None), "two are enough");
        assert!(book.release(&1, a, now, true));
        // The other one is not ready yet.
        assert_eq!(book.admit(&1, SMALL), Ok(Admission::Reuse(a)));
        assert_eq!(book.admit(&1, SMALL), Ok(Admission::Reuse(on_demand)));
        assert!(book.release(&1, b, now, true));
        assert!(book.release(&1, a, now, true));
        let limit = Duration::from_secs(300);
        assert_eq!(book.expire(now + limit, limit), []);
        // One that died is replaced.
        assert_eq!(book.admit(&1, SMALL), Ok(Admission::Reuse(a)));
        assert!(!book.release(&1, a, now, false));
        assert_ne!(provisioned(&mut book, 1, SMALL), a);
        // Fewer: what is idle goes at once, what is not when it is done.
        assert_eq!(book.set_target(&1, SMALL, 0), [b]);
        assert_eq!(book.of(&1).starting, 1);
    }

    #[test]
    fn provisioned_environments_make_no_room() {
        let mut book = book(10, 384);
        let now = Instant::now();
        let idle = created(book.admit(&2, SMALL));
        book.release(&2, idle, now, true);
        book.set_target(&1, SMALL, 4);
        for _ in 0..2 {
            let slot = provisioned(&mut book, 1, SMALL);
            book.release(&1, slot, now, true);
        }
        // What is provisioned takes the place of what is idle.
        let Ok(Some((_, evicted))) = book.provision(&1, SMALL) else {
            panic!("there is room");
        };
        assert_eq!(evicted, [idle]);
        assert_eq!(book.provision(&1, SMALL), Err(Throttle::Account));
        assert_eq!(book.admit(&2, SMALL), Err(Throttle::Account));
    }

    #[test]
    fn provisioned_concurrency_is_taken_from_the_reserved() {
        let mut book = book(10, 10_000);
        let two = Needs {
            reserved: Some(2),
            ..SMALL
        };
        book.set_target(&1, two, 2);
        let a = provisioned(&mut book, 1, two);
        let on_demand = created(book.admit(&1, two));
        assert_eq!(book.provision(&1, two), Err(Throttle::Reserved));
        assert_eq!(book.admit(&1, two), Err(Throttle::Reserved));
        book.release(&1, on_demand, Instant::now(), false);
        provisioned(&mut book, 1, two);
        // Neither is ready, and there is nothing beside them.
        assert_eq!(book.admit(&1, two), Err(Throttle::Reserved));
        book.release(&1, a, Instant::now(), true);
        assert_eq!(book.admit(&1, two), Ok(Admission::Reuse(a)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Admit(u8),
        /// An invocation, or an INIT ahead of invocations, ends.
        Release(usize, bool),
        Expire,
        Retire(u8),
        Target(u8, usize),
        Provision(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_u8).prop_map(Step::Admit),
            5 => (any::<usize>(), any::<bool>()).prop_map(|(n, keep)| Step::Release(n, keep)),
            1 => Just(Step::Expire),
            1 => (0..4_u8).prop_map(Step::Retire),
            1 => (0..4_u8, 0..4_usize).prop_map(|(key, target)| Step::Target(key, target)),
            3 => (0..4_u8).prop_map(Step::Provision),
        ]
    }

    /// What really goes on.
    #[derive(Debug, Default)]
    struct World {
        /// With work: an invocation, or their INIT.
        busy: Vec<(u8, SlotId)>,
        idle: Vec<(u8, SlotId)>,
        provisioned: Vec<SlotId>,
        targets: [usize; 4],
    }

    impl World {
        fn all(&self) -> impl Iterator<Item = &(u8, SlotId)> {
            self.busy.iter().chain(&self.idle)
        }

        fn provisioned_of(&self, key: u8) -> usize {
            let all = self.all();
            all.filter(|(of, slot)| *of == key && self.provisioned.contains(slot))
                .count()
        }
    }

    proptest! {
        /// Whatever happens: no slot is used twice or lost, no limit is passed, and
        /// what is provisioned ends only when it fails or is not asked for any more.
        #[test]
        fn the_books_balance(steps in proptest::collection::vec(step(), 0..200)) {
            let capacity = Capacity { environments: 6, memory_mb: 1_500 };
            let mut book: Book<u8> = Book::new(capacity);
            let needs = |key: u8| Needs {
                memory_mb: 128 * u64::from(key + 1),
                reserved: (key == 3).then_some(2),
            };
            let mut now = Instant::now();
            let mut world = World::default();
            for step in steps {
                now += Duration::from_secs(60);
                let mut may_end_provisioned = None;
                let mut new = None;
                let gone = match step {
                    Step::Admit(key) => match book.admit(&key, needs(key)) {
                        Ok(Admission::Reuse(slot)) => {
                            prop_assert!(world.idle.contains(&(key, slot)));
                            let better = world.idle.iter().any(|(of, other)| {
                                *of == key && world.provisioned.contains(other)
                            });
                            prop_assert!(world.provisioned.contains(&slot) || !better);
                            world.idle.retain(|(_, other)| *other != slot);
                            world.busy.push((key, slot));
                            vec![]
                        }
                        Ok(Admission::Create(slot, evicted)) => {
                            prop_assert!(!world.idle.iter().any(|(of, _)| *of == key));
                            new = Some((key, slot));
                            evicted
                        }
                        Err(_) => vec![],
                    },
                    Step::Release(number, keep) if !world.busy.is_empty() => {
                        let (key, slot) = world.busy.remove(number % world.busy.len());
                        let many = world.provisioned_of(key) + usize::from(world.provisioned.contains(&slot));
                        let surplus = world.provisioned.contains(&slot)
                            && many > world.targets[usize::from(key)];
                        let kept = book.release(&key, slot, now, keep);
                        prop_assert_eq!(kept, keep && !surplus);
                        if kept {
                            world.idle.push((key, slot));
                        }
                        vec![]
                    }
                    Step::Release(..) => vec![],
                    Step::Expire => book.expire(now, Duration::from_secs(600)),
                    Step::Retire(key) => {
                        world.targets[usize::from(key)] = 0;
                        may_end_provisioned = Some(key);
                        let gone = book.retire(|other| *other == key);
                        prop_assert_eq!(gone.len(), world.idle.iter().filter(|(of, _)| *of == key).count());
                        gone
                    }
                    Step::Target(key, target) => {
                        world.targets[usize::from(key)] = target;
                        may_end_provisioned = Some(key);
                        book.set_target(&key, needs(key), target)
                    }
                    Step::Provision(key) => {
                        let missing = world.provisioned_of(key) < world.targets[usize::from(key)];
                        match book.provision(&key, needs(key)) {
                            Ok(Some((slot, evicted))) => {
                                prop_assert!(missing);
                                new = Some((key, slot));
                                world.provisioned.push(slot);
                                evicted
                            }
                            Ok(None) => {
                                prop_assert!(!missing);
                                vec![]
                            }
                            Err(_) => {
                                prop_assert!(missing);
                                vec![]
                            }
                        }
                    }
                };
                for slot in gone {
                    let found = world.idle.iter().find(|(_, other)| *other == slot).copied();
                    prop_assert!(found.is_some(), "{slot:?} was not idle");
                    if world.provisioned.contains(&slot) {
                        prop_assert_eq!(found.map(|(key, _)| key), may_end_provisioned);
                    }
                    world.idle.retain(|(_, other)| *other != slot);
                }
                if let Some((key, slot)) = new {
                    prop_assert!(!world.all().any(|(_, other)| *other == slot));
                    world.busy.push((key, slot));
                }
                let memory: u64 = world.all().map(|(key, _)| needs(*key).memory_mb).sum();
                let environments = world.all().count();
                prop_assert_eq!(book.used(), (environments, memory));
                prop_assert_eq!(book.slots().count(), environments);
                prop_assert!(environments <= capacity.environments);
                prop_assert!(memory <= capacity.memory_mb);
                for key in 0..4 {
                    let counts = book.of(&key);
                    prop_assert_eq!(counts.ready() + counts.starting, world.provisioned_of(key));
                }
                prop_assert!(book.of(&3).reserving() <= 2);
            }
        }
    }
}

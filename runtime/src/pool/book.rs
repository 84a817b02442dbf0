//! Who serves which request: the pool's book-keeping. Pure.
//!
//! An environment serves one invocation at a time. A request takes the
//! environment of its function that was used last, so that the others grow old
//! and go; without one it gets a new environment, as long as the function's
//! reserved concurrency, the account's limit and the host's memory allow it.

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
    /// Reserved concurrency.
    pub(crate) reserved: Option<usize>,
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
        let busy = self.busy(key);
        if needs.reserved.is_some_and(|reserved| busy >= reserved) {
            return Err(Throttle::Reserved);
        }
        if let Some(function) = self.functions.get_mut(key)
            && let Some((slot, _)) = function.idle.pop()
        {
            function.busy.push(slot);
            return Ok(Admission::Reuse(slot));
        }
        let evicted = self.make_room(needs.memory_mb)?;
        let slot = SlotId(self.next);
        self.next += 1;
        let function = self.functions.entry(key.clone()).or_insert(Function {
            memory_mb: needs.memory_mb,
            busy: vec![],
            idle: vec![],
        });
        function.busy.push(slot);
        Ok(Admission::Create(slot, evicted))
    }

    /// The environment is idle again, or (`keep` unset) gone.
    pub(crate) fn release(&mut self, key: &K, slot: SlotId, now: Instant, keep: bool) {
        let Some(function) = self.functions.get_mut(key) else {
            return;
        };
        function.busy.retain(|busy| *busy != slot);
        if keep {
            function.idle.push((slot, now));
        }
        self.forget_empty();
    }

    /// Takes out the environments that have been idle for so long.
    pub(crate) fn expire(&mut self, now: Instant, idle_limit: Duration) -> Vec<SlotId> {
        self.take_idle(|_, since| now.saturating_duration_since(since) >= idle_limit)
    }

    /// Takes out the idle environments of functions that match.
    pub(crate) fn retire(&mut self, matches: impl Fn(&K) -> bool) -> Vec<SlotId> {
        self.take_idle(|key, _| matches(key))
    }

    /// How many environments of a function are busy.
    pub(crate) fn busy(&self, key: &K) -> usize {
        self.functions
            .get(key)
            .map_or(0, |function| function.busy.len())
    }

    /// Environments of each function: busy and idle.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&K, usize, usize)> {
        self.functions
            .iter()
            .map(|(key, function)| (key, function.busy.len(), function.idle.len()))
    }

    /// Every environment: its function, and since when it is idle.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (&K, SlotId, Option<Instant>)> {
        self.functions.iter().flat_map(|(key, function)| {
            let busy = function.busy.iter().map(|slot| (*slot, None));
            let idle = function
                .idle
                .iter()
                .map(|(slot, since)| (*slot, Some(*since)));
            busy.chain(idle).map(move |(slot, idle)| (key, slot, idle))
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
                let environments = function.busy.len() + function.idle.len();
                (
                    count + environments,
                    memory + environments as u64 * function.memory_mb,
                )
            })
    }

    fn forget_empty(&mut self) {
        self.functions
            .retain(|_, function| !(function.busy.is_empty() && function.idle.is_empty()));
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

    #[derive(Debug, Clone)]
    enum Step {
        Admit(u8),
        Release(usize, bool),
        Expire,
        Retire(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_u8).prop_map(Step::Admit),
            3 => (any::<usize>(), any::<bool>()).prop_map(|(n, keep)| Step::Release(n, keep)),
            1 => Just(Step::Expire),
            1 => (0..4_u8).prop_map(Step::Retire),
        ]
    }

    proptest! {
        /// Whatever happens: no slot is used twice or lost, and no limit is passed.
        #[test]
        fn the_books_balance(steps in proptest::collection::vec(step(), 0..200)) {
            let capacity = Capacity { environments: 6, memory_mb: 1_500 };
            let mut book: Book<u8> = Book::new(capacity);
            let needs = |key: u8| Needs {
                memory_mb: 128 * u64::from(key + 1),
                reserved: (key == 3).then_some(1),
            };
            let mut now = Instant::now();
            let mut busy: Vec<(u8, SlotId)> = vec![];
            let mut idle: Vec<(u8, SlotId)> = vec![];
            for step in steps {
                now += Duration::from_secs(60);
                let gone = match step {
                    Step::Admit(key) => match book.admit(&key, needs(key)) {
                        Ok(Admission::Reuse(slot)) => {
                            prop_assert!(idle.contains(&(key, slot)));
                            idle.retain(|(_, other)| *other != slot);
                            busy.push((key, slot));
                            vec![]
                        }
                        Ok(Admission::Create(slot, evicted)) => {
                            let known = busy.iter().chain(&idle).any(|(_, other)| *other == slot);
                            prop_assert!(!known);
                            busy.push((key, slot));
                            evicted
                        }
                        Err(_) => vec![],
                    },
                    Step::Release(number, keep) if !busy.is_empty() => {
                        let (key, slot) = busy.remove(number % busy.len());
                        book.release(&key, slot, now, keep);
                        if keep {
                            idle.push((key, slot));
                        }
                        vec![]
                    }
                    Step::Release(..) => vec![],
                    Step::Expire => book.expire(now, Duration::from_secs(600)),
                    Step::Retire(key) => {
                        let gone = book.retire(|other| *other == key);
                        prop_assert_eq!(gone.len(), idle.iter().filter(|(of, _)| *of == key).count());
                        gone
                    }
                };
                for slot in gone {
                    prop_assert!(idle.iter().any(|(_, other)| *other == slot));
                    idle.retain(|(_, other)| *other != slot);
                }
                let memory: u64 = busy.iter().chain(&idle).map(|(key, _)| needs(*key).memory_mb).sum();
                prop_assert_eq!(book.used(), (busy.len() + idle.len(), memory));
                prop_assert!(busy.len() + idle.len() <= capacity.environments);
                prop_assert!(memory <= capacity.memory_mb);
                prop_assert!(book.busy(&3) <= 1);
            }
        }
    }
}

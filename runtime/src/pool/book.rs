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

    /// The environment is idle again, or (`keep` unset) gone, also if it was idle.
    /// False if it shall end all the same: there are more provisioned ones than are
    /// asked for.
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
            function.idle.retain(|(idle, _)| *idle != slot);
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
mod tests;

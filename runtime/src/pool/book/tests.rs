//! Cases, and the books of every order of steps.

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
    /// An idle environment dies.
    Die(usize),
    Expire,
    Retire(u8),
    Target(u8, usize),
    Provision(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8).prop_map(Step::Admit),
        5 => (any::<usize>(), any::<bool>()).prop_map(|(n, keep)| Step::Release(n, keep)),
        1 => any::<usize>().prop_map(Step::Die),
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
                Step::Die(number) if !world.idle.is_empty() => {
                    let (key, slot) = world.idle.remove(number % world.idle.len());
                    prop_assert!(!book.release(&key, slot, now, false));
                    vec![]
                }
                Step::Release(..) | Step::Die(_) => vec![],
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

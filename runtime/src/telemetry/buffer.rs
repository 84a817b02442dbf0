//! What waits for a subscriber: bounded, in order, and nothing is lost uncounted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Buffering;

/// Events that were lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many.
    pub records: u64,
    /// Bytes of their lines.
    pub bytes: u64,
}

impl Dropped {
    /// This event.
    pub(crate) fn one(event: &[u8]) -> Self {
        Self {
            records: 1,
            bytes: event.len() as u64,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

/// Something that waits, or the place of what was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A rendered event.
    Event(Vec<u8>),
    /// Here were others.
    Gap(Dropped),
}

/// Collects events to batches. It holds one batch; while it is full, what comes is
/// lost, and the gap takes its place in the order.
#[derive(Debug)]
pub(crate) struct Buffer {
    limits: Buffering,
    items: VecDeque<Item>,
    events: usize,
    bytes: usize,
    /// When the first of them came.
    since: Option<Instant>,
    /// What was lost and has not been asked for.
    unsaid: Dropped,
}

impl Buffer {
    pub(crate) fn new(limits: Buffering) -> Self {
        Self {
            limits,
            items: VecDeque::new(),
            events: 0,
            bytes: 0,
            since: None,
            unsaid: Dropped::default(),
        }
    }

    /// Takes an event, or counts it as lost.
    pub(crate) fn push(&mut self, event: Vec<u8>, now: Instant) {
        self.since.get_or_insert(now);
        if self.is_full() {
            self.lose(Dropped::one(&event));
            return;
        }
        self.events += 1;
        self.bytes += event.len();
        self.items.push_back(Item::Event(event));
    }

    /// Events were lost before they came here.
    pub(crate) fn lose(&mut self, lost: Dropped) {
        if lost.records == 0 {
            return;
        }
        self.unsaid.add(lost);
        match self.items.back_mut() {
            Some(Item::Gap(gap)) => gap.add(lost),
            _ => self.items.push_back(Item::Gap(lost)),
        }
    }

    /// A batch that was taken could not be delivered: `lost` of it, of which `newly` was
    /// not lost before. That is told with the next event, so that nobody is called for
    /// nothing but bad news.
    pub(crate) fn lost(&mut self, lost: Dropped, newly: Dropped) {
        self.unsaid.add(newly);
        if lost.records == 0 {
            return;
        }
        match self.items.front_mut() {
            Some(Item::Gap(gap)) => gap.add(lost),
            _ => self.items.push_front(Item::Gap(lost)),
        }
    }

    /// What was lost since this was last asked for, for others than the subscriber.
    pub(crate) fn take_unsaid(&mut self) -> Dropped {
        std::mem::take(&mut self.unsaid)
    }

    /// A batch of as many events, or bytes, as the subscriber wants at once.
    pub(crate) fn is_full(&self) -> bool {
        self.events >= self.limits.max_items || self.bytes >= self.limits.max_bytes
    }

    /// Whether there is an event to deliver.
    pub(crate) fn has_events(&self) -> bool {
        self.since.is_some()
    }

    /// How long until a batch is to be delivered; nothing if nothing waits.
    pub(crate) fn due_in(&self, now: Instant) -> Option<Duration> {
        let since = self.since?;
        if self.is_full() {
            return Some(Duration::ZERO);
        }
        Some((since + self.limits.timeout).saturating_duration_since(now))
    }

    /// All that waits.
    pub(crate) fn take(&mut self) -> Vec<Item> {
        self.events = 0;
        self.bytes = 0;
        self.since = None;
        std::mem::take(&mut self.items).into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(max_items: usize, max_bytes: usize) -> Buffering {
        Buffering {
            max_items,
            max_bytes,
            timeout: Duration::from_millis(25),
        }
    }

    #[test]
    fn a_batch_is_due_by_time_items_or_bytes() {
        let now = Instant::now();
        let mut buffer = Buffer::new(limits(2, 10));
        assert_eq!(buffer.due_in(now), None);
        buffer.push(vec![0; 3], now);
        assert_eq!(buffer.due_in(now), Some(Duration::from_millis(25)));
        let later = now + Duration::from_millis(20);
        assert_eq!(buffer.due_in(later), Some(Duration::from_millis(5)));
        buffer.push(vec![0; 3], later);
        assert_eq!(buffer.due_in(later), Some(Duration::ZERO));
        assert_eq!(buffer.take().len(), 2);
        assert_eq!(buffer.due_in(later), None);
        buffer.push(vec![0; 10], later);
        assert_eq!(buffer.due_in(later), Some(Duration::ZERO));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        Take,
        /// The last batch was lost as a whole.
        Lose,
    }

    proptest! {
        /// Every event is delivered, in order, or counted in the gap that takes its
        /// place; and no more than a batch is kept.
        #[test]
        fn nothing_is_lost_uncounted(steps in prop::collection::vec(prop_oneof![
            5 => (1_usize..8).prop_map(Step::Push),
            1 => Just(Step::Take),
            1 => Just(Step::Lose),
        ], 0..80)) {
            let now = Instant::now();
            let mut buffer = Buffer::new(limits(5, 20));
            let mut pushed: Vec<usize> = vec![];
            // What the subscriber has seen: how many events, delivered or told as lost.
            let mut seen = 0;
            let (mut delivered, mut unsaid) = (0, Dropped::default());
            let mut follow = |items: &[Item], pushed: &[usize]| {
                for item in items {
                    match item {
                        Item::Event(event) => {
                            assert_eq!(event[0] as usize, seen, "order");
                            assert_eq!(event.len(), pushed[seen]);
                            seen += 1;
                            delivered += 1;
                        }
                        Item::Gap(gap) => {
                            let records = usize::try_from(gap.records).unwrap();
                            let bytes: usize = pushed[seen..seen + records].iter().sum();
                            assert_eq!(gap.bytes, bytes as u64);
                            seen += records;
                        }
                    }
                }
            };
            for step in steps {
                match step {
                    Step::Push(length) => {
                        buffer.push(vec![u8::try_from(pushed.len()).unwrap(); length], now);
                        pushed.push(length);
                        prop_assert!(buffer.events <= 5 && buffer.bytes < 20 + 8);
                        prop_assert!(buffer.items.len() <= 2 * 5 + 1);
                    }
                    Step::Take => follow(&buffer.take(), &pushed),
                    Step::Lose => {
                        let (mut lost, mut newly) = (Dropped::default(), Dropped::default());
                        for item in buffer.take() {
                            match item {
                                Item::Event(event) => {
                                    lost.add(Dropped::one(&event));
                                    newly.add(Dropped::one(&event));
                                }
                                Item::Gap(gap) => lost.add(gap),
                            }
                        }
                        buffer.lost(lost, newly);
                        unsaid.add(buffer.take_unsaid());
                        prop_assert!(!buffer.has_events());
                    }
                }
            }
            follow(&buffer.take(), &pushed);
            prop_assert_eq!(seen, pushed.len());
            // Others than the subscriber hear of each loss once.
            unsaid.add(buffer.take_unsaid());
            prop_assert_eq!(unsaid.records, pushed.len() as u64 - delivered);
        }
    }
}

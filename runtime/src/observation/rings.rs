//! The last lines of each function, and readers with a place of their own. Pure.
//!
//! A reader is only a number for each function: it costs nothing however slow it
//! is. What has been overwritten before it came is counted and told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use crate::model::FunctionName;

/// Bytes of log that are kept for each function, what it costs to keep them
/// included.
const ROOM: usize = 1024 * 1024;

/// What keeping a line costs beside its bytes.
const LINE_COST: usize = 80;

/// One line of a function's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read.
    pub at: SystemTime,
    /// Of this function.
    pub function: FunctionName,
    /// Without its newline.
    pub text: Arc<[u8]>,
}

/// The next lines for a reader.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Lines before these that are gone.
    pub lost: u64,
    /// In the order in which they were written.
    pub lines: Vec<LogLine>,
}

/// The rings of all functions.
#[derive(Debug, Default)]
pub(super) struct Rings {
    /// Lines so far, of all functions: their order.
    written: u64,
    rings: BTreeMap<FunctionName, Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    /// The number of the first line that is still there.
    first: u64,
    bytes: usize,
    lines: VecDeque<Line>,
}

#[derive(Debug)]
struct Line {
    order: u64,
    at: SystemTime,
    text: Arc<[u8]>,
}

impl Line {
    fn cost(&self) -> usize {
        self.text.len() + LINE_COST
    }
}

/// Where a reader is.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The number of the next line, for each function; 0 for others.
    next: BTreeMap<FunctionName, u64>,
}

impl Rings {
    /// From now on the function is known.
    pub(super) fn open(&mut self, function: &FunctionName) {
        if !self.rings.contains_key(function) {
            self.rings.insert(function.clone(), Ring::default());
        }
    }

    pub(super) fn knows(&self, function: &FunctionName) -> bool {
        self.rings.contains_key(function)
    }

    /// Adds a line. The oldest go if there is no room.
    pub(super) fn push(&mut self, function: &FunctionName, at: SystemTime, text: &[u8]) {
        self.open(function);
        let Some(ring) = self.rings.get_mut(function) else {
            return;
        };
        let line = Line {
            order: self.written,
            at,
            text: text.into(),
        };
        self.written += 1;
        ring.bytes += line.cost();
        ring.lines.push_back(line);
        while ring.bytes > ROOM
            && let Some(oldest) = ring.lines.pop_front()
        {
            ring.bytes -= oldest.cost();
            ring.first += 1;
        }
    }

    /// The place of a reader that wants nothing from before `since`.
    pub(super) fn cursor(&self, since: Option<SystemTime>) -> Cursor {
        let next = self.rings.iter().map(|(name, ring)| {
            let skipped = since.map_or(0, |since| {
                ring.lines.iter().take_while(|line| line.at < since).count()
            });
            (name.clone(), ring.first + skipped as u64)
        });
        Cursor {
            next: next.collect(),
        }
    }

    /// The next lines, at most `most` of them, of one function or of all.
    pub(super) fn read(
        &self,
        cursor: &mut Cursor,
        function: Option<&FunctionName>,
        most: usize,
    ) -> Batch {
        let mut batch = Batch::default();
        let mut found = vec![];
        for (name, ring) in &self.rings {
            if function.is_some_and(|function| function != name) {
                continue;
            }
            let next = cursor.next.entry(name.clone()).or_default();
            batch.lost += ring.first.saturating_sub(*next);
            *next = (*next).max(ring.first);
            let start = usize::try_from(*next - ring.first).unwrap_or(usize::MAX);
            found.extend(
                ring.lines
                    .iter()
                    .skip(start)
                    .take(most)
                    .map(|line| (line.order, name, line)),
            );
        }
        found.sort_unstable_by_key(|(order, ..)| *order);
        for (_, name, line) in found.into_iter().take(most) {
            if let Some(next) = cursor.next.get_mut(name) {
                *next += 1;
            }
            batch.lines.push(LogLine {
                at: line.at,
                function: name.clone(),
                text: Arc::clone(&line.text),
            });
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> FunctionName {
        text.parse().unwrap()
    }

    fn texts(batch: &Batch) -> Vec<String> {
        let text = |line: &LogLine| String::from_utf8_lossy(&line.text).into_owned();
        batch.lines.iter().map(text).collect()
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn functions_are_read_together_or_alone() {
        let mut rings = Rings::default();
        for (function, text) in [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")] {
            rings.push(&name(function), at(0), text.as_bytes());
        }
        let mut all = rings.cursor(None);
        assert_eq!(texts(&rings.read(&mut all, None, 3)), ["1", "2", "3"]);
        assert_eq!(texts(&rings.read(&mut all, None, 3)), ["4"]);
        assert_eq!(rings.read(&mut all, None, 3), Batch::default());
        let mut one = rings.cursor(None);
        let b = name("b");
        assert_eq!(texts(&rings.read(&mut one, Some(&b), 9)), ["2", "4"]);
        // A function that comes later is read from its beginning.
        rings.push(&name("c"), at(0), b"5");
        assert_eq!(texts(&rings.read(&mut all, None, 3)), ["5"]);
    }

    #[test]
    fn a_reader_may_begin_at_a_time() {
        let mut rings = Rings::default();
        for seconds in 1..=4 {
            rings.push(&name("f"), at(seconds), seconds.to_string().as_bytes());
        }
        let mut cursor = rings.cursor(Some(at(3)));
        assert_eq!(texts(&rings.read(&mut cursor, None, 9)), ["3", "4"]);
        let mut cursor = rings.cursor(Some(at(9)));
        assert_eq!(rings.read(&mut cursor, None, 9), Batch::default());
    }

    #[test]
    fn one_line_may_be_larger_than_the_room() {
        let mut rings = Rings::default();
        let mut cursor = rings.cursor(None);
        rings.push(&name("f"), at(0), &vec![b'x'; ROOM]);
        let batch = rings.read(&mut cursor, None, 9);
        assert_eq!((batch.lost, batch.lines.len()), (1, 0));
        assert_eq!(rings.rings[&name("f")].bytes, 0);
    }

    proptest! {
        /// Whatever a reader's pace: memory is bounded, and it gets each line once,
        /// in order, or is told that it is lost.
        #[test]
        fn nothing_is_lost_in_silence(
            steps in prop::collection::vec((0_usize..3, 0_usize..ROOM / 3), 0..60),
        ) {
            let mut rings = Rings::default();
            let mut cursor = rings.cursor(None);
            let function = name("f");
            let mut written = 0_u64;
            let mut seen = 0_u64;
            for (reads, size) in steps {
                let text = format!("{written} {}", "x".repeat(size));
                rings.push(&function, at(0), text.as_bytes());
                written += 1;
                prop_assert!(rings.rings[&function].bytes <= ROOM);
                if reads > 0 {
                    let batch = rings.read(&mut cursor, None, reads);
                    seen += batch.lost;
                    for text in texts(&batch) {
                        let expected = format!("{seen} ");
                        prop_assert!(text.starts_with(&expected));
                        seen += 1;
                    }
                }
            }
            let rest = rings.read(&mut cursor, None, usize::MAX);
            prop_assert_eq!(seen + rest.lost + rest.lines.len() as u64, written);
        }
    }
}

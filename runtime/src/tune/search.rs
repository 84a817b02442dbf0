//! The smallest memory size that a function works with.

use super::Trouble;
use crate::model::MemorySize;

/// How near the answer is at least, in MB.
const PRECISION_MB: u32 = 16;

/// What became of a function at a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    /// Every invocation was answered.
    Worked,
    /// It ran out of memory.
    RanOut,
    /// It timed out or failed, which does not tell whether its memory was enough.
    Unclear,
}

impl Tried {
    /// What an environment shows whose last invocation came to this.
    pub(crate) fn of(trouble: Option<&Trouble>) -> Self {
        match trouble {
            None => Self::Worked,
            Some(Trouble::OutOfMemory) => Self::RanOut,
            Some(Trouble::Timeout | Trouble::Error(_)) => Self::Unclear,
        }
    }
}

/// A search between a size that is too small and one that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Search {
    too_small: Option<MemorySize>,
    unclear: Option<MemorySize>,
    enough: Option<MemorySize>,
}

impl Search {
    /// What is known already: each size, and what became of the function there.
    pub(crate) fn new(known: impl IntoIterator<Item = (MemorySize, Tried)>) -> Self {
        let mut search = Self {
            too_small: None,
            unclear: None,
            enough: None,
        };
        for (size, tried) in known {
            search.learn(size, tried);
        }
        search
    }

    /// A size was tried.
    pub(crate) fn learn(&mut self, size: MemorySize, tried: Tried) {
        let highest = match tried {
            Tried::Worked => {
                // What depends on chance is enough only above all that was not.
                if self.floor().is_none_or(|floor| size > floor) {
                    self.enough = Some(self.enough.map_or(size, |enough| enough.min(size)));
                }
                return;
            }
            Tried::RanOut => &mut self.too_small,
            Tried::Unclear => &mut self.unclear,
        };
        *highest = (*highest).max(Some(size));
        self.enough = self.enough.filter(|enough| *enough > size);
    }

    /// The largest size that it did not work with.
    fn floor(&self) -> Option<MemorySize> {
        self.too_small.max(self.unclear)
    }

    /// What to try next; none if the answer is near enough, or cannot be found.
    pub(crate) fn next(&self) -> Option<MemorySize> {
        self.too_small?;
        let (floor, enough) = self.floor().zip(self.enough)?;
        let distance = enough.get() - floor.get();
        if distance <= PRECISION_MB {
            return None;
        }
        MemorySize::new(floor.get() + distance / 2).ok()
    }

    /// The smallest size that it worked with.
    pub(crate) fn smallest(&self) -> Option<MemorySize> {
        self.enough
    }

    /// The largest size that was too little memory.
    pub(crate) fn too_small(&self) -> Option<MemorySize> {
        self.too_small
    }

    /// The largest size at which it timed out or failed, if that is above all that were
    /// too little memory.
    pub(crate) fn unclear(&self) -> Option<MemorySize> {
        self.unclear.filter(|_| self.unclear > self.too_small)
    }
}

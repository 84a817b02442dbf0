//! The smallest memory size that a function does not run out of.

use crate::model::MemorySize;

/// How near the answer is at least, in MB.
const PRECISION_MB: u32 = 16;

/// A search between a size that is too small and one that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Search {
    too_small: Option<MemorySize>,
    enough: Option<MemorySize>,
}

impl Search {
    /// What is known already: each size, and whether the function ran out of it.
    pub(crate) fn new(known: impl IntoIterator<Item = (MemorySize, bool)>) -> Self {
        let mut search = Self {
            too_small: None,
            enough: None,
        };
        for (size, ran_out) in known {
            search.learn(size, ran_out);
        }
        search
    }

    /// A size was tried.
    pub(crate) fn learn(&mut self, size: MemorySize, ran_out: bool) {
        if ran_out {
            self.too_small = self.too_small.max(Some(size));
            // What depends on chance is enough only above all that was not.
            self.enough = self.enough.filter(|enough| *enough > size);
        } else if self.too_small.is_none_or(|too_small| size > too_small) {
            self.enough = Some(self.enough.map_or(size, |enough| enough.min(size)));
        }
    }

    /// What to try next; none if the answer is near enough, or cannot be found.
    pub(crate) fn next(&self) -> Option<MemorySize> {
        let (too_small, enough) = self.too_small.zip(self.enough)?;
        let distance = enough.get() - too_small.get();
        if distance <= PRECISION_MB {
            return None;
        }
        MemorySize::new(too_small.get() + distance / 2).ok()
    }

    /// The smallest size that was enough.
    pub(crate) fn smallest(&self) -> Option<MemorySize> {
        self.enough
    }

    /// The largest size that was not.
    pub(crate) fn too_small(&self) -> Option<MemorySize> {
        self.too_small
    }
}

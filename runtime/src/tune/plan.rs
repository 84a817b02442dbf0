//! The order of runs.
//!
//! A host drifts: its clock rate, its page cache, its other work. So the sizes are
//! not measured one after the other but in rounds, each of which visits every size
//! once, in an order by chance; and every second round goes through the order of the
//! one before it backwards, so that what grows steadily over two rounds weighs on each
//! size alike. The order depends on the seed alone.

use crate::model::MemorySize;
use crate::statistics::Generator;

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The sizes.
    pub(crate) sizes: Vec<MemorySize>,
    /// Execution environments for each size, each with one cold start.
    pub(crate) rounds: u32,
    /// Warm invocations in each environment.
    pub(crate) warm: u32,
    /// Decides on the order.
    pub(crate) seed: u64,
}

/// One environment: a cold invocation, and then warm ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its memory.
    pub(crate) size: MemorySize,
    /// From 0.
    pub(crate) round: u32,
}

impl Plan {
    /// The environments, in their order.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut generator = Generator::new(self.seed);
        let mut order = self.sizes.clone();
        let mut steps = vec![];
        for round in 0..self.rounds {
            if round % 2 == 0 {
                generator.shuffle(&mut order);
            } else {
                order.reverse();
            }
            steps.extend(order.iter().map(|size| Step { size: *size, round }));
        }
        steps
    }
}

//! Which memory sizes are tried.

use crate::model::MemorySize;

/// The sizes without a choice of the user: those at which Lambda's offer changes.
const DEFAULT_MB: [u32; 10] = [
    128, 256, 512, 1_024, 1_769, 3_008, 5_307, 7_076, 8_845, 10_240,
];

/// What the user wants to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SizeChoice {
    /// The usual sizes.
    Usual,
    /// These.
    List(Vec<MemorySize>),
    /// From the smallest size in steps of so many MB.
    Step(u32),
}

/// Sizes in ascending order, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Those whose CPU this host can give.
    pub(crate) measured: Vec<MemorySize>,
    /// Those whose CPU it cannot.
    pub(crate) beyond: Vec<MemorySize>,
}

impl Sizes {
    /// The sizes for a host with so many CPUs.
    pub(crate) fn choose(choice: &SizeChoice, cpus: usize) -> Self {
        let mut sizes = match choice {
            SizeChoice::Usual => valid(&DEFAULT_MB),
            SizeChoice::List(sizes) => sizes.clone(),
            SizeChoice::Step(step) => {
                let step = usize::try_from(*step).unwrap_or(usize::MAX).max(1);
                let all = MemorySize::MIN.get()..=MemorySize::MAX.get();
                valid(&all.step_by(step).collect::<Vec<_>>())
            }
        };
        sizes.sort_unstable();
        sizes.dedup();
        let cpus = crate::statistics::number(cpus as u64);
        let (measured, beyond) = sizes.into_iter().partition(|size| size.vcpus() <= cpus);
        Self { measured, beyond }
    }
}

fn valid(sizes: &[u32]) -> Vec<MemorySize> {
    let sizes = sizes.iter();
    sizes
        .filter_map(|size| MemorySize::new(*size).ok())
        .collect()
}

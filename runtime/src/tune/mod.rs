//! `lambent tune`: what a function takes and costs at each memory size, and which
//! size to choose. Pure: plans in, samples in, figures out.
//!
//! | file | does |
//! |---|---|
//! | `sizes.rs` | which sizes, and which of them this host can honour |
//! | `plan.rs` | which run when, so that drift of the host cancels out |
//! | `sample.rs` | one invocation, as measured |
//! | `summary.rs` | the samples of a size as figures |
//! | `price.rs` | what it costs |
//! | `verdict.rs` | which size is best for what, and what bounds the function |
//! | `search.rs` | the smallest size that the function works with |
//! | `extrapolate.rs` | sizes that this host cannot honour |
//! | `report.rs` | all of it, as JSON and CSV |
//! | `picture.rs`, `html.rs` | duration and cost over memory, and a page around it |

mod extrapolate;
mod html;
mod picture;
mod plan;
mod price;
mod report;
mod sample;
mod search;
mod sizes;
mod summary;
#[cfg(test)]
mod tests;
mod verdict;

pub(crate) use plan::{Plan, Step};
pub(crate) use price::{Price, PriceOverride};
pub(crate) use report::{Report, Subject};
pub(crate) use sample::{Sample, Trouble};
pub(crate) use search::{Search, Tried};
pub(crate) use sizes::{SizeChoice, Sizes};
pub(crate) use summary::Summary;
pub(crate) use verdict::{Bound, Verdict};

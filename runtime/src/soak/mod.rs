//! `lambent soak`: whether a function that is invoked again and again in the same
//! environment leaks. Pure: samples in, findings out.
//!
//! | file | does |
//! |---|---|
//! | `sample.rs` | what an environment holds after an invocation |
//! | `pattern.rs` | names of many things as one |
//! | `resource.rs` | what can run out, and when it does |
//! | `fit.rs` | growth of a series, and whether it goes on |
//! | `finding.rs` | what grows, and what it consists of |
//! | `report.rs`, `picture.rs`, `html.rs` | all of it as data, in words, as pictures |

mod finding;
mod fit;
mod html;
mod pattern;
mod picture;
mod report;
mod resource;
mod sample;
#[cfg(test)]
mod tests;

pub(crate) use report::{Report, Subject};
pub(crate) use resource::Limits;
pub(crate) use sample::{Held, Sample, Tally};

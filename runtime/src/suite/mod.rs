//! Suites of test cases for functions: what a file says, and whether what came fits.
//! Pure; `cli/test/` runs them.
//!
//! | file | what |
//! |---|---|
//! | `model.rs` | a suite, its cases, what they expect |
//! | `read.rs`, `field.rs` | which form a file has; values of a file with their places |
//! | `own.rs`, `settings.rs`, `expect.rs` | Lambent's form |
//! | `aws.rs`, `resources.rs` | the JSON of AWS's containerized test runner |
//! | `transform.rs`, `matching.rs` | jq; equality and partial matches |
//! | `judge.rs` | what came against what was expected |
//! | `lasting.rs` | what of an error is the same at the next invocation |
//! | `plan.rs` | which cases share an environment, and in which order |
//! | `update.rs`, `emit.rs` | expectations that are replaced in a file's text |

mod aws;
mod emit;
mod expect;
mod field;
mod judge;
mod lasting;
mod matching;
mod model;
mod own;
mod plan;
mod read;
mod resources;
mod settings;
#[cfg(test)]
mod tests;
mod transform;
mod update;

pub(crate) use self::judge::{Actual, Mismatch, judge};
pub(crate) use self::model::{Case, Start, Suite};
pub(crate) use self::plan::plan;
pub(crate) use self::read::{Outside, read};
pub(crate) use self::transform::Transformation;
pub(crate) use self::update::{Edit, updated};

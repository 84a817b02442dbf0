//! What this host enforces, what not, what that means for verdicts, and what
//! mends it.
//!
//! | module | does |
//! |---|---|
//! | `probe` | tries things and looks around: [`Facts`] |
//! | `check` | pure: facts to [`Finding`]s, of the host or for one function |
//! | `remedy` | pure: the commands that mend gaps, where Lambent runs |
//!
//! Commands say the same of the same gap because all of it comes from here:
//! `lambent doctor`, the warnings of an invocation, and the refusals of `--strict`.

mod check;
mod facts;
mod finding;
pub(crate) mod probe;
mod remedy;

pub(crate) use check::{Asked, examine, tmp_is_charged, unenforced};
pub(crate) use facts::Facts;
#[cfg(test)]
pub(crate) use finding::Check;
pub(crate) use finding::{Finding, Status};

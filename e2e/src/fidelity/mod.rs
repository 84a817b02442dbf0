//! `make bench-limits`: how near an environment is to Lambda's, in figures.
//!
//! | part | shows |
//! |---|---|
//! | [`share`] | the share of a CPU at each memory size against `MemorySize / 1769` |
//! | [`memory`] | who lives and who dies at which fill level of `/tmp` |
//! | [`neighbours`] | what a function notices of a hostile one beside it |
//! | [`failures`] | what a thousand failures leave behind |
//! | [`mixture`] | what all kinds of abuse at once leave behind, after a quarter of an hour |

mod failures;
mod memory;
pub mod mixture;
mod neighbours;
mod share;

use std::ffi::OsString;

use crate::fixtures::Error;
use crate::parts::{self, Table};

const USAGE: &str = "usage: bench_limits [share|memory|neighbours|failures|mixture]...";

/// Runs what the words of the command line ask for, all without any.
pub fn run(words: &[OsString]) -> Result<(), Error> {
    let parts: [(&str, Table); 5] = [
        ("share", share::table),
        ("memory", memory::table),
        ("neighbours", neighbours::table),
        ("failures", failures::table),
        ("mixture", mixture::table),
    ];
    parts::run(&parts, USAGE, words)
}

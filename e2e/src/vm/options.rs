//! The command line of the lane.

use std::time::Duration;

use super::kernel;
use super::task::Hierarchies;

/// What is said about a wrong command line.
pub(super) const USAGE: &str = "usage: test_vm [--cgroup v1|v2] [--all] [--only FILTER] \
                                [--kernel PACKAGE] [--minutes N]";

/// Minutes that the core and all tests may take: several times what they do.
const CORE_MINUTES: u64 = 15;
const ALL_MINUTES: u64 = 60;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) hierarchies: Hierarchies,
    /// All tests, not only the core.
    pub(super) all: bool,
    /// nextest's filter for a part of them.
    pub(super) only: Option<String>,
    /// The package of the kernel.
    pub(super) kernel: String,
    /// When the machine is given up.
    pub(super) limit: Duration,
}

/// Reads the words of a command line; `None` if they are wrong.
pub(super) fn parse(words: impl IntoIterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        hierarchies: Hierarchies::V2,
        all: false,
        only: None,
        kernel: kernel::PACKAGE.to_owned(),
        limit: Duration::ZERO,
    };
    let mut minutes = None;
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--all" => options.all = true,
            "--only" => options.only = Some(words.next()?),
            "--kernel" => options.kernel = words.next()?,
            "--minutes" => minutes = Some(words.next()?.parse().ok()?),
            "--cgroup" => {
                options.hierarchies = match words.next()?.as_str() {
                    "v2" => Hierarchies::V2,
                    "v1" => Hierarchies::V1,
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    let usual = if options.all {
        ALL_MINUTES
    } else {
        CORE_MINUTES
    };
    options.limit = Duration::from_secs(60 * minutes.unwrap_or(usual));
    Some(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<Options> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn lines_mean_what_they_say() {
        let usual = parsed("").unwrap();
        assert_eq!(usual.hierarchies, Hierarchies::V2);
        assert!(!usual.all);
        let all = parsed("--cgroup v1 --all --only test(x) --kernel k").unwrap();
        assert_eq!(all.hierarchies, Hierarchies::V1);
        assert!(all.all && all.limit > usual.limit);
        assert_eq!(all.only.as_deref(), Some("test(x)"));
        assert_eq!(all.kernel, "k");
        assert_eq!(
            parsed("--minutes 2").unwrap().limit,
            Duration::from_secs(120)
        );
        for wrong in ["x", "--cgroup v3", "--only", "--minutes x", "--kernel"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}

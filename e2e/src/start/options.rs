//! The words of the command line.

use std::path::PathBuf;

use crate::fixtures::Error;

pub(super) const USAGE: &str = "usage: bench_start [--smoke] [--only PART] [--rounds N] \
                                [--size large] [--against PROGRAM]";

/// How large the large image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// The small one again: for smoke.
    Tiny,
    /// 1 GB.
    Usual,
    /// 10 GB.
    Large,
}

/// What a run does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// Show that everything runs, with few rounds.
    pub(super) smoke: bool,
    pub(super) only: Option<String>,
    pub(super) rounds: Option<usize>,
    pub(super) size: Size,
    /// Measure Lambent alone.
    pub(super) alone: bool,
    /// Print nothing, and write the results here.
    pub(super) results: Option<PathBuf>,
    /// Compare with this other `lambent`.
    pub(super) against: Option<PathBuf>,
}

impl Options {
    /// Reads them.
    ///
    /// # Errors
    /// The usage.
    pub(super) fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let mut options = Self {
            smoke: false,
            only: None,
            rounds: None,
            size: Size::Usual,
            alone: false,
            results: None,
            against: None,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == "--smoke" {
                options.smoke = true;
                options.size = Size::Tiny;
                continue;
            }
            if word == "--alone" {
                options.alone = true;
                continue;
            }
            let value = words.next().ok_or(USAGE)?;
            match word {
                "--only" => options.only = Some(value.to_owned()),
                "--rounds" => {
                    let rounds = value.parse().ok().filter(|rounds| *rounds > 0);
                    options.rounds = Some(rounds.ok_or(USAGE)?);
                }
                "--size" if value == "large" => options.size = Size::Large,
                "--results" => options.results = Some(value.into()),
                "--against" => options.against = Some(value.into()),
                _ => return Err(USAGE.into()),
            }
        }
        Ok(options)
    }

    /// How often something is measured: as asked for, twice for smoke, else `usual`.
    pub(super) fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(if self.smoke { 2 } else { usual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        let options = Options::parse(["--only", "cold", "--rounds", "7"]).expect("options");
        assert_eq!(options.only.as_deref(), Some("cold"));
        assert_eq!((options.rounds(60), options.size), (7, Size::Usual));
        let options = Options::parse(["--smoke"]).expect("options");
        assert_eq!((options.rounds(60), options.size), (2, Size::Tiny));
        for words in [
            vec!["--rounds"],
            vec!["--rounds", "0"],
            vec!["--size", "small"],
            vec!["cold"],
            vec!["--only"],
        ] {
            assert!(Options::parse(words.iter().copied()).is_err(), "{words:?}");
        }
    }
}

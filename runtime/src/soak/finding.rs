//! What grows, by how much, until when, and what it consists of.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fit::{Growth, fit, reaches};
use super::resource::{Limits, Resource};
use super::{Sample, Tally};
use crate::statistics::{median, number};

/// Names that a finding gives.
const MOST_NAMES: usize = 3;

/// A resource over the whole soak.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Course {
    pub(crate) resource: Resource,
    /// At the begin and at the end, in the resource's unit, as the median of all
    /// environments.
    pub(crate) first: f64,
    pub(crate) last: f64,
    pub(crate) limit: Option<f64>,
    /// None where too little was measured. Of several environments, the one in the
    /// middle.
    pub(crate) growth: Option<Growth>,
    /// In how many environments it grows steadily.
    pub(crate) growing_environments: usize,
    pub(crate) finding: Option<Finding>,
}

/// A leak.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// The invocation at which the resource runs out, and between which by the 99 %
    /// interval; none where it has no limit of its own.
    pub(crate) runs_out_at: Option<f64>,
    pub(crate) soonest: Option<f64>,
    pub(crate) latest: Option<f64>,
    /// What has become more: patterns, and how much more there was at the end.
    pub(crate) growing: BTreeMap<String, Tally>,
    /// Whether it runs out within the horizon, or has no limit.
    pub(crate) within_horizon: bool,
}

impl Course {
    /// Looks at a resource in the samples of each environment.
    pub(crate) fn of(
        resource: Resource,
        environments: &[Vec<&Sample>],
        limits: &Limits,
        horizon: u64,
    ) -> Self {
        let value = |sample: Option<&&Sample>| sample.map(|sample| resource.value(sample));
        let firsts: Vec<_> = environments
            .iter()
            .filter_map(|list| value(list.first()))
            .collect();
        let lasts: Vec<_> = environments
            .iter()
            .filter_map(|list| value(list.last()))
            .collect();
        let mut growths: Vec<_> = environments
            .iter()
            .filter_map(|samples| fit(&points(resource, samples)))
            .collect();
        growths.sort_by(|one, other| one.per_invocation.total_cmp(&other.per_invocation));
        let leaks = |growth: &&Growth| growth.steady && growth.total >= resource.negligible();
        let growing_environments = growths.iter().filter(leaks).count();
        // As often as not is more than chance.
        let is_leak = growing_environments > 0 && growing_environments * 2 >= growths.len();
        let of_leaks: Vec<_> = growths.iter().filter(leaks).copied().collect();
        let chosen = if is_leak { &of_leaks } else { &growths };
        let growth = chosen.get(chosen.len() / 2).copied();
        let limit = resource.limit(limits);
        let last_invocation = environments.iter().filter_map(|list| list.last());
        let last_invocation = last_invocation
            .map(|sample| sample.invocation)
            .max()
            .unwrap_or(0);
        Self {
            resource,
            first: median(&firsts),
            last: median(&lasts),
            limit,
            growth,
            growing_environments,
            finding: growth.filter(|_| is_leak).map(|growth| {
                finding(
                    resource,
                    &growth,
                    limit,
                    last_invocation,
                    environments,
                    horizon,
                )
            }),
        }
    }

    /// Whether it is to be called a failure.
    pub(crate) fn fails(&self) -> bool {
        self.finding
            .as_ref()
            .is_some_and(|finding| finding.within_horizon)
    }
}

/// A resource over the invocations of an environment.
pub(super) fn points(resource: Resource, samples: &[&Sample]) -> Vec<(f64, f64)> {
    let samples = samples.iter();
    samples
        .map(|sample| (number(sample.invocation), resource.value(sample)))
        .collect()
}

fn finding(
    resource: Resource,
    growth: &Growth,
    limit: Option<f64>,
    last: u64,
    environments: &[Vec<&Sample>],
    horizon: u64,
) -> Finding {
    let reached = limit.and_then(|limit| reaches(growth, limit, last));
    let within_horizon = match (limit, reached) {
        (None, _) => true,
        (Some(_), reached) => reached.is_some_and(|(at, ..)| at <= number(horizon)),
    };
    Finding {
        runs_out_at: reached.map(|(at, ..)| at),
        soonest: reached.map(|(_, soonest, _)| soonest),
        latest: reached.and_then(|(.., latest)| latest),
        growing: growing(resource, environments),
        within_horizon,
    }
}

/// What has become most in the environment with most samples.
fn growing(resource: Resource, environments: &[Vec<&Sample>]) -> BTreeMap<String, Tally> {
    let Some(samples) = environments.iter().max_by_key(|samples| samples.len()) else {
        return BTreeMap::new();
    };
    let tallies = |sample: &Sample| match resource {
        Resource::Tmp | Resource::TmpFiles => sample.files.clone(),
        Resource::Descriptors => sample.kinds.clone(),
        Resource::Sockets => {
            let mut kinds = sample.kinds.clone();
            kinds.retain(|kind, _| kind == "socket");
            kinds
        }
        Resource::Threads | Resource::Processes => sample.names.clone(),
        Resource::Memory | Resource::Duration => BTreeMap::new(),
    };
    // After the warm-up, like the growth.
    let (Some(early), Some(late)) = (samples.get(samples.len() / 5), samples.last()) else {
        return BTreeMap::new();
    };
    let before = tallies(early);
    let weight = |tally: &Tally| match resource {
        Resource::Tmp => tally.bytes,
        _ => tally.count,
    };
    let mut more: Vec<_> = tallies(late)
        .into_iter()
        .filter_map(|(name, tally)| {
            let old = before.get(&name).cloned().unwrap_or_default();
            let grown = Tally {
                count: tally.count.saturating_sub(old.count),
                bytes: tally.bytes.saturating_sub(old.bytes),
                example: tally.example,
            };
            (weight(&grown) > 0).then_some((name, grown))
        })
        .collect();
    more.sort_by_key(|(_, tally)| std::cmp::Reverse(weight(tally)));
    more.truncate(MOST_NAMES);
    more.into_iter().collect()
}

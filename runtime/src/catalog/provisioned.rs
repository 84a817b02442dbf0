//! Provisioned concurrency: how many environments of which version are kept
//! initialised, and what is said about them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Moment;
use super::account::UNRESERVED_MIN;
use super::record::{Catalog, FunctionRecord, ProvisionedRecord, Route};
use super::refusal::{Refusal, RefusalKind};
use super::shape::Arns;
use crate::model::{FunctionReference, Version};

/// The environments of a version that are initialised, and why there are not more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) count: usize,
    pub(crate) problem: Option<String>,
}

/// How far a configuration has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allocation {
    record: ProvisionedRecord,
    ready: usize,
    problem: Option<String>,
}

impl Catalog {
    /// Sets the provisioned concurrency of a version or alias.
    ///
    /// # Errors
    /// It is not there or not published, or there is not so much concurrency.
    pub(crate) fn provision(
        &mut self,
        reference: &FunctionReference,
        requested: i64,
        arns: &Arns,
        moment: &Moment,
    ) -> Result<(), Refusal> {
        if requested < 1 {
            return Err(Refusal::constraint(
                &requested.to_string(),
                "provisionedConcurrentExecutions",
                "Member must have value greater than or equal to 1",
            ));
        }
        let requested = usize::try_from(requested).unwrap_or(usize::MAX);
        let qualifier = provisionable(reference)?;
        self.resolve(reference, arns)?;
        let record = self.function(&reference.name, arns)?;
        record.check_provisionable(qualifier, &record.route(qualifier)?)?;
        let own = record.provisioned.get(qualifier);
        let own = own.map_or(0, |record| record.requested);
        let others = record.provisioned_in_all() - own;
        if let Some(reserved) = record.reserved {
            if others.saturating_add(requested) > reserved {
                return Err(provisioned_beyond_reserved());
            }
        } else if requested.saturating_add(UNRESERVED_MIN) > self.unreserved() + own {
            return Err(Refusal::invalid(format!(
                "Specified ConcurrentExecutions for function decreases account's \
                 UnreservedConcurrentExecution below its minimum value of [{UNRESERVED_MIN}]."
            )));
        }
        let config = ProvisionedRecord {
            requested,
            modified: moment.at.clone(),
        };
        let record = self.function_mut(&reference.name, arns)?;
        record.provisioned.insert(qualifier.to_owned(), config);
        Ok(())
    }

    /// Takes provisioned concurrency away, if there is any.
    ///
    /// # Errors
    /// There is no such version or alias, or it is not published.
    pub(crate) fn unprovision(
        &mut self,
        reference: &FunctionReference,
        arns: &Arns,
    ) -> Result<(), Refusal> {
        let qualifier = provisionable(reference)?;
        self.resolve(reference, arns)?;
        let record = self.function_mut(&reference.name, arns)?;
        record.provisioned.remove(qualifier);
        Ok(())
    }

    /// How far the configuration of a version or alias has come.
    ///
    /// # Errors
    /// It has none, or is not there.
    pub(crate) fn allocation(
        &self,
        reference: &FunctionReference,
        ready: impl Fn(Version) -> Ready,
        arns: &Arns,
    ) -> Result<Allocation, Refusal> {
        let qualifier = provisionable(reference)?;
        self.resolve(reference, arns)?;
        let record = self.function(&reference.name, arns)?;
        let mut all = record.allocations(ready);
        all.remove(qualifier).ok_or_else(|| {
            Refusal::new(
                RefusalKind::NotProvisioned,
                "No Provisioned Concurrency Config found for this function",
            )
        })
    }
}

impl FunctionRecord {
    /// What is asked for, for all qualifiers together.
    pub(crate) fn provisioned_in_all(&self) -> usize {
        let records = self.provisioned.values();
        records.map(|record| record.requested).sum()
    }

    /// How many environments of a version are to be kept initialised.
    pub(crate) fn provisioned_of(&self, version: Version) -> usize {
        let shares = self.provisioned.iter().filter_map(|(qualifier, record)| {
            let shares = self.route(qualifier).ok()?.shares(record.requested);
            shares.get(&version).copied()
        });
        shares.sum()
    }

    /// How far each configuration has come: what is ready of a version counts for the
    /// first configuration that wants it.
    pub(crate) fn allocations(
        &self,
        ready: impl Fn(Version) -> Ready,
    ) -> BTreeMap<String, Allocation> {
        let mut left: BTreeMap<Version, Ready> = BTreeMap::new();
        let allocations = self.provisioned.iter().map(|(qualifier, record)| {
            let shares = self
                .route(qualifier)
                .map(|route| route.shares(record.requested));
            let mut allocation = Allocation {
                record: record.clone(),
                ready: 0,
                problem: None,
            };
            for (version, share) in shares.unwrap_or_default() {
                let left = left.entry(version).or_insert_with(|| ready(version));
                let taken = share.min(left.count);
                left.count -= taken;
                allocation.ready += taken;
                if taken < share && allocation.problem.is_none() {
                    allocation.problem.clone_from(&left.problem);
                }
            }
            (qualifier.clone(), allocation)
        });
        allocations.collect()
    }

    /// Which versions a qualifier leads to, an alias or a number.
    fn route(&self, qualifier: &str) -> Result<Route, Refusal> {
        if let Some(alias) = self.aliases.get(qualifier) {
            return Ok(alias.route.clone());
        }
        let version = qualifier.parse().map_err(|_| unpublished())?;
        Ok(Route {
            version,
            weighted: None,
        })
    }

    /// Whether environments of what `route` leads to can be provisioned for
    /// `qualifier`: not of `$LATEST`, and not for an alias and its version at a time.
    ///
    /// # Errors
    /// They cannot.
    pub(super) fn check_provisionable(
        &self,
        qualifier: &str,
        route: &Route,
    ) -> Result<(), Refusal> {
        if route.leads_to(Version::Latest) {
            return Err(unpublished());
        }
        if self.aliases.contains_key(qualifier) {
            let mut numbers = self.versions.keys();
            let taken = numbers.any(|number| {
                route.leads_to(Version::Number(*number))
                    && self.provisioned.contains_key(&number.to_string())
            });
            if taken {
                return Err(Refusal::conflict(
                    "Alias can't be used for Provisioned Concurrency configuration on an already \
                     Provisioned version",
                ));
            }
            return Ok(());
        }
        let mut aliases = self.aliases.iter();
        let pointed = aliases.any(|(name, alias)| {
            alias.route.leads_to(route.version) && self.provisioned.contains_key(name)
        });
        if pointed {
            return Err(Refusal::conflict(
                "Version is pointed by a Provisioned Concurrency alias",
            ));
        }
        Ok(())
    }
}

impl Route {
    /// How many of `count` environments are whose, by weight.
    fn shares(&self, count: usize) -> BTreeMap<Version, usize> {
        let Some((other, weight)) = self.weighted else {
            return BTreeMap::from([(self.version, count)]);
        };
        // Counts are of an account: at most 1,000, exact in both types.
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 1,000 times a weight from 0 to 1"
        )]
        let second = (count as f64 * weight).round() as usize;
        BTreeMap::from([(self.version, count - second.min(count)), (other, second)])
    }
}

impl Allocation {
    /// The answer of `GetProvisionedConcurrencyConfig`.
    pub(crate) fn shape(&self) -> Value {
        let requested = self.record.requested;
        let status = match (self.ready >= requested, &self.problem) {
            (true, _) => "READY",
            (false, None) => "IN_PROGRESS",
            (false, Some(_)) => "FAILED",
        };
        let mut shape = json!({
            "RequestedProvisionedConcurrentExecutions": requested,
            "AvailableProvisionedConcurrentExecutions": self.ready,
            "AllocatedProvisionedConcurrentExecutions": self.ready,
            "Status": status,
            "LastModified": self.record.modified,
        });
        if let (false, Some(problem)) = (self.ready >= requested, &self.problem) {
            shape["StatusReason"] = json!(problem);
        }
        shape
    }
}

/// The qualifier of a version or alias.
fn provisionable(reference: &FunctionReference) -> Result<&str, Refusal> {
    match reference.qualifier.as_deref() {
        None | Some("$LATEST") => Err(Refusal::invalid(
            "The function resource provided must be an alias or a published version.",
        )),
        Some(qualifier) => Ok(qualifier),
    }
}

fn unpublished() -> Refusal {
    Refusal::invalid(
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
    )
}

pub(super) fn provisioned_beyond_reserved() -> Refusal {
    Refusal::invalid(
        "Requested Provisioned Concurrency should not be greater than the \
         reservedConcurrentExecution for function",
    )
}

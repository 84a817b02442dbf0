//! Answers requests about provisioned concurrency.

use serde::Deserialize;

use super::answer::{Answer, listed, parsed};
use super::{ControlPlane, Operation};
use crate::catalog::{Moment, Ready, Refusal, required};
use crate::model::{FunctionName, FunctionReference, Version};

/// `PutProvisionedConcurrencyConfig`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    provisioned_concurrent_executions: Option<i64>,
}

impl ControlPlane {
    pub(super) fn provisioned(
        &self,
        operation: &Operation,
        body: &[u8],
    ) -> Result<Answer, Refusal> {
        use Operation as O;
        match operation {
            O::PutProvisionedConcurrencyConfig(function) => {
                let request: Request = parsed(body)?;
                let wanted = request.provisioned_concurrent_executions;
                let wanted = wanted.ok_or_else(|| required("provisionedConcurrentExecutions"))?;
                let _turn = self.turn();
                let allocation = self.change(|catalog| {
                    catalog.provision(function, wanted, self.arns(), &Moment::now())?;
                    // As it is before anything has begun.
                    catalog.allocation(function, |_| Ready::default(), self.arns())
                })?;
                self.follow(&function.name);
                Ok(Answer {
                    status: 202,
                    body: Some(allocation.shape()),
                })
            }
            O::GetProvisionedConcurrencyConfig(function) => {
                let held = self.lock();
                let ready = |version| self.ready(&function.name, version);
                let allocation = held.catalog.allocation(function, ready, self.arns())?;
                Ok(Answer::ok(allocation.shape()))
            }
            O::DeleteProvisionedConcurrencyConfig(function) => {
                let _turn = self.turn();
                self.change(|catalog| catalog.unprovision(function, self.arns()))?;
                self.follow(&function.name);
                Ok(Answer::empty())
            }
            O::ListProvisionedConcurrencyConfigs(function, page) => {
                let held = self.lock();
                let name = &function.name;
                let record = held.catalog.function(name, self.arns())?;
                let all = record.allocations(|version| self.ready(name, version));
                let all = all.into_iter().map(|(qualifier, allocation)| {
                    let mut shape = allocation.shape();
                    shape["FunctionArn"] = self.arns().qualified(name, &qualifier).into();
                    (qualifier, shape)
                });
                Ok(listed("ProvisionedConcurrencyConfigs", page.of(all)))
            }
            _ => Err(Refusal::service("no operation on provisioned concurrency")),
        }
    }

    fn ready(&self, name: &FunctionName, version: Version) -> Ready {
        let reference = FunctionReference {
            name: name.clone(),
            qualifier: Some(version.to_string()),
        };
        let Some(version) = self.functions.find(&reference) else {
            return Ready::default();
        };
        let provisioned = self.pools.provisioned(&version);
        Ready {
            count: provisioned.ready,
            problem: provisioned.problem,
        }
    }
}

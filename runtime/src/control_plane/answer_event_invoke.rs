//! Answers requests about asynchronous events.

use super::answer::{Answer, listed, parsed};
use super::{ControlPlane, Operation};
use crate::catalog::{EventInvokeRequest, Moment, Refusal};
use crate::model::FunctionReference;

impl ControlPlane {
    pub(super) fn event_invoke(
        &self,
        operation: &Operation,
        body: &[u8],
    ) -> Result<Answer, Refusal> {
        use Operation as O;
        match operation {
            O::PutFunctionEventInvokeConfig(function) => {
                self.set_event_invoke(function, &parsed(body)?, false)
            }
            O::UpdateFunctionEventInvokeConfig(function) => {
                self.set_event_invoke(function, &parsed(body)?, true)
            }
            O::GetFunctionEventInvokeConfig(function) => self.shown_event_invoke(function),
            O::DeleteFunctionEventInvokeConfig(function) => {
                let _turn = self.turn();
                self.change(|catalog| catalog.delete_event_invoke(function, self.arns()))?;
                self.follow(&function.name);
                Ok(Answer::empty())
            }
            O::ListFunctionEventInvokeConfigs(function, page) => {
                let held = self.lock();
                let name = &function.name;
                let record = held.catalog.functions.get(name);
                let record =
                    record.ok_or_else(|| Refusal::not_found("The function doesn't exist."))?;
                let all = record.event_invoke.iter().map(|(qualifier, record)| {
                    let shape = record.shape(self.arns(), name, qualifier);
                    (qualifier.clone(), shape)
                });
                Ok(listed("FunctionEventInvokeConfigs", page.of(all)))
            }
            _ => Err(Refusal::service("no operation on asynchronous events")),
        }
    }

    fn set_event_invoke(
        &self,
        function: &FunctionReference,
        request: &EventInvokeRequest,
        update: bool,
    ) -> Result<Answer, Refusal> {
        let _turn = self.turn();
        self.change(|catalog| {
            catalog.set_event_invoke(function, request, update, self.arns(), &Moment::now())
        })?;
        self.follow(&function.name);
        self.shown_event_invoke(function)
    }

    fn shown_event_invoke(&self, function: &FunctionReference) -> Result<Answer, Refusal> {
        let held = self.lock();
        let record = held.catalog.event_invoke(function, self.arns())?;
        let qualifier = function.qualifier.as_deref().unwrap_or("$LATEST");
        Ok(Answer::ok(record.shape(
            self.arns(),
            &function.name,
            qualifier,
        )))
    }
}

//! Answers requests about the URLs of functions.

use super::answer::{Answer, listed, parsed};
use super::{ControlPlane, Operation};
use crate::catalog::{Moment, Refusal, UrlRequest};
use crate::model::FunctionReference;

impl ControlPlane {
    pub(super) fn url(
        &self,
        operation: &Operation,
        body: &[u8],
        endpoint: Option<&str>,
    ) -> Result<Answer, Refusal> {
        use Operation as O;
        // All of HTTP 1.1's requests say it.
        let endpoint = endpoint.unwrap_or("localhost");
        let shape = |function: &FunctionReference, created| {
            let held = self.lock();
            let url = held.catalog.url(function, self.arns())?;
            Ok::<_, Refusal>(url.shape(self.arns(), function, endpoint, created))
        };
        match operation {
            O::CreateFunctionUrlConfig(function) => {
                let request: UrlRequest = parsed(body)?;
                let id = uuid::Uuid::new_v4().simple().to_string();
                self.change(|catalog| {
                    catalog.create_url(function, &request, &id, self.arns(), &Moment::now())
                })?;
                shape(function, true).map(Answer::created)
            }
            O::UpdateFunctionUrlConfig(function) => {
                let request: UrlRequest = parsed(body)?;
                self.change(|catalog| {
                    catalog.update_url(function, &request, self.arns(), &Moment::now())
                })?;
                shape(function, false).map(Answer::ok)
            }
            O::DeleteFunctionUrlConfig(function) => {
                self.change(|catalog| catalog.delete_url(function, self.arns()))?;
                Ok(Answer::empty())
            }
            O::ListFunctionUrlConfigs(function, page) => {
                let held = self.lock();
                let record = held.catalog.function(&function.name, self.arns())?;
                let all = record.urls.iter().map(|(qualifier, url)| {
                    let reference = FunctionReference {
                        name: function.name.clone(),
                        qualifier: Some(qualifier.clone()).filter(|text| !text.is_empty()),
                    };
                    let shape = url.shape(self.arns(), &reference, endpoint, false);
                    (qualifier.clone(), shape)
                });
                Ok(listed("FunctionUrlConfigs", page.of(all)))
            }
            O::GetFunctionUrlConfig(function) => shape(function, false).map(Answer::ok),
            _ => Err(Refusal::service("no operation on a URL")),
        }
    }
}

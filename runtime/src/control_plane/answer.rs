//! Answers requests of the control plane. On a thread that may block: archives are
//! unpacked and files written.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{ControlPlane, Operation};
use crate::catalog::{
    CreateAlias, LayerVersionArn, Moment, Refusal, UpdateAlias, ZIPPED_LIMIT, required, unqualified,
};

/// Status and body of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `None` for an empty one.
    pub(crate) body: Option<Value>,
}

impl Answer {
    pub(super) fn ok(body: Value) -> Self {
        Self {
            status: 200,
            body: Some(body),
        }
    }

    pub(super) fn created(body: Value) -> Self {
        Self {
            status: 201,
            body: Some(body),
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            status: 204,
            body: None,
        }
    }
}

/// `PutFunctionConcurrency`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Concurrency {
    reserved_concurrent_executions: Option<i64>,
}

/// `TagResource`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

impl ControlPlane {
    /// Answers a request that came to `endpoint`, host and port as the client knows
    /// them.
    ///
    /// # Errors
    /// What Lambda would answer, or what this host cannot do.
    pub(crate) fn answer(
        self: &Arc<Self>,
        operation: &Operation,
        body: &[u8],
        endpoint: Option<&str>,
    ) -> Result<Answer, Refusal> {
        use Operation as O;
        match operation {
            O::CreateFunction => self.create_function(&parsed(body)?),
            O::ListFunctions {
                page,
                every_version,
            } => Ok(self.list_functions(page, *every_version)),
            O::GetFunction(function) => {
                self.settled();
                self.get_function(function, endpoint)
            }
            O::GetFunctionConfiguration(function) => {
                self.settled();
                self.configuration(function).map(Answer::ok)
            }
            O::UpdateFunctionCode(function) => self.update_code(function, &parsed(body)?),
            O::UpdateFunctionConfiguration(function) => {
                self.update_configuration(function, &parsed(body)?)
            }
            O::DeleteFunction(function) => self.delete_function(function),
            O::GetFunctionCodeSigningConfig(function) => {
                self.lock().catalog.function(&function.name, self.arns())?;
                Ok(Answer::ok(json!({"FunctionName": function.name})))
            }
            O::DeleteFunctionCodeSigningConfig(function) => {
                self.lock().catalog.function(&function.name, self.arns())?;
                Ok(Answer::empty())
            }
            O::PutFunctionCodeSigningConfig(_) => Err(Refusal::invalid(
                "Lambent checks no signatures of code: leave the code signing configuration out",
            )),
            O::ListCodeSigningConfigs => Ok(Answer::ok(json!({"CodeSigningConfigs": []}))),
            O::ListEventSourceMappings => Ok(Answer::ok(json!({"EventSourceMappings": []}))),
            O::GetSetting(setting, function) => {
                let held = self.lock();
                let answer = held.catalog.kept_setting(function, *setting, self.arns());
                answer.map(Answer::ok)
            }
            O::PutSetting(setting, function) => {
                let request = parsed(body)?;
                let answer = self.change(|catalog| {
                    catalog.keep_setting(function, *setting, &request, self.arns())?;
                    catalog.kept_setting(function, *setting, self.arns())
                });
                answer.map(Answer::ok)
            }
            O::AddPermission(function) => {
                let request = parsed(body)?;
                let statement = self.change(|catalog| {
                    catalog.add_permission(function, &request, self.arns(), &Moment::now())
                })?;
                Ok(Answer::created(json!({"Statement": statement.to_string()})))
            }
            O::GetPolicy(function) => {
                let held = self.lock();
                held.catalog.policy(function, self.arns()).map(Answer::ok)
            }
            O::RemovePermission {
                function,
                statement,
                revision,
            } => {
                let revision = revision.as_deref();
                self.change(|catalog| {
                    let moment = Moment::now();
                    catalog.remove_permission(function, statement, revision, self.arns(), &moment)
                })?;
                Ok(Answer::empty())
            }
            O::PublishVersion(function) => self.publish_version(function, &parsed(body)?),
            O::ListVersionsByFunction(function, page) => self.list_versions(function, page),
            O::CreateAlias(function) => {
                let request: CreateAlias = parsed(body)?;
                let _turn = self.turn();
                let name = self.change(|catalog| {
                    catalog.create_alias(&function.name, &request, self.arns(), &Moment::now())
                })?;
                self.follow(&function.name);
                self.alias(function, &name).map(Answer::created)
            }
            O::UpdateAlias(function, name) => {
                let request: UpdateAlias = parsed(body)?;
                let _turn = self.turn();
                self.change(|catalog| {
                    let moment = Moment::now();
                    catalog.update_alias(&function.name, name, &request, self.arns(), &moment)
                })?;
                self.follow(&function.name);
                self.alias(function, name).map(Answer::ok)
            }
            O::DeleteAlias(function, name) => {
                let _turn = self.turn();
                self.change(|catalog| catalog.delete_alias(&function.name, name, self.arns()))?;
                self.follow(&function.name);
                Ok(Answer::empty())
            }
            O::GetAlias(function, name) => self.alias(function, name).map(Answer::ok),
            O::ListAliases {
                function,
                version,
                page,
            } => self.list_aliases(function, version.as_deref(), page),
            O::GetFunctionConcurrency(function) => {
                let held = self.lock();
                let record = held.catalog.function(&function.name, self.arns())?;
                Ok(Answer::ok(match record.reserved {
                    Some(reserved) => json!({"ReservedConcurrentExecutions": reserved}),
                    None => json!({}),
                }))
            }
            O::PutFunctionConcurrency(function) => {
                let request: Concurrency = parsed(body)?;
                let wanted = request
                    .reserved_concurrent_executions
                    .ok_or_else(|| required("reservedConcurrentExecutions"))?;
                let _turn = self.turn();
                self.change(|catalog| catalog.reserve(function, Some(wanted), self.arns()))?;
                self.follow(&function.name);
                Ok(Answer::ok(json!({"ReservedConcurrentExecutions": wanted})))
            }
            O::DeleteFunctionConcurrency(function) => {
                let _turn = self.turn();
                self.change(|catalog| catalog.reserve(function, None, self.arns()))?;
                self.follow(&function.name);
                Ok(Answer::empty())
            }
            O::PutProvisionedConcurrencyConfig(_)
            | O::GetProvisionedConcurrencyConfig(_)
            | O::DeleteProvisionedConcurrencyConfig(_)
            | O::ListProvisionedConcurrencyConfigs(..) => self.provisioned(operation, body),
            O::PutFunctionEventInvokeConfig(_)
            | O::UpdateFunctionEventInvokeConfig(_)
            | O::GetFunctionEventInvokeConfig(_)
            | O::DeleteFunctionEventInvokeConfig(_)
            | O::ListFunctionEventInvokeConfigs(..) => self.event_invoke(operation, body),
            O::CreateFunctionUrlConfig(_)
            | O::GetFunctionUrlConfig(_)
            | O::UpdateFunctionUrlConfig(_)
            | O::DeleteFunctionUrlConfig(_)
            | O::ListFunctionUrlConfigs(..) => self.url(operation, body, endpoint),
            O::ListTags(function) => {
                unqualified(function)?;
                let held = self.lock();
                let record = held.catalog.function(&function.name, self.arns())?;
                Ok(Answer::ok(json!({"Tags": record.tags})))
            }
            O::TagResource(function) => {
                unqualified(function)?;
                let request: Tags = parsed(body)?;
                self.change(|catalog| catalog.tag(&function.name, request.tags, self.arns()))?;
                Ok(Answer::empty())
            }
            O::UntagResource(function, keys) => {
                unqualified(function)?;
                self.change(|catalog| catalog.untag(&function.name, keys, self.arns()))?;
                Ok(Answer::empty())
            }
            O::GetAccountSettings => Ok(Answer::ok(self.lock().catalog.account_settings())),
            O::ListLayers(page) => self.list_layers(page),
            O::ListLayerVersions(name, page) => self.list_layer_versions(name, page),
            O::PublishLayerVersion(name) => self.publish_layer(name, &parsed(body)?),
            O::GetLayerVersion(name, version) => {
                let version = layer_version(version)?;
                self.layer(name, version, endpoint)
            }
            O::GetLayerVersionByArn(arn) => {
                let parsed = LayerVersionArn::parse(arn)?;
                self.layer(&parsed.name, parsed.version, endpoint)
            }
            O::DeleteLayerVersion(name, version) => {
                self.layers.remove(name, layer_version(version)?)?;
                Ok(Answer::empty())
            }
        }
    }
}

/// A page of a list, with the marker of the next one.
pub(super) fn listed(member: &str, (items, next): (Vec<Value>, Option<String>)) -> Answer {
    let mut body = json!({member: items});
    if let Some(next) = next {
        body["NextMarker"] = json!(next);
    }
    Answer::ok(body)
}

/// The number in a path.
fn layer_version(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| {
        let rule = "Member must be a number greater than or equal to 1";
        Refusal::constraint(text, "versionNumber", rule)
    })
}

/// The members of a request; an empty body has none.
pub(super) fn parsed<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| Refusal::body(&error.to_string()))
}

/// The bytes of a `ZipFile`.
pub(super) fn archive(base64: &str) -> Result<Vec<u8>, Refusal> {
    let bytes = BASE64_STANDARD
        .decode(base64)
        .map_err(|error| Refusal::body(&format!("ZipFile is not base64: {error}")))?;
    if bytes.len() > ZIPPED_LIMIT {
        return Err(Refusal::zipped());
    }
    Ok(bytes)
}

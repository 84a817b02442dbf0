//! What a function has beside its versions: reserved concurrency, tags, URL
//! configurations.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Moment;
use super::account::UNRESERVED_MIN;
use super::provisioned::provisioned_beyond_reserved;
use super::record::{Catalog, UrlRecord};
use super::refusal::Refusal;
use super::settings::required;
use super::shape::Arns;
use crate::model::{ACCOUNT_CONCURRENCY, FunctionName, FunctionReference};

/// `CreateFunctionUrlConfig` and `UpdateFunctionUrlConfig`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UrlRequest {
    auth_type: Option<String>,
    invoke_mode: Option<String>,
    cors: Option<Value>,
}

impl Catalog {
    /// Executions that no function has reserved or provisioned.
    pub(crate) fn unreserved(&self) -> usize {
        let functions = self.functions.values();
        let taken = functions.map(|record| {
            // What is provisioned is part of what is reserved.
            record
                .reserved
                .unwrap_or_else(|| record.provisioned_in_all())
        });
        usize::from(ACCOUNT_CONCURRENCY).saturating_sub(taken.sum())
    }

    /// Sets or (with `None`) takes away a function's reserved concurrency.
    ///
    /// # Errors
    /// There is no such function, it is qualified, or too little would be left.
    pub(crate) fn reserve(
        &mut self,
        reference: &FunctionReference,
        concurrency: Option<i64>,
        arns: &Arns,
    ) -> Result<(), Refusal> {
        unqualified(reference)?;
        let record = self.function(&reference.name, arns)?;
        let own = record
            .reserved
            .unwrap_or_else(|| record.provisioned_in_all());
        let left = self.unreserved() + own;
        let concurrency = concurrency
            .map(|value| {
                usize::try_from(value).map_err(|_| {
                    Refusal::constraint(
                        &value.to_string(),
                        "reservedConcurrentExecutions",
                        "Member must have value greater than or equal to 0",
                    )
                })
            })
            .transpose()?;
        if concurrency.is_some_and(|wanted| wanted + UNRESERVED_MIN > left) {
            return Err(Refusal::invalid(format!(
                "Specified ReservedConcurrentExecutions for function decreases account's \
                 UnreservedConcurrentExecution below its minimum value of [{UNRESERVED_MIN}]."
            )));
        }
        let record = self.function_mut(&reference.name, arns)?;
        if concurrency.is_some_and(|wanted| wanted < record.provisioned_in_all()) {
            return Err(provisioned_beyond_reserved());
        }
        record.reserved = concurrency;
        Ok(())
    }

    /// Adds tags.
    ///
    /// # Errors
    /// There is no such function.
    pub(crate) fn tag(
        &mut self,
        name: &FunctionName,
        tags: BTreeMap<String, String>,
        arns: &Arns,
    ) -> Result<(), Refusal> {
        self.function_mut(name, arns)?.tags.extend(tags);
        Ok(())
    }

    /// Takes tags away.
    ///
    /// # Errors
    /// There is no such function.
    pub(crate) fn untag(
        &mut self,
        name: &FunctionName,
        keys: &[String],
        arns: &Arns,
    ) -> Result<(), Refusal> {
        let record = self.function_mut(name, arns)?;
        record.tags.retain(|key, _| !keys.contains(key));
        Ok(())
    }

    /// Gives a function or an alias a URL configuration.
    ///
    /// # Errors
    /// It has one, the function or alias is not there, or a value is refused.
    pub(crate) fn create_url(
        &mut self,
        reference: &FunctionReference,
        request: &UrlRequest,
        id: &str,
        arns: &Arns,
        moment: &Moment,
    ) -> Result<(), Refusal> {
        let key = self.url_key(reference, arns)?;
        let record = self.function_mut(&reference.name, arns)?;
        if record.urls.contains_key(&key) {
            return Err(Refusal::conflict(format!(
                "Failed to create function url config for [functionArn = {}]. Error message:  \
                 FunctionUrlConfig exists for this Lambda function",
                arns.reference(reference)
            )));
        }
        if request.auth_type.is_none() {
            return Err(required("authType"));
        }
        let mut url = UrlRecord {
            id: id.to_owned(),
            auth_type: String::new(),
            invoke_mode: "BUFFERED".to_owned(),
            cors: None,
            created: moment.at.clone(),
            modified: moment.at.clone(),
        };
        request.apply(&mut url)?;
        record.urls.insert(key, url);
        Ok(())
    }

    /// Changes a URL configuration.
    ///
    /// # Errors
    /// There is none, or a value is refused.
    pub(crate) fn update_url(
        &mut self,
        reference: &FunctionReference,
        request: &UrlRequest,
        arns: &Arns,
        moment: &Moment,
    ) -> Result<(), Refusal> {
        let mut url = self.url(reference, arns)?.clone();
        request.apply(&mut url)?;
        url.modified.clone_from(&moment.at);
        let key = reference.qualifier.clone().unwrap_or_default();
        self.function_mut(&reference.name, arns)?
            .urls
            .insert(key, url);
        Ok(())
    }

    /// Removes a URL configuration.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn delete_url(
        &mut self,
        reference: &FunctionReference,
        arns: &Arns,
    ) -> Result<(), Refusal> {
        self.url(reference, arns)?;
        let key = reference.qualifier.clone().unwrap_or_default();
        self.function_mut(&reference.name, arns)?.urls.remove(&key);
        Ok(())
    }

    /// The URL configuration of a function or alias.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn url(
        &self,
        reference: &FunctionReference,
        arns: &Arns,
    ) -> Result<&UrlRecord, Refusal> {
        let record = self.function(&reference.name, arns)?;
        let key = reference.qualifier.as_deref().unwrap_or_default();
        record
            .urls
            .get(key)
            .ok_or_else(|| Refusal::not_found("The resource you requested does not exist."))
    }

    /// URLs are of functions and aliases, never of versions.
    fn url_key(&self, reference: &FunctionReference, arns: &Arns) -> Result<String, Refusal> {
        let Some(qualifier) = reference.qualifier.as_deref() else {
            return Ok(String::new());
        };
        let number = qualifier.bytes().all(|byte| byte.is_ascii_digit());
        if number || qualifier == "$LATEST" {
            return Err(Refusal::constraint(
                qualifier,
                "qualifier",
                "Member must satisfy regular expression pattern: ((?!^\\d+$)^[0-9a-zA-Z-_]+$)",
            ));
        }
        self.function(&reference.name, arns)?;
        self.resolve(reference, arns)?;
        Ok(qualifier.to_owned())
    }
}

impl UrlRequest {
    fn apply(&self, url: &mut UrlRecord) -> Result<(), Refusal> {
        let choice = |value: &str, member: &str, values: [&str; 2]| {
            if values.contains(&value) {
                return Ok(value.to_owned());
            }
            let rule = format!(
                "Member must satisfy enum value set: [{}]",
                values.join(", ")
            );
            Err(Refusal::constraint(value, member, &rule))
        };
        if let Some(value) = &self.auth_type {
            url.auth_type = choice(value, "authType", ["NONE", "AWS_IAM"])?;
        }
        if let Some(value) = &self.invoke_mode {
            url.invoke_mode = choice(value, "invokeMode", ["BUFFERED", "RESPONSE_STREAM"])?;
        }
        if let Some(cors) = &self.cors {
            url.cors = Some(cors.clone());
        }
        Ok(())
    }
}

/// For operations on functions only.
///
/// # Errors
/// The reference has a qualifier.
pub(crate) fn unqualified(reference: &FunctionReference) -> Result<(), Refusal> {
    match reference.qualifier {
        None => Ok(()),
        Some(_) => Err(Refusal::invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not \
             support this operation. Please specify either a function name or an unqualified \
             function ARN.",
        )),
    }
}

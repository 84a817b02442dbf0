//! `PutFunctionEventInvokeConfig` and its siblings: what is to happen to a function's
//! asynchronous events.

use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Moment;
use super::record::{Catalog, EventInvokeRecord};
use super::refusal::Refusal;
use super::shape::Arns;
use crate::model::{Destination, EventInvokeConfig, FunctionName, FunctionReference, Version};

/// `PutFunctionEventInvokeConfig` and `UpdateFunctionEventInvokeConfig`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EventInvokeRequest {
    maximum_retry_attempts: Option<i64>,
    maximum_event_age_in_seconds: Option<i64>,
    destination_config: Option<DestinationConfig>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DestinationConfig {
    on_success: Option<Target>,
    on_failure: Option<Target>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    destination: Option<String>,
}

impl Catalog {
    /// Replaces what is configured for a function or, with `update`, changes what the
    /// request names.
    ///
    /// # Errors
    /// There is no such function, nothing to update, or a value is refused.
    pub(crate) fn set_event_invoke(
        &mut self,
        reference: &FunctionReference,
        request: &EventInvokeRequest,
        update: bool,
        arns: &Arns,
        moment: &Moment,
    ) -> Result<(), Refusal> {
        let before = if update {
            self.event_invoke(reference, arns)?.config.clone()
        } else {
            self.check_there(reference, arns)?;
            if request.is_empty() {
                return Err(Refusal::invalid(
                    "You must specify at least one of error handling or destination setting.",
                ));
            }
            EventInvokeConfig::default()
        };
        let config = request.apply(before)?;
        config
            .check(&reference.name)
            .map_err(|error| Refusal::invalid(error.to_string()))?;
        for destination in [&config.on_success, &config.on_failure] {
            if let Some(Destination::Function(name)) = destination
                && !self.functions.contains_key(name)
            {
                let arn = arns.function(name);
                return Err(Refusal::invalid(format!(
                    "The destination ARN {arn} is invalid."
                )));
            }
        }
        let record = EventInvokeRecord {
            config,
            modified: moment.at.clone(),
        };
        let function = self.function_mut(&reference.name, arns)?;
        function.event_invoke.insert(key(reference), record);
        Ok(())
    }

    /// Goes back to Lambda's defaults.
    ///
    /// # Errors
    /// Nothing is configured, or there is no such function.
    pub(crate) fn delete_event_invoke(
        &mut self,
        reference: &FunctionReference,
        arns: &Arns,
    ) -> Result<(), Refusal> {
        self.event_invoke(reference, arns)?;
        let function = self.function_mut(&reference.name, arns)?;
        function.event_invoke.remove(&key(reference));
        Ok(())
    }

    /// What is configured for a function.
    ///
    /// # Errors
    /// Nothing is, or there is no such function.
    pub(crate) fn event_invoke(
        &self,
        reference: &FunctionReference,
        arns: &Arns,
    ) -> Result<&EventInvokeRecord, Refusal> {
        self.check_there(reference, arns)?;
        let function = self.function(&reference.name, arns)?;
        let key = key(reference);
        function.event_invoke.get(&key).ok_or_else(|| {
            let arn = arns.qualified(&reference.name, &key);
            Refusal::not_found(format!(
                "The function {arn} doesn't have an EventInvokeConfig"
            ))
        })
    }

    fn check_there(&self, reference: &FunctionReference, arns: &Arns) -> Result<(), Refusal> {
        self.resolve(reference, arns)
            .map(drop)
            .map_err(|_| Refusal::not_found("The function doesn't exist."))
    }
}

fn key(reference: &FunctionReference) -> String {
    let latest = || Version::Latest.to_string();
    reference.qualifier.clone().unwrap_or_else(latest)
}

impl EventInvokeRequest {
    fn is_empty(&self) -> bool {
        self.maximum_retry_attempts.is_none()
            && self.maximum_event_age_in_seconds.is_none()
            && self.destination_config.is_none()
    }

    /// `config`, with what the request names.
    fn apply(&self, mut config: EventInvokeConfig) -> Result<EventInvokeConfig, Refusal> {
        if let Some(attempts) = self.maximum_retry_attempts {
            config.maximum_retry_attempts = setting(attempts, "maximumRetryAttempts", (0, 2))?;
        }
        if let Some(age) = self.maximum_event_age_in_seconds {
            config.maximum_event_age = setting(age, "maximumEventAgeInSeconds", (60, 21_600))?;
        }
        if let Some(destinations) = &self.destination_config {
            if let Some(target) = &destinations.on_success {
                config.on_success = target.destination()?;
            }
            if let Some(target) = &destinations.on_failure {
                config.on_failure = target.destination()?;
            }
        }
        Ok(config)
    }
}

fn setting<T: TryFrom<u32>>(value: i64, member: &str, bounds: (i64, i64)) -> Result<T, Refusal> {
    let number = super::settings::ranged(value, member, bounds)?;
    T::try_from(number).map_err(|_| {
        let rule = "Member must have a value that Lambda accepts";
        Refusal::constraint(&value.to_string(), member, rule)
    })
}

impl Target {
    /// None for an empty text, which takes a destination away.
    fn destination(&self) -> Result<Option<Destination>, Refusal> {
        let Some(text) = self.destination.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        if text.starts_with("arn:")
            && let Ok(reference) = FunctionReference::parse(text, None)
            && matches!(reference.qualifier.as_deref(), None | Some("$LATEST"))
        {
            return Ok(Some(Destination::Function(reference.name)));
        }
        // A file is written as root: only who started the service may name one.
        Err(Refusal::invalid(format!(
            "The destination {text} is not supported: Lambent delivers to the ARN of a function, \
             and to a file that `lambent serve --on-failure file:PATH` names."
        )))
    }
}

impl EventInvokeRecord {
    /// `FunctionEventInvokeConfig`.
    pub(crate) fn shape(&self, arns: &Arns, name: &FunctionName, qualifier: &str) -> Value {
        let destination = |destination: &Option<Destination>| match destination {
            None => json!({}),
            Some(Destination::Function(name)) => json!({"Destination": arns.function(name)}),
            Some(file) => json!({"Destination": file.to_string()}),
        };
        let config = &self.config;
        json!({
            "LastModified": self.modified_seconds(),
            "FunctionArn": arns.qualified(name, qualifier),
            "MaximumRetryAttempts": config.maximum_retry_attempts.get(),
            "MaximumEventAgeInSeconds": config.maximum_event_age.duration().as_secs(),
            "DestinationConfig": {
                "OnSuccess": destination(&config.on_success),
                "OnFailure": destination(&config.on_failure),
            },
        })
    }

    /// Since the epoch: Lambda has another form for times here.
    fn modified_seconds(&self) -> i64 {
        let time = DateTime::parse_from_str(&self.modified, "%Y-%m-%dT%H:%M:%S%.3f%z");
        time.map_or(0, |time| time.timestamp())
    }
}

//! `PutFunctionEventInvokeConfig` and its siblings, of 2019-09-25: what is to
//! happen to a function's asynchronous events.

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::exception::Exception;
use super::{Context, ResponseBody, full};
use crate::asynchronous::{ConfiguredEvents, Destination, EventInvokeConfig};
use crate::model::{FunctionName, FunctionReference};

/// More than such a request can have to say, in bytes.
const REQUEST_LIMIT: usize = 64 * 1024;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Replaces the configuration.
    Put,
    /// Changes what is named.
    Update,
    Get,
    Delete,
    /// Those of all the function's qualifiers.
    List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    maximum_retry_attempts: Option<i64>,
    maximum_event_age_in_seconds: Option<i64>,
    destination_config: Option<DestinationConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DestinationConfig {
    on_success: Option<Target>,
    on_failure: Option<Target>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    destination: Option<String>,
}

/// Answers a request.
pub(super) async fn answer(
    context: &Context,
    action: Action,
    reference: &FunctionReference,
    body: Incoming,
) -> Result<Response<ResponseBody>, Exception> {
    if context.functions.find(reference).is_none() {
        return Err(Exception::not_found("The function doesn't exist."));
    }
    let events = &context.events;
    let missing = || {
        let arn = arn(context, &reference.name, reference.qualifier.as_deref());
        Exception::not_found(&format!(
            "The function {arn} doesn't have an EventInvokeConfig"
        ))
    };
    match action {
        Action::Put | Action::Update => {
            let before = match action {
                Action::Put => EventInvokeConfig::default(),
                _ => events.config(reference),
            };
            let config = parse(&read(body).await?)?.apply(before)?;
            let configured = events
                .configure(reference, config)
                .map_err(|error| Exception::invalid_parameter(&error.to_string()))?;
            Ok(respond(&as_json(context, &configured)))
        }
        Action::Get => {
            let configured = events.configured(reference).ok_or_else(missing)?;
            Ok(respond(&as_json(context, &configured)))
        }
        Action::Delete => {
            if !events.forget(reference) {
                return Err(missing());
            }
            let mut response = Response::new(full(Bytes::new()));
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        Action::List => {
            let all = events.configured_for(&reference.name);
            let all: Vec<_> = all.iter().map(|one| as_json(context, one)).collect();
            Ok(respond(&json!({"FunctionEventInvokeConfigs": all})))
        }
    }
}

async fn read(body: Incoming) -> Result<Bytes, Exception> {
    let body = Limited::new(body, REQUEST_LIMIT).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| Exception::invalid_json(&error.to_string()))
}

fn parse(body: &[u8]) -> Result<Request, Exception> {
    serde_json::from_slice(body).map_err(|error| Exception::invalid_json(&error.to_string()))
}

impl Request {
    /// `config`, with what the request names.
    fn apply(self, mut config: EventInvokeConfig) -> Result<EventInvokeConfig, Exception> {
        if let Some(attempts) = self.maximum_retry_attempts {
            in_range("maximumRetryAttempts", attempts, 0, 2)?;
            config.maximum_retry_attempts = setting(attempts)?;
        }
        if let Some(age) = self.maximum_event_age_in_seconds {
            in_range("maximumEventAgeInSeconds", age, 60, 21_600)?;
            config.maximum_event_age = setting(age)?;
        }
        if let Some(destinations) = self.destination_config {
            if let Some(target) = destinations.on_success {
                config.on_success = target.destination()?;
            }
            if let Some(target) = destinations.on_failure {
                config.on_failure = target.destination()?;
            }
        }
        Ok(config)
    }
}

fn in_range(name: &str, value: i64, lowest: i64, highest: i64) -> Result<(), Exception> {
    let constraint = if value < lowest {
        format!("greater than or equal to {lowest}")
    } else if value > highest {
        format!("less than or equal to {highest}")
    } else {
        return Ok(());
    };
    Err(Exception::validation(&format!(
        "1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: \
         Member must have value {constraint}"
    )))
}

fn setting<T: std::str::FromStr<Err = crate::asynchronous::InvalidSetting>>(
    value: i64,
) -> Result<T, Exception> {
    let parsed = value.to_string().parse();
    parsed.map_err(|error: T::Err| Exception::validation(&error.to_string()))
}

impl Target {
    /// None for an empty text, which takes a destination away.
    fn destination(self) -> Result<Option<Destination>, Exception> {
        let Some(text) = self.destination.filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        if text.starts_with("arn:")
            && let Ok(reference) = FunctionReference::parse(&text, None)
            && matches!(reference.qualifier.as_deref(), None | Some("$LATEST"))
        {
            return Ok(Some(Destination::Function(reference.name)));
        }
        // A file is written as root: only who started the service may name one.
        Err(Exception::invalid_parameter(&format!(
            "The destination {text} is not supported: Lambent delivers to the ARN of a function, \
             and to a file that `lambent serve --on-failure file:PATH` names."
        )))
    }
}

fn arn(context: &Context, name: &FunctionName, qualifier: Option<&str>) -> String {
    let arn = context.pools.service().function_arn(name);
    format!("{arn}:{}", qualifier.unwrap_or("$LATEST"))
}

fn as_json(context: &Context, configured: &ConfiguredEvents) -> Value {
    let destination = |destination: &Option<Destination>| match destination {
        None => json!({}),
        Some(Destination::Function(name)) => {
            json!({"Destination": context.pools.service().function_arn(name)})
        }
        Some(file) => json!({"Destination": file.to_string()}),
    };
    let config = &configured.config;
    json!({
        "LastModified": configured.modified.timestamp_millis().max(0) / 1_000,
        "FunctionArn": arn(context, &configured.name, Some(&configured.qualifier)),
        "MaximumRetryAttempts": config.maximum_retry_attempts.get(),
        "MaximumEventAgeInSeconds": config.maximum_event_age.duration().as_secs(),
        "DestinationConfig": {
            "OnSuccess": destination(&config.on_success),
            "OnFailure": destination(&config.on_failure),
        },
    })
}

fn respond(body: &Value) -> Response<ResponseBody> {
    let mut response = Response::new(full(body.to_string().into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(request: &Value, before: EventInvokeConfig) -> Result<EventInvokeConfig, String> {
        let request = parse(request.to_string().as_bytes()).map_err(|error| error.name)?;
        let applied = request.apply(before);
        applied.map_err(|error| format!("{}: {}", error.name, error.body))
    }

    #[test]
    fn requests_change_what_they_name() {
        let arn = "arn:aws:lambda:us-east-1:123456789012:function:g";
        let first = applied(
            &json!({
                "MaximumRetryAttempts": 0,
                "DestinationConfig": {"OnFailure": {"Destination": arn}},
            }),
            EventInvokeConfig::default(),
        )
        .unwrap();
        assert_eq!(first.maximum_retry_attempts.get(), 0);
        let function = Destination::Function("g".parse().unwrap());
        assert_eq!(first.on_failure, Some(function));
        let second = applied(&json!({"MaximumEventAgeInSeconds": 60}), first.clone()).unwrap();
        assert_eq!(second.maximum_event_age.duration().as_secs(), 60);
        assert_eq!(second.on_failure, first.on_failure);
        let none = json!({"DestinationConfig": {"OnFailure": {"Destination": ""}}});
        assert_eq!(applied(&none, second).unwrap().on_failure, None);
    }

    #[test]
    fn requests_outside_of_lambdas_limits_are_refused() {
        for (request, expected) in [
            (
                json!({"MaximumRetryAttempts": 3}),
                "less than or equal to 2",
            ),
            (
                json!({"MaximumEventAgeInSeconds": 59}),
                "greater than or equal to 60",
            ),
            (json!([]), "InvalidRequestContentException"),
            (
                json!({"DestinationConfig": {"OnFailure": {"Destination": "file:/etc/passwd"}}}),
                "InvalidParameterValueException",
            ),
            (
                json!({"DestinationConfig": {"OnFailure": {
                    "Destination": "arn:aws:sqs:us-east-1:123456789012:queue"
                }}}),
                "InvalidParameterValueException",
            ),
        ] {
            let error = applied(&request, EventInvokeConfig::default()).unwrap_err();
            assert!(error.contains(expected), "{request}: {error}");
        }
    }
}

//! Which operation a request asks for. Pure.

use std::borrow::Cow;

use hyper::Method;

use super::exception::Exception;
use crate::control_plane::{self, ARCHIVES};
use crate::model::FunctionReference;

/// An operation, with what its path and query say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// `POST /2015-03-31/functions/NAME/invocations?Qualifier=`
    Invoke(FunctionReference),
    /// `POST /2021-11-15/functions/NAME/response-streaming-invocations?Qualifier=`
    InvokeWithResponseStream(FunctionReference),
    /// An operation of the control plane.
    Control(control_plane::Operation),
    /// `GET /archives/NAME`: what `Code.Location` leads to.
    Archive(String),
    /// `GET /health`
    Health,
    /// `GET /metrics`
    Metrics,
}

/// Parses method, path and query.
///
/// # Errors
/// There is no such operation, or the function's name is none.
pub(super) fn operation(
    method: &Method,
    path: &str,
    query: Option<&str>,
) -> Result<Operation, Exception> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (method, segments.as_slice()) {
        (&Method::POST, ["2015-03-31", "functions", name, "invocations"]) => {
            let qualifier = parameter(query, "Qualifier");
            Ok(Operation::Invoke(reference(name, qualifier.as_deref())?))
        }
        (
            &Method::POST,
            [
                "2021-11-15",
                "functions",
                name,
                "response-streaming-invocations",
            ],
        ) => {
            let qualifier = parameter(query, "Qualifier");
            let reference = reference(name, qualifier.as_deref())?;
            Ok(Operation::InvokeWithResponseStream(reference))
        }
        (&Method::GET, [ARCHIVES, name]) => Ok(Operation::Archive((*name).to_owned())),
        (&Method::GET, ["health"]) => Ok(Operation::Health),
        (&Method::GET, ["metrics"]) => Ok(Operation::Metrics),
        _ => control_plane::parse(method.as_str(), path, query)?
            .map(Operation::Control)
            .ok_or_else(Exception::unknown_operation),
    }
}

fn reference(name: &str, qualifier: Option<&str>) -> Result<FunctionReference, Exception> {
    let name = decoded(name);
    FunctionReference::parse(&name, qualifier).map_err(|error| match error {
        crate::model::FunctionReferenceError::Qualifiers => {
            Exception::invalid_parameter(&error.to_string())
        }
        _ => Exception::validation(&error.to_string()),
    })
}

/// The value of a query parameter, decoded.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    query?
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then(|| decoded(value)))
        .filter(|value| !value.is_empty())
}

/// Percent-decoded text; what is no UTF-8 then is no name either.
fn decoded(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(method: &Method, target: &str) -> Result<Operation, String> {
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        operation(method, path, query).map_err(|exception| exception.name.to_owned())
    }

    #[test]
    fn invocations() {
        for (target, name, qualifier) in [
            ("/2015-03-31/functions/f/invocations", "f", None),
            (
                "/2015-03-31/functions/f/invocations?Qualifier=live",
                "f",
                Some("live"),
            ),
            (
                "/2015-03-31/functions/f/invocations?Qualifier=%24LATEST",
                "f",
                Some("$LATEST"),
            ),
            ("/2015-03-31/functions/f%3A7/invocations", "f", Some("7")),
            (
                "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af/invocations",
                "f",
                None,
            ),
        ] {
            let expected = Operation::Invoke(FunctionReference {
                name: name.parse().unwrap(),
                qualifier: qualifier.map(str::to_owned),
            });
            assert_eq!(parsed(&Method::POST, target), Ok(expected), "{target}");
        }
    }

    #[test]
    fn what_is_no_operation() {
        for (method, target, name) in [
            (Method::GET, "/", "UnknownOperationException"),
            (
                Method::GET,
                "/2015-03-31/functions/f/invocations",
                "UnknownOperationException",
            ),
            (
                Method::POST,
                "/2015-03-31/functions/a%20b/invocations",
                "ValidationException",
            ),
            (
                Method::POST,
                "/2015-03-31/functions/%ff/invocations",
                "ValidationException",
            ),
            (
                Method::POST,
                "/2015-03-31/functions/f:1/invocations?Qualifier=2",
                "InvalidParameterValueException",
            ),
        ] {
            assert_eq!(parsed(&method, target), Err(name.to_owned()), "{target}");
        }
    }
}

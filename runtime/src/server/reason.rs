//! Why a function's answer could not be passed on: callers of a URL or a route learn
//! nothing of it, as on AWS, so it is said to whoever runs the service. Pure.

use std::fmt;

use hyper::StatusCode;
use serde_json::Value;

use super::payload::answer::WrongAnswer;
use crate::body::BodyError;
use crate::environment::InvocationAnswer;
use crate::model::{FunctionReference, MAX_EVENT_BYTES, RequestId};
use crate::pool::PoolError;

/// Characters of what a function has said that are shown: the rest is in its log.
const EXCERPT: usize = 300;

/// Why there is no answer of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason(String);

impl Reason {
    /// What an invocation has come to, if it is no answer.
    pub(super) fn of(answer: &InvocationAnswer) -> Option<Self> {
        answer.function_error()?;
        Some(Self::of_error(&answer.payload()))
    }

    /// From Lambda's JSON of an error.
    fn of_error(payload: &[u8]) -> Self {
        let error: Value = serde_json::from_slice(payload).unwrap_or_default();
        let member = |name: &str| error.get(name).and_then(Value::as_str);
        let text = match (member("errorType"), member("errorMessage")) {
            (Some(kind), Some(message)) => format!("{kind}: {message}"),
            (Some(text), None) | (None, Some(text)) => text.to_owned(),
            (None, None) => String::from_utf8_lossy(payload).into_owned(),
        };
        Self(format!("the function failed: {}", excerpt(&text)))
    }

    /// There is no function of that name, or none that can be invoked yet.
    pub(super) fn no_function() -> Self {
        Self("there is no such function, or it cannot be invoked".to_owned())
    }

    /// The function takes longer than is waited for.
    pub(super) fn timed_out(limit: std::time::Duration) -> Self {
        let limit = limit.as_secs();
        Self(format!(
            "the function takes longer than {limit} s, which is as long as API Gateway waits"
        ))
    }

    /// The request does not come to its end.
    pub(super) fn broken(error: &BodyError) -> Self {
        Self(format!("the request cannot be read: {error}"))
    }

    /// The request does not fit into an event.
    pub(super) fn too_large() -> Self {
        Self(format!(
            "the request makes an event of more than {MAX_EVENT_BYTES} bytes, which is Lambda's limit"
        ))
    }
}

impl From<&PoolError> for Reason {
    fn from(error: &PoolError) -> Self {
        Self(match error {
            PoolError::Throttled(reason) => {
                format!("too many invocations at once ({})", reason.reason())
            }
            other => excerpt(&other.to_string()),
        })
    }
}

impl From<WrongAnswer> for Reason {
    fn from(wrong: WrongAnswer) -> Self {
        Self(format!(
            "what the function returned is no response: {wrong}"
        ))
    }
}

/// A line about an answer that is an error: which status, where, and why.
#[derive(Debug)]
pub(super) struct Complaint<'a> {
    pub(super) status: StatusCode,
    /// `GET /pets/{id}`, or `URL`.
    pub(super) at: &'a str,
    pub(super) function: &'a FunctionReference,
    pub(super) reason: &'a Reason,
    /// Of the invocation, if there was one: its lines in the log have it.
    pub(super) request_id: Option<RequestId>,
}

impl fmt::Display for Complaint<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            function,
            reason,
            ..
        } = self;
        let status = self.status.as_u16();
        write!(formatter, "warning: {at} → {}", function.name)?;
        if let Some(qualifier) = &function.qualifier {
            write!(formatter, ":{qualifier}")?;
        }
        write!(formatter, " was answered with {status}: {}", reason.0)?;
        match self.request_id {
            Some(id) => write!(formatter, " (RequestId: {id})"),
            None => Ok(()),
        }
    }
}

/// The beginning of a text, on one line.
pub(super) fn excerpt(text: &str) -> String {
    let visible = |character: char| match character {
        '\n' | '\r' | '\t' => ' ',
        control if control.is_control() => '\u{fffd}',
        other => other,
    };
    let mut shown: String = text.chars().take(EXCERPT).map(visible).collect();
    if text.chars().nth(EXCERPT).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Throttle;

    #[test]
    fn errors_are_told_on_one_line() {
        for (payload, text) in [
            (
                r#"{"errorType": "KeyError", "errorMessage": "'name'", "stackTrace": ["x"]}"#,
                "the function failed: KeyError: 'name'",
            ),
            (
                r#"{"errorMessage": "a\nb\u001b[31m"}"#,
                "the function failed: a b\u{fffd}[31m",
            ),
            (r#"{"errorType": "E"}"#, "the function failed: E"),
            ("no JSON", "the function failed: no JSON"),
        ] {
            assert_eq!(Reason::of_error(payload.as_bytes()).0, text, "{payload}");
        }
        let long = Reason::of_error("ä".repeat(1_000).as_bytes()).0;
        let length = "the function failed: ".len() + EXCERPT + 1;
        assert_eq!(long.chars().count(), length);
        assert!(long.ends_with("ä…"), "{long}");
    }

    #[test]
    fn lines_name_the_route_the_function_and_the_invocation() {
        let throttled = PoolError::Throttled(Throttle::Account);
        let id = RequestId::random();
        for (function, reason, request_id, line) in [
            (
                "f:live",
                Reason::from(WrongAnswer::Base64),
                Some(id),
                format!(
                    "warning: GET /a → f:live was answered with 500: what the function returned is \
                     no response: its isBase64Encoded is true, and its body is not in base64 \
                     (RequestId: {id})"
                ),
            ),
            (
                "f",
                Reason::from(&throttled),
                None,
                "warning: GET /a → f was answered with 500: too many invocations at once \
                 (ConcurrentInvocationLimitExceeded)"
                    .to_owned(),
            ),
        ] {
            let complaint = Complaint {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                at: "GET /a",
                function: &FunctionReference::parse(function, None).unwrap(),
                reason: &reason,
                request_id,
            };
            assert_eq!(complaint.to_string(), line);
        }
    }
}

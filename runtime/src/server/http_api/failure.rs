//! What an API answers by itself. Pure.

use hyper::StatusCode;

use crate::server::payload::answer::Answer;

/// Why there is no answer of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No route takes the request.
    NoRoute,
    /// The function failed, or its answer is none.
    Function,
    /// The function is not there.
    NoFunction,
    /// Too many at once.
    Throttled,
    /// It took longer than an API waits.
    TimedOut,
    /// Larger than an event may be.
    TooLarge,
}

impl Failure {
    /// Whether there was an invocation, whose lines the log has.
    pub(super) fn is_of_invocation(self) -> bool {
        matches!(self, Self::Function | Self::TimedOut)
    }
}

/// API Gateway's answer; its two kinds of APIs have their own.
pub(super) fn answer_of(failure: Failure, is_rest: bool) -> Answer {
    let (status, body) = match (failure, is_rest) {
        (Failure::NoRoute, false) => (StatusCode::NOT_FOUND, r#"{"message":"Not Found"}"#),
        (Failure::NoRoute, true) => (
            StatusCode::FORBIDDEN,
            r#"{"message":"Missing Authentication Token"}"#,
        ),
        (Failure::Function | Failure::NoFunction, false) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            r#"{"message":"Internal Server Error"}"#,
        ),
        (Failure::Function | Failure::NoFunction, true) => (
            StatusCode::BAD_GATEWAY,
            r#"{"message": "Internal server error"}"#,
        ),
        (Failure::Throttled | Failure::TimedOut, false) => (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"message":"Service Unavailable"}"#,
        ),
        (Failure::Throttled, true) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            r#"{"message": "Internal server error"}"#,
        ),
        (Failure::TimedOut, true) => (
            StatusCode::GATEWAY_TIMEOUT,
            r#"{"message": "Endpoint request timed out"}"#,
        ),
        (Failure::TooLarge, _) => (
            StatusCode::PAYLOAD_TOO_LARGE,
            r#"{"message":"Request Entity Too Large"}"#,
        ),
    };
    Answer::plain(status, "application/json", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_a_message() {
        use Failure as F;
        for (failure, http, rest) in [
            (F::NoRoute, 404, 403),
            (F::Function, 500, 502),
            (F::NoFunction, 500, 502),
            (F::Throttled, 503, 500),
            (F::TimedOut, 503, 504),
            (F::TooLarge, 413, 413),
        ] {
            for (is_rest, status) in [(false, http), (true, rest)] {
                let answer = answer_of(failure, is_rest);
                assert_eq!(answer.status.as_u16(), status, "{failure:?} {is_rest}");
                let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                assert!(body["message"].is_string(), "{body}");
            }
        }
    }
}

//! What the caller's mobile application says about itself: the client context
//! and the Cognito identity of an invocation.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Lambda's limit for the `ClientContext` of an Invoke request, in bytes of
/// base64.
const MAX_BASE64_BYTES: usize = 3_583;

/// A client context that Lambda would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientContextError {
    /// It is not JSON.
    #[error("the client context is not JSON: {0}")]
    Json(String),
    /// It is JSON, but no object.
    #[error("the client context is not a JSON object, which runtimes require")]
    NoObject,
    /// It is too long.
    #[error(
        "the client context has {0} bytes in base64, but Lambda accepts {MAX_BASE64_BYTES} at most"
    )]
    TooLong(usize),
}

/// A client context: a JSON object on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientContext(String);

impl ClientContext {
    /// Checks and compacts JSON text.
    ///
    /// # Errors
    /// Lambda, or the function's runtime, would refuse it.
    pub fn new(text: &str) -> Result<Self, ClientContextError> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| ClientContextError::Json(error.to_string()))?;
        if !value.is_object() {
            return Err(ClientContextError::NoObject);
        }
        // The caller's bytes are what it sends in base64.
        let base64 = text.len().div_ceil(3) * 4;
        if base64 > MAX_BASE64_BYTES {
            return Err(ClientContextError::TooLong(base64));
        }
        // On one line, because it becomes a header.
        Ok(Self(value.to_string()))
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for ClientContext {
    type Err = ClientContextError;

    fn from_str(text: &str) -> Result<Self, ClientContextError> {
        Self::new(text)
    }
}

/// The Amazon Cognito identity that an invocation was signed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CognitoIdentity {
    /// `cognitoIdentityId`.
    #[serde(rename = "cognitoIdentityId")]
    pub identity_id: String,
    /// `cognitoIdentityPoolId`.
    #[serde(rename = "cognitoIdentityPoolId")]
    pub identity_pool_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_objects_on_one_line() {
        let context = ClientContext::new("{\n \"custom\": {\"a\": 1}\n}").unwrap();
        assert_eq!(context.as_str(), r#"{"custom":{"a":1}}"#);
        assert_eq!(ClientContext::new("[]"), Err(ClientContextError::NoObject));
        assert!(matches!(
            ClientContext::new("{"),
            Err(ClientContextError::Json(_))
        ));
    }

    #[test]
    fn the_limit_is_that_of_the_base64() {
        // 2,685 bytes are 3,580 in base64, one more are 3,584.
        let of_length = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length - 8));
        assert!(ClientContext::new(&of_length(2_685)).is_ok());
        let error = ClientContext::new(&of_length(2_686)).unwrap_err();
        assert_eq!(error, ClientContextError::TooLong(3_584));
    }

    #[test]
    fn identities_have_lambdas_names() {
        let identity = CognitoIdentity {
            identity_id: "eu-west-1:1".to_owned(),
            identity_pool_id: "eu-west-1:2".to_owned(),
        };
        assert_eq!(
            serde_json::to_string(&identity).unwrap(),
            r#"{"cognitoIdentityId":"eu-west-1:1","cognitoIdentityPoolId":"eu-west-1:2"}"#
        );
    }
}

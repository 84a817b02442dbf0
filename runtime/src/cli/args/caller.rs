//! What an invocation says about its caller.

use clap::Args;

use crate::environment::Invocation;
use crate::model::{ClientContext, CognitoIdentity, TraceId};

/// The caller, as the AWS Mobile SDK describes it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Caller")]
pub(in super::super) struct CallerSettings {
    /// The client context: a JSON object, as the function's context has it
    #[arg(long, value_name = "JSON")]
    client_context: Option<ClientContext>,

    /// The Amazon Cognito identity that signed the request
    #[arg(long, value_name = "ID", requires = "cognito_identity_pool_id")]
    cognito_identity_id: Option<String>,

    /// The identity pool of that identity
    #[arg(long, value_name = "ID", requires = "cognito_identity_id")]
    cognito_identity_pool_id: Option<String>,

    /// The X-Ray trace that the invocation belongs to, as in X-Amzn-Trace-Id:
    /// Root=1-TIME-RANDOM[;Parent=SPAN][;Sampled=0|1] [default: a new one]
    #[arg(long, value_name = "HEADER")]
    trace_id: Option<TraceId>,
}

impl CallerSettings {
    /// Puts the caller into an invocation.
    pub(in super::super) fn describe(&self, invocation: Invocation) -> Invocation {
        let identity = self
            .cognito_identity_id
            .clone()
            .zip(self.cognito_identity_pool_id.clone())
            .map(|(identity_id, identity_pool_id)| CognitoIdentity {
                identity_id,
                identity_pool_id,
            });
        Invocation {
            client_context: self.client_context.clone(),
            cognito_identity: identity,
            trace_id: self.trace_id.clone().unwrap_or(invocation.trace_id),
            ..invocation
        }
    }
}

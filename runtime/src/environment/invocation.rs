//! One invocation: what goes in, what comes out.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::api::{ResponsePart, StreamError};
use crate::model::{ClientContext, CognitoIdentity, Failure, Report, RequestId, TraceId};

/// A request to invoke a function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Identifies it everywhere.
    pub request_id: RequestId,
    /// The version or alias by which the caller named the function, if any: it is
    /// in the ARN that the function is told.
    pub qualifier: Option<String>,
    /// The event.
    pub payload: Bytes,
    /// The X-Ray header.
    pub trace_id: TraceId,
    /// What the calling application says about itself.
    pub client_context: Option<ClientContext>,
    /// Who signed the request.
    pub cognito_identity: Option<CognitoIdentity>,
    /// Who wants the response part by part, should the runtime stream it.
    pub stream: Option<mpsc::Sender<ResponsePart>>,
}

impl Invocation {
    /// An invocation with `payload` and fresh identifiers.
    pub fn new(payload: Bytes) -> Self {
        Self {
            request_id: RequestId::random(),
            qualifier: None,
            payload,
            trace_id: TraceId::random(),
            client_context: None,
            cognito_identity: None,
            stream: None,
        }
    }
}

/// How an invocation was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The function returned this.
    Response(Bytes),
    /// The function's response has gone to [`Invocation::stream`]; it may have
    /// ended with an error.
    Streamed(Option<StreamError>),
    /// The function reported an error: its body, byte for byte.
    FunctionError(Bytes),
    /// Lambda's own error.
    Failure(Failure),
}

impl Outcome {
    /// Lambda's `X-Amz-Function-Error`.
    pub fn function_error(&self) -> Option<&'static str> {
        match self {
            Self::Response(_) | Self::Streamed(None) => None,
            Self::Streamed(Some(_)) | Self::FunctionError(_) | Self::Failure(_) => {
                Some("Unhandled")
            }
        }
    }

    fn payload(&self, request_id: RequestId) -> Bytes {
        match self {
            Self::Response(body) | Self::FunctionError(body) => body.clone(),
            Self::Streamed(None) => Bytes::new(),
            Self::Streamed(Some(error)) => error.body.clone(),
            Self::Failure(failure) => failure.body(request_id).into(),
        }
    }
}

/// What the caller of an invocation gets, as soon as it is known: the environment
/// may be busy for longer.
#[derive(Debug, Clone)]
pub struct InvocationAnswer {
    /// Of the invocation.
    pub request_id: RequestId,
    /// The answer.
    pub outcome: Outcome,
}

impl InvocationAnswer {
    /// The body that a caller of Lambda would get.
    pub fn payload(&self) -> Bytes {
        self.outcome.payload(self.request_id)
    }

    /// Lambda's `X-Amz-Function-Error`.
    pub fn function_error(&self) -> Option<&'static str> {
        self.outcome.function_error()
    }
}

impl From<InvocationResult> for InvocationAnswer {
    fn from(result: InvocationResult) -> Self {
        Self {
            request_id: result.request_id,
            outcome: result.outcome,
        }
    }
}

/// An invocation that an environment has taken on.
#[derive(Debug)]
pub(crate) struct RunningInvocation {
    pub(super) answer: oneshot::Receiver<InvocationAnswer>,
    pub(super) overhead: oneshot::Receiver<()>,
    pub(super) result: oneshot::Receiver<Result<InvocationResult, EnvironmentGone>>,
}

impl RunningInvocation {
    /// Waits for the answer; none if the environment was lost, which
    /// [`RunningInvocation::finished`] explains.
    pub(crate) async fn answered(&mut self) -> Option<InvocationAnswer> {
        (&mut self.answer).await.ok()
    }

    /// Waits until the runtime is done with it. Whether the environment stays busy
    /// with it because of its extensions.
    pub(crate) async fn runtime_done(&mut self) -> bool {
        (&mut self.overhead).await.is_ok()
    }

    /// Waits until the environment is done with it.
    ///
    /// # Errors
    /// The host could not run the function, or the environment was ended.
    pub(crate) async fn finished(self) -> Result<InvocationResult, EnvironmentGone> {
        self.result
            .await
            .unwrap_or_else(|_| Err(EnvironmentGone::ended()))
    }
}

/// A completed invocation.
#[derive(Debug, Clone)]
pub struct InvocationResult {
    /// Of the invocation.
    pub request_id: RequestId,
    /// The answer.
    pub outcome: Outcome,
    /// Whether the environment was initialised for it.
    pub cold_start: bool,
    /// What it cost.
    pub report: Report,
    /// The log of this invocation, initialisation included, as Lambda prints it.
    pub logs: Vec<u8>,
    /// Limits that this host does not enforce as Lambda does.
    pub warnings: Vec<String>,
}

impl InvocationResult {
    /// The body that a caller of Lambda would get.
    pub fn payload(&self) -> Bytes {
        self.outcome.payload(self.request_id)
    }

    /// Lambda's `X-Amz-Function-Error`.
    pub fn function_error(&self) -> Option<&'static str> {
        self.outcome.function_error()
    }
}

/// An environment ended without an answer that Lambda would give.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct EnvironmentGone {
    reason: String,
}

impl EnvironmentGone {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }

    pub(crate) fn ended() -> Self {
        Self::new("the execution environment was ended")
    }
}

//! What Lambda's words mean: functions, limits, phases, failures, reports.
//!
//! Nothing here does I/O. Numbers and strings come from Lambda's public
//! documentation and from recorded behaviour of the service.

mod client_context;
mod event;
mod event_invoke_config;
mod extension_error;
mod extension_state;
mod extensions;
mod failure;
mod function;
mod function_reference;
mod identifiers;
mod lifecycle;
mod limits;
mod logging;
mod phase;
mod report;
mod runtime_state;
mod trace;
mod variables;
mod version;

pub use client_context::{ClientContext, ClientContextError, CognitoIdentity};
pub use event::check_event;
pub use event_invoke_config::{
    Destination, EventInvokeConfig, InvalidSetting, MaximumEventAge, MaximumRetryAttempts,
};
pub use extension_error::{ExtensionError, MAX_EXTENSIONS};
pub use extension_state::{ExtensionCall, ExtensionState, ExtensionTransitionError};
pub use extensions::{
    ExtensionEvent, ExtensionIndex, ExtensionInfo, ExtensionLaunch, Extensions, LaunchFailure,
    ReportedFault, ShutdownWindow, parse_extension_identifier,
};
pub use failure::{ExitStatus, ExtensionFault, Failure};
pub use function::{
    ACCOUNT_ID, FunctionConfiguration, ImageConfig, Package, TASK_ROOT, brings_bootstrap,
    function_arn,
};
pub use function_reference::{
    FunctionReference, FunctionReferenceError, NAMESPACED_FUNCTION_NAME_PATTERN,
};
pub use identifiers::{FunctionName, InvalidFunctionName, RequestId};
pub use lifecycle::Lifecycle;
pub use limits::{ACCOUNT_CONCURRENCY, EphemeralStorage, LimitError, MemorySize, Timeout};
pub(crate) use limits::{CPU_PERIOD_US, MB_PER_VCPU};
pub use logging::{InvalidLogLevel, LogLevel, Logging, LoggingError};
pub use phase::{
    AfterStop, Answer, Deadline, Effect, Ending, Event, InitKind, Phase, ShutdownReason, StopStep,
};
pub use report::{Report, Status};
pub use runtime_state::{RuntimeCall, RuntimeState, StateTransitionError};
pub use trace::{InvalidTraceId, SpanId, TraceId};
pub use variables::{
    EnvironmentError, Identity, InitializationType, extension_environment, function_environment,
    is_reserved_variable, parse_assignment, validate_user_environment,
};
pub use version::{InvalidVersion, Version};

/// The user that functions run as, `sbx_user1051`.
pub const USER_ID: u32 = 993;
/// Its group, which has no name.
pub const GROUP_ID: u32 = 990;

/// Largest event of a synchronous invocation, in bytes (Lambda: 6 MB).
pub const MAX_EVENT_BYTES: usize = 6_291_456;

/// Largest event of an asynchronous invocation, in bytes (1 MB since October 2025).
pub const MAX_ASYNC_EVENT_BYTES: usize = 1024 * 1024;

/// Largest streamed response, in bytes (Lambda: 200 MB).
pub const MAX_STREAMED_BYTES: usize = 200 << 20;

/// Largest buffered response, in bytes: Lambda enforces 6 MiB and 100 bytes.
pub const MAX_RESPONSE_BYTES: usize = 6_291_556;

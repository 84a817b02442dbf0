//! Types of resources that are served, each in SAM's form and in plain
//! `CloudFormation`'s.

pub(super) const FUNCTION: &str = "AWS::Serverless::Function";
pub(super) const PLAIN_FUNCTION: &str = "AWS::Lambda::Function";
pub(super) const URL: &str = "AWS::Lambda::Url";
const LAYER: &str = "AWS::Serverless::LayerVersion";
const PLAIN_LAYER: &str = "AWS::Lambda::LayerVersion";

/// Whose properties a function has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FunctionKind {
    /// SAM's.
    Serverless,
    /// `CloudFormation`'s own.
    Plain,
}

impl FunctionKind {
    /// `None` for what is no function.
    pub(super) fn of(kind: &str) -> Option<Self> {
        match kind {
            FUNCTION => Some(Self::Serverless),
            PLAIN_FUNCTION => Some(Self::Plain),
            _ => None,
        }
    }
}

/// The property of a layer that says where its content is; `None` for what is no layer.
pub(super) fn layer_content(kind: &str) -> Option<&'static str> {
    match kind {
        LAYER => Some("ContentUri"),
        PLAIN_LAYER => Some("Content"),
        _ => None,
    }
}

/// Whether it is SAM that makes something of a resource, perhaps several resources.
pub(super) fn is_sams(kind: &str) -> bool {
    kind.starts_with("AWS::Serverless::")
}

/// Whether a resource is served, or nothing has to be made of it.
pub(super) fn is_served(kind: &str) -> bool {
    FunctionKind::of(kind).is_some()
        || layer_content(kind).is_some()
        || matches!(
            kind,
            URL | "AWS::Serverless::Api" | "AWS::Serverless::HttpApi"
        )
}

//! A template as a tree.

use crate::configuration::ConfigurationError;
use crate::yaml::{self, Tags};
pub(super) use crate::yaml::{Kind, Node, is_null};

/// Parses a template; `CloudFormation`'s short tags become what they stand for.
///
/// # Errors
/// It is no YAML, or not a document that a template can be.
pub(super) fn parse(text: &str) -> Result<Node, ConfigurationError> {
    yaml::parse(text, Tags::CloudFormation)
}

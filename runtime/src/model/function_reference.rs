//! The ways in which a caller may name a function.

use super::FunctionName;

/// Lambda's pattern for names in Invoke, as its error messages quote it.
pub const NAMESPACED_FUNCTION_NAME_PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";

/// A function as a caller names it: `name`, `name:qualifier`,
/// `123456789012:function:name`, or an ARN, each with or without a qualifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionReference {
    /// The bare name.
    pub name: FunctionName,
    /// A version, an alias, or `$LATEST`.
    pub qualifier: Option<String>,
}

/// A text that names no function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FunctionReferenceError {
    /// It does not match Lambda's pattern.
    #[error(
        "1 validation error detected: Value '{0}' at 'functionName' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: {NAMESPACED_FUNCTION_NAME_PATTERN}"
    )]
    Pattern(String),
    /// The name alone is longer than 64.
    #[error(
        "1 validation error detected: Value '{0}' at 'functionName' failed to satisfy constraint: \
         Member must have length less than or equal to 64"
    )]
    Length(String),
    /// The qualifier in the name and the one beside it differ.
    #[error("The derived qualifier from the function name does not match the specified qualifier.")]
    Qualifiers,
}

impl FunctionReference {
    /// Parses a name as it stands in a path, with the `Qualifier` beside it.
    ///
    /// # Errors
    /// It is outside of Lambda's grammar, or the two qualifiers disagree.
    pub fn parse(text: &str, qualifier: Option<&str>) -> Result<Self, FunctionReferenceError> {
        let pattern = || FunctionReferenceError::Pattern(text.to_owned());
        let (name, own) = split(text).ok_or_else(pattern)?;
        if name.len() > 64 {
            return Err(FunctionReferenceError::Length(text.to_owned()));
        }
        let name = name.parse().map_err(|_| pattern())?;
        if own.is_some_and(|own| !is_qualifier(own)) {
            return Err(pattern());
        }
        match (own, qualifier) {
            (Some(own), Some(beside)) if own != beside => Err(FunctionReferenceError::Qualifiers),
            (own, beside) => Ok(Self {
                name,
                qualifier: own.or(beside).map(str::to_owned),
            }),
        }
    }
}

/// The name and the qualifier in a text of one of the four forms.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    let parts: Vec<&str> = text.split(':').collect();
    let (name, qualifier) = match parts.as_slice() {
        [
            "arn",
            partition,
            "lambda",
            region,
            account,
            "function",
            rest @ ..,
        ] if partition.starts_with("aws") && is_region(region) && is_account(account) => {
            rest.split_first()?
        }
        [account, "function", rest @ ..] if is_account(account) => rest.split_first()?,
        ["function", rest @ ..] if !rest.is_empty() => rest.split_first()?,
        rest => rest.split_first()?,
    };
    match qualifier {
        [] => Some((name, None)),
        [qualifier] => Some((name, Some(qualifier))),
        _ => None,
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_region(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() > 4 && text.contains('-') && text.bytes().all(legal)
}

fn is_qualifier(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    matches!(text, "$LATEST" | "$LATEST.PUBLISHED")
        || (1..=128).contains(&text.len()) && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, qualifier: Option<&str>) -> Result<(String, Option<String>), String> {
        FunctionReference::parse(text, qualifier)
            .map(|reference| (reference.name.to_string(), reference.qualifier))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_spelling_means_the_same() {
        for text in [
            "my-function",
            "function:my-function",
            "123456789012:function:my-function",
            "arn:aws:lambda:eu-central-1:123456789012:function:my-function",
            "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:my-function",
        ] {
            assert_eq!(
                parsed(text, None),
                Ok(("my-function".into(), None)),
                "{text}"
            );
            for qualifier in ["$LATEST", "7", "live"] {
                let expected = Ok(("my-function".into(), Some(qualifier.into())));
                assert_eq!(
                    parsed(&format!("{text}:{qualifier}"), None),
                    expected,
                    "{text}"
                );
                assert_eq!(parsed(text, Some(qualifier)), expected, "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_function_is_refused_in_lambdas_words() {
        for text in [
            "",
            "a b",
            "ü",
            "a:b:c",
            "f:$LATES",
            "arn:aws:s3:::bucket",
            "a/b",
            "f:",
        ] {
            let error = parsed(text, None).unwrap_err();
            assert!(
                error.starts_with("1 validation error detected: Value '"),
                "{error}"
            );
        }
        let long = "a".repeat(65);
        let error = parsed(&long, None).unwrap_err();
        assert!(
            error.ends_with("Member must have length less than or equal to 64"),
            "{error}"
        );
        let error = parsed("f:1", Some("2")).unwrap_err();
        assert!(error.starts_with("The derived qualifier"), "{error}");
        assert!(parsed("f:1", Some("1")).is_ok());
    }
}

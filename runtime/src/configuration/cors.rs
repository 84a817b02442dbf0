//! [`Cors`]: who may call from other origins.

use serde_json::{Map, Value};

/// `Cors` of a function URL, `CorsConfiguration` of an HTTP API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cors {
    pub(crate) allow_origins: Vec<String>,
    pub(crate) allow_methods: Vec<String>,
    pub(crate) allow_headers: Vec<String>,
    pub(crate) expose_headers: Vec<String>,
    /// Seconds.
    pub(crate) max_age: Option<i64>,
    pub(crate) allow_credentials: bool,
}

impl Cors {
    /// From Lambda's and `CloudFormation`'s members.
    ///
    /// # Errors
    /// The member that is not what it has to be.
    pub(crate) fn from_members(members: &Map<String, Value>) -> Result<Self, String> {
        let mut cors = Self::default();
        for (member, value) in members {
            match member.as_str() {
                "AllowOrigins" => cors.allow_origins = texts(member, value)?,
                "AllowMethods" => cors.allow_methods = texts(member, value)?,
                "AllowHeaders" => cors.allow_headers = texts(member, value)?,
                "ExposeHeaders" => cors.expose_headers = texts(member, value)?,
                "MaxAge" => {
                    let seconds = match value {
                        Value::String(text) => text.parse().ok(),
                        other => other.as_i64(),
                    };
                    let seconds = seconds.filter(|seconds| (0..=86_400).contains(seconds));
                    let seconds =
                        seconds.ok_or("MaxAge is not a number of seconds from 0 to 86400")?;
                    cors.max_age = Some(seconds);
                }
                "AllowCredentials" => {
                    cors.allow_credentials = match value {
                        Value::Bool(value) => *value,
                        Value::String(text) if text == "true" => true,
                        Value::String(text) if text == "false" => false,
                        _ => return Err("AllowCredentials is neither true nor false".to_owned()),
                    };
                }
                other => {
                    return Err(format!(
                        "{other} is none of AllowOrigins, AllowMethods, AllowHeaders, \
                         ExposeHeaders, MaxAge and AllowCredentials"
                    ));
                }
            }
        }
        Ok(cors)
    }

    /// Any page may call, as `CorsConfiguration: true` means it.
    pub(crate) fn any() -> Self {
        let any = || vec!["*".to_owned()];
        Self {
            allow_origins: any(),
            allow_methods: any(),
            allow_headers: any(),
            ..Self::default()
        }
    }
}

fn texts(member: &str, value: &Value) -> Result<Vec<String>, String> {
    let texts = match value {
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        // Where there is one only, templates leave the list out.
        Value::String(text) => Some(vec![text.clone()]),
        _ => None,
    };
    texts.ok_or_else(|| format!("{member} is not a list of texts"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(value: &Value) -> Result<Cors, String> {
        Cors::from_members(value.as_object().unwrap())
    }

    #[test]
    fn members_are_parsed_or_named() {
        let cors = parsed(&json!({
            "AllowOrigins": ["https://a", "https://b"], "AllowMethods": "GET",
            "MaxAge": "60", "AllowCredentials": true,
        }))
        .unwrap();
        assert_eq!(cors.allow_origins, ["https://a", "https://b"]);
        assert_eq!(cors.allow_methods, ["GET"]);
        assert_eq!(cors.max_age, Some(60));
        assert!(cors.allow_credentials);
        for (bad, part) in [
            (json!({"AllowOrigin": ["*"]}), "AllowOrigin is none of"),
            (json!({"AllowHeaders": [1]}), "AllowHeaders"),
            (json!({"MaxAge": 86_401}), "MaxAge"),
            (json!({"MaxAge": -1}), "MaxAge"),
            (json!({"AllowCredentials": "yes"}), "AllowCredentials"),
        ] {
            let error = parsed(&bad).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }
}

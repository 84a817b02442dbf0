//! The environment variables of a function's processes.

use std::collections::BTreeMap;

use super::{FunctionConfiguration, Logging, Package, TASK_ROOT};

/// Lambda's limit on all variables together, measured on their JSON, in bytes.
const MAX_ENVIRONMENT_BYTES: usize = 4_096;

/// Names that a user cannot set. The credentials are not among them here: on
/// Lambda they come from the role, locally there is no role to take them from.
const RESERVED: &[&str] = &[
    "AWS_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

/// Whether Lambda sets this variable itself, so that nobody else can.
pub fn is_reserved_variable(name: &str) -> bool {
    RESERVED.contains(&name) || ["_HANDLER", "_X_AMZN_TRACE_ID"].contains(&name)
}

/// What Lambda takes from the function's role; placeholders unless the user gives
/// their own.
const CREDENTIALS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// What a zip function has unless something else is set, and an image function
/// only if its image has it.
const ZIP_DEFAULTS: &[(&str, &str)] = &[
    ("LANG", "en_US.UTF-8"),
    (
        "LD_LIBRARY_PATH",
        "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    ),
    (
        "PATH",
        "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    ),
    ("TZ", ":UTC"),
];

/// A variable that Lambda would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// No `=`.
    #[error("environment variable \"{}\" has no value: write NAME=VALUE", .0.escape_debug())]
    NoValue(String),
    /// A name outside of Lambda's grammar.
    #[error(
        "environment variable name \"{}\" is not a letter followed by letters, digits and \
         underscores (two characters or more)",
        .0.escape_debug()
    )]
    Name(String),
    /// A reserved name, with the beginning of Lambda's text.
    #[error(
        "the environment variables you have provided contain reserved keys that are currently \
         not supported for modification. Reserved keys used in this request: {0}"
    )]
    Reserved(String),
    /// A value that cannot be in an environment.
    #[error("the value of environment variable {0} contains a NUL character")]
    Nul(String),
    /// Too much, with Lambda's text.
    #[error(
        "Lambda was unable to configure your environment variables because the environment \
         variables you have provided exceeded the 4KB limit. String measured: {0}"
    )]
    TooLarge(String),
}

/// Splits `NAME=VALUE`.
///
/// # Errors
/// There is no `=`.
pub fn parse_assignment(text: &str) -> Result<(String, String), EnvironmentError> {
    text.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| EnvironmentError::NoValue(text.to_owned()))
}

/// Checks `Environment.Variables` as Lambda does when a function is created.
///
/// # Errors
/// The first rule that is broken.
pub fn validate_user_environment(
    variables: &BTreeMap<String, String>,
) -> Result<(), EnvironmentError> {
    for (name, value) in variables {
        let mut bytes = name.bytes();
        let grammatical = name.len() >= 2
            && bytes
                .next()
                .is_some_and(|first| first.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        // `_HANDLER` and its like are reserved; say that rather than "grammar".
        if is_reserved_variable(name) {
            return Err(EnvironmentError::Reserved(name.clone()));
        }
        if !grammatical {
            return Err(EnvironmentError::Name(name.clone()));
        }
        if value.contains('\0') {
            return Err(EnvironmentError::Nul(name.clone()));
        }
    }
    let measured = serde_json::to_string(variables).unwrap_or_default();
    if measured.len() > MAX_ENVIRONMENT_BYTES {
        return Err(EnvironmentError::TooLarge(measured));
    }
    Ok(())
}

/// Why an environment is initialised: `AWS_LAMBDA_INITIALIZATION_TYPE`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InitializationType {
    /// For an invocation that waits.
    #[default]
    OnDemand,
    /// Ahead of invocations.
    ProvisionedConcurrency,
}

impl InitializationType {
    /// Lambda's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnDemand => "on-demand",
            Self::ProvisionedConcurrency => "provisioned-concurrency",
        }
    }
}

/// What of a function's environment does not come from its configuration.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `AWS_REGION`.
    pub region: String,
    /// `AWS_LAMBDA_RUNTIME_API`, host and port.
    pub runtime_api: String,
    /// `AWS_LAMBDA_LOG_STREAM_NAME`.
    pub log_stream_name: String,
    /// Why the environment is initialised.
    pub initialization_type: InitializationType,
}

/// The environment of a function's runtime: the image's `ENV`, then the function's
/// configuration, then what the platform reserves. The image of a zip function
/// stands for Lambda's runtime, whose own settings come before the defaults.
///
/// Returned as `NAME=VALUE`. Entries of the image that no process can have
/// (without `=`, or with an empty name) are dropped; a name that appears twice
/// keeps its last value.
pub fn function_environment(
    image_env: &[String],
    function: &FunctionConfiguration,
    identity: &Identity,
) -> Vec<String> {
    let mut variables: BTreeMap<&str, &str> = BTreeMap::new();
    if let Package::Zip { .. } = function.package {
        variables.extend(ZIP_DEFAULTS.iter().copied());
    }
    for entry in image_env {
        if let Some((name, value)) = entry.split_once('=')
            && !name.is_empty()
            && !entry.contains('\0')
        {
            variables.insert(name, value);
        }
    }
    // All or none: a placeholder token beside somebody's own key is invalid.
    if !CREDENTIALS
        .iter()
        .any(|name| function.environment.contains_key(*name))
    {
        variables.extend(CREDENTIALS.iter().map(|name| (*name, "lambent")));
    }
    // Runtimes filter by it themselves. The user's own values win.
    if let Logging::Json { application, .. } = function.logging {
        variables.insert("AWS_LAMBDA_LOG_FORMAT", "JSON");
        variables.insert("AWS_LAMBDA_LOG_LEVEL", application.as_str());
    }
    for (name, value) in &function.environment {
        variables.insert(name, value);
    }
    let memory_size = function.memory_size.to_string();
    let version = function.version.to_string();
    let execution = match &function.package {
        Package::Image => "AWS_Lambda_Image".to_owned(),
        Package::Zip { runtime, .. } => format!("AWS_Lambda_{runtime}"),
    };
    let log_group = format!("/aws/lambda/{}", function.function_name);
    let reserved = [
        ("AWS_DEFAULT_REGION", identity.region.as_str()),
        ("AWS_EXECUTION_ENV", execution.as_str()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory_size),
        ("AWS_LAMBDA_FUNCTION_NAME", function.function_name.as_str()),
        ("AWS_LAMBDA_FUNCTION_VERSION", &version),
        (
            "AWS_LAMBDA_INITIALIZATION_TYPE",
            identity.initialization_type.as_str(),
        ),
        ("AWS_LAMBDA_LOG_GROUP_NAME", &log_group),
        ("AWS_LAMBDA_LOG_STREAM_NAME", &identity.log_stream_name),
        ("AWS_LAMBDA_RUNTIME_API", &identity.runtime_api),
        ("AWS_REGION", &identity.region),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
        ("LAMBDA_TASK_ROOT", TASK_ROOT),
    ];
    variables.extend(reserved);
    // What only the platform or the runtime itself may define.
    for name in [
        "AWS_ACCESS_KEY",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "_X_AMZN_TRACE_ID",
    ] {
        variables.remove(name);
    }
    if let Package::Zip { handler, .. } = &function.package {
        variables.insert("_HANDLER", handler);
    }
    // A runtime that the function brings is not one of Lambda's.
    if function.package.brings_bootstrap() {
        variables.remove("AWS_EXECUTION_ENV");
    }
    variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// What of a function's environment is not for extensions, beside everything that
/// begins with an underscore.
const NOT_FOR_EXTENSIONS: &[&str] = &[
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

/// The environment of an external extension, given that of the runtime
/// (`NAME=VALUE`).
pub fn extension_environment(function_environment: &[String]) -> Vec<String> {
    let for_extensions = |entry: &&String| {
        let name = entry.split('=').next().unwrap_or_default();
        !name.starts_with('_') && !NOT_FOR_EXTENSIONS.contains(&name)
    };
    let environment = function_environment.iter().filter(for_extensions);
    environment.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::LogLevel;
    use super::*;

    fn user(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn user_variables_follow_lambdas_rules() {
        for good in ["AB", "a_1", "PATH", "LD_PRELOAD", "AWS_ACCESS_KEY_ID"] {
            assert_eq!(
                validate_user_environment(&user(&[(good, "x")])),
                Ok(()),
                "{good}"
            );
        }
        for bad in ["A", "_AB", "1A", "A-B", "", "A B", "Ä1"] {
            assert!(
                matches!(
                    validate_user_environment(&user(&[(bad, "x")])),
                    Err(EnvironmentError::Name(_))
                ),
                "{bad}"
            );
        }
        for reserved in RESERVED.iter().chain(&["_HANDLER"]) {
            assert!(
                matches!(
                    validate_user_environment(&user(&[(reserved, "x")])),
                    Err(EnvironmentError::Reserved(_))
                ),
                "{reserved}"
            );
        }
        // {"AB":"…"} has nine bytes around the value.
        assert_eq!(
            validate_user_environment(&user(&[("AB", &"x".repeat(4_096 - 9))])),
            Ok(())
        );
        assert!(matches!(
            validate_user_environment(&user(&[("AB", &"x".repeat(4_096 - 8))])),
            Err(EnvironmentError::TooLarge(_))
        ));
    }

    /// The exact set of a `provided.al2023` function is known.
    #[test]
    fn zip_functions_have_defaults_a_handler_and_their_version() {
        let identity = Identity {
            region: "us-east-1".to_owned(),
            runtime_api: "127.0.0.1:9001".to_owned(),
            log_stream_name: "s".to_owned(),
            initialization_type: InitializationType::OnDemand,
        };
        let of = |runtime: &str, image: &[&str]| {
            let function = FunctionConfiguration {
                package: Package::Zip {
                    runtime: runtime.to_owned(),
                    handler: "app.handler".to_owned(),
                },
                version: crate::model::Version::Number(7),
                ..FunctionConfiguration::default()
            };
            let image: Vec<String> = image.iter().map(|entry| (*entry).to_owned()).collect();
            function_environment(&image, &function, &identity)
        };
        let names: Vec<String> = of("provided.al2023", &[])
            .iter()
            .map(|entry| entry.split('=').next().unwrap().to_owned())
            .collect();
        assert_eq!(
            names,
            [
                "AWS_ACCESS_KEY_ID",
                "AWS_DEFAULT_REGION",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                "AWS_LAMBDA_FUNCTION_NAME",
                "AWS_LAMBDA_FUNCTION_VERSION",
                "AWS_LAMBDA_INITIALIZATION_TYPE",
                "AWS_LAMBDA_LOG_GROUP_NAME",
                "AWS_LAMBDA_LOG_STREAM_NAME",
                "AWS_LAMBDA_RUNTIME_API",
                "AWS_REGION",
                "AWS_SECRET_ACCESS_KEY",
                "AWS_SESSION_TOKEN",
                "LAMBDA_RUNTIME_DIR",
                "LAMBDA_TASK_ROOT",
                "LANG",
                "LD_LIBRARY_PATH",
                "PATH",
                "TZ",
                "_HANDLER"
            ]
        );
        let python = of("python3.12", &["PATH=/mine", "_HANDLER=evil"]);
        for expected in [
            "AWS_EXECUTION_ENV=AWS_Lambda_python3.12",
            "AWS_LAMBDA_FUNCTION_VERSION=7",
            "PATH=/mine",
            "TZ=:UTC",
            "_HANDLER=app.handler",
        ] {
            assert!(
                python.iter().any(|entry| entry == expected),
                "{expected}: {python:?}"
            );
        }
    }

    #[test]
    fn runtimes_are_told_of_a_log_of_json() {
        let identity = Identity {
            region: "us-east-1".to_owned(),
            runtime_api: "127.0.0.1:9001".to_owned(),
            log_stream_name: "s".to_owned(),
            initialization_type: InitializationType::OnDemand,
        };
        let json = Logging::Json {
            application: LogLevel::Warn,
            system: LogLevel::Info,
        };
        let of = |logging, own: &[(&str, &str)]| -> Vec<String> {
            let function = FunctionConfiguration {
                logging,
                environment: user(own),
                ..FunctionConfiguration::default()
            };
            let environment = function_environment(&[], &function, &identity);
            let log = |entry: &String| {
                ["AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"]
                    .iter()
                    .any(|name| entry.starts_with(name))
            };
            environment.into_iter().filter(log).collect()
        };
        assert!(of(Logging::Text, &[]).is_empty());
        let (format, level) = ("AWS_LAMBDA_LOG_FORMAT=JSON", "AWS_LAMBDA_LOG_LEVEL=WARN");
        assert_eq!(of(json, &[]), [format, level]);
        let own = ("AWS_LAMBDA_LOG_LEVEL", "DEBUG");
        assert_eq!(of(json, &[own]), [format, "AWS_LAMBDA_LOG_LEVEL=DEBUG"]);
    }

    #[test]
    fn the_platform_wins_over_the_function_over_the_image() {
        let function = FunctionConfiguration {
            environment: user(&[("LANG", "function"), ("AWS_SESSION_TOKEN", "mine")]),
            ..FunctionConfiguration::default()
        };
        let identity = Identity {
            region: "us-east-1".to_owned(),
            runtime_api: "127.0.0.1:9001".to_owned(),
            log_stream_name: "2026/01/01/[$LATEST]0".to_owned(),
            initialization_type: InitializationType::ProvisionedConcurrency,
        };
        let image: Vec<String> = [
            "PATH=/bin",
            "LANG=image",
            "AWS_LAMBDA_RUNTIME_API=evil:80",
            "_X_AMZN_TRACE_ID=Root=evil",
            "broken",
            "=x",
            "PATH=/last",
        ]
        .map(str::to_owned)
        .to_vec();
        let environment = function_environment(&image, &function, &identity);
        for expected in [
            "PATH=/last",
            "LANG=function",
            "AWS_SESSION_TOKEN=mine",
            "AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001",
            "AWS_EXECUTION_ENV=AWS_Lambda_Image",
            "AWS_LAMBDA_INITIALIZATION_TYPE=provisioned-concurrency",
        ] {
            assert!(
                environment.iter().any(|entry| entry == expected),
                "{expected}: {environment:?}"
            );
        }
        for absent in [
            "_X_AMZN_TRACE_ID",
            "broken",
            "_HANDLER",
            "TZ",
            "HOME",
            "LD_LIBRARY_PATH",
        ] {
            assert!(
                !environment.iter().any(|entry| entry.starts_with(absent)),
                "{absent}: {environment:?}"
            );
        }
    }

    /// What the platform keeps from extensions is known; the rest is the runtime's.
    #[test]
    fn extensions_have_less() {
        let function = FunctionConfiguration {
            environment: user(&[("LANG", "function"), ("AWS_XRAY_DAEMON_ADDRESS", "x:1")]),
            package: Package::Zip {
                runtime: "python3.12".to_owned(),
                handler: "app.handler".to_owned(),
            },
            ..FunctionConfiguration::default()
        };
        let identity = Identity {
            region: "us-east-1".to_owned(),
            runtime_api: "127.0.0.1:9001".to_owned(),
            log_stream_name: "s".to_owned(),
            initialization_type: InitializationType::OnDemand,
        };
        let image = ["PATH=/bin".to_owned(), "_PRIVATE=1".to_owned()];
        let environment =
            extension_environment(&function_environment(&image, &function, &identity));
        let names: Vec<_> = environment
            .iter()
            .map(|entry| entry.split('=').next().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "AWS_ACCESS_KEY_ID",
                "AWS_DEFAULT_REGION",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                "AWS_LAMBDA_FUNCTION_NAME",
                "AWS_LAMBDA_FUNCTION_VERSION",
                "AWS_LAMBDA_INITIALIZATION_TYPE",
                "AWS_LAMBDA_RUNTIME_API",
                "AWS_REGION",
                "AWS_SECRET_ACCESS_KEY",
                "AWS_SESSION_TOKEN",
                "LANG",
                "LD_LIBRARY_PATH",
                "PATH",
                "TZ"
            ]
        );
    }
}

//! Which operation of the control plane a request asks for. Pure.

use std::borrow::Cow;

use crate::catalog::{KeptSetting, Page, Refusal, layer_name};
use crate::model::FunctionReference;

/// An operation, with what its path and query say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    CreateFunction,
    ListFunctions {
        page: Page,
        every_version: bool,
    },
    GetFunction(FunctionReference),
    GetFunctionConfiguration(FunctionReference),
    UpdateFunctionCode(FunctionReference),
    UpdateFunctionConfiguration(FunctionReference),
    DeleteFunction(FunctionReference),
    GetFunctionCodeSigningConfig(FunctionReference),
    PutFunctionCodeSigningConfig(FunctionReference),
    DeleteFunctionCodeSigningConfig(FunctionReference),
    ListCodeSigningConfigs,
    ListEventSourceMappings,
    GetSetting(KeptSetting, FunctionReference),
    PutSetting(KeptSetting, FunctionReference),
    AddPermission(FunctionReference),
    GetPolicy(FunctionReference),
    RemovePermission {
        function: FunctionReference,
        statement: String,
        revision: Option<String>,
    },
    PublishVersion(FunctionReference),
    ListVersionsByFunction(FunctionReference, Page),
    CreateAlias(FunctionReference),
    ListAliases {
        function: FunctionReference,
        version: Option<String>,
        page: Page,
    },
    GetAlias(FunctionReference, String),
    UpdateAlias(FunctionReference, String),
    DeleteAlias(FunctionReference, String),
    GetFunctionConcurrency(FunctionReference),
    PutFunctionConcurrency(FunctionReference),
    DeleteFunctionConcurrency(FunctionReference),
    PutProvisionedConcurrencyConfig(FunctionReference),
    GetProvisionedConcurrencyConfig(FunctionReference),
    DeleteProvisionedConcurrencyConfig(FunctionReference),
    ListProvisionedConcurrencyConfigs(FunctionReference, Page),
    PutFunctionEventInvokeConfig(FunctionReference),
    UpdateFunctionEventInvokeConfig(FunctionReference),
    GetFunctionEventInvokeConfig(FunctionReference),
    DeleteFunctionEventInvokeConfig(FunctionReference),
    ListFunctionEventInvokeConfigs(FunctionReference, Page),
    CreateFunctionUrlConfig(FunctionReference),
    GetFunctionUrlConfig(FunctionReference),
    UpdateFunctionUrlConfig(FunctionReference),
    DeleteFunctionUrlConfig(FunctionReference),
    ListFunctionUrlConfigs(FunctionReference, Page),
    ListTags(FunctionReference),
    TagResource(FunctionReference),
    UntagResource(FunctionReference, Vec<String>),
    GetAccountSettings,
    ListLayers(Page),
    ListLayerVersions(String, Page),
    PublishLayerVersion(String),
    GetLayerVersion(String, String),
    GetLayerVersionByArn(String),
    DeleteLayerVersion(String, String),
}

/// Parses method, path and query; `None` if they are no operation of the control
/// plane.
///
/// # Errors
/// A name or parameter has a form that Lambda does not accept.
pub(crate) fn parse(
    method: &str,
    path: &str,
    query: Option<&str>,
) -> Result<Option<Operation>, Refusal> {
    use Operation as O;
    // Older SDKs put a slash at the end of lists.
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<Cow<'_, str>> = path.split('/').skip(1).map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let value = |name: &str| values(query, name).next();
    let page = || Page::new(value("Marker").as_deref(), value("MaxItems").as_deref());
    let function = |name: &str| {
        FunctionReference::parse(name, value("Qualifier").as_deref()).map_err(Refusal::from)
    };
    Ok(Some(match (method, segments.as_slice()) {
        ("POST", ["2015-03-31", "functions"]) => O::CreateFunction,
        ("GET", ["2015-03-31", "functions"]) => O::ListFunctions {
            page: page()?,
            every_version: value("FunctionVersion").as_deref() == Some("ALL"),
        },
        ("GET", ["2015-03-31", "functions", name]) => O::GetFunction(function(name)?),
        ("DELETE", ["2015-03-31", "functions", name]) => O::DeleteFunction(function(name)?),
        ("GET", ["2015-03-31", "functions", name, "configuration"]) => {
            O::GetFunctionConfiguration(function(name)?)
        }
        ("PUT", ["2015-03-31", "functions", name, "configuration"]) => {
            O::UpdateFunctionConfiguration(function(name)?)
        }
        ("PUT", ["2015-03-31", "functions", name, "code"]) => {
            O::UpdateFunctionCode(function(name)?)
        }
        (method, ["2020-06-30", "functions", name, "code-signing-config"]) => {
            let function = function(name)?;
            match method {
                "GET" => O::GetFunctionCodeSigningConfig(function),
                "PUT" => O::PutFunctionCodeSigningConfig(function),
                "DELETE" => O::DeleteFunctionCodeSigningConfig(function),
                _ => return Ok(None),
            }
        }
        ("GET", ["2020-04-22", "code-signing-configs"]) => O::ListCodeSigningConfigs,
        ("GET", ["2015-03-31", "event-source-mappings"]) => O::ListEventSourceMappings,
        ("GET", ["2021-07-20", "functions", name, "runtime-management-config"]) => {
            O::GetSetting(KeptSetting::RuntimeManagement, function(name)?)
        }
        ("PUT", ["2021-07-20", "functions", name, "runtime-management-config"]) => {
            O::PutSetting(KeptSetting::RuntimeManagement, function(name)?)
        }
        ("GET", ["2024-08-31", "functions", name, "recursion-config"]) => {
            O::GetSetting(KeptSetting::Recursion, function(name)?)
        }
        ("PUT", ["2024-08-31", "functions", name, "recursion-config"]) => {
            O::PutSetting(KeptSetting::Recursion, function(name)?)
        }
        ("POST", ["2015-03-31", "functions", name, "policy"]) => O::AddPermission(function(name)?),
        ("GET", ["2015-03-31", "functions", name, "policy"]) => O::GetPolicy(function(name)?),
        ("DELETE", ["2015-03-31", "functions", name, "policy", statement]) => O::RemovePermission {
            function: function(name)?,
            statement: (*statement).to_owned(),
            revision: value("RevisionId"),
        },
        ("POST", ["2015-03-31", "functions", name, "versions"]) => {
            O::PublishVersion(function(name)?)
        }
        ("GET", ["2015-03-31", "functions", name, "versions"]) => {
            O::ListVersionsByFunction(function(name)?, page()?)
        }
        ("POST", ["2015-03-31", "functions", name, "aliases"]) => O::CreateAlias(function(name)?),
        ("GET", ["2015-03-31", "functions", name, "aliases"]) => O::ListAliases {
            function: function(name)?,
            version: value("FunctionVersion"),
            page: page()?,
        },
        (method, ["2015-03-31", "functions", name, "aliases", alias]) => {
            let (function, alias) = (function(name)?, (*alias).to_owned());
            match method {
                "GET" => O::GetAlias(function, alias),
                "PUT" => O::UpdateAlias(function, alias),
                "DELETE" => O::DeleteAlias(function, alias),
                _ => return Ok(None),
            }
        }
        ("GET", ["2019-09-30", "functions", name, "concurrency"]) => {
            O::GetFunctionConcurrency(function(name)?)
        }
        ("PUT", ["2017-10-31", "functions", name, "concurrency"]) => {
            O::PutFunctionConcurrency(function(name)?)
        }
        ("DELETE", ["2017-10-31", "functions", name, "concurrency"]) => {
            O::DeleteFunctionConcurrency(function(name)?)
        }
        (method, ["2019-09-30", "functions", name, "provisioned-concurrency"]) => {
            let function = function(name)?;
            match method {
                "PUT" => O::PutProvisionedConcurrencyConfig(function),
                "GET" if value("List").as_deref() == Some("ALL") => {
                    O::ListProvisionedConcurrencyConfigs(function, page()?)
                }
                "GET" => O::GetProvisionedConcurrencyConfig(function),
                "DELETE" => O::DeleteProvisionedConcurrencyConfig(function),
                _ => return Ok(None),
            }
        }
        (method, ["2019-09-25", "functions", name, "event-invoke-config"]) => {
            let function = function(name)?;
            match method {
                "PUT" => O::PutFunctionEventInvokeConfig(function),
                "POST" => O::UpdateFunctionEventInvokeConfig(function),
                "GET" => O::GetFunctionEventInvokeConfig(function),
                "DELETE" => O::DeleteFunctionEventInvokeConfig(function),
                _ => return Ok(None),
            }
        }
        (
            "GET",
            [
                "2019-09-25",
                "functions",
                name,
                "event-invoke-config",
                "list",
            ],
        ) => O::ListFunctionEventInvokeConfigs(function(name)?, page()?),
        (method, ["2021-10-31", "functions", name, "url"]) => {
            let function = function(name)?;
            match method {
                "POST" => O::CreateFunctionUrlConfig(function),
                "GET" => O::GetFunctionUrlConfig(function),
                "PUT" => O::UpdateFunctionUrlConfig(function),
                "DELETE" => O::DeleteFunctionUrlConfig(function),
                _ => return Ok(None),
            }
        }
        ("GET", ["2021-10-31", "functions", name, "urls"]) => {
            O::ListFunctionUrlConfigs(function(name)?, page()?)
        }
        (method, ["2017-03-31", "tags", arn]) => {
            let function = FunctionReference::parse(arn, None)?;
            match method {
                "GET" => O::ListTags(function),
                "POST" => O::TagResource(function),
                "DELETE" => O::UntagResource(function, values(query, "tagKeys").collect()),
                _ => return Ok(None),
            }
        }
        ("GET", ["2016-08-19", "account-settings"]) => O::GetAccountSettings,
        ("GET", ["2018-10-31", "layers"]) => match value("find").as_deref() {
            Some("LayerVersion") => O::GetLayerVersionByArn(value("Arn").unwrap_or_default()),
            _ => O::ListLayers(page()?),
        },
        ("POST", ["2018-10-31", "layers", layer, "versions"]) => {
            O::PublishLayerVersion(layer_name(layer)?)
        }
        ("GET", ["2018-10-31", "layers", layer, "versions"]) => {
            O::ListLayerVersions(layer_name(layer)?, page()?)
        }
        ("GET", ["2018-10-31", "layers", layer, "versions", version]) => {
            O::GetLayerVersion(layer_name(layer)?, (*version).to_owned())
        }
        ("DELETE", ["2018-10-31", "layers", layer, "versions", version]) => {
            O::DeleteLayerVersion(layer_name(layer)?, (*version).to_owned())
        }
        _ => return Ok(None),
    }))
}

/// The values of a query parameter that are not empty, decoded.
fn values<'a>(query: Option<&'a str>, name: &'a str) -> impl Iterator<Item = String> + 'a {
    query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter_map(|pair| pair.split_once('='))
        .filter(move |(key, _)| *key == name)
        .map(|(_, value)| decoded(&value.replace('+', " ")).into_owned())
        .filter(|value| !value.is_empty())
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(method: &str, target: &str) -> Result<Option<Operation>, String> {
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        parse(method, path, query).map_err(|refusal| refusal.message)
    }

    #[test]
    fn paths_are_operations() {
        let f = || FunctionReference::parse("f", None).unwrap();
        let live = || FunctionReference::parse("f", Some("live")).unwrap();
        let page = |marker: Option<&str>, size| Page {
            marker: marker.map(str::to_owned),
            max_items: size,
        };
        let list = |page| Operation::ListFunctions {
            page,
            every_version: false,
        };
        let arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af";
        for (method, target, expected) in [
            ("POST", "/2015-03-31/functions", Operation::CreateFunction),
            ("GET", "/2015-03-31/functions/", list(Page::default())),
            (
                "GET",
                "/2015-03-31/functions?Marker=a&MaxItems=7",
                list(page(Some("a"), Some(7))),
            ),
            (
                "GET",
                "/2015-03-31/functions/f?Qualifier=live",
                Operation::GetFunction(live()),
            ),
            (
                "GET",
                &format!("/2015-03-31/functions/{arn}%3Alive/configuration"),
                Operation::GetFunctionConfiguration(live()),
            ),
            (
                "DELETE",
                "/2015-03-31/functions/f/aliases/live",
                Operation::DeleteAlias(f(), "live".to_owned()),
            ),
            (
                "PUT",
                "/2017-10-31/functions/f/concurrency",
                Operation::PutFunctionConcurrency(f()),
            ),
            (
                "GET",
                "/2019-09-25/functions/f/event-invoke-config/list/",
                Operation::ListFunctionEventInvokeConfigs(f(), Page::default()),
            ),
            (
                "POST",
                "/2019-09-25/functions/f/event-invoke-config?Qualifier=live",
                Operation::UpdateFunctionEventInvokeConfig(live()),
            ),
            (
                "GET",
                "/2019-09-30/functions/f/provisioned-concurrency?List=ALL",
                Operation::ListProvisionedConcurrencyConfigs(f(), Page::default()),
            ),
            (
                "GET",
                "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=live",
                Operation::GetProvisionedConcurrencyConfig(live()),
            ),
            (
                "DELETE",
                &format!("/2017-03-31/tags/{arn}?tagKeys=a&tagKeys=b+c%2B"),
                Operation::UntagResource(f(), vec!["a".to_owned(), "b c+".to_owned()]),
            ),
            (
                "GET",
                "/2018-10-31/layers?find=LayerVersion&Arn=x%3A1",
                Operation::GetLayerVersionByArn("x:1".to_owned()),
            ),
            (
                "DELETE",
                "/2015-03-31/functions/f/policy/s?Qualifier=live&RevisionId=r",
                Operation::RemovePermission {
                    function: live(),
                    statement: "s".to_owned(),
                    revision: Some("r".to_owned()),
                },
            ),
            (
                "PUT",
                "/2024-08-31/functions/f/recursion-config",
                Operation::PutSetting(KeptSetting::Recursion, f()),
            ),
            (
                "POST",
                "/2018-10-31/layers/pillow/versions",
                Operation::PublishLayerVersion("pillow".to_owned()),
            ),
        ] {
            assert_eq!(parsed(method, target), Ok(Some(expected)), "{target}");
        }
        for (method, target) in [
            ("POST", "/2015-03-31/functions/f/invocations"),
            ("PATCH", "/2015-03-31/functions/f/aliases/live"),
            ("GET", "/"),
            ("GET", "/health"),
        ] {
            assert_eq!(parsed(method, target), Ok(None), "{target}");
        }
        for (target, start) in [
            ("/2015-03-31/functions?MaxItems=0", "1 validation error"),
            ("/2015-03-31/functions/a%20b", "1 validation error"),
            ("/2018-10-31/layers/..%2Fx/versions", "1 validation error"),
            ("/2015-03-31/functions/f:1?Qualifier=2", "The derived"),
        ] {
            let error = parsed("GET", target).unwrap_err();
            assert!(error.starts_with(start), "{target}: {error}");
        }
    }
}

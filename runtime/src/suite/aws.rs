//! The form of AWS's containerized test runner: `tests` with `handler`, `request` and
//! `assertions`, as its Docker driver understands them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::field::Field;
use super::model::{Case, Check, Event, Expectation, Form, Function, Start, Suite};
use super::read::{Outside, Result, client_context, filter, payload};
use super::resources::{Resources, expanded, resolved, resources, with_defaults};
use crate::model::{CognitoIdentity, InvalidTraceId, TraceId, validate_user_environment};

/// Members of a test that mean something here.
const TEST: [&str; 9] = [
    "assertions",
    "clientContext",
    "cognitoIdentity",
    "environmentVariables",
    "handler",
    "image",
    "name",
    "request",
    "xray",
];

/// What may be asserted, one in each assertion.
const ASSERTIONS: [&str; 5] = [
    "contentType",
    "error",
    "errorType",
    "response",
    "responseContentType",
];

/// Assertions of the runner for which its Docker driver has no values.
const WITHOUT_VALUES: [&str; 5] = [
    "init_metrics",
    "invoke_metrics",
    "logs",
    "metrics",
    "tail-logs",
];

/// What a test with `xray` has unless it says otherwise.
const XRAY: [(&str, &str); 3] = [
    ("traceId", "1-581cf771-a006649127e371903a2de979"),
    ("parentId", "a794a187a18ff77f"),
    ("isSampled", "1"),
];

/// The same for `cognitoIdentity`.
const COGNITO: [(&str, &str); 2] = [
    (
        "cognitoIdentityId",
        "cognito-id:4ab95ea510c14353a7f6da04489c43b8",
    ),
    (
        "cognitoIdentityPoolId",
        "cognito-pool-id:35ab4794a79a4f23947d3e851d3d6578",
    ),
];

/// The suite below a root.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn suite(root: &Field<'_>, outside: Outside<'_>) -> Result<Suite> {
    let resources = resources(root, outside)?;
    let default = root.get("default");
    let defaults = match &default {
        Some(default) => {
            default.members()?;
            default.node.members()
        }
        None => &[],
    };
    let common = root.get("assertions");
    let mut cases = vec![];
    let mut ignored = BTreeSet::new();
    let tests = root.get("tests");
    for field in tests.map_or_else(|| Ok(vec![]), |tests| tests.items())? {
        field.members()?;
        let tests = match root.get("template") {
            Some(template) => expanded(field.node, &template)?,
            None => vec![field.node.clone()],
        };
        for test in tests {
            let node = with_defaults(&test, defaults);
            let place = field.place.clone();
            let node = &node;
            let node = resolved(&Field { node, place }, &resources)?;
            let place = field.place.clone();
            let test = Field { node: &node, place };
            let unknown = test.node.members().iter().map(|(name, _)| name);
            ignored.extend(
                unknown
                    .filter(|name| !TEST.contains(&name.as_str()))
                    .cloned(),
            );
            cases.push(case(&test, common.as_ref(), &resources)?);
        }
    }
    if cases.is_empty() {
        return Err(root.error("has no tests, so nothing would be tested"));
    }
    let warnings = ignored.iter().map(|name| {
        format!("{name} of its tests has no effect, as with the Docker driver of AWS's runner")
    });
    Ok(Suite {
        cases,
        warnings: warnings.collect(),
    })
}

fn case(test: &Field<'_>, common: Option<&Field<'_>>, resources: &Resources) -> Result<Case> {
    if let Some(file) = test.given("hurl_file") {
        return Err(file.error(
            "is for DockerWebAppDriver of AWS's runner, which sends HTTP requests to a web server; \
             only the tests of its DockerDriver are supported",
        ));
    }
    let member = |name: &str| {
        let member = test.get(name);
        member.ok_or_else(|| test.error(format!("has no {name}")))
    };
    let mut function = Function::default();
    if let Some(image) = test.get("image") {
        function.image = Some(image.text()?.to_owned());
    }
    let configuration = &mut function.configuration;
    let handler = member("handler")?.text()?.to_owned();
    configuration.image_config.command = Some(vec![handler]);
    if let Some(variables) = test.get("environmentVariables") {
        for (name, value) in variables.members()? {
            let value = value.variable()?;
            configuration.environment.insert(name.to_owned(), value);
        }
        validate_user_environment(&configuration.environment)
            .map_err(|error| variables.error(error.to_string()))?;
    }
    let own = test
        .given("assertions")
        .ok_or_else(|| test.error("has no assertions"))?;
    let mut expectations = vec![];
    for (list, is_own) in [(Some(&own), true), (common, false)] {
        for assertion in list.map_or_else(|| Ok(vec![]), Field::items)? {
            let node = resolved(&assertion, resources)?;
            let place = assertion.place.clone();
            expectations.push(expectation(&Field { node: &node, place }, is_own)?);
        }
    }
    Ok(Case {
        name: member("name")?.text()?.to_owned(),
        form: Form::Aws,
        function,
        start: Start::Cold,
        repeat: 1,
        concurrency: 1,
        event: event(test)?,
        expectations,
    })
}

fn expectation(assertion: &Field<'_>, is_own: bool) -> Result<Expectation> {
    let members = assertion.members()?;
    let of = |known: &'static [&'static str]| {
        let mut found = members.iter().filter(|(name, _)| known.contains(name));
        (found.next(), found.next().is_some())
    };
    if let (Some((name, field)), _) = of(&WITHOUT_VALUES) {
        return Err(field.error(format!(
            "the Docker driver of AWS's runner has no value for {name}: leave it out, or write the \
             suite in Lambent's form"
        )));
    }
    let (Some((name, field)), more) = of(&ASSERTIONS) else {
        return Err(assertion.error(format!("asserts none of {}", ASSERTIONS.join(", "))));
    };
    if more {
        return Err(assertion.error(format!(
            "asserts more than one of {}: make several of it",
            ASSERTIONS.join(", ")
        )));
    }
    let check = match *name {
        "response" => Check::Response(field.value()),
        "error" => Check::Error(field.value()),
        "errorType" => Check::ErrorType(field.value()),
        _ => Check::ContentType(field.text()?.to_owned()),
    };
    let transform = assertion.get("transform");
    let transform = transform.as_ref().map(filter).transpose()?;
    Ok(Expectation {
        place: field.place.clone(),
        check,
        transform,
        source: field.node.source.clone().filter(|_| is_own),
    })
}

fn event(test: &Field<'_>) -> Result<Event> {
    let request = test.given("request");
    let bytes = match &request {
        Some(request) => request.value().to_string(),
        None => "{}".to_owned(),
    };
    let place = request.map_or_else(|| test.place.clone(), |request| request.place);
    let context = test.get("clientContext");
    let context = context.filter(|context| !is_falsy(&context.value()));
    let context = context.map(|context| client_context(&context.value(), &context.place));
    let identity = test
        .get("cognitoIdentity")
        .map(|identity| -> Result<CognitoIdentity> {
            let [id, pool] = COGNITO.map(|default| text(&identity, default));
            Ok(CognitoIdentity {
                identity_id: id?,
                identity_pool_id: pool?,
            })
        });
    let trace = test.get("xray").map(|xray| -> Result<TraceId> {
        let [root, parent, sampled] = XRAY.map(|default| text(&xray, default));
        let header = format!("Root={};Parent={};Sampled={}", root?, parent?, sampled?);
        header
            .parse()
            .map_err(|error: InvalidTraceId| xray.place.error(error.to_string()))
    });
    Ok(Event {
        payload: payload(bytes.into_bytes(), &place)?,
        client_context: context.transpose()?,
        cognito_identity: identity.transpose()?,
        trace: trace.transpose()?,
    })
}

/// What Python takes for nothing.
fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// A member that becomes part of a header, or its default.
fn text(map: &Field<'_>, (name, default): (&str, &str)) -> Result<String> {
    let Some(field) = map.get(name) else {
        map.members()?;
        return Ok(default.to_owned());
    };
    let text = field.text()?;
    if !text
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic())
    {
        return Err(field.error("has characters that a header cannot have"));
    }
    Ok(text.to_owned())
}

//! Lambent's own form of a suite: function settings, and `cases`.

use std::collections::BTreeSet;

use super::expect::expectations;
use super::field::Field;
use super::model::{Case, Event, Form, Function, Start, Suite};
use super::read::{Files, Result, client_context, file, payload};
use super::settings;
use crate::model::CognitoIdentity;

/// Keys of a suite beside those of its function.
const SUITE: [&str; 2] = ["cases", "start"];

/// Keys of a case beside those of its function.
const CASE: [&str; 9] = [
    "client_context",
    "cognito_identity",
    "concurrency",
    "event",
    "event_file",
    "expect",
    "name",
    "repeat",
    "start",
];

/// The suite below a root.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn suite(root: &Field<'_>, files: Files<'_>) -> Result<Suite> {
    root.check_members(&[settings::KEYS.as_slice(), &SUITE].concat())?;
    let mut function = Function::default();
    settings::apply(root, &mut function)?;
    let common = start(root)?.unwrap_or_default();
    let mut names = BTreeSet::new();
    let mut cases = vec![];
    let list = root.get("cases");
    for field in list.map_or_else(|| Ok(vec![]), |list| list.items())? {
        let case = case(&field, &function, common, files)?;
        if !names.insert(case.name.clone()) {
            return Err(field.error(format!(
                "there are two cases \"{}\": give each its own name",
                case.name.escape_debug()
            )));
        }
        cases.push(case);
    }
    if cases.is_empty() {
        return Err(root.error("has no cases, so nothing would be tested"));
    }
    Ok(Suite {
        cases,
        warnings: vec![],
    })
}

fn case(
    field: &Field<'_>,
    common: &Function,
    start_of_all: Start,
    files: Files<'_>,
) -> Result<Case> {
    field.check_members(&[settings::KEYS.as_slice(), &CASE].concat())?;
    let name = field
        .get("name")
        .ok_or_else(|| field.error("has no name"))?
        .text()?
        .to_owned();
    let mut function = common.clone();
    settings::apply(field, &mut function)?;
    let start = start(field)?.unwrap_or(start_of_all);
    let count = |key: &str| field.get(key).map(|field| field.count()).transpose();
    let concurrency = count("concurrency")?.unwrap_or(1);
    let repeat = count("repeat")?.unwrap_or(concurrency);
    if repeat < concurrency {
        return Err(field.error(format!(
            "repeat is {repeat}, fewer invocations than the {concurrency} at a time of concurrency"
        )));
    }
    Ok(Case {
        name,
        form: Form::Own,
        function,
        start,
        repeat,
        concurrency,
        event: event(field, files)?,
        expectations: expectations(field, start)?,
    })
}

fn start(field: &Field<'_>) -> Result<Option<Start>> {
    let Some(field) = field.get("start") else {
        return Ok(None);
    };
    match field.text()? {
        "cold" => Ok(Some(Start::Cold)),
        "warm" => Ok(Some(Start::Warm)),
        _ => Err(field.error("is neither cold nor warm")),
    }
}

fn event(field: &Field<'_>, files: Files<'_>) -> Result<Event> {
    let bytes = match (field.given("event"), field.get("event_file")) {
        (Some(event), None) => payload(event.value().to_string().into_bytes(), &event.place)?,
        (None, Some(path)) => payload(file(&path, files)?, &path.place)?,
        (None, None) => payload(b"{}".to_vec(), &field.place)?,
        (Some(_), Some(_)) => {
            return Err(field.error("has both event and event_file: keep one of them"));
        }
    };
    let context = field.get("client_context");
    let context = context.map(|context| client_context(&context.value(), &context.place));
    let identity = field
        .get("cognito_identity")
        .map(|identity| -> Result<CognitoIdentity> {
            const KEYS: [&str; 2] = ["identity_id", "identity_pool_id"];
            identity.check_members(&KEYS)?;
            let member = |name: &str| {
                let member = identity.get(name);
                let member = member.ok_or_else(|| identity.error(format!("has no {name}")))?;
                member.text().map(str::to_owned)
            };
            Ok(CognitoIdentity {
                identity_id: member(KEYS[0])?,
                identity_pool_id: member(KEYS[1])?,
            })
        });
    Ok(Event {
        payload: bytes,
        client_context: context.transpose()?,
        cognito_identity: identity.transpose()?,
        trace: None,
    })
}

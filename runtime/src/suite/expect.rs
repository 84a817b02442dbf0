//! `expect` of a case: one map of expectations, or a list of them, each with its own
//! transform.

use super::field::Field;
use super::model::{Check, Expectation, Start};
use super::read::{Result, filter};
use crate::yaml::Kind;

const KEYS: [&str; 12] = [
    "cold_start",
    "contains",
    "error",
    "error_contains",
    "error_type",
    "log_contains",
    "max_duration",
    "max_init",
    "max_memory",
    "response",
    "throttled",
    "transform",
];

/// What a transform is for.
const TRANSFORMED: [&str; 4] = ["contains", "error", "error_contains", "response"];

/// What a case expects. Where it says nothing of response or error, an answer that is
/// no error.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn expectations(case: &Field<'_>, start: Start) -> Result<Vec<Expectation>> {
    let mut all = vec![];
    if let Some(expect) = case.get("expect") {
        match &expect.node.kind {
            Kind::List(_) => {
                for item in expect.items()? {
                    all.extend(of_map(&item, start)?);
                }
            }
            _ => all = of_map(&expect, start)?,
        }
    }
    let wants_error = |check: &Check| {
        matches!(
            check,
            Check::Error(_) | Check::ErrorContains(_) | Check::ErrorType(_)
        )
    };
    let wants_response = |check: &Check| matches!(check, Check::Response(_) | Check::Contains(_));
    let has = |wanted: &dyn Fn(&Check) -> bool| all.iter().any(|one| wanted(&one.check));
    match (has(&wants_response), has(&wants_error)) {
        (true, true) => Err(case.error("expects both a response and an error: keep one of them")),
        (false, false) => {
            all.insert(
                0,
                Expectation {
                    place: case.place.clone(),
                    check: Check::Succeeds,
                    transform: None,
                    source: None,
                },
            );
            Ok(all)
        }
        _ => Ok(all),
    }
}

fn of_map(map: &Field<'_>, start: Start) -> Result<Vec<Expectation>> {
    map.check_members(&KEYS)?;
    let transform = map.get("transform");
    let filter = transform.as_ref().map(filter).transpose()?;
    if let Some(transform) = &transform
        && !TRANSFORMED.iter().any(|key| map.given(key).is_some())
    {
        return Err(transform.error(format!(
            "transforms nothing: it is for {}",
            TRANSFORMED.join(", ")
        )));
    }
    let mut all = vec![];
    for (key, field) in map.members()? {
        let check = match key {
            "transform" => continue,
            "response" => Check::Response(field.value()),
            "contains" => Check::Contains(field.value()),
            "error" => Check::Error(field.value()),
            "error_contains" => Check::ErrorContains(field.value()),
            "error_type" => Check::ErrorType(field.text()?.into()),
            "log_contains" => {
                for text in field.text_or_texts()? {
                    all.push(expectation(&field, Check::Log(text), None));
                }
                continue;
            }
            "max_duration" => Check::MaxDuration(field.duration()?),
            "max_init" if start == Start::Warm => {
                return Err(field.error("a warm start has no INIT: it is for start: cold"));
            }
            "max_init" => Check::MaxInit(field.duration()?),
            "max_memory" => Check::MaxMemory(field.whole()?.into()),
            "throttled" => Check::Throttled(field.flag()?),
            _ => Check::ColdStart(field.flag()?),
        };
        let filter = filter.clone().filter(|_| TRANSFORMED.contains(&key));
        all.push(expectation(&field, check, filter));
    }
    Ok(all)
}

fn expectation(field: &Field<'_>, check: Check, transform: Option<String>) -> Expectation {
    Expectation {
        place: field.place.clone(),
        check,
        transform,
        source: field.node.source.clone(),
    }
}

//! What of an error or an answer will be the same at the next invocation.

use serde_json::Value;

const TYPE: &str = "errorType";
const MESSAGE: &str = "errorMessage";

/// What runtimes add to errors, and what differs from invocation to invocation or from
/// build to build.
const VARYING: [&str; 3] = ["requestId", "stackTrace", "trace"];

/// What is compared of an error where all of it is expected: its type and its message,
/// unless that tells the request's ID, and what else the expectation names.
pub(super) fn compared(error: &Value, expected: &Value, request_id: &str) -> Value {
    match error {
        Value::Object(members) if members.contains_key(TYPE) => {
            let counts = |key: &str, value: &Value| match key {
                TYPE => true,
                MESSAGE if !tells(value, request_id) => true,
                _ => expected.get(key).is_some(),
            };
            let members = members.iter().filter(|(key, value)| counts(key, value));
            Value::Object(
                members
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

/// An error without what will be another one next time; none if nothing is left.
pub(super) fn lasting(error: &Value, request_id: &str) -> Option<Value> {
    let Value::Object(members) = error else {
        return (!tells(error, request_id)).then(|| error.clone());
    };
    let lasts = |key: &str, value: &Value| !VARYING.contains(&key) && !tells(value, request_id);
    let left = members.iter().filter(|(key, value)| lasts(key, value));
    let left: serde_json::Map<_, _> = left
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!left.is_empty()).then_some(Value::Object(left))
}

/// Whether a request's ID is anywhere in a value.
pub(super) fn tells(value: &Value, request_id: &str) -> bool {
    value.to_string().contains(request_id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "277b8d2a-f59e-423e-990b-3052be486789";

    #[test]
    fn an_error_is_its_type_and_its_message() {
        let usual = json!({"errorType": "T", "errorMessage": "m", "requestId": ID, "stackTrace": ["a"], "code": 1});
        let dies = json!({"errorType": "T", "errorMessage": format!("RequestId: {ID} Error: x")});
        let own = json!({"code": 1, "trace": [ID]});
        for (error, expected, compares, lasts) in [
            (
                &usual,
                json!(null),
                json!({"errorType": "T", "errorMessage": "m"}),
                Some(json!({"errorType": "T", "errorMessage": "m"})),
            ),
            (
                &usual,
                json!({"code": 2, "stackTrace": []}),
                json!({"errorType": "T", "errorMessage": "m", "stackTrace": ["a"], "code": 1}),
                Some(json!({"errorType": "T", "errorMessage": "m", "code": 1})),
            ),
            (
                &dies,
                json!({"errorType": "U"}),
                json!({"errorType": "T"}),
                Some(json!({"errorType": "T"})),
            ),
            (
                &dies,
                json!({"errorMessage": "m"}),
                dies.clone(),
                Some(json!({"errorType": "T"})),
            ),
            // What a runtime of one's own posts may be anything.
            (&own, json!(null), own.clone(), Some(json!({"code": 1}))),
            (&json!(ID), json!(null), json!(ID), None),
            (&json!({"a": ID}), json!(null), json!({"a": ID}), None),
        ] {
            let seen = compared(error, &expected, ID);
            assert_eq!(seen, compares, "{error} {expected}");
            let written = lasting(&seen, ID);
            assert_eq!(written, lasts, "{error} {expected}");
        }
        // What is written holds, and nothing more is to be written then.
        for error in [&usual, &dies] {
            let written = lasting(&compared(error, &json!(null), ID), ID).unwrap();
            assert_eq!(compared(error, &written, ID), written);
        }
    }
}

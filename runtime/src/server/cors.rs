//! Cross-origin requests: preflights are answered without the function, and its
//! responses get what browsers ask for. Pure.

use hyper::Method;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};

use crate::configuration::Cors;

/// Whether a request asks only whether another one may be sent.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The headers of the answer to a preflight: none for an origin that may not call.
pub(super) fn preflight(cors: &Cors, request: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !allow_origin(cors, request, &mut headers) {
        return headers;
    }
    list(
        &mut headers,
        ACCESS_CONTROL_ALLOW_METHODS,
        &cors.allow_methods,
    );
    list(
        &mut headers,
        ACCESS_CONTROL_ALLOW_HEADERS,
        &cors.allow_headers,
    );
    list(
        &mut headers,
        ACCESS_CONTROL_EXPOSE_HEADERS,
        &cors.expose_headers,
    );
    if let Some(seconds) = cors.max_age {
        headers.insert(ACCESS_CONTROL_MAX_AGE, seconds.into());
    }
    headers
}

/// Adds to a response what its origin needs. What the function has set itself stays
/// beside it: on Lambda such a response has both, and browsers refuse it.
pub(super) fn add(cors: &Cors, request: &HeaderMap, response: &mut HeaderMap) {
    let mut headers = HeaderMap::new();
    if !allow_origin(cors, request, &mut headers) {
        return;
    }
    list(
        &mut headers,
        ACCESS_CONTROL_EXPOSE_HEADERS,
        &cors.expose_headers,
    );
    for (name, value) in &headers {
        response.append(name, value.clone());
    }
}

/// The same for an HTTP API, which ignores what the function has set.
pub(super) fn replace(cors: &Cors, request: &HeaderMap, response: &mut HeaderMap) {
    let names: Vec<HeaderName> = response
        .keys()
        .filter(|name| name.as_str().starts_with("access-control-"))
        .cloned()
        .collect();
    for name in names {
        response.remove(name);
    }
    add(cors, request, response);
}

/// Names the origin, if it may call. Whether it may.
fn allow_origin(cors: &Cors, request: &HeaderMap, headers: &mut HeaderMap) -> bool {
    let Some(origin) = request.get(ORIGIN) else {
        return false;
    };
    let text = origin.to_str().unwrap_or_default();
    let fits = |pattern: &String| {
        pattern == "*"
            || pattern == text
            || matches!(pattern.as_str(), "http://*" | "https://*")
                && text.starts_with(pattern.trim_end_matches('*'))
    };
    if !cors.allow_origins.iter().any(fits) {
        return false;
    }
    // With credentials, browsers take no asterisk.
    let any = cors.allow_origins.iter().any(|pattern| pattern == "*") && !cors.allow_credentials;
    let value = if any {
        HeaderValue::from_static("*")
    } else {
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        origin.clone()
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
    if cors.allow_credentials {
        let value = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, value);
    }
    true
}

fn list(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if !values.is_empty()
        && let Ok(value) = HeaderValue::try_from(values.join(","))
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Cors {
            allow_origins: texts(origins),
            allow_methods: texts(&["GET", "POST"]),
            allow_headers: texts(&["x-a"]),
            expose_headers: texts(&["x-b"]),
            max_age: Some(60),
            allow_credentials: credentials,
        }
    }

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn preflights_are_told_from_other_requests() {
        let asked = [
            ("origin", "https://a"),
            ("access-control-request-method", "PUT"),
        ];
        assert!(is_preflight(&Method::OPTIONS, &map(&asked)));
        assert!(!is_preflight(&Method::OPTIONS, &map(&asked[..1])));
        assert!(!is_preflight(&Method::OPTIONS, &map(&asked[1..])));
        assert!(!is_preflight(&Method::GET, &map(&asked)));
    }

    #[test]
    fn origins_are_allowed_by_the_list() {
        for (origins, credentials, origin, allowed) in [
            (&["*"][..], false, "https://a", Some("*")),
            (&["*"], true, "https://a", Some("https://a")),
            (
                &["https://a", "https://b"],
                false,
                "https://b",
                Some("https://b"),
            ),
            (&["https://a"], false, "https://a.b", None),
            (&["https://*"], false, "https://a", Some("https://a")),
            (&["https://*"], false, "http://a", None),
            (&[], false, "https://a", None),
        ] {
            let request = map(&[("origin", origin)]);
            let headers = preflight(&cors(origins, credentials), &request);
            let found = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(
                found.map(|value| value.to_str().unwrap()),
                allowed,
                "{origins:?} {origin}"
            );
            assert_eq!(headers.is_empty(), allowed.is_none());
        }
        assert!(preflight(&cors(&["*"], false), &map(&[])).is_empty());
    }

    #[test]
    fn preflights_and_responses_have_their_own_headers() {
        let request = map(&[("origin", "https://a")]);
        let cors = cors(&["https://a"], true);
        assert_eq!(
            preflight(&cors, &request),
            map(&[
                ("access-control-allow-origin", "https://a"),
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-methods", "GET,POST"),
                ("access-control-allow-headers", "x-a"),
                ("access-control-expose-headers", "x-b"),
                ("access-control-max-age", "60"),
                ("vary", "Origin"),
            ])
        );
        let own = map(&[("access-control-allow-origin", "*"), ("x-b", "1")]);
        let mut response = own.clone();
        add(&cors, &request, &mut response);
        let origins: Vec<_> = response
            .get_all(ACCESS_CONTROL_ALLOW_ORIGIN)
            .iter()
            .collect();
        assert_eq!(origins, ["*", "https://a"]);
        let mut response = own;
        replace(&cors, &request, &mut response);
        assert_eq!(
            response,
            map(&[
                ("access-control-allow-origin", "https://a"),
                ("access-control-allow-credentials", "true"),
                ("access-control-expose-headers", "x-b"),
                ("vary", "Origin"),
                ("x-b", "1"),
            ])
        );
    }
}

//! Routes of HTTP and REST APIs, and which of them a request takes.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::Cors;
use crate::model::FunctionReference;

/// All routes that are served at one address, as `sam local start-api` does it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Api {
    pub(crate) routes: Vec<Route>,
    /// Of the HTTP APIs.
    pub(crate) cors: Option<Cors>,
    /// Which of the routes takes what: a file may have thousands of them.
    taken: HashMap<Shape, usize>,
}

/// What a route takes, without the names of its parameters.
type Shape = (Option<String>, Option<Vec<String>>);

/// A route to a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) key: RouteKey,
    pub(crate) function: FunctionReference,
    pub(crate) kind: ApiKind,
}

/// What a function gets, and what becomes of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiKind {
    /// An HTTP API with payload format 2.0.
    Http,
    /// An HTTP API with payload format 1.0.
    HttpVersion1,
    /// A REST API, whose payload is that of format 1.0.
    Rest,
}

/// `GET /pets/{id}`, `ANY /pets/{proxy+}` or `$default`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteKey {
    /// `None` is `ANY`.
    method: Option<String>,
    /// `None` is `$default`, which takes what no other does.
    path: Option<Vec<Segment>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter(String),
    /// The rest of the path, at least one segment.
    Greedy(String),
}

/// A route that was taken, with its path parameters, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken<'a> {
    pub(crate) route: &'a Route,
    pub(crate) parameters: Vec<(String, String)>,
}

/// Methods that a route may name.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];

/// What a path may have beside letters, digits and `/`: what RFC 3986 lets the path of a
/// URL have. No request could have anything else there.
const PUNCTUATION: &str = "-._~!$&'()*+,;=:@%";

impl RouteKey {
    /// `$default`.
    pub(crate) fn default_route() -> Self {
        Self {
            method: None,
            path: None,
        }
    }

    /// From `GET /path` or `$default`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "$default" {
            return Ok(Self::default_route());
        }
        let (method, path) = text
            .split_once(' ')
            .ok_or_else(|| format!("\"{text}\" is no route: write GET /path, or $default"))?;
        Self::new(method, path.trim())
    }

    /// From the two properties of an event.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn new(method: &str, path: &str) -> Result<Self, String> {
        if path == "$default" {
            return Ok(Self::default_route());
        }
        let upper = method.to_ascii_uppercase();
        let method = match upper.as_str() {
            "ANY" | "X-AMAZON-APIGATEWAY-ANY-METHOD" => None,
            known if METHODS.contains(&known) => Some(known.to_owned()),
            _ => {
                return Err(format!(
                    "method \"{method}\" is none of ANY, {}",
                    METHODS.join(", ")
                ));
            }
        };
        Ok(Self {
            method,
            path: Some(segments(path)?),
        })
    }

    /// The path as it was written.
    pub(crate) fn path(&self) -> String {
        let Some(segments) = &self.path else {
            return "$default".to_owned();
        };
        segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => format!("/{text}"),
                Segment::Parameter(name) => format!("/{{{name}}}"),
                Segment::Greedy(name) => format!("/{{{name}+}}"),
            })
            .collect()
    }

    /// The parameters of a path that it fits.
    fn take(&self, method: &str, path: &[&str]) -> Option<Vec<(String, String)>> {
        if self.method.as_ref().is_some_and(|ours| ours != method) {
            return None;
        }
        let Some(segments) = &self.path else {
            return Some(vec![]);
        };
        let mut parameters = vec![];
        let mut rest = path;
        for segment in segments {
            let (first, others) = rest.split_first()?;
            match segment {
                Segment::Literal(text) if *text == decoded(first) => {}
                Segment::Literal(_) => return None,
                Segment::Parameter(_) if first.is_empty() => return None,
                Segment::Parameter(name) => parameters.push((name.clone(), decoded(first))),
                Segment::Greedy(name) => {
                    let all = rest.join("/");
                    if all.is_empty() {
                        return None;
                    }
                    parameters.push((name.clone(), decoded(&all)));
                    return Some(parameters);
                }
            }
            rest = others;
        }
        rest.is_empty().then_some(parameters)
    }

    /// How exactly it says what it takes: the larger is preferred. Segment by
    /// segment a text is before a parameter, and that before a greedy one; of equal
    /// paths, the one with a method. `$default` is last.
    fn exactness(&self) -> (bool, Vec<Reverse<u8>>, bool) {
        let segments = self.path.iter().flatten().map(|segment| {
            Reverse(match segment {
                Segment::Literal(_) => 0,
                Segment::Parameter(_) => 1,
                Segment::Greedy(_) => 2,
            })
        });
        (
            self.path.is_some(),
            segments.collect(),
            self.method.is_some(),
        )
    }

    /// Equal for two routes that no request could tell apart.
    fn shape(&self) -> Shape {
        let path = self.path.as_ref().map(|segments| {
            let shape = segments.iter().map(|segment| match segment {
                Segment::Literal(text) => text.clone(),
                Segment::Parameter(_) => "{}".to_owned(),
                Segment::Greedy(_) => "{+}".to_owned(),
            });
            shape.collect()
        });
        (self.method.clone(), path)
    }
}

/// The segments of a path, if API Gateway would take it.
fn segments(path: &str) -> Result<Vec<Segment>, String> {
    let shown = path.escape_debug();
    let legal = |character: &char| {
        character.is_ascii_alphanumeric()
            || "/{}".contains(*character)
            || PUNCTUATION.contains(*character)
    };
    if let Some(other) = path.chars().find(|character| !legal(character)) {
        return Err(format!(
            "path \"{shown}\" has '{}', which no path of a URL has: write letters, digits and \
             {PUNCTUATION}",
            other.escape_debug()
        ));
    }
    let rest = path
        .strip_prefix('/')
        .ok_or_else(|| format!("path \"{shown}\" does not begin with /"))?;
    let mut segments: Vec<Segment> = vec![];
    for text in rest.split('/') {
        if matches!(segments.last(), Some(Segment::Greedy(_))) {
            return Err(format!("path \"{shown}\" goes on after a parameter with +"));
        }
        let segment = Segment::parse(text).ok_or_else(|| {
            format!("path \"{shown}\": \"{text}\" is neither a text nor a {{parameter}}")
        })?;
        let same = |other: &Segment| other.parameter() == segment.parameter();
        if let Some(name) = segment.parameter()
            && segments.iter().any(same)
        {
            return Err(format!(
                "path \"{shown}\" has the parameter {name} twice: give each its own name"
            ));
        }
        segments.push(segment);
    }
    Ok(segments)
}

impl std::fmt::Display for RouteKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_none() {
            return formatter.write_str("$default");
        }
        let method = self.method.as_deref().unwrap_or("ANY");
        write!(formatter, "{method} {}", self.path())
    }
}

impl Segment {
    fn parse(text: &str) -> Option<Self> {
        let legal = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte))
        };
        if let Some(inner) = text.strip_prefix('{') {
            let name = inner.strip_suffix('}')?;
            return match name.strip_suffix('+') {
                Some(name) => legal(name).then(|| Self::Greedy(name.to_owned())),
                None => legal(name).then(|| Self::Parameter(name.to_owned())),
            };
        }
        (!text.contains(['{', '}'])).then(|| Self::Literal(text.to_owned()))
    }

    /// The name of the parameter that it is.
    fn parameter(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) | Self::Greedy(name) => Some(name),
        }
    }
}

impl Api {
    /// Adds a route.
    ///
    /// # Errors
    /// Another one takes the same requests.
    pub(crate) fn add(&mut self, route: Route) -> Result<(), String> {
        if let Some(other) = self.twin(&route.key) {
            return Err(format!(
                "{} is the route {} of {} already",
                route.key, other.key, other.function.name
            ));
        }
        self.taken.insert(route.key.shape(), self.routes.len());
        self.routes.push(route);
        Ok(())
    }

    /// The route that takes the same requests as one with this key.
    pub(crate) fn twin(&mut self, key: &RouteKey) -> Option<&mut Route> {
        let index = *self.taken.get(&key.shape())?;
        self.routes.get_mut(index)
    }

    /// The route that a request takes.
    pub(crate) fn take(&self, method: &str, path: &str) -> Option<Taken<'_>> {
        let path: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        self.routes
            .iter()
            .filter_map(|route| {
                let parameters = route.key.take(method, &path)?;
                Some(Taken { route, parameters })
            })
            .max_by_key(|taken| taken.route.key.exactness())
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn api(keys: &[&str]) -> Api {
        let mut api = Api::default();
        for key in keys {
            let route = Route {
                key: RouteKey::parse(key).unwrap(),
                function: FunctionReference::parse("f", None).unwrap(),
                kind: ApiKind::Http,
            };
            api.add(route).unwrap();
        }
        api
    }

    #[test]
    fn the_most_exact_route_is_taken() {
        let api = api(&[
            "$default",
            "ANY /pets/{proxy+}",
            "GET /pets/{id}",
            "GET /pets/dog",
            "ANY /pets/dog",
            "GET /pets/{id}/toys",
            "GET /",
        ]);
        for (method, path, key, parameters) in [
            ("GET", "/", "GET /", vec![]),
            ("POST", "/", "$default", vec![]),
            ("GET", "/pets/dog", "GET /pets/dog", vec![]),
            ("PUT", "/pets/dog", "ANY /pets/dog", vec![]),
            ("GET", "/pets/c%20t", "GET /pets/{id}", vec![("id", "c t")]),
            (
                "PUT",
                "/pets/cat",
                "ANY /pets/{proxy+}",
                vec![("proxy", "cat")],
            ),
            (
                "GET",
                "/pets/7/toys",
                "GET /pets/{id}/toys",
                vec![("id", "7")],
            ),
            (
                "GET",
                "/pets/7/a/b",
                "ANY /pets/{proxy+}",
                vec![("proxy", "7/a/b")],
            ),
            ("GET", "/pets/", "$default", vec![]),
            ("GET", "/pets", "$default", vec![]),
            (
                "GET",
                "/pets/dog/",
                "ANY /pets/{proxy+}",
                vec![("proxy", "dog/")],
            ),
        ] {
            let taken = api.take(method, path).unwrap();
            assert_eq!(taken.route.key.to_string(), key, "{method} {path}");
            let expected: Vec<_> = parameters
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            assert_eq!(taken.parameters, expected, "{method} {path}");
        }
    }

    #[test]
    fn what_no_route_takes() {
        let api = api(&["GET /a/{id}"]);
        for (method, path) in [
            ("POST", "/a/1"),
            ("GET", "/a"),
            ("GET", "/a/1/2"),
            ("GET", "/a/"),
        ] {
            assert_eq!(api.take(method, path), None, "{method} {path}");
        }
    }

    #[test]
    fn bad_and_double_routes_are_refused() {
        for (bad, part) in [
            ("/a", "no route"),
            ("GET a", "begin with /"),
            ("FETCH /a", "FETCH"),
            ("GET /{a+}/b", "goes on"),
            ("GET /{a}/{a}", "has the parameter a twice"),
            ("GET /{a}/b/{a+}", "has the parameter a twice"),
            ("GET /a?b=1", "has '?', which no path of a URL has"),
            ("GET /a#b", "path \"/a#b\" has '#'"),
            ("GET /a\tb", "path \"/a\\tb\" has '\\t'"),
            ("GET /a b", "has ' '"),
            ("GET /größe", "has 'ö'"),
            ("GET /a\\b", "has '\\\\'"),
            ("GET /a{b}", "neither"),
            ("GET /{}", "neither"),
            ("GET /{a/b}", "neither"),
        ] {
            let error = RouteKey::parse(bad).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
        let mut api = api(&["GET /a/{id}"]);
        let route = Route {
            key: RouteKey::parse("get /a/{name}").unwrap(),
            ..api.routes[0].clone()
        };
        let error = api.add(route).unwrap_err();
        assert!(error.contains("GET /a/{id} of f"), "{error}");
    }

    /// Each is compared with all others at once, or this does not end.
    #[test]
    fn thousands_of_routes_are_added() {
        let route = |number: usize, parameter: &str| Route {
            key: RouteKey::parse(&format!("GET /a/{number}/{{{parameter}}}")).unwrap(),
            function: FunctionReference::parse("f", None).unwrap(),
            kind: ApiKind::Http,
        };
        let mut api = Api::default();
        for number in 0..50_000 {
            api.add(route(number, "x")).unwrap();
        }
        let error = api.add(route(40_000, "y")).unwrap_err();
        assert!(error.contains("GET /a/40000/{x} of f already"), "{error}");
        assert_eq!(api.routes.len(), 50_000);
    }

    proptest! {
        /// The order in which routes are written does not matter, and what is taken
        /// fits.
        #[test]
        fn order_does_not_matter(
            keys in proptest::sample::subsequence(
                vec![
                    "$default", "ANY /{p+}", "GET /{p+}", "GET /{a}", "ANY /a", "GET /a/{b}",
                    "GET /a/b", "ANY /{a}/b", "POST /a/{b+}",
                ],
                1..9,
            ),
            reversed in any::<bool>(),
            method in prop_oneof![Just("GET"), Just("POST")],
            path in prop_oneof![Just("/"), Just("/a"), Just("/a/b"), Just("/x/b"), Just("/a/x/y")],
        ) {
            let one = api(&keys);
            let mut other = one.clone();
            if reversed {
                other.routes.reverse();
            } else {
                other.routes.rotate_left(1);
            }
            let key = |api: &Api| {
                api.take(method, path).map(|taken| {
                    (taken.route.key.to_string(), taken.parameters.clone())
                })
            };
            prop_assert_eq!(key(&one), key(&other));
            if let Some((key, parameters)) = key(&one) {
                let mut written = key.split_once(' ').map_or(path, |(_, path)| path).to_owned();
                for (name, value) in parameters {
                    written = written.replace(&format!("{{{name}}}"), &value);
                    written = written.replace(&format!("{{{name}+}}"), &value);
                }
                prop_assert_eq!(written, path);
            }
        }
    }
}

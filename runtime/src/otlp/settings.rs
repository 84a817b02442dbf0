//! Where spans go, and with which headers. Pure: variables come from a function.

use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// What OpenTelemetry calls a collector's addresses and headers; those of traces go
/// before those of all signals.
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// A collector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OtlpSettings {
    /// Where requests go.
    pub(super) url: Url,
    /// What they have in addition; shown to nobody.
    pub(super) headers: HeaderMap,
}

impl OtlpSettings {
    /// The collector of the command line, else of the environment, else of
    /// `lambent.toml`; nothing if none of them has one.
    ///
    /// # Errors
    /// What is wrong, and where it was said.
    pub(crate) fn find(
        option: Option<&str>,
        file: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        // Who sets a variable to nothing does not want it.
        let variable = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
        let url = if let Some(text) = option {
            base("--otlp-endpoint", text)?
        } else if let Some(text) = variable(TRACES_ENDPOINT) {
            parse(TRACES_ENDPOINT, &text)?
        } else if let Some(text) = variable(ENDPOINT) {
            base(ENDPOINT, &text)?
        } else if let Some(text) = file {
            base("endpoint.otlp_endpoint", text)?
        } else {
            return Ok(None);
        };
        let mut headers = HeaderMap::new();
        for name in [HEADERS, TRACES_HEADERS] {
            if let Some(text) = variable(name) {
                add_headers(&mut headers, name, &text)?;
            }
        }
        Ok(Some(Self { url, headers }))
    }

    /// The address as it may be shown: without what may be secret.
    pub(super) fn shown(&self) -> String {
        let port = self
            .url
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        let host = self.url.host_str().unwrap_or_default();
        format!("{}://{host}{port}", self.url.scheme())
    }
}

/// An address below which each signal has its path.
fn base(place: &str, text: &str) -> Result<Url, String> {
    let mut url = parse(place, text)?;
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn parse(place: &str, text: &str) -> Result<Url, String> {
    let refused = |reason: &str| {
        format!(
            "{place}: {reason}: write the address of an OTLP collector, such as http://127.0.0.1:4318"
        )
    };
    let url = Url::parse(text.trim()).map_err(|error| refused(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused(&format!("{} is not http or https", url.scheme())));
    }
    Ok(url)
}

/// Reads `name=value,name=value`, with values in percent encoding. What is wrong is
/// not shown: it may be a secret.
fn add_headers(headers: &mut HeaderMap, place: &str, text: &str) -> Result<(), String> {
    let pairs = text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    for (number, pair) in pairs.enumerate() {
        let refused = || {
            let number = number + 1;
            format!(
                "{place}: header {number} is not NAME=VALUE, with the value in percent encoding"
            )
        };
        let (name, value) = pair.split_once('=').ok_or_else(refused)?;
        let name: HeaderName = name.trim().parse().map_err(|_| refused())?;
        let value: Vec<u8> = percent_decode_str(value.trim()).collect();
        let mut value = HeaderValue::from_bytes(&value).map_err(|_| refused())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Variables = &'static [(&'static str, &'static str)];

    fn find(
        option: Option<&str>,
        variables: Variables,
        file: Option<&str>,
    ) -> Result<Option<OtlpSettings>, String> {
        OtlpSettings::find(option, file, |name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_nearest_address_counts() {
        const BOTH: Variables = &[
            (ENDPOINT, "http://e:1/"),
            (TRACES_ENDPOINT, "https://t/own"),
        ];
        const GENERAL: Variables = &[(ENDPOINT, "http://e:1/"), (TRACES_ENDPOINT, " ")];
        for (option, variables, file, expected) in [
            (None, &[] as Variables, None, None),
            (None, &[(ENDPOINT, "")], None, None),
            (
                Some("http://o:4318"),
                BOTH,
                Some("http://f"),
                Some("http://o:4318/v1/traces"),
            ),
            (None, BOTH, Some("http://f"), Some("https://t/own")),
            (
                None,
                GENERAL,
                Some("http://f"),
                Some("http://e:1/v1/traces"),
            ),
            (None, &[], Some("http://f/a/"), Some("http://f/a/v1/traces")),
        ] {
            let found = find(option, variables, file).unwrap();
            let url = found.map(|found| found.url.to_string());
            assert_eq!(
                url.as_deref(),
                expected,
                "{option:?} {variables:?} {file:?}"
            );
        }
        let found = find(Some("http://user:secret@[::1]:4318/key"), &[], None).unwrap();
        assert_eq!(found.unwrap().shown(), "http://[::1]:4318");
    }

    #[test]
    fn headers_are_read_and_kept_secret() {
        let found = find(
            Some("http://o"),
            &[(HEADERS, "Api-Key=a%20b, x = 1,"), (TRACES_HEADERS, "x=2")],
            None,
        );
        let settings = found.unwrap().unwrap();
        assert_eq!(settings.headers["api-key"], "a b");
        assert_eq!(settings.headers["x"], "2");
        assert!(!format!("{settings:?}").contains("a b"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (option, variables, file, place) in [
            (
                Some("x"),
                &[] as Variables,
                None,
                "--otlp-endpoint: relative URL",
            ),
            (Some("ftp://x"), &[], None, "--otlp-endpoint: ftp is not"),
            (
                None,
                &[(ENDPOINT, "x")],
                None,
                "OTEL_EXPORTER_OTLP_ENDPOINT: ",
            ),
            (None, &[], Some("x"), "endpoint.otlp_endpoint: "),
            (
                Some("http://o"),
                &[(HEADERS, "a=1,secret")],
                None,
                "OTEL_EXPORTER_OTLP_HEADERS: header 2 is not",
            ),
            (
                Some("http://o"),
                &[(HEADERS, "a=secret%0a")],
                None,
                "OTEL_EXPORTER_OTLP_HEADERS: header 1 is not",
            ),
        ] {
            let error = find(option, variables, file).unwrap_err();
            assert!(error.starts_with(place), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}

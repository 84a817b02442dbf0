//! Events, as far as Lambda looks at them.

use serde::de::IgnoredAny;

/// Checks that an event is JSON, of any depth. Its function gets it as it is.
///
/// # Errors
/// What is wrong with it.
pub fn check_event(event: &[u8]) -> Result<(), String> {
    // What is ignored is not looked at: its texts may be of any bytes.
    let text = std::str::from_utf8(event).map_err(|error| error.to_string())?;
    serde_json::from_str::<IgnoredAny>(text)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_of_any_depth() {
        let deep = ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat();
        let nested = [r#"{"a":"#.repeat(1_000_000), "}".repeat(1_000_000)].concat();
        let nested = nested.replacen(":}", ":1}", 1);
        for good in ["null", "\"\\ud800\"", " {\"a\": 1e400} ", &deep, &nested] {
            assert_eq!(check_event(good.as_bytes()), Ok(()), "{good:.40}");
        }
        let cut = &deep[..deep.len() - 1];
        for bad in [
            b"".as_slice(),
            b"{",
            b"{} {}",
            b"{'a': 1}",
            b"[1,]",
            b"\"\n\"",
            b"\"\xff\"",
            b"{\"\xc3\": 1}",
            b"\xef\xbb\xbf{}",
            b"NaN",
            cut.as_bytes(),
        ] {
            let start = &bad[..bad.len().min(40)];
            assert!(check_event(bad).is_err(), "{}", start.escape_ascii());
        }
    }
}

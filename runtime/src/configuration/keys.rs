//! What an unknown key may have meant.

/// The known key that an unknown one is nearest to, if any is near.
pub(super) fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    // Lambda's own spelling is one too.
    let spelled = unknown.replace(['-', '_'], "").to_lowercase();
    known
        .iter()
        .map(|key| (strsim::jaro_winkler(&spelled, &key.replace('_', "")), *key))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, key)| key)
}

/// The sentence about an unknown key.
pub(crate) fn unknown(key: &str, known: &[&str]) -> String {
    let key = key.escape_debug();
    match nearest(&key.to_string(), known) {
        Some(near) => format!("there is no key \"{key}\" here: did you mean {near}?"),
        None => format!(
            "there is no key \"{key}\" here; there are {}",
            known.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_named() {
        let known = ["memory_size", "timeout", "image", "code"];
        for (key, near) in [
            ("memory", Some("memory_size")),
            ("MemorySize", Some("memory_size")),
            ("memory-size", Some("memory_size")),
            ("time_out", Some("timeout")),
            ("imag", Some("image")),
            ("xyzzy", None),
        ] {
            assert_eq!(nearest(key, &known), near, "{key}");
        }
        assert!(unknown("xyzzy", &known).ends_with("memory_size, timeout, image, code"));
    }
}

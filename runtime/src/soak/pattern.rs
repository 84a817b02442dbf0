//! Names of many things as one: what differs between `/tmp/req-17.bin` and
//! `/tmp/req-18.bin` is a star.

/// With its hyphens.
const UUID_LENGTH: usize = 36;

/// A name with each of its parts that look like a number or an identifier replaced by
/// `*`: digits, long words with digits inside of them, and what Python's `tempfile`
/// makes.
pub(crate) fn pattern(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let identifier = rest.get(..UUID_LENGTH);
        if identifier.is_some_and(|text| uuid::Uuid::try_parse(text).is_ok()) {
            pattern.push('*');
            rest = &rest[UUID_LENGTH..];
            continue;
        }
        let end = rest
            .find(|character: char| !is_of_word(character))
            .unwrap_or(rest.len());
        if end == 0 {
            pattern.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(end);
        pattern.push_str(&general(word));
        rest = after;
    }
    pattern
}

fn is_of_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn general(word: &str) -> String {
    // `tmp` and eight characters of chance.
    if word.len() == 11 && word.starts_with("tmp") {
        return "tmp*".to_owned();
    }
    let parts = word.split('_').map(|part| {
        if is_random(part) {
            "*".to_owned()
        } else {
            starred(part)
        }
    });
    parts.collect::<Vec<_>>().join("_")
}

/// Long, with digits in more than one place, or hexadecimal.
fn is_random(word: &str) -> bool {
    let starred = starred(word);
    let runs = starred.matches('*').count();
    let is_hex = word.chars().all(|character| character.is_ascii_hexdigit());
    word.len() >= 8 && (runs >= 2 || runs == 1 && is_hex)
}

/// Each run of digits as one star.
fn starred(word: &str) -> String {
    let mut text = String::new();
    for character in word.chars() {
        if !character.is_ascii_digit() {
            text.push(character);
        } else if !text.ends_with('*') {
            text.push('*');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_a_star() {
        for (name, expected) in [
            ("req-17.bin", "req-*.bin"),
            ("a/b1c22/out.log", "a/b*c*/out.log"),
            ("5f3e9a77c1d2.json", "*.json"),
            ("a-6f1c2a54-9d7e-4c5b-8a1f-0d9e8c7b6a5f.x", "a-*.x"),
            ("tmpa8k2_q1z", "tmp*"),
            ("tmpabcdefgh/x", "tmp*/x"),
            ("request_17_of_3", "request_*_of_*"),
            ("x4Tq9kLm2", "*"),
            ("model.bin", "model.bin"),
            ("Ünï-3", "Ünï-*"),
            ("cafebabe", "cafebabe"),
        ] {
            assert_eq!(pattern(name), expected, "{name}");
        }
    }
}

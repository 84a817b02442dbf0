//! From the bytes that a function writes to its log events.

use memchr::memchr;

/// Longest log event in bytes (CloudWatch's limit); what is longer is cut into
/// several, so that memory stays bounded without a newline in sight.
const MAX_LINE_BYTES: usize = 262_144;

/// Splits a stream at newlines. `\r` stays inside an event: Python's runtime
/// client joins the lines of a traceback with it.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    pending: Vec<u8>,
}

impl LineSplitter {
    /// Takes bytes from the front of `bytes` until a line is complete, or all of them.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Option<Vec<u8>> {
        let room = MAX_LINE_BYTES - self.pending.len();
        let window = &bytes[..bytes.len().min(room)];
        if let Some(end) = memchr(b'\n', window) {
            self.pending.extend_from_slice(&window[..end]);
            *bytes = &bytes[end + 1..];
            return Some(std::mem::take(&mut self.pending));
        }
        self.pending.extend_from_slice(window);
        *bytes = &bytes[window.len()..];
        (self.pending.len() == MAX_LINE_BYTES).then(|| std::mem::take(&mut self.pending))
    }

    /// Passes on what was written without a newline.
    pub(crate) fn flush(&mut self, mut line: impl FnMut(Vec<u8>)) {
        if !self.pending.is_empty() {
            line(std::mem::take(&mut self.pending));
        }
    }
}

/// The lines of a text, each with the newline that ends it. Texts of functions may be a
/// single line of hundreds of kilobytes: byte by byte it would take as long as requests.
pub(crate) fn whole_lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = memchr(b'\n', text).map_or(text.len(), |end| end + 1);
        let (line, rest) = text.split_at(end);
        text = rest;
        (!line.is_empty()).then_some(line)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = vec![];
        let mut splitter = LineSplitter::default();
        for chunk in chunks {
            let mut bytes = *chunk;
            while !bytes.is_empty() {
                lines.extend(splitter.next(&mut bytes));
            }
        }
        splitter.flush(|line| lines.push(line));
        lines
    }

    #[test]
    fn lines_end_at_newlines_only() {
        assert_eq!(
            split(&[b"a\nb", b"c\n\nd\re"]),
            [&b"a"[..], b"bc", b"", b"d\re"]
        );
        assert!(split(&[]).is_empty());
    }

    #[test]
    fn endless_lines_are_cut() {
        let lines = split(&[&vec![b'x'; MAX_LINE_BYTES * 2 + 1]]);
        let lengths: Vec<_> = lines.iter().map(Vec::len).collect();
        assert_eq!(lengths, [MAX_LINE_BYTES, MAX_LINE_BYTES, 1]);
    }

    #[test]
    fn whole_lines_keep_their_ends() {
        for (text, lines) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a\nb\n", &["a\n", "b\n"]),
            ("\n\nc", &["\n", "\n", "c"]),
        ] {
            let found: Vec<_> = whole_lines(text.as_bytes()).collect();
            let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(found, lines, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn how_the_bytes_arrive_does_not_matter(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            cut in 0_usize..200,
        ) {
            let cut = cut.min(bytes.len());
            prop_assert_eq!(split(&[&bytes]), split(&[&bytes[..cut], &bytes[cut..]]));
        }
    }
}

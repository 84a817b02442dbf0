//! X-Ray's trace header, by which an invocation belongs to what has caused it. Pure.

use std::fmt::{self, Write};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a `Lineage` that is passed on: Lambda's own are tens.
const MAX_LINEAGE: usize = 256;

/// Names one span of a trace: X-Ray's segment, OpenTelemetry's span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// A new one.
    pub fn random() -> Self {
        let random = uuid::Uuid::new_v4().into_bytes();
        // Without the two bytes that have a version and a variant in them.
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&random[..6]);
        (bytes[6], bytes[7]) = (random[7], random[9]);
        Self(bytes)
    }

    /// The bytes, as protocols other than X-Ray's want them.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", u64::from_be_bytes(self.0))
    }
}

/// An X-Ray trace header: `Root=1-<time>-<random>;Parent=<span>;Sampled=0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceId {
    root: [u8; 16],
    /// What functions take for the span that has caused theirs.
    parent: SpanId,
    /// The span of whoever has sent the request, if it has said one.
    caller: Option<SpanId>,
    /// Nothing if nobody has decided yet.
    sampled: Option<bool>,
    /// How Lambda's functions came to invoke each other, which is passed on as it is.
    lineage: Option<String>,
    recorded: bool,
}

/// A text that is no trace header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an X-Ray trace header: write Root=1-TIME-RANDOM, with 8 and 24 hexadecimal digits, and \
     after semicolons, if you want, Parent= with 16 and Sampled=0 or Sampled=1"
)]
pub struct InvalidTraceId;

impl TraceId {
    /// A new trace that starts now, with a parent that nobody records.
    pub fn random() -> Self {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs());
        let mut root = uuid::Uuid::new_v4().into_bytes();
        // X-Ray's time has 32 bits.
        let [.., a, b, c, d] = seconds.to_be_bytes();
        root[..4].copy_from_slice(&[a, b, c, d]);
        Self {
            root,
            parent: SpanId::random(),
            caller: None,
            sampled: None,
            lineage: None,
            recorded: false,
        }
    }

    /// The same, sampled or not where nobody has decided before.
    #[must_use]
    pub fn decided(self, sampled: bool) -> Self {
        Self {
            sampled: self.sampled.or(Some(sampled)),
            ..self
        }
    }

    /// The same with a new span of Lambent's own, which is recorded, as the parent of
    /// the function's.
    #[must_use]
    pub fn recorded(self) -> Self {
        Self {
            parent: SpanId::random(),
            recorded: true,
            ..self
        }
    }

    /// OpenTelemetry's trace ID: the digits of `Root`.
    pub fn root(&self) -> [u8; 16] {
        self.root
    }

    /// What functions take for the span that has caused theirs.
    pub fn parent(&self) -> SpanId {
        self.parent
    }

    /// The span of whoever has sent the request.
    pub fn caller(&self) -> Option<SpanId> {
        self.caller
    }

    /// Whether somebody wants it to be recorded.
    pub fn is_sampled(&self) -> bool {
        self.sampled == Some(true)
    }

    /// Whether [`TraceId::parent`] is a span of Lambent's own.
    pub fn is_recorded(&self) -> bool {
        self.recorded
    }

    /// The header as callers get it back: lower-case keys, without the parent.
    pub fn for_caller(&self) -> String {
        let sampled = u8::from(self.is_sampled());
        format!("root={};sampled={sampled}", Root(self.root))
    }

    /// The header as it came, to be parsed again: without a parent that was made here.
    pub fn for_later(&self) -> String {
        let mut text = format!("Root={}", Root(self.root));
        // Infallible: the target is a string.
        if let Some(caller) = self.caller {
            let _ = write!(text, ";Parent={caller}");
        }
        if let Some(sampled) = self.sampled {
            let _ = write!(text, ";Sampled={}", u8::from(sampled));
        }
        if let Some(lineage) = &self.lineage {
            let _ = write!(text, ";Lineage={lineage}");
        }
        text
    }
}

impl fmt::Display for TraceId {
    /// The header as functions get it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (root, parent) = (Root(self.root), self.parent);
        let sampled = u8::from(self.is_sampled());
        write!(formatter, "Root={root};Parent={parent};Sampled={sampled}")?;
        match &self.lineage {
            Some(lineage) => write!(formatter, ";Lineage={lineage}"),
            None => Ok(()),
        }
    }
}

impl FromStr for TraceId {
    type Err = InvalidTraceId;

    /// Reads what a caller says. Without `Parent` one is made; other keys, such as the
    /// `Self` of load balancers, are left out.
    fn from_str(text: &str) -> Result<Self, InvalidTraceId> {
        let mut root = None;
        let mut trace = Self::random();
        for part in text.split(';').map(str::trim) {
            let Some((key, value)) = part.split_once('=') else {
                if part.is_empty() {
                    continue;
                }
                return Err(InvalidTraceId);
            };
            match key.to_ascii_lowercase().as_str() {
                "root" => root = Some(parse_root(value)?),
                "parent" => {
                    let caller = SpanId(hexadecimal(value)?);
                    (trace.caller, trace.parent) = (Some(caller), caller);
                }
                "sampled" => {
                    trace.sampled = match value {
                        "0" => Some(false),
                        "1" => Some(true),
                        // Whoever comes first may decide.
                        "?" => None,
                        _ => return Err(InvalidTraceId),
                    }
                }
                "lineage" => {
                    let fits = value.len() <= MAX_LINEAGE;
                    let legal = fits && value.bytes().all(|byte| byte.is_ascii_graphic());
                    trace.lineage = Some(value).filter(|_| legal).map(str::to_owned);
                }
                _ => {}
            }
        }
        trace.root = root.ok_or(InvalidTraceId)?;
        Ok(trace)
    }
}

/// X-Ray's form of a trace's bytes.
struct Root([u8; 16]);

impl fmt::Display for Root {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", u128::from_be_bytes(self.0));
        write!(formatter, "1-{}-{}", &digits[..8], &digits[8..])
    }
}

fn parse_root(text: &str) -> Result<[u8; 16], InvalidTraceId> {
    let parts = text
        .strip_prefix("1-")
        .and_then(|rest| rest.split_once('-'));
    let (time, random) = parts.ok_or(InvalidTraceId)?;
    let (time, random): ([u8; 4], [u8; 12]) = (hexadecimal(time)?, hexadecimal(random)?);
    let mut root = [0; 16];
    root[..4].copy_from_slice(&time);
    root[4..].copy_from_slice(&random);
    Ok(root)
}

/// Exactly so many bytes, in digits of any case.
fn hexadecimal<const N: usize>(text: &str) -> Result<[u8; N], InvalidTraceId> {
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(InvalidTraceId);
    if text.len() != 2 * N {
        return Err(InvalidTraceId);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let value = 16 * digit(pair[0])? + digit(pair[1])?;
        *byte = u8::try_from(value).map_err(|_| InvalidTraceId)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOT: &str = "1-65f1a2b3-0123456789abcdef01234567";

    #[test]
    fn a_new_header_has_the_form_of_x_ray() {
        let trace = TraceId::random();
        let text = trace.to_string();
        let parts: Vec<_> = text.split(';').collect();
        let root: Vec<_> = parts[0].strip_prefix("Root=").unwrap().split('-').collect();
        assert_eq!((root[0], root[1].len(), root[2].len()), ("1", 8, 24));
        assert_eq!(parts[1].strip_prefix("Parent=").unwrap().len(), 16);
        assert_eq!(parts[2], "Sampled=0");
        assert_eq!(trace.caller(), None);
    }

    #[test]
    fn a_callers_header_is_passed_on() {
        let parent = "Parent=53995c3f42cd8ad8";
        for (text, expected) in [
            (
                format!("Root={ROOT};{parent};Sampled=1"),
                format!("Root={ROOT};{parent};Sampled=1"),
            ),
            // As Lambda's answers have it.
            (
                format!("root={ROOT};parent=53995C3F42CD8AD8;sampled=0"),
                format!("Root={ROOT};{parent};Sampled=0"),
            ),
            (
                format!("Self=1-1-1; {parent}; Root={ROOT};x=y;"),
                format!("Root={ROOT};{parent};Sampled=0"),
            ),
            (
                format!("Root={ROOT};{parent};Sampled=?;Lineage=1:fe460cdd:0"),
                format!("Root={ROOT};{parent};Sampled=0;Lineage=1:fe460cdd:0"),
            ),
            (
                format!("Root={ROOT};{parent};Lineage=a b"),
                format!("Root={ROOT};{parent};Sampled=0"),
            ),
        ] {
            let trace: TraceId = text.parse().unwrap();
            assert_eq!(trace.to_string(), expected, "{text}");
            assert_eq!(trace.caller().unwrap().to_string(), "53995c3f42cd8ad8");
        }
        let alone: TraceId = format!("Root={ROOT}").parse().unwrap();
        assert_eq!(alone.caller(), None);
        assert!(
            alone
                .to_string()
                .starts_with(&format!("Root={ROOT};Parent="))
        );
        assert_eq!(alone.for_later(), format!("Root={ROOT}"));
        assert_eq!(alone.for_caller(), format!("root={ROOT};sampled=0"));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for text in [
            "",
            "Parent=53995c3f42cd8ad8;Sampled=1",
            "Root=1-65f1a2b3-0123456789abcdef0123456",
            "Root=2-65f1a2b3-0123456789abcdef01234567",
            "Root=1-65f1a2bg-0123456789abcdef01234567",
            "Root=1-65f1a2b3",
            "Root=1-65f1a2b3-0123456789abcdef01234567;Parent=1",
            "Root=1-65f1a2b3-0123456789abcdef01234567;Sampled=yes",
            "Root=1-65f1a2b3-0123456789abcdef01234567;\u{e9}",
            "Root=1-65f1a2b\u{e9}-123456789abcdef01234567",
        ] {
            assert_eq!(text.parse::<TraceId>(), Err(InvalidTraceId), "{text}");
        }
    }

    #[test]
    fn who_decides_first_decides() {
        let says = |sampled: &str| -> TraceId { format!("Root={ROOT}{sampled}").parse().unwrap() };
        for (said, here, expected) in [
            ("", true, true),
            ("", false, false),
            (";Sampled=?", true, true),
            (";Sampled=0", true, false),
            (";Sampled=1", false, true),
        ] {
            let trace = says(said).decided(here);
            assert_eq!(trace.is_sampled(), expected, "{said} {here}");
        }
    }

    #[test]
    fn a_recorded_span_comes_between_caller_and_function() {
        let text = format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1");
        let came: TraceId = text.parse().unwrap();
        let trace = came.clone().recorded();
        assert_eq!(trace.root(), came.root());
        assert_eq!(trace.caller(), came.caller());
        assert_ne!(trace.parent(), came.parent());
        assert!(trace.is_recorded() && !came.is_recorded());
        assert_eq!(trace.for_later(), text);
    }

    proptest! {
        /// Nothing panics, and what is accepted comes back as it was.
        #[test]
        fn any_text(text in "[ -~é]{0,80}|Root=1-[0-9a-f]{8}-[0-9a-f]{24}(;Parent=[0-9a-f]{16})?(;Sampled=[01])?") {
            if let Ok(trace) = text.parse::<TraceId>() {
                let later = trace.for_later();
                let again: TraceId = later.parse().unwrap();
                prop_assert_eq!(&again.for_later(), &later);
                prop_assert_eq!(again.root(), trace.root());
                prop_assert_eq!(again.caller(), trace.caller());
            }
        }
    }
}

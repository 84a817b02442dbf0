//! Tar streams byte by byte, so that tests can write what no tool would.

/// A tar stream under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

/// Header fields that a test may want to bend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) link: &'a [u8],
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: u64,
    pub(crate) magic: &'a [u8; 8],
    /// The size field, if it is not the length of the content.
    pub(crate) size: Option<u64>,
}

pub(crate) const USTAR: &[u8; 8] = b"ustar\x0000";
pub(crate) const GNU: &[u8; 8] = b"ustar  \0";

impl Default for Fields<'_> {
    fn default() -> Self {
        Self {
            name: b"",
            link: b"",
            kind: b'0',
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 1_000_000_000,
            magic: USTAR,
            size: None,
        }
    }
}

#[allow(dead_code, reason = "each test crate uses some of these")]
#[allow(
    clippy::allow_attributes,
    reason = "no crate uses none or all, so `expect` cannot hold"
)]
impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn entry(mut self, fields: Fields<'_>, content: &[u8]) -> Self {
        let mut header = [0; 512];
        header[..fields.name.len().min(100)]
            .copy_from_slice(&fields.name[..fields.name.len().min(100)]);
        let mut octal = |at: usize, width: usize, value: u64| {
            let text = format!("{value:0width$o}", width = width - 1);
            header[at..at + width - 1].copy_from_slice(text.as_bytes());
        };
        octal(100, 8, fields.mode.into());
        octal(108, 8, fields.uid.into());
        octal(116, 8, fields.gid.into());
        octal(124, 12, fields.size.unwrap_or(content.len() as u64));
        octal(136, 12, fields.mtime);
        header[156] = fields.kind;
        header[157..157 + fields.link.len()].copy_from_slice(fields.link);
        header[257..265].copy_from_slice(fields.magic);
        self.0.extend_from_slice(&with_checksum(header));
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Gives the last entry, which has no content, these device numbers.
    pub(crate) fn device(&mut self, major: u32, minor: u32) {
        let Some(header) = self.0.last_chunk_mut::<512>() else {
            return;
        };
        for (at, number) in [(329, major), (337, minor)] {
            header[at..at + 8].copy_from_slice(format!("{number:07o}\0").as_bytes());
        }
        *header = with_checksum(*header);
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.entry(
            Fields {
                name: name.as_bytes(),
                ..Fields::default()
            },
            content.as_bytes(),
        )
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.dir_mode(name, 0o755)
    }

    pub(crate) fn dir_mode(self, name: &str, mode: u32) -> Self {
        self.entry(
            Fields {
                name: name.as_bytes(),
                kind: b'5',
                mode,
                ..Fields::default()
            },
            b"",
        )
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        if target.len() > 100 {
            let record = pax_record("linkpath", target.as_bytes());
            return self.pax(&record).symlink(name, "x");
        }
        let fields = Fields {
            name: name.as_bytes(),
            link: target.as_bytes(),
            kind: b'2',
            mode: 0o777,
            ..Fields::default()
        };
        self.entry(fields, b"")
    }

    pub(crate) fn hardlink(self, name: &str, target: &str) -> Self {
        if target.len() > 100 {
            let record = pax_record("linkpath", target.as_bytes());
            return self.pax(&record).hardlink(name, "x");
        }
        let fields = Fields {
            name: name.as_bytes(),
            link: target.as_bytes(),
            kind: b'1',
            ..Fields::default()
        };
        self.entry(fields, b"")
    }

    /// A PAX header with this payload, well-formed or not.
    pub(crate) fn pax(self, payload: &[u8]) -> Self {
        self.entry(
            Fields {
                name: b"PaxHeader",
                kind: b'x',
                ..Fields::default()
            },
            payload,
        )
    }

    pub(crate) fn pax_global(self, payload: &[u8]) -> Self {
        self.entry(
            Fields {
                name: b"PaxGlobal",
                kind: b'g',
                ..Fields::default()
            },
            payload,
        )
    }

    /// A GNU long name (`L`) or long link (`K`).
    pub(crate) fn gnu_long(self, kind: u8, payload: &[u8]) -> Self {
        self.entry(
            Fields {
                name: b"././@LongLink",
                kind,
                magic: GNU,
                ..Fields::default()
            },
            payload,
        )
    }

    /// The stream with its end marker.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// One PAX record with its correct length.
pub(crate) fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

pub(crate) fn with_checksum(mut header: [u8; 512]) -> [u8; 512] {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

//! Parser rules, as a table of streams and what becomes of them.

#[path = "../../tests/support/tar.rs"]
mod bytes;

use proptest::prelude::*;

use self::bytes::{Fields, GNU, Tar, pax_record, with_checksum};
use super::{MemberKind, Streamed, TarReader};
use crate::{Error, ErrorKind};

type Listed = Vec<(String, MemberKind, String)>;

/// Names, kinds and content of all members.
fn list(stream: &[u8]) -> Result<Listed, Error> {
    let mut tar = TarReader::new(Streamed(stream));
    let mut members = Vec::new();
    while let Some(member) = tar.next_member()? {
        let mut content = Vec::new();
        let mut buffer = [0; 100];
        loop {
            match tar.read_body(&mut buffer)? {
                0 => break,
                read => content.extend_from_slice(&buffer[..read]),
            }
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let content = if content.is_empty() {
            text(&member.link)
        } else {
            text(&content)
        };
        members.push((text(&member.path), member.kind, content));
    }
    Ok(members)
}

fn names(stream: &[u8]) -> Result<Vec<String>, ErrorKind> {
    list(stream)
        .map(|members| members.into_iter().map(|(name, ..)| name).collect())
        .map_err(|error| error.kind())
}

/// Go's reader, and so every tool that reads layers, takes an archive that ends in the
/// padding behind a file: `umoci insert` writes such layers.
#[test]
fn the_end_may_come_in_the_padding() {
    let stream = Tar::new().file("a", "content").file("b", "more").end();
    for kept in ["more".len(), "more".len() + 1, 511, 512] {
        let cut = &stream[..3 * 512 + kept];
        assert_eq!(names(cut), Ok(vec!["a".into(), "b".into()]), "{kept}");
    }
    assert_eq!(names(&stream[..3 * 512 + 3]), Err(ErrorKind::Invalid));
}

#[test]
fn ordinary_members() {
    let stream = Tar::new()
        .dir("d/")
        .file("d/f", "content")
        .symlink("l", "d/f")
        .hardlink("h", "d/f")
        .end();
    let expected = [
        ("d/", MemberKind::Directory, ""),
        ("d/f", MemberKind::Regular, "content"),
        ("l", MemberKind::Symlink, "d/f"),
        ("h", MemberKind::Hardlink, "d/f"),
    ];
    let expected =
        expected.map(|(name, kind, content)| (name.to_owned(), kind, content.to_owned()));
    assert_eq!(list(&stream).unwrap(), expected);
}

#[test]
fn the_size_of_a_pax_header_wins() {
    let hidden = Tar::new().file("hidden", "x").0;
    let size = pax_record("size", hidden.len().to_string().as_bytes());
    for claimed in [0, 5, 4096] {
        let fields = Fields {
            name: b"outer",
            size: Some(claimed),
            ..Fields::default()
        };
        let stream = Tar::new()
            .pax(&size)
            .entry(fields, &hidden)
            .file("last", "")
            .end();
        assert_eq!(names(&stream).unwrap(), ["outer", "last"]);
    }
}

#[test]
fn only_files_have_content() {
    for kind in [b'1', b'2', b'3', b'4', b'5', b'6'] {
        let fields = Fields {
            name: b"x",
            link: b"y",
            kind,
            size: Some(512),
            ..Fields::default()
        };
        let stream = Tar::new().entry(fields, b"").file("next", "").end();
        assert_eq!(
            names(&stream).unwrap(),
            ["x", "next"],
            "{}",
            char::from(kind)
        );
    }
}

#[test]
fn refusals() {
    let invalid = ErrorKind::Invalid;
    let ok = || Tar::new().file("f", "x");
    let path = |name: &str| pax_record("path", name.as_bytes());
    let v7 = Fields {
        name: b"h",
        kind: b'x',
        magic: &[0; 8],
        ..Fields::default()
    };
    let gnu = Fields { magic: GNU, ..v7 };
    let cases: Vec<(&str, Vec<u8>, ErrorKind)> = vec![
        (
            "two PAX headers",
            Tar::new()
                .pax(&path("a"))
                .pax(&path("b"))
                .file("f", "")
                .end(),
            invalid,
        ),
        (
            "PAX and GNU",
            Tar::new()
                .pax(&path("a"))
                .gnu_long(b'L', b"b\0")
                .file("f", "")
                .end(),
            invalid,
        ),
        (
            "GNU and PAX",
            Tar::new()
                .gnu_long(b'L', b"b\0")
                .pax(&path("a"))
                .file("f", "")
                .end(),
            invalid,
        ),
        (
            "GNU link and PAX",
            Tar::new()
                .gnu_long(b'K', b"b\0")
                .pax(&path("a"))
                .file("f", "")
                .end(),
            invalid,
        ),
        (
            "two long names",
            Tar::new()
                .gnu_long(b'L', b"a\0")
                .gnu_long(b'L', b"b\0")
                .file("f", "")
                .end(),
            invalid,
        ),
        ("dangling PAX", ok().pax(&path("a")).end(), invalid),
        (
            "dangling PAX, no end marker",
            ok().pax(&path("a")).0,
            invalid,
        ),
        (
            "dangling long name",
            ok().gnu_long(b'L', b"a\0").end(),
            invalid,
        ),
        (
            "global path",
            Tar::new().pax_global(&path("a")).file("f", "").end(),
            invalid,
        ),
        (
            "global size",
            Tar::new().pax_global(b"9 size=1\n").file("f", "").end(),
            invalid,
        ),
        (
            "global between",
            Tar::new()
                .pax(&path("a"))
                .pax_global(b"13 comment=x\n")
                .file("f", "")
                .end(),
            invalid,
        ),
        (
            "PAX in a v7 archive",
            Tar::new().entry(v7, &path("a")).file("f", "").end(),
            invalid,
        ),
        (
            "PAX in a GNU archive",
            Tar::new().entry(gnu, &path("a")).file("f", "").end(),
            invalid,
        ),
        (
            "NUL in a PAX path",
            Tar::new().pax(&path("a\0b")).file("f", "").end(),
            invalid,
        ),
        (
            "zero block in the middle",
            [
                Tar::new().file("f", "").0,
                vec![0; 512],
                Tar::new().file("g", "").end(),
            ]
            .concat(),
            invalid,
        ),
        (
            "PAX sparse of an unknown version",
            Tar::new()
                .pax(&pax_record("GNU.sparse.major", b"1"))
                .file("f", "")
                .end(),
            ErrorKind::Unsupported,
        ),
        (
            "PAX sparse whose map is not complete",
            Tar::new()
                .pax(
                    &[
                        pax_record("GNU.sparse.major", b"1"),
                        pax_record("GNU.sparse.minor", b"0"),
                        pax_record("GNU.sparse.realsize", b"9999"),
                    ]
                    .concat(),
                )
                .file("f", "2\n0\n")
                .end(),
            invalid,
        ),
        (
            "PAX sparse whose map is longer than the file",
            Tar::new()
                .pax(
                    &[
                        pax_record("GNU.sparse.size", b"10"),
                        pax_record("GNU.sparse.map", b"0,5,6,5"),
                    ]
                    .concat(),
                )
                .file("f", "0123456789")
                .end(),
            invalid,
        ),
        (
            "GNU sparse without its content",
            Tar::new()
                .entry(
                    Fields {
                        name: b"s",
                        kind: b'S',
                        magic: GNU,
                        size: Some(512),
                        ..Fields::default()
                    },
                    b"",
                )
                .end(),
            invalid,
        ),
        (
            "unknown type",
            Tar::new()
                .entry(
                    Fields {
                        name: b"s",
                        kind: b'V',
                        ..Fields::default()
                    },
                    b"",
                )
                .end(),
            ErrorKind::Unsupported,
        ),
        (
            "huge extension",
            Tar::new()
                .entry(
                    Fields {
                        name: b"s",
                        kind: b'x',
                        size: Some(1 << 30),
                        ..Fields::default()
                    },
                    b"",
                )
                .end(),
            ErrorKind::LimitExceeded,
        ),
        (
            "long path",
            Tar::new()
                .pax(&path(&"a/".repeat(2100)))
                .file("f", "")
                .end(),
            ErrorKind::LimitExceeded,
        ),
        (
            "cut body",
            Tar::new().file("f", "xyz").0[..514].to_vec(),
            invalid,
        ),
        ("cut header", ok().0[..100].to_vec(), invalid),
    ];
    for (name, stream, kind) in cases {
        assert_eq!(names(&stream), Err(kind), "{name}");
    }
}

#[test]
fn long_names_end_at_their_first_nul() {
    let stream = Tar::new()
        .gnu_long(b'L', b"evil\0/../../x")
        .file("f", "")
        .end();
    assert_eq!(names(&stream).unwrap(), ["evil"]);
}

#[test]
fn ends_of_archives() {
    let one = Tar::new().file("f", "x");
    let two = Tar::new().file("g", "x").end();
    assert_eq!(names(&one.0).unwrap(), ["f"], "no end marker");
    assert_eq!(
        names(&[one.0.clone(), vec![0; 512]].concat()).unwrap(),
        ["f"],
        "half an end marker"
    );
    assert_eq!(
        names(&[one.end(), two].concat()).unwrap(),
        ["f"],
        "a second archive is not read"
    );
    assert_eq!(names(b"").unwrap(), [""; 0]);
}

#[test]
fn checksums_count() {
    let stream = Tar::new().file("f", "x").end();
    // The checksum's own last two bytes only end it.
    for byte in (0..512).filter(|byte| !(154..156).contains(byte)) {
        let mut damaged = stream.clone();
        damaged[byte] ^= 0x40;
        assert_eq!(names(&damaged), Err(ErrorKind::Invalid), "byte {byte}");
    }
}

#[test]
fn old_directories_are_files_with_a_slash() {
    let fields = Fields {
        name: b"d/",
        kind: 0,
        magic: &[0; 8],
        ..Fields::default()
    };
    assert_eq!(
        list(&Tar::new().entry(fields, b"").end()).unwrap()[0].1,
        MemberKind::Directory
    );
    let fields = Fields {
        name: b"d/",
        kind: b'0',
        ..fields
    };
    assert_eq!(
        list(&Tar::new().entry(fields, b"").end()).unwrap()[0].1,
        MemberKind::Regular
    );
}

proptest! {
    #[test]
    fn arbitrary_headers_neither_panic_nor_hang(
        blocks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 512), any::<bool>(), any::<bool>()), 0..8),
    ) {
        let mut stream = Vec::new();
        for (block, ustar, sum) in blocks {
            let mut header = [0; 512];
            header.copy_from_slice(&block);
            if ustar {
                header[257..265].copy_from_slice(bytes::USTAR);
                header[124..136].copy_from_slice(b"00000000000\0");
            }
            stream.extend_from_slice(&if sum { with_checksum(header) } else { header });
        }
        let _either = list(&stream);
    }
}

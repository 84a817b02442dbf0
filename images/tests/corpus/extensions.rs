//! Extension headers: P03 to P14.

use super::Verdict::{Names, Refused};
use super::support::tar::{Fields, Tar};
use super::{Row, pax, row};
use lambent_images::ErrorKind::{Invalid, Unsupported};

pub(super) fn rows() -> Vec<Row> {
    let hidden = Tar::new().file("hidden", "x").0;
    let size = pax("size", &hidden.len().to_string());
    let phantom = Fields {
        name: b"outer",
        size: Some(0),
        ..Fields::default()
    };
    let nul_version = Fields {
        name: b"PaxHeader",
        kind: b'x',
        magic: b"ustar\0\0\0",
        ..Fields::default()
    };
    let f = |tar: Tar| tar.file("f", "x").end();
    vec![
        row(
            "P03 a size before a long name",
            f(Tar::new().pax(&pax("size", "1")).gnu_long(b'L', b"long\0")),
            Refused(Invalid, "both PAX and GNU"),
        ),
        row(
            "P03 a global size before a long name",
            f(Tar::new()
                .pax_global(&pax("size", "1"))
                .gnu_long(b'L', b"long\0")),
            Refused(Invalid, "global PAX header"),
        ),
        row(
            "P04 hidden member",
            Tar::new()
                .pax(&size)
                .entry(phantom, &hidden)
                .file("last", "")
                .end(),
            Names(&["last", "outer"]),
        ),
        row(
            "P04 phantom member: the header's size spans it, the extension's does not",
            Tar::new()
                .pax(&pax("size", "0"))
                .entry(
                    Fields {
                        size: Some(1024),
                        ..phantom
                    },
                    b"",
                )
                .0
                .into_iter()
                .chain(Tar::new().file("seen", "x").end())
                .collect(),
            Names(&["outer", "seen"]),
        ),
        row(
            "P04 a path of the extension counts before the header's",
            f(Tar::new().pax(&pax("path", "real"))),
            Names(&["real"]),
        ),
        row(
            "P05 no newline",
            f(Tar::new().pax(b"9 path=ab")),
            Refused(Invalid, "malformed record"),
        ),
        row(
            "P05 length 0",
            f(Tar::new().pax(b"0 path=a\n")),
            Refused(Invalid, "malformed record"),
        ),
        row(
            "P05 sign",
            f(Tar::new().pax(b"+9 path=a\n")),
            Refused(Invalid, "malformed record"),
        ),
        row(
            "P05 zeros",
            f(Tar::new().pax(b"009 path=a\n")),
            Refused(Invalid, "malformed record"),
        ),
        row(
            "P05 beyond",
            f(Tar::new().pax(b"99 path=a\n")),
            Refused(Invalid, "malformed record"),
        ),
        row(
            "P05 NULs after",
            f(Tar::new().pax(b"9 path=a\n\0\0")),
            Refused(Invalid, "malformed"),
        ),
        row(
            "P06 newline in a value",
            f(Tar::new().pax(&pax("comment", "a\n9 path=b\n"))),
            Names(&["f"]),
        ),
        row(
            "P07 empty path",
            f(Tar::new().pax(b"8 path=\n")),
            Refused(Invalid, "empties"),
        ),
        row(
            "P07 empty linkpath",
            Tar::new().pax(&pax("linkpath", "")).symlink("l", "f").end(),
            Refused(Invalid, "empties"),
        ),
        row(
            "P07 empty uname",
            f(Tar::new().pax(&pax("uname", ""))),
            Names(&["f"]),
        ),
        row(
            "P08 two paths",
            f(Tar::new().pax(&[pax("path", "a"), pax("path", "b")].concat())),
            Names(&["b"]),
        ),
        row(
            "P08 two sizes",
            Tar::new()
                .pax(&[pax("size", "9"), pax("size", "1")].concat())
                .file("f", "x")
                .file("g", "")
                .end(),
            Names(&["f", "g"]),
        ),
        row(
            "P08 two link targets",
            Tar::new()
                .pax(&[pax("linkpath", "a"), pax("linkpath", "b")].concat())
                .symlink("l", "c")
                .end(),
            Names(&["l"]),
        ),
        row(
            "P09 linkpath and long link",
            Tar::new()
                .gnu_long(b'K', b"a\0")
                .pax(&pax("linkpath", "b"))
                .symlink("l", "c")
                .end(),
            Refused(Invalid, "both PAX and GNU"),
        ),
        row(
            "P10 NUL in a long link",
            Tar::new()
                .gnu_long(b'K', b"f\0/../../x")
                .symlink("l", "c")
                .end(),
            Names(&["l"]),
        ),
        row(
            "P11 dangling before a second archive",
            [Tar::new().pax(&pax("path", "a")).end(), f(Tar::new())].concat(),
            Refused(Invalid, "not followed by a member"),
        ),
        row(
            "P12 NUL version",
            f(Tar::new().entry(nul_version, &pax("path", "a"))),
            Refused(Invalid, "not POSIX"),
        ),
        row(
            "P12 Solaris X",
            f(Tar::new().entry(
                Fields {
                    kind: b'X',
                    ..nul_version
                },
                &pax("path", "a"),
            )),
            Refused(Unsupported, "unknown type"),
        ),
        row(
            "P13 a global comment",
            f(Tar::new().pax_global(&pax("comment", "x"))),
            Names(&["f"]),
        ),
        row(
            "P13 a global owner and time, which are ignored",
            f(Tar::new().pax_global(&[pax("uid", "1"), pax("mtime", "1")].concat())),
            Names(&["f"]),
        ),
        row(
            "P13 a global link target",
            f(Tar::new().pax_global(&pax("linkpath", "x"))),
            Refused(Invalid, "global PAX header"),
        ),
        row(
            "P14 an orphaned part of a sparse map",
            f(Tar::new().pax(&pax("GNU.sparse.map", "0,1"))),
            Refused(Invalid, "sparse"),
        ),
        row(
            "P14 a global sparse map",
            f(Tar::new().pax_global(&pax("GNU.sparse.major", "1"))),
            Refused(Invalid, "global PAX header"),
        ),
    ]
}

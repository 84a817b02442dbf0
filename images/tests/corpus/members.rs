//! Many, repeated and misplaced members: P21 to P24.

use super::Verdict::{Names, Refused};
use super::support::tar::{Fields, GNU, Tar, USTAR};
use super::{Row, bent, but, mended, pax, row};
use lambent_images::ErrorKind::Invalid;

pub(super) fn rows() -> Vec<Row> {
    let three = Tar::new().file("f", "1").file("f", "2").file("f", "3");
    let extensions = (0..1000).fold(Tar::new(), |tar, _| tar.pax_global(&pax("comment", "x")));
    vec![
        // Python recurses, and libarchive has a limit.
        but(
            &["bsdtar", "python"],
            row(
                "P21 1,000 global headers",
                extensions.file("f", "").end(),
                Names(&["f"]),
            ),
        ),
        row(
            "P21 1,000 long names before one member",
            (0..1000)
                .fold(Tar::new(), |tar, _| tar.gnu_long(b'L', b"a\0"))
                .file("f", "")
                .end(),
            Refused(Invalid, "two extension headers"),
        ),
        row(
            "P21 16 MiB of zeros after the end",
            [Tar::new().file("f", "").end(), vec![0; 16 << 20]].concat(),
            Names(&["f"]),
        ),
        row("P22 three times", three.end(), Names(&["f"])),
        row(
            "P22 file, then directory",
            Tar::new().file("d", "x").dir("d").end(),
            Names(&["d"]),
        ),
        row(
            "P22 directory, then file",
            Tar::new().dir("d").file("d", "x").end(),
            Names(&["d"]),
        ),
        // A list has both names.
        but(
            &["gnu tar", "bsdtar", "python"],
            row(
                "P22 full directory, then file",
                Tar::new().file("d/f", "x").file("d", "x").end(),
                Names(&["d"]),
            ),
        ),
        row(
            "P23 link before its target",
            Tar::new().hardlink("l", "f").file("f", "x").end(),
            Refused(Invalid, "neither its layer has before it"),
        ),
        row(
            "P23 link to itself",
            Tar::new().hardlink("l", "l").end(),
            Refused(Invalid, "link"),
        ),
        row(
            "P23 file, then a link of its name to it",
            Tar::new().file("f", "x").hardlink("f", "f").end(),
            Refused(Invalid, "no other file"),
        ),
        row(
            "P23 link to a directory",
            Tar::new().dir("d").hardlink("l", "d").end(),
            Refused(Invalid, "link"),
        ),
        row(
            "P23 link to a whiteout",
            Tar::new().file(".wh.f", "").hardlink("l", ".wh.f").end(),
            Refused(Invalid, "neither its layer has before it"),
        ),
        row(
            "P24 no parent",
            Tar::new().file("a/b/c", "x").end(),
            Names(&["a", "a/b", "a/b/c"]),
        ),
        row(
            "P24 a file as parent",
            Tar::new().file("a", "x").file("a/b", "x").end(),
            Refused(Invalid, "not a directory"),
        ),
        row(
            "P24 a closed parent",
            Tar::new().dir_mode("a", 0).file("a/b", "x").end(),
            Names(&["a", "a/b"]),
        ),
        row(
            "T23 equal after cleaning",
            Tar::new()
                .file("a/./b", "1")
                .file("a//b", "2")
                .file("./a/b", "3")
                .end(),
            Names(&["a", "a/b"]),
        ),
        row(
            "a name in the prefix field",
            bent(345, b"up"),
            Names(&["up", "up/f"]),
        ),
        // Python takes GNU's numbers for a prefix.
        but(
            &["python"],
            row(
                "bytes in the place of GNU's prefix",
                mended(
                    Tar::new()
                        .entry(
                            Fields {
                                name: b"f",
                                magic: GNU,
                                ..Fields::default()
                            },
                            b"",
                        )
                        .0
                        .iter()
                        .enumerate()
                        .map(|(at, &byte)| if at == 345 { b'7' } else { byte })
                        .chain([0; 1024])
                        .collect(),
                ),
                Names(&["f"]),
            ),
        ),
        row(
            "a name without its NUL",
            Tar::new()
                .entry(
                    Fields {
                        name: &[b'n'; 100],
                        magic: USTAR,
                        ..Fields::default()
                    },
                    b"",
                )
                .end(),
            Names(&[
                "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
            ]),
        ),
    ]
}

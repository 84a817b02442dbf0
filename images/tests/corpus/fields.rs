//! Header fields, and the ends of archives: P15 to P19.

use super::Verdict::{Names, Refused};
use super::support::tar::{Fields, Tar};
use super::{Row, bent, but, mended, row};
use lambent_images::ErrorKind::{Invalid, Unsupported};

fn of_kind(kind: u8, size: u64) -> Fields<'static> {
    Fields {
        name: b"odd",
        kind,
        size: Some(size),
        ..Fields::default()
    }
}

pub(super) fn rows() -> Vec<Row> {
    let number = |what| Refused(Invalid, what);
    let mut signed_sum = Tar::new().file("caf\u{e9}", "x").end();
    let sum: i32 = signed_sum[..512]
        .iter()
        .enumerate()
        .map(|(at, &byte)| match at {
            148..156 => 32,
            _ => i32::from(byte.cast_signed()),
        })
        .sum();
    signed_sum[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut zero_sum = Tar::new().file("f", "x").end();
    zero_sum[148..156].copy_from_slice(b"000000\0 ");
    vec![
        row(
            "P15 negative size",
            bent(124, &[0xff; 12]),
            number("out-of-range size"),
        ),
        row(
            "P15 size 2^63",
            bent(124, b"\x80\0\0\0\x80\0\0\0\0\0\0\0"),
            number("size"),
        ),
        row(
            "P15 signed size",
            bent(124, b"-0000000001\0"),
            number("out-of-range size"),
        ),
        row(
            "P15 uid 2^63",
            bent(108, b"\x80\x80\0\0\0\0\0\0"),
            number("out of range"),
        ),
        row(
            "P15 uid not octal",
            bent(108, b"0000008\0"),
            number("out-of-range uid"),
        ),
        row(
            "P15 spaces for numbers",
            bent(108, b"       \0       \0"),
            Names(&["f"]),
        ),
        row("P15 mtime -1", bent(136, &[0xff; 12]), Names(&["f"])),
        row(
            "P15 mtime beyond any clock",
            bent(136, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"),
            Names(&["f"]),
        ),
        // They list it; device nodes are left out, whatever their numbers.
        but(
            &["gnu tar", "bsdtar", "python"],
            row(
                "P15 a device of 2^40",
                mended(
                    Tar::new()
                        .entry(of_kind(b'3', 0), b"")
                        .0
                        .iter()
                        .enumerate()
                        .map(|(at, &byte)| if at == 329 { 0x80 } else { byte })
                        .chain([0; 1024])
                        .collect(),
                ),
                Names(&[]),
            ),
        ),
        row(
            "P16 a sum over signed bytes",
            signed_sum,
            Refused(Invalid, "checksum"),
        ),
        row("P16 no sum", zero_sum, Refused(Invalid, "checksum")),
        row(
            "P19 a contiguous file",
            Tar::new().entry(of_kind(b'7', 1), b"x").file("g", "").end(),
            Names(&["g", "odd"]),
        ),
        row(
            "P19 D",
            Tar::new().entry(of_kind(b'D', 1), b"x").end(),
            Refused(Unsupported, "type 'D'"),
        ),
        row(
            "P19 M",
            Tar::new().entry(of_kind(b'M', 1), b"x").end(),
            Refused(Unsupported, "type 'M'"),
        ),
        row(
            "P19 N",
            Tar::new().entry(of_kind(b'N', 1), b"x").end(),
            Refused(Unsupported, "type 'N'"),
        ),
        row(
            "P19 V",
            Tar::new().entry(of_kind(b'V', 0), b"").end(),
            Refused(Unsupported, "type 'V'"),
        ),
        row(
            "P17 three zero blocks, then another archive",
            [
                Tar::new().file("f", "").end(),
                vec![0; 512],
                Tar::new().file("g", "").end(),
            ]
            .concat(),
            Names(&["f"]),
        ),
        // Go's reader takes it, and so do umoci, containerd and Podman.
        but(
            &["gnu tar", "bsdtar", "python"],
            row(
                "P18 cut in the padding",
                Tar::new().file("f", "x").0[..1000].to_vec(),
                Names(&["f"]),
            ),
        ),
    ]
}

//! What a program says of itself: the interpreter that a script asks for, the
//! machine and the loader that an ELF file is for. Pure; the bytes are untrusted.

use object::Endianness;
use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

/// So many of a program's first bytes are enough to tell.
pub(super) const HEAD: u64 = 64 * 1024;
/// The kernel reads a script's first line in this many bytes.
const SHEBANG_MAX: usize = 256;

/// What kind of program it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Program {
    /// `#!`, and the interpreter's path as the kernel takes it.
    Script(String),
    /// For a machine, and with a loader unless it is static.
    Elf {
        /// OCI's name of the architecture; `None` for any other than Lambda's.
        architecture: Option<&'static str>,
        loader: Option<String>,
    },
    /// Neither: the kernel has no way to run it.
    Unknown,
}

impl Program {
    /// Reads the first bytes of a file.
    pub(super) fn of(head: &[u8]) -> Self {
        if let Some(line) = head.strip_prefix(b"#!") {
            return Self::Script(interpreter(line));
        }
        elf(head).unwrap_or(Self::Unknown)
    }
}

/// The kernel's reading of the first line: blanks around, up to the next one. A
/// carriage return is part of the name.
fn interpreter(line: &[u8]) -> String {
    let line = &line[..line.len().min(SHEBANG_MAX)];
    let end = line.iter().position(|&byte| byte == b'\n');
    let line = &line[..end.unwrap_or(line.len())];
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = line.iter().position(|byte| !is_blank(byte));
    let word = &line[start.unwrap_or(line.len())..];
    let end = word.iter().position(is_blank).unwrap_or(word.len());
    String::from_utf8_lossy(&word[..end]).into_owned()
}

fn elf(head: &[u8]) -> Option<Program> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    // Lambda has 64-bit little-endian machines; the rest is for another.
    let other = Program::Elf {
        architecture: None,
        loader: None,
    };
    let Ok(header) = FileHeader64::<Endianness>::parse(head) else {
        return Some(other);
    };
    let Ok(endian) = header.endian() else {
        return Some(other);
    };
    if endian == Endianness::Big {
        return Some(other);
    }
    let loader = header
        .program_headers(endian, head)
        .ok()
        .into_iter()
        .flatten()
        .find_map(|segment| segment.interpreter(endian, head).ok().flatten())
        .map(|path| String::from_utf8_lossy(path).into_owned());
    Some(Program::Elf {
        architecture: match header.e_machine(endian) {
            EM_X86_64 => Some("amd64"),
            EM_AARCH64 => Some("arm64"),
            _ => None,
        },
        loader,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_their_interpreter() {
        for (head, expected) in [
            ("#!/bin/sh\necho", "/bin/sh"),
            ("#! \t/usr/bin/env python3\n", "/usr/bin/env"),
            ("#!/bin/sh\r\necho", "/bin/sh\r"),
            ("#!/bin/sh", "/bin/sh"),
            ("#!\n", ""),
            ("#!", ""),
        ] {
            assert_eq!(
                Program::of(head.as_bytes()),
                Program::Script(expected.to_owned()),
                "{head:?}"
            );
        }
    }

    #[test]
    fn this_test_is_a_program_for_this_machine() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let Program::Elf {
            architecture,
            loader,
        } = Program::of(&own[..64 * 1024])
        else {
            panic!("not an ELF file");
        };
        let host = lambent_images::Platform::host();
        assert_eq!(architecture, Some(host.architecture.as_str()));
        assert!(loader.unwrap().contains("/ld-"));
    }

    #[test]
    fn anything_else_is_not_a_program() {
        let big_endian = b"\x7fELF\x02\x02\x01".to_vec();
        for head in [&b""[..], b"\x7fEL", b"echo hi\n", &[0; 4096]] {
            assert_eq!(Program::of(head), Program::Unknown, "{head:?}");
        }
        for head in [
            &b"\x7fELF"[..],
            &big_endian,
            &[b"\x7fELF", &[1; 64][..]].concat(),
        ] {
            let other = Program::Elf {
                architecture: None,
                loader: None,
            };
            assert_eq!(Program::of(head), other, "{head:?}");
        }
    }
}

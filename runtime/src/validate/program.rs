//! What a program says of itself: the interpreter that a script asks for, the
//! machine and the loader that an ELF file is for. Pure; the bytes are untrusted.

use object::Endianness;
use object::elf::{
    EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, PT_INTERP, PT_LOAD, ProgramHeader64,
};
use object::read::elf::{FileHeader, ProgramHeader};

/// So many of a program's first bytes are enough to tell, for most.
pub(crate) const HEAD: u64 = 64 * 1024;
/// Most bytes of a program that are read, where its head is not enough: what changes
/// a program afterwards may write its loader's name at the end.
pub(super) const PROGRAM_MAX: u64 = 256 << 20;
/// The kernel reads a script's first line in this many bytes.
const SHEBANG_MAX: usize = 256;
/// Most program headers that the kernel reads: 64 KB, at 56 bytes each.
const PROGRAM_HEADERS_MAX: u16 = 1170;
/// A loader's name in bytes, with the zero at its end, as the kernel takes it.
const LOADER_BYTES: std::ops::RangeInclusive<usize> = 2..=4096;

/// What kind of program it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Program {
    /// `#!`, the interpreter's path as the kernel takes it, and what it gets before the
    /// script's own path: the rest of the line, as one argument.
    Script {
        interpreter: String,
        argument: Option<String>,
    },
    /// For a machine, and with a loader unless it is static.
    Elf {
        /// OCI's name of the architecture; `None` for any other than Lambda's.
        architecture: Option<&'static str>,
        loader: Option<String>,
    },
    /// A program for a machine of Lambda's that was cut off, and how many bytes it had
    /// at least. The kernel does begin to execute it, and then it dies by a signal.
    Truncated(u64),
    /// An ELF file for a machine of Lambda's that the kernel does not execute, and
    /// what is wrong with it, as the end of a sentence that begins with the file.
    Damaged(&'static str),
    /// Neither: the kernel has no way to run it.
    Unknown,
}

impl Program {
    /// Reads the first bytes of a file that has so many in all. What is damaged may only
    /// be cut off, if these are not all of them.
    pub(crate) fn of(head: &[u8], size: u64) -> Self {
        if let Some(line) = head.strip_prefix(b"#!") {
            return script(line);
        }
        elf(head, size).unwrap_or(Self::Unknown)
    }
}

/// The kernel's reading of the first line: blanks around, up to the next one. A
/// carriage return is part of the name.
fn script(line: &[u8]) -> Program {
    let line = &line[..line.len().min(SHEBANG_MAX)];
    let end = line.iter().position(|&byte| byte == b'\n');
    let line = trimmed(&line[..end.unwrap_or(line.len())]);
    let end = line
        .iter()
        .position(|&byte| is_blank(byte))
        .unwrap_or(line.len());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let argument = trimmed(&line[end..]);
    Program::Script {
        interpreter: text(&line[..end]),
        argument: (!argument.is_empty()).then(|| text(argument)),
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The same without blanks around.
fn trimmed(line: &[u8]) -> &[u8] {
    let inner = |&byte: &u8| !is_blank(byte);
    let begin = line.iter().position(inner).unwrap_or(line.len());
    let end = line.iter().rposition(inner).map_or(begin, |last| last + 1);
    &line[begin..end]
}

fn elf(head: &[u8], size: u64) -> Option<Program> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    if head.len() < size_of::<FileHeader64<Endianness>>() {
        return Some(Program::Damaged("ends within its ELF header"));
    }
    // Lambda has 64-bit little-endian machines; the rest is for another.
    let other = Program::Elf {
        architecture: None,
        loader: None,
    };
    let Ok(header) = FileHeader64::<Endianness>::parse(head) else {
        return Some(other);
    };
    let architecture = match header
        .endian()
        .map(|endian| (endian, header.e_machine(endian)))
    {
        Ok((Endianness::Little, EM_X86_64)) => "amd64",
        Ok((Endianness::Little, EM_AARCH64)) => "arm64",
        _ => return Some(other),
    };
    let program = segments(header, head).and_then(|segments| {
        let loader = loader(segments, head)?;
        let end = end(segments);
        Ok(if end > size {
            Program::Truncated(end)
        } else {
            Program::Elf {
                architecture: Some(architecture),
                loader,
            }
        })
    });
    Some(program.unwrap_or_else(Program::Damaged))
}

type Segment = ProgramHeader64<Endianness>;

/// What is loaded of a program; or why the kernel does not execute it.
fn segments<'a>(
    header: &FileHeader64<Endianness>,
    file: &'a [u8],
) -> Result<&'a [Segment], &'static str> {
    let endian = Endianness::Little;
    if !matches!(header.e_type(endian), ET_EXEC | ET_DYN) {
        return Err("is an ELF file, but not an executable one");
    }
    if !(1..=PROGRAM_HEADERS_MAX).contains(&header.e_phnum(endian)) {
        return Err("has no program headers, or too many");
    }
    header
        .program_headers(endian, file)
        .map_err(|_| "has program headers that cannot be read")
}

/// Where the last byte of a program is that is loaded, so many bytes from its begin.
fn end(segments: &[Segment]) -> u64 {
    let endian = Endianness::Little;
    let loaded = segments
        .iter()
        .filter(|segment| segment.p_type(endian) == PT_LOAD && segment.p_filesz(endian) > 0);
    loaded
        .map(|segment| {
            segment
                .p_offset(endian)
                .saturating_add(segment.p_filesz(endian))
        })
        .max()
        .unwrap_or(0)
}

/// The loader that a program names, if it names one; or why the kernel does not
/// execute it.
fn loader(segments: &[Segment], file: &[u8]) -> Result<Option<String>, &'static str> {
    let endian = Endianness::Little;
    let named = segments
        .iter()
        .find(|segment| segment.p_type(endian) == PT_INTERP);
    let Some(segment) = named else {
        return Ok(None);
    };
    let name = segment
        .data(endian, file)
        .map_err(|()| "names a loader beyond its end")?;
    match name {
        [.., 0] if LOADER_BYTES.contains(&name.len()) => {
            let end = name.iter().position(|&byte| byte == 0);
            let path = &name[..end.unwrap_or(name.len())];
            Ok(Some(String::from_utf8_lossy(path).into_owned()))
        }
        _ => Err("has a loader's name that is no text of 1 to 4,095 bytes with a zero at its end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_their_interpreter() {
        for (head, interpreter, argument) in [
            ("#!/bin/sh\necho", "/bin/sh", None),
            (
                "#! \t/usr/bin/env  python3 \n",
                "/usr/bin/env",
                Some("python3"),
            ),
            ("#!/bin/sh -e -u\n", "/bin/sh", Some("-e -u")),
            ("#!/bin/sh\r\necho", "/bin/sh\r", None),
            ("#!/bin/sh", "/bin/sh", None),
            ("#! \n", "", None),
            ("#!", "", None),
        ] {
            let expected = Program::Script {
                interpreter: interpreter.to_owned(),
                argument: argument.map(str::to_owned),
            };
            assert_eq!(Program::of(head.as_bytes(), 0), expected, "{head:?}");
        }
    }

    #[test]
    fn this_test_is_a_program_for_this_machine() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        let Program::Elf {
            architecture,
            loader,
        } = Program::of(&own[..64 * 1024], own.len() as u64)
        else {
            panic!("not an ELF file");
        };
        let host = lambent_images::Platform::host();
        assert_eq!(architecture, Some(host.architecture.as_str()));
        assert!(loader.unwrap().contains("/ld-"));
    }

    #[test]
    fn anything_else_is_not_a_program() {
        let big_endian = [b"\x7fELF\x02\x02\x01", &[0; 64][..]].concat();
        for head in [&b""[..], b"\x7fEL", b"echo hi\n", &[0; 4096]] {
            assert_eq!(Program::of(head, 4096), Program::Unknown, "{head:?}");
        }
        for head in [big_endian, [b"\x7fELF", &[1; 64][..]].concat()] {
            let other = Program::Elf {
                architecture: None,
                loader: None,
            };
            assert_eq!(Program::of(&head, 4096), other, "{head:?}");
        }
    }

    /// A program of this machine, with some of its bytes replaced.
    fn changed(program: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut program = program.to_vec();
        program[at..at + bytes.len()].copy_from_slice(bytes);
        program
    }

    #[test]
    fn what_is_damaged_the_kernel_does_not_execute() {
        let whole = std::fs::read("/bin/true").unwrap();
        let header = FileHeader64::<Endianness>::parse(whole.as_slice()).unwrap();
        let endian = header.endian().unwrap();
        let segments = header.program_headers(endian, whole.as_slice()).unwrap();
        let number = segments
            .iter()
            .position(|segment| segment.p_type(endian) == PT_INTERP)
            .unwrap();
        let size = segments[number].p_filesz(endian);
        let segment = usize::try_from(header.e_phoff(endian)).unwrap() + number * 56;
        // Places of p_offset and p_filesz.
        let (offset, length) = (segment + 8, segment + 32);
        let beyond = (whole.len() as u64).to_le_bytes();
        let cases = [
            ("cut within the header", whole[..40].to_vec()),
            ("cut within the program headers", whole[..100].to_vec()),
            ("an object file", changed(&whole, 16, &[1, 0])),
            ("headers beyond the end", changed(&whole, 32, &beyond)),
            ("headers of another size", changed(&whole, 54, &[55, 0])),
            ("no headers", changed(&whole, 56, &[0, 0])),
            ("many headers", changed(&whole, 56, &1171_u16.to_le_bytes())),
            ("a name beyond the end", changed(&whole, offset, &beyond)),
            (
                "an empty name",
                changed(&whole, length, &1_u64.to_le_bytes()),
            ),
            (
                "a long name",
                changed(&whole, length, &4097_u64.to_le_bytes()),
            ),
            (
                "a name without a zero",
                changed(&whole, length, &(size - 1).to_le_bytes()),
            ),
        ];
        let directory = tempfile::tempdir().unwrap();
        let refused = |name: &str, program: &[u8]| {
            let path = directory.path().join(name);
            std::fs::copy("/bin/true", &path).unwrap();
            std::fs::write(&path, program).unwrap();
            let result = std::process::Command::new(path).status();
            result.map(|_| ()).map_err(|error| error.raw_os_error())
        };
        assert_eq!(refused("whole", &whole), Ok(()));
        assert!(matches!(
            Program::of(&whole, whole.len() as u64),
            Program::Elf {
                loader: Some(_),
                ..
            }
        ));
        for (name, program) in cases {
            let read = Program::of(&program, program.len() as u64);
            assert!(matches!(read, Program::Damaged(_)), "{name}: {read:?}");
            // ENOEXEC, or EIO where the name cannot be read.
            let errno = refused(name, &program).unwrap_err();
            assert!(matches!(errno, Some(8 | 5)), "{name}: {errno:?}");
        }
    }

    /// Wherever it is cut behind its headers, and however little of it is looked at.
    #[test]
    fn what_is_cut_off_says_how_long_it_was() {
        let whole = std::fs::read("/bin/true").unwrap();
        let header = FileHeader64::<Endianness>::parse(whole.as_slice()).unwrap();
        let end = end(segments(header, &whole).unwrap());
        let name = whole.windows(4).position(|bytes| bytes == b"/ld-").unwrap();
        // Where the name of its loader has come.
        let head = name + 64;
        for size in [head as u64, end / 2, end - 1] {
            let cut = Program::of(&whole[..head], size);
            assert_eq!(cut, Program::Truncated(end), "{size} bytes");
        }
        // Section headers and symbols for debuggers are behind it.
        let rest = Program::of(&whole[..head], end);
        assert!(matches!(rest, Program::Elf { .. }), "{rest:?}");
    }
}

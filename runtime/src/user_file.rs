//! Files that the user names: they may be anything, and nothing of it may keep a
//! service waiting.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// Opens a regular file to read it.
///
/// # Errors
/// It cannot be opened, or is something else; the error does not name the path.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Some devices act when they are opened.
    check(path.metadata()?.file_type())?;
    // What came in its place meanwhile does not block either.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(NONBLOCK)
        .open(path)?;
    check(file.metadata()?.file_type())?;
    Ok(file)
}

fn check(kind: FileType) -> io::Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    let message = match () {
        () if kind.is_dir() => "it is a directory and no regular file: name the file in it",
        () if kind.is_fifo() => {
            "it is a FIFO and no regular file: write what comes out of it to a file, and name that"
        }
        () if kind.is_socket() => "it is a socket and no regular file: name a file",
        () if kind.is_char_device() => {
            "it is a device, such as a terminal, and no regular file: name a file"
        }
        () => "it is a device and no regular file: name a file",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType as Kind, Mode, mknodat};

    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        mknodat(CWD, path("fifo"), Kind::Fifo, Mode::RWXU, 0).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        symlink("fifo", path("to-fifo")).unwrap();
        for (path, part) in [
            (path("fifo"), "a FIFO and no regular file"),
            (path("to-fifo"), "a FIFO and no regular file"),
            (path("socket"), "a socket and no regular file"),
            (path("."), "a directory and no regular file"),
            (
                "/dev/zero".into(),
                "such as a terminal, and no regular file",
            ),
            (path("missing"), "No such file"),
        ] {
            let error = open(&path).unwrap_err().to_string();
            assert!(error.contains(part), "{}: {error}", path.display());
        }
        std::fs::write(path("file"), "text").unwrap();
        symlink("file", path("to-file")).unwrap();
        let mut text = String::new();
        let mut file = open(&path("to-file")).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    }
}

//! Temporary files: an archive that has to be jumped about in, and does not come
//! as a plain file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use crate::error::{Error, IoContext, Result, quoted_path};
use crate::unique::unique;
use crate::unpack::limits::IMAGE_BYTES_MAX;

/// Most bytes of an archive: an image of the largest size, and what a container
/// format adds to it.
const ARCHIVE_BYTES_MAX: u64 = IMAGE_BYTES_MAX + IMAGE_BYTES_MAX / 64;

/// Copies a stream to a file without a name, which is gone when it is closed.
///
/// `what` is what comes out of the stream, for messages.
pub(super) fn spool(stream: &mut dyn Read, what: &str) -> Result<File> {
    spool_at_most(stream, what, ARCHIVE_BYTES_MAX)
}

fn spool_at_most(stream: &mut dyn Read, what: &str, limit: u64) -> Result<File> {
    // As everywhere: `TMPDIR`, or /tmp.
    let directory = std::env::temp_dir();
    let mut file = unnamed(&directory)
        .doing(|| format!("making a temporary file in {}", quoted_path(&directory)))?;
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).doing(|| format!("reading {what}")),
        };
        total += read as u64;
        if total > limit {
            return Err(Error::limit(format!(
                "{what} is larger than {limit} bytes, and Lambda's limit for a container image \
                 is 10 GB uncompressed, all layers together"
            )));
        }
        file.write_all(&buffer[..read]).doing(|| {
            format!(
                "copying {what} to a temporary file in {} (another directory can be named with \
                 TMPDIR)",
                quoted_path(&directory)
            )
        })?;
    }
}

fn unnamed(directory: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    match openat(CWD, directory, flags | OFlags::TMPFILE, mode) {
        Ok(file) => Ok(file.into()),
        // File systems without such files, such as NFS and older overlays.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let name = format!(".lambent-{}-{}", std::process::id(), unique());
            let path = directory.join(name);
            let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let file = openat(CWD, &path, flags, mode)?;
            unlinkat(CWD, &path, rustix::fs::AtFlags::empty())?;
            Ok(file.into())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_stream_becomes_a_file_without_a_name() {
        let file = spool(&mut &b"content"[..], "the archive").unwrap();
        assert_eq!(file.metadata().unwrap().nlink(), 0);
        let mut bytes = [0; 7];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"content");
    }

    #[test]
    fn an_endless_stream_ends() {
        let error = spool_at_most(&mut io::repeat(0), "the archive", 1 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert!(error.to_string().contains("the archive"), "{error}");
    }
}

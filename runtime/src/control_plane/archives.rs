//! `archives/`: the archives of functions and layers as they came, so that clients can
//! have them back (`Code.Location`, `Content.Location`). What runs is what they were
//! unpacked to.

use std::fs;
use std::io::{Read, Seek};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::file::{self, failed};
use crate::service_error::ServiceError;

/// The path below which the endpoint serves them.
pub(crate) const ARCHIVES: &str = "archives";

/// How their names end.
const SUFFIX: &str = ".zip";

/// The directory.
#[derive(Debug)]
pub(super) struct Archives {
    directory: PathBuf,
}

impl Archives {
    /// Opens the directory, or makes it.
    pub(super) fn open(directory: &Path) -> Result<Self, ServiceError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| failed("make", directory, error))?;
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// Keeps an archive, unless it is there. One caller at a time.
    pub(super) fn keep(
        &self,
        digest: &str,
        mut archive: impl Read + Seek,
    ) -> Result<(), ServiceError> {
        let path = self.path(digest);
        if path.is_file() {
            return Ok(());
        }
        archive
            .rewind()
            .map_err(|error| failed("copy the archive to", &path, error))?;
        file::replace_from(&path, archive)
    }

    /// Its URL, if it is there: older versions of this program kept none.
    pub(super) fn location(&self, digest: &str, endpoint: &str) -> Option<String> {
        let found = self.path(digest).is_file();
        found.then(|| format!("http://{endpoint}/{ARCHIVES}/{digest}{SUFFIX}"))
    }

    /// The archive of the name in its URL.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        match name.strip_suffix(SUFFIX).filter(|digest| is_digest(digest)) {
            Some(digest) => file::read(&self.path(digest)),
            None => Ok(None),
        }
    }

    /// Removes all others, and what was not written to its end. One caller at a time.
    pub(super) fn retain(&self, wanted: impl Fn(&str) -> bool) -> Result<(), ServiceError> {
        let entries = fs::read_dir(&self.directory)
            .map_err(|error| failed("list", &self.directory, error))?;
        for entry in entries {
            let path = entry
                .map_err(|error| failed("list", &self.directory, error))?
                .path();
            let name = path.file_name().and_then(|name| name.to_str());
            let digest = name.and_then(|name| name.strip_suffix(SUFFIX));
            if !digest.is_some_and(&wanted) {
                fs::remove_file(&path).map_err(|error| failed("remove", &path, error))?;
            }
        }
        Ok(())
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}{SUFFIX}"))
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn archives_come_back_as_they_came() {
        let directory = tempfile::tempdir().unwrap();
        let archives = Archives::open(&directory.path().join("archives")).unwrap();
        let (one, two) = ("ab".repeat(32), "cd".repeat(32));
        let mut source = Cursor::new(b"zip".to_vec());
        source.set_position(2);
        archives.keep(&one, source).unwrap();
        archives.keep(&two, Cursor::new(b"other".to_vec())).unwrap();
        let name = format!("{one}.zip");
        assert_eq!(archives.read(&name).unwrap().unwrap(), b"zip");
        assert_eq!(
            archives.location(&one, "127.0.0.1:9000"),
            Some(format!("http://127.0.0.1:9000/archives/{one}.zip"))
        );
        for none in ["", ".zip", "../lock", "../functions/functions.json", &one] {
            assert_eq!(archives.read(none).unwrap(), None, "{none}");
        }
        archives.retain(|digest| digest == two).unwrap();
        assert_eq!(archives.read(&name).unwrap(), None);
        assert_eq!(archives.location(&one, "h"), None);
        assert!(archives.location(&two, "h").is_some());
    }
}

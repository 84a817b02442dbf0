//! The sockets of running services, one file each.
//!
//! A service that was killed leaves its file. Nobody listens on it, which is how
//! the next one knows that it may go; there is no pid that could have come to mean
//! another process.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

/// A service's own socket. Its file goes when it is dropped.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    name: String,
    path: PathBuf,
    pub(super) listener: UnixListener,
}

impl AdminSocket {
    /// Listens under a new name in `directory`, after removing what dead services
    /// left there.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub(crate) async fn bind(directory: &Path) -> io::Result<Self> {
        living(directory).await?;
        let random = uuid::Uuid::new_v4().simple().to_string();
        let name = random[..8].to_owned();
        // It gets its name only when somebody listens: others may think it dead.
        let hidden = format!(".{name}");
        let handle = File::open(directory)?;
        let listener = UnixListener::bind(short(&handle, &hidden))?;
        let unnamed = directory.join(&hidden);
        fs::set_permissions(&unnamed, Permissions::from_mode(0o600))?;
        let path = directory.join(&name);
        fs::rename(unnamed, &path)?;
        Ok(Self {
            name,
            path,
            listener,
        })
    }

    /// Its name, which tells services apart.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The services that run, by name, with a connection to each. Files that nobody
/// listens on are removed.
///
/// # Errors
/// The directory cannot be read; that it does not exist is none.
pub(crate) async fn living(directory: &Path) -> io::Result<Vec<(String, UnixStream)>> {
    let mut services = vec![];
    let handle = match File::open(directory) {
        Ok(handle) => handle,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(services),
        Err(error) => return Err(error),
    };
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.strip_prefix('.').is_some_and(is_name) {
            remove_if_abandoned(&directory.join(name));
        }
        if !is_name(name) {
            continue;
        }
        match UnixStream::connect(short(&handle, name)).await {
            Ok(stream) => services.push((name.to_owned(), stream)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let _ = fs::remove_file(directory.join(name));
            }
            // It has ended since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    services.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(services)
}

/// Getting a name takes microseconds; a socket of this age will never have one.
const ABANDONED: Duration = Duration::from_secs(60);

/// Removes the socket of a service that was killed before it had its name.
fn remove_if_abandoned(path: &Path) {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    if modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ABANDONED)) {
        let _ = fs::remove_file(path);
    }
}

/// Only what [`AdminSocket::bind`] makes, so that nothing else is ever removed.
fn is_name(name: &str) -> bool {
    name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A path to a file in an open directory that is shorter than the 108 bytes that a
/// socket's address has.
fn short(directory: &File, name: &str) -> PathBuf {
    Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(name)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[tokio::test]
    async fn the_living_are_found_and_the_dead_removed() {
        let directory = tempfile::tempdir().unwrap();
        // Longer than a socket's address may be.
        let directory = directory.path().join("d".repeat(120));
        assert!(living(&directory).await.unwrap().is_empty());
        fs::create_dir(&directory).unwrap();
        let one = AdminSocket::bind(&directory).await.unwrap();
        let mode = fs::metadata(&one.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let dead = directory.join("0123abcd");
        drop(UnixListener::bind(short(&File::open(&directory).unwrap(), "0123abcd")).unwrap());
        fs::write(directory.join("not-ours"), "").unwrap();
        let abandoned = directory.join(".0123abce");
        let long_ago = SystemTime::now() - ABANDONED * 2;
        let file = File::create(&abandoned).unwrap();
        file.set_modified(long_ago).unwrap();
        fs::write(directory.join(".0123abcf"), "").unwrap();
        assert!(dead.exists());
        let other = AdminSocket::bind(&directory).await.unwrap();
        assert!(!dead.exists() && !abandoned.exists());
        assert!(directory.join(".0123abcf").exists(), "it may be alive");
        let found = living(&directory).await.unwrap();
        let mut names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        let mut expected = vec![one.name(), other.name()];
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
        drop((one, other));
        assert!(living(&directory).await.unwrap().is_empty());
        assert!(directory.join("not-ours").exists());
    }
}

//! [`LayerStore`]: the layers of an installation, for commands and for a service at
//! the same time.
//!
//! ```text
//! layers/lock         held while anything here changes
//! layers/NAME.json    all versions of a layer: catalog::LayerBook
//! packages/           archives of layers and functions, unpacked, by digest
//! archives/           the same as they came, for clients that want them back
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use lambent_images::{Digest, ErrorKind, PackageLease, PackageLimits, PackageStore, zip_directory};
use serde_json::Value;

use super::archives::Archives;
use super::functions_file;
use crate::catalog::{
    Arns, LayerBook, LayerUse, LayerVersionArn, Moment, NewLayer, PublishLayer, Refusal,
    UNZIPPED_LIMIT,
};
use crate::file::{self, DirectoryLock, failed};
use crate::service_error::ServiceError;
use crate::state::StateDirectories;
use crate::user_file;

/// What an archive may cost. Of real ones, those with Node's modules have most
/// entries, some tens of thousands.
const LIMITS: PackageLimits = PackageLimits {
    bytes: UNZIPPED_LIMIT,
    entries: 200_000,
};

/// The layers, and the archives of functions beside them.
#[derive(Debug)]
pub(crate) struct LayerStore {
    directory: PathBuf,
    functions: PathBuf,
    packages: PackageStore,
    archives: Archives,
    arns: Arns,
}

impl LayerStore {
    /// Opens the store, or makes an empty one.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn open(directories: &StateDirectories, region: &str) -> Result<Self, ServiceError> {
        let directory = directories.layers();
        // Makes what is missing.
        drop(DirectoryLock::wait(&directory)?);
        Ok(Self {
            directory,
            functions: directories.functions(),
            packages: PackageStore::open(&directories.packages())?,
            archives: Archives::open(&directories.archives())?,
            arns: Arns::new(region),
        })
    }

    /// The archives.
    pub(crate) fn packages(&self) -> &PackageStore {
        &self.packages
    }

    /// The archive at a path; of a directory, one without a name beside the layers.
    ///
    /// # Errors
    /// It cannot be read, or has what an archive cannot have.
    pub(crate) fn archive_of(&self, content: &Path) -> Result<File, ServiceError> {
        let unreadable = |error: std::io::Error| {
            ServiceError::Image(format!("cannot read {}: {error}", content.display()))
        };
        let kind = content.metadata().map_err(unreadable)?;
        if kind.is_file() {
            return user_file::open(content).map_err(unreadable);
        }
        if !kind.is_dir() {
            return Err(ServiceError::Image(format!(
                "{} is neither a file nor a directory: name a zip archive, or a directory with \
                 what is to be in it",
                content.display()
            )));
        }
        let pack = |error| failed("pack", content, error);
        let mut file = tempfile::tempfile_in(&self.directory).map_err(pack)?;
        zip_directory(content, &mut file)?;
        file.seek(SeekFrom::Start(0)).map_err(pack)?;
        Ok(file)
    }

    /// Unpacks an archive, of a layer or a function.
    ///
    /// # Errors
    /// It is none, unsafe or too large.
    pub(crate) fn unpack(&self, mut archive: impl Read + Seek) -> Result<PackageLease, Refusal> {
        let lease =
            self.packages
                .add(&mut archive, LIMITS)
                .map_err(|error| match error.kind() {
                    ErrorKind::Io => Refusal::service(error.to_string()),
                    ErrorKind::LimitExceeded if error.to_string().starts_with("unzipped") => {
                        Refusal::unzipped()
                    }
                    _ => Refusal::invalid(format!("Could not unzip uploaded file: {error}")),
                })?;
        let _lock = self.lock()?;
        self.archives
            .keep(&lease.package().digest.hex(), archive)
            .map_err(|error| service(&error))?;
        Ok(lease)
    }

    /// Where a client that came to `endpoint` gets an archive as it came.
    pub(crate) fn location(&self, digest: &str, endpoint: Option<&str>) -> Option<String> {
        self.archives.location(digest, endpoint?)
    }

    /// An archive as it came.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub(crate) fn archive(&self, name: &str) -> Result<Vec<u8>, Refusal> {
        let read = self.archives.read(name).map_err(|error| service(&error))?;
        read.ok_or_else(|| Refusal::not_found("The resource you requested does not exist."))
    }

    /// Publishes an archive as the next version of a layer; the answer of
    /// `PublishLayerVersion`.
    ///
    /// # Errors
    /// The archive or the request is refused.
    pub(crate) fn publish(
        &self,
        name: &str,
        request: &PublishLayer,
        archive: impl Read + Seek,
    ) -> Result<Value, Refusal> {
        let lease = self.unpack(archive)?;
        let package = lease.package();
        let layer = NewLayer {
            digest: package.digest.hex(),
            size: package.size,
            unpacked_size: package.unpacked_size,
        };
        let _lock = self.lock()?;
        let mut book = self.book(name)?;
        let version = book.publish(request, &layer, &Moment::now())?;
        self.save(name, &book)?;
        book.answer(&self.arns, name, version)
            .ok_or_else(|| Refusal::service("the new version is not there"))
    }

    /// A layer's versions; none if there is no such layer.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub(crate) fn book(&self, name: &str) -> Result<LayerBook, Refusal> {
        let path = self.path(name);
        let Some(bytes) = file::read(&path).map_err(|error| service(&error))? else {
            return Ok(LayerBook::default());
        };
        serde_json::from_slice::<LayerBook>(&bytes)
            .ok()
            .filter(LayerBook::is_readable)
            .ok_or_else(|| {
                Refusal::service(format!(
                    "{} is damaged, or of another version of Lambent: remove it and publish the \
                     layer again",
                    path.display()
                ))
            })
    }

    /// The names of all layers.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn names(&self) -> Result<Vec<String>, Refusal> {
        let entries = fs::read_dir(&self.directory)
            .map_err(|error| service(&failed("list", &self.directory, error)))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The layer versions of a function, each leased until its function is recorded.
    ///
    /// # Errors
    /// One of them does not exist.
    pub(crate) fn resolve(
        &self,
        arns: &[String],
    ) -> Result<Vec<(LayerUse, PackageLease)>, Refusal> {
        let _lock = self.lock()?;
        let one = |arn: &String| {
            let missing = || Refusal::invalid(format!("Layer version {arn} does not exist."));
            let parsed = LayerVersionArn::parse(arn)?;
            let book = self.book(&parsed.name)?;
            let usage = book
                .usage(&self.arns, &parsed.name, parsed.version)
                .ok_or_else(missing)?;
            let lease = self.lease(&usage.digest).map_err(|error| service(&error))?;
            Ok((usage, lease))
        };
        arns.iter().map(one).collect()
    }

    /// Leases an archive by its 64 hexadecimal digits.
    ///
    /// # Errors
    /// It is not there any more.
    pub(crate) fn lease(&self, digest: &str) -> Result<PackageLease, ServiceError> {
        let parsed = format!("sha256:{digest}").parse()?;
        self.packages.lease(&parsed)?.ok_or_else(|| {
            ServiceError::Image(format!(
                "the archive {digest} is not in the package store any more: publish it again"
            ))
        })
    }

    /// Removes a version, if it is there, and its archive unless something else
    /// needs it. Whether there was one.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) fn remove(&self, name: &str, version: u64) -> Result<bool, Refusal> {
        let removed = {
            let _lock = self.lock()?;
            let mut book = self.book(name)?;
            let removed = book.remove(version);
            if removed {
                self.save(name, &book)?;
            }
            removed
        };
        self.collect()?;
        Ok(removed)
    }

    /// Removes the archives that neither a layer nor a function has.
    ///
    /// # Errors
    /// The store cannot be read, or what functions need is not known.
    pub(crate) fn collect(&self) -> Result<u64, Refusal> {
        let _lock = self.lock()?;
        let mut kept = BTreeSet::new();
        let mut keep = |hex: &str| kept.extend(format!("sha256:{hex}").parse::<Digest>());
        for name in self.names()? {
            self.book(&name)?.archives().for_each(&mut keep);
        }
        let catalog = functions_file::read(&self.functions).map_err(|error| service(&error))?;
        for function in catalog.functions.values() {
            function.archives().for_each(&mut keep);
        }
        let removed = self
            .packages
            .collect(&kept)
            .map_err(|error| Refusal::service(error.to_string()))?;
        // Whoever holds one that is not recorded yet holds what it was unpacked to.
        self.archives
            .retain(|digest| self.lease(digest).is_ok())
            .map_err(|error| service(&error))?;
        Ok(removed)
    }

    /// Makes the names of resources.
    pub(crate) fn arns(&self) -> &Arns {
        &self.arns
    }

    fn lock(&self) -> Result<DirectoryLock, Refusal> {
        DirectoryLock::wait(&self.directory).map_err(|error| service(&error))
    }

    fn save(&self, name: &str, book: &LayerBook) -> Result<(), Refusal> {
        let bytes =
            serde_json::to_vec_pretty(book).map_err(|error| Refusal::service(error.to_string()))?;
        file::replace(&self.path(name), &bytes).map_err(|error| service(&error))
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.directory).join(format!("{name}.json"))
    }
}

fn service(error: &ServiceError) -> Refusal {
    Refusal::service(error.to_string())
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn archives_are_of_files_and_directories() {
        let root = tempfile::tempdir().unwrap();
        let directories = StateDirectories::new(Some(root.path())).unwrap();
        let store = LayerStore::open(&directories, "us-east-1").unwrap();
        let content = tempfile::tempdir().unwrap();
        let path = |name: &str| content.path().join(name);
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        for (content, part) in [
            (path("fifo"), "is neither a file nor a directory"),
            ("/dev/zero".into(), "is neither a file nor a directory"),
            (path("."), "fifo\" is neither a file nor a directory nor"),
            (path("missing"), "No such file"),
        ] {
            let error = store.archive_of(&content).unwrap_err().to_string();
            assert!(error.contains(content.to_str().unwrap()), "{error}");
            assert!(error.contains(part), "{error}");
        }
        fs::remove_file(path("fifo")).unwrap();
        fs::write(path("file"), "text").unwrap();
        let mut text = String::new();
        let mut archive = store.archive_of(&path("file")).unwrap();
        archive.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        let mut begin = [0; 2];
        let mut archive = store.archive_of(content.path()).unwrap();
        archive.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"PK");
    }
}

//! `functions/functions.json`: the catalog on disk. One service at a time has it,
//! which holds `functions/lock`; others may read.

use std::path::{Path, PathBuf};

use crate::catalog::Catalog;
use crate::file::{self, DirectoryLock};
use crate::service_error::ServiceError;

/// The file, held by this process.
#[derive(Debug)]
pub(super) struct FunctionsFile {
    path: PathBuf,
    _lock: DirectoryLock,
}

impl FunctionsFile {
    /// Takes the file in `directory`, with what is in it.
    pub(super) fn take(directory: &Path) -> Result<(Self, Catalog), ServiceError> {
        let lock = DirectoryLock::take(directory)?.ok_or_else(|| {
            ServiceError::Host(format!(
                "another `lambent serve` has the functions in {}: end it, or give this one \
                 another --root",
                directory.display()
            ))
        })?;
        let catalog = read(directory)?;
        let file = Self {
            path: path(directory),
            _lock: lock,
        };
        Ok((file, catalog))
    }

    /// Writes the catalog, without the functions that come from the command line.
    pub(super) fn save(&self, catalog: &Catalog) -> Result<(), ServiceError> {
        let mut kept = catalog.clone();
        kept.functions.retain(|_, function| !function.transient);
        let bytes = serde_json::to_vec_pretty(&kept)
            .map_err(|error| ServiceError::Host(format!("the functions as JSON: {error}")))?;
        file::replace(&self.path, &bytes)
    }
}

/// Reads the catalog; an empty one if there is none.
pub(super) fn read(directory: &Path) -> Result<Catalog, ServiceError> {
    let path = path(directory);
    let Some(bytes) = file::read(&path)? else {
        return Ok(Catalog::default());
    };
    parse(&bytes).map_err(|reason| {
        ServiceError::Host(format!(
            "{} cannot be used: {reason}; mend it, or move it away to begin without functions",
            path.display()
        ))
    })
}

/// The catalog in a file's bytes, or why there is none.
fn parse(bytes: &[u8]) -> Result<Catalog, String> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let ours = Catalog::default().version;
    let version = serde_json::from_slice::<Versioned>(bytes)
        .map_err(|error| error.to_string())?
        .version;
    if version != ours {
        return Err(format!(
            "it has format {version}, and this program reads format {ours}"
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn path(directory: &Path) -> PathBuf {
    directory.join("functions.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_and_damage_are_told_apart() {
        assert!(parse(br#"{"version":1,"functions":{}}"#).is_ok());
        for (bytes, part) in [
            (r#"{"version":2,"functions":[]}"#, "format 2"),
            (r#"{"version":1,"functions":{"#, "EOF"),
            (r#"{"version":1,"functions":{"a b":{}}}"#, "function name"),
            ("", "EOF"),
        ] {
            let error = parse(bytes.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{bytes}: {error}");
        }
    }

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let (file, catalog) = FunctionsFile::take(directory.path()).unwrap();
        file.save(&catalog).unwrap();
        let error = FunctionsFile::take(directory.path()).unwrap_err();
        assert!(error.to_string().contains("another `lambent serve`"));
        drop(file);
        assert!(FunctionsFile::take(directory.path()).is_ok());
    }
}

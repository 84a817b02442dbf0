//! [`ConfigurationFile`]: a template or `lambent.toml` on disk.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::source::{self, Identity};
use crate::configuration::{Configuration, parse_toml};
use crate::control_plane::ROLE;
use crate::{template, user_file};

/// The name of the file that is found by itself.
pub(crate) const TOML: &str = "lambent.toml";

/// What `sam build` writes beside a template.
const BUILT: &str = ".aws-sam/build/template.yaml";

/// The longest file that is read, in bytes: `CloudFormation` takes no larger template.
const MAX_SIZE: u64 = 1 << 20;

/// A file, and what it is read with.
#[derive(Debug, Clone)]
pub(crate) struct ConfigurationFile {
    path: PathBuf,
    kind: Kind,
    region: String,
}

#[derive(Debug, Clone)]
enum Kind {
    Template {
        parameters: BTreeMap<String, String>,
    },
    Toml,
}

impl ConfigurationFile {
    /// A template.
    pub(crate) fn template(
        path: PathBuf,
        parameters: BTreeMap<String, String>,
        region: String,
    ) -> Self {
        Self {
            path,
            kind: Kind::Template { parameters },
            region,
        }
    }

    /// A `lambent.toml`.
    pub(crate) fn toml(path: PathBuf, region: String) -> Self {
        Self {
            path,
            kind: Kind::Toml,
            region,
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that paths in it are relative to.
    pub(crate) fn base(&self) -> &Path {
        self.path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."))
    }

    /// Whether it is what it was. Before it is read: what changes in between is then
    /// seen as a change.
    pub(crate) fn identity(&self) -> Identity {
        source::file_identity(&self.path)
    }

    /// What it wants.
    ///
    /// # Errors
    /// It cannot be read, is no regular file, is too large, or what is wrong with it
    /// and where.
    pub(crate) fn read(&self) -> Result<Configuration, String> {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", self.path.display());
        let text = text(&self.path).map_err(|error| named(&error))?;
        match &self.kind {
            Kind::Toml => parse_toml(&text, ROLE).map_err(|error| named(&error)),
            Kind::Template { parameters } => {
                let context = template::Context {
                    parameters,
                    region: &self.region,
                    role: ROLE,
                };
                template::read(&text, context).map_err(|error| named(&error))
            }
        }
    }

    /// An image reference of the file, for whoever is in another directory.
    pub(crate) fn image(&self, uri: &str) -> String {
        source::image(uri, self.base())
    }

    /// What somebody who names this file may have meant.
    pub(crate) fn hint(&self) -> Option<String> {
        let built = self.base().join(BUILT);
        (matches!(self.kind, Kind::Template { .. }) && built.is_file()).then(|| {
            format!(
                "CodeUri is taken as it is; what `sam build` made of it is served with --template \
                 {}",
                built.display()
            )
        })
    }
}

fn text(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    let file = user_file::open(path).map_err(failed)?;
    let mut bytes = vec![];
    // Its size may change while it is read.
    let read = file.take(MAX_SIZE + 1).read_to_end(&mut bytes);
    if read.map_err(failed)? as u64 > MAX_SIZE {
        return Err(
            "it is larger than 1 MB, the most that CloudFormation takes: make several of it"
                .to_owned(),
        );
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("it is no UTF-8 from byte {at} on: save it as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn what_cannot_be_a_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let size = usize::try_from(MAX_SIZE).unwrap();
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::create_dir(path("directory")).unwrap();
        fs::write(path("large"), vec![b'#'; size + 1]).unwrap();
        fs::write(path("latin1"), b"# \xe4").unwrap();
        for (name, part) in [
            ("fifo", "is a FIFO and no regular file"),
            ("directory", "is a directory and no regular file"),
            ("large", "is larger than 1 MB"),
            ("latin1", "is no UTF-8 from byte 2 on"),
            ("missing", "No such file"),
        ] {
            for file in [
                ConfigurationFile::toml(path(name), "us-east-1".to_owned()),
                ConfigurationFile::template(path(name), BTreeMap::new(), "us-east-1".to_owned()),
            ] {
                let error = file.read().unwrap_err();
                let named = format!("{}: ", path(name).display());
                assert!(error.starts_with(&named), "{error}");
                assert!(error.contains(part), "{error}");
            }
        }
        // The largest: all of it is a comment.
        fs::write(path("largest"), vec![b'#'; size]).unwrap();
        assert_eq!(text(&path("largest")).map(|text| text.len()), Ok(size));
    }
}

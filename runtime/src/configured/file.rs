//! [`ConfigurationFile`]: a template or `lambent.toml` on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::source::{self, Identity};
use crate::configuration::{Configuration, parse_toml};
use crate::control_plane::ROLE;
use crate::template;

/// The name of the file that is found by itself.
pub(crate) const TOML: &str = "lambent.toml";

/// What `sam build` writes beside a template.
const BUILT: &str = ".aws-sam/build/template.yaml";

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
    /// It cannot be read, or what is wrong with it and where.
    pub(crate) fn read(&self) -> Result<Configuration, String> {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", self.path.display());
        let text = std::fs::read_to_string(&self.path).map_err(|error| named(&error))?;
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

//! Where the code of a function is.

use serde_json::{Map, Value, json};

use super::function::Function;
use super::kind::FunctionKind;
use super::resolve::Result;
use crate::configuration::{CodeSource, Place};

impl Function<'_> {
    /// The package type, and where the code is.
    ///
    /// # Errors
    /// There is none, or not on this machine.
    pub(super) fn code(&self, request: &mut Map<String, Value>) -> Result<CodeSource> {
        let package = self.text("PackageType")?;
        let package = package.unwrap_or_else(|| "Zip".to_owned());
        request.insert("PackageType".to_owned(), json!(package));
        match (self.kind, package.as_str()) {
            (FunctionKind::Plain, package) => self.plain_code(package),
            (FunctionKind::Serverless, "Image") => match self.text("ImageUri")? {
                Some(uri) => Ok(CodeSource::Image(uri)),
                None => Err(self.no_image("ImageUri")),
            },
            (FunctionKind::Serverless, _) => {
                if let Some(text) = self.text("InlineCode")? {
                    return self.inline(text, &self.at("InlineCode"));
                }
                let code = self.value("CodeUri")?;
                if code.is_none() {
                    return Err(self.place.error(
                        "there is no CodeUri: name the directory or zip archive of the code",
                    ));
                }
                local(code.as_ref(), &self.at("CodeUri")).map(CodeSource::Files)
            }
        }
    }

    /// `Code`: a map with an image or a text, or, as `aws cloudformation package` takes it,
    /// a path.
    fn plain_code(&self, package: &str) -> Result<CodeSource> {
        let place = self.at("Code");
        let code = self.value("Code")?;
        let member = |name: &str| {
            let value = code.as_ref().and_then(|code| code.get(name));
            value.and_then(Value::as_str).map(str::to_owned)
        };
        if package == "Image" {
            let uri = member("ImageUri");
            return uri
                .map(CodeSource::Image)
                .ok_or_else(|| self.no_image("Code.ImageUri"));
        }
        if let Some(text) = member("ZipFile") {
            return self.inline(text, &place.part("ZipFile"));
        }
        if member("ImageUri").is_some() {
            return Err(place.error("has an ImageUri, but PackageType is not Image"));
        }
        if code.is_none() {
            return Err(self.place.error(
                "there is no Code: name the directory or zip archive of the code, as in Code: src",
            ));
        }
        local(code.as_ref(), &place).map(CodeSource::Files)
    }

    /// The program that the template itself has.
    fn inline(&self, text: String, place: &Place) -> Result<CodeSource> {
        let runtime = self.text("Runtime")?.unwrap_or_default();
        let file = if runtime.starts_with("python") {
            "index.py"
        } else if runtime.starts_with("nodejs") {
            "index.js"
        } else {
            return Err(place.error(
                "code in a template is for Node.js and Python only, on Lambda too: write it into a \
                 file, and name its directory",
            ));
        };
        Ok(CodeSource::Inline {
            file: file.to_owned(),
            text,
        })
    }

    fn no_image(&self, property: &str) -> crate::configuration::ConfigurationError {
        let dockerfile = self.metadata.and_then(|metadata| {
            let file = metadata.get("Dockerfile")?.text()?;
            Some(format!("Metadata names {file}, but "))
        });
        self.place.error(format!(
            "there is no {property}: {}Lambent does not build images. Build it, and name it: \
             ImageUri: docker-daemon:NAME:TAG, oci-archive:FILE, or the name of a stored image \
             (`lambent image ls`)",
            dockerfile.unwrap_or_default()
        ))
    }
}

/// A path of this machine.
pub(super) fn local(value: Option<&Value>, place: &Place) -> Result<String> {
    let s3 = || {
        place.error(
            "there is no S3 here: name a directory or zip archive of this machine (such as what \
             `sam build` writes)",
        )
    };
    match value {
        Some(Value::String(text)) if text.starts_with("s3://") => Err(s3()),
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::Object(_)) => Err(s3()),
        _ => Err(place.error("names neither a directory nor a zip archive")),
    }
}

//! The versions of a layer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Moment;
use super::record::LayerUse;
use super::refusal::Refusal;
use super::settings::description_of;
use super::shape::{Arns, base64_of_hex};

/// Version of the format on disk.
const VERSION: u32 = 1;

/// Longest name of a layer.
const NAME_MAX: usize = 140;

/// All versions of one layer, as they are kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayerBook {
    version: u32,
    /// The highest number that was ever given.
    last: u64,
    versions: BTreeMap<u64, LayerRecord>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayerRecord {
    #[serde(default)]
    description: String,
    #[serde(default)]
    license_info: Option<String>,
    #[serde(default)]
    compatible_runtimes: Vec<String>,
    #[serde(default)]
    compatible_architectures: Vec<String>,
    created: String,
    digest: String,
    size: u64,
    unpacked_size: u64,
}

/// `PublishLayerVersion`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PublishLayer {
    pub(crate) content: Option<LayerContent>,
    pub(crate) description: Option<String>,
    pub(crate) license_info: Option<String>,
    pub(crate) compatible_runtimes: Option<Vec<String>>,
    pub(crate) compatible_architectures: Option<Vec<String>>,
}

/// `Content`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayerContent {
    /// In base64.
    pub(crate) zip_file: Option<String>,
}

/// The archive of a new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewLayer {
    /// 64 hexadecimal digits.
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) unpacked_size: u64,
}

/// `arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION`, of which only the last two
/// are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerVersionArn {
    pub(crate) name: String,
    pub(crate) version: u64,
}

impl LayerVersionArn {
    /// Parses the ARN of a layer version.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let parts: Vec<&str> = text.split(':').collect();
        if let ["arn", _, "lambda", _, _, "layer", name, version] = parts.as_slice()
            && is_name(name)
            && let Ok(version) = version.parse()
        {
            return Ok(Self {
                name: (*name).to_owned(),
                version,
            });
        }
        Err(Refusal::invalid(format!(
            "Layer version {text} does not exist."
        )))
    }
}

/// The name in a `LayerName`, which may be an ARN.
///
/// # Errors
/// It is no name.
pub(crate) fn layer_name(text: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = text.split(':').collect();
    let name = match parts.as_slice() {
        ["arn", _, "lambda", _, _, "layer", name] => name,
        _ => text,
    };
    if name.len() > NAME_MAX {
        let rule = "Member must have length less than or equal to 140";
        return Err(Refusal::constraint(text, "layerName", rule));
    }
    if !is_name(name) {
        let rule = "Member must satisfy regular expression pattern: \
                    (arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\\d{12}:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+";
        return Err(Refusal::constraint(text, "layerName", rule));
    }
    Ok(name.to_owned())
}

/// A name is also the name of a file.
fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(legal)
}

impl Default for LayerBook {
    fn default() -> Self {
        Self {
            version: VERSION,
            last: 0,
            versions: BTreeMap::new(),
        }
    }
}

impl LayerBook {
    /// Whether this program reads the format.
    pub(crate) fn is_readable(&self) -> bool {
        self.version == VERSION
    }

    /// Adds a version and returns its number.
    ///
    /// # Errors
    /// The description is too long.
    pub(crate) fn publish(
        &mut self,
        request: &PublishLayer,
        layer: &NewLayer,
        moment: &Moment,
    ) -> Result<u64, Refusal> {
        let description = description_of(request.description.as_deref().unwrap_or_default())?;
        self.last += 1;
        let record = LayerRecord {
            description,
            license_info: request.license_info.clone(),
            compatible_runtimes: request.compatible_runtimes.clone().unwrap_or_default(),
            compatible_architectures: request.compatible_architectures.clone().unwrap_or_default(),
            created: moment.at.clone(),
            digest: layer.digest.clone(),
            size: layer.size,
            unpacked_size: layer.unpacked_size,
        };
        self.versions.insert(self.last, record);
        Ok(self.last)
    }

    /// Removes a version, if it is there. Its number is not given again.
    pub(crate) fn remove(&mut self, version: u64) -> bool {
        self.versions.remove(&version).is_some()
    }

    /// The numbers of its versions, newest first.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.versions.keys().rev().copied()
    }

    /// The digests of its archives.
    pub(crate) fn archives(&self) -> impl Iterator<Item = &str> {
        self.versions.values().map(|record| record.digest.as_str())
    }

    /// A version as a function uses it.
    pub(crate) fn usage(&self, arns: &Arns, name: &str, version: u64) -> Option<LayerUse> {
        let record = self.versions.get(&version)?;
        Some(LayerUse {
            arn: arns.layer_version(name, version),
            digest: record.digest.clone(),
            size: record.size,
            unpacked_size: record.unpacked_size,
        })
    }

    /// An item of `ListLayerVersions`.
    pub(crate) fn item(&self, arns: &Arns, name: &str, version: u64) -> Option<Value> {
        let record = self.versions.get(&version)?;
        let mut item = json!({
            "LayerVersionArn": arns.layer_version(name, version),
            "Version": version,
            "Description": record.description,
            "CreatedDate": record.created,
        });
        for (member, list) in [
            ("CompatibleRuntimes", &record.compatible_runtimes),
            ("CompatibleArchitectures", &record.compatible_architectures),
        ] {
            if !list.is_empty() {
                item[member] = json!(list);
            }
        }
        if let Some(license) = &record.license_info {
            item["LicenseInfo"] = json!(license);
        }
        Some(item)
    }

    /// The answer of `PublishLayerVersion` and `GetLayerVersion`.
    pub(crate) fn answer(&self, arns: &Arns, name: &str, version: u64) -> Option<Value> {
        let record = self.versions.get(&version)?;
        let mut answer = self.item(arns, name, version)?;
        answer["LayerArn"] = json!(arns.layer(name));
        answer["Content"] = json!({
            "CodeSha256": base64_of_hex(&record.digest),
            "CodeSize": record.size,
        });
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment() -> Moment {
        Moment {
            at: "2026-01-01T00:00:00.000+0000".to_owned(),
            revision_id: "r".to_owned(),
        }
    }

    #[test]
    fn numbers_are_never_given_again() {
        let mut book = LayerBook::default();
        let layer = NewLayer {
            digest: "00".repeat(32),
            size: 1,
            unpacked_size: 2,
        };
        let mut publish = || book.publish(&PublishLayer::default(), &layer, &moment());
        assert_eq!(publish(), Ok(1));
        assert_eq!(publish(), Ok(2));
        assert!(book.remove(2));
        assert!(!book.remove(2));
        assert_eq!(
            book.publish(&PublishLayer::default(), &layer, &moment()),
            Ok(3)
        );
        assert_eq!(book.numbers().collect::<Vec<_>>(), [3, 1]);
        let arns = Arns::new("us-east-1");
        let answer = book.answer(&arns, "n", 3).unwrap();
        assert_eq!(
            answer,
            json!({
                "LayerArn": "arn:aws:lambda:us-east-1:123456789012:layer:n",
                "LayerVersionArn": "arn:aws:lambda:us-east-1:123456789012:layer:n:3",
                "Version": 3,
                "Description": "",
                "CreatedDate": "2026-01-01T00:00:00.000+0000",
                "Content": {
                    "CodeSha256": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                    "CodeSize": 1,
                },
            })
        );
        assert_eq!(book.answer(&arns, "n", 2), None);
    }

    #[test]
    fn names_and_arns() {
        for (text, good) in [
            ("pillow", true),
            ("arn:aws:lambda:us-east-1:123456789012:layer:pillow", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("arn:aws:lambda:us-east-1:123456789012:layer:../x", false),
            (&"a".repeat(141), false),
        ] {
            assert_eq!(layer_name(text).is_ok(), good, "{text}");
        }
        let arn = LayerVersionArn::parse("arn:aws:lambda:us-east-1:123456789012:layer:pillow:7");
        assert_eq!(
            arn.map(|arn| (arn.name, arn.version)),
            Ok(("pillow".to_owned(), 7))
        );
        for bad in [
            "pillow:7",
            "arn:aws:lambda:us-east-1:123456789012:layer:pillow",
            "arn:aws:lambda:us-east-1:123456789012:layer:a/b:1",
        ] {
            let message = LayerVersionArn::parse(bad).unwrap_err().message;
            assert_eq!(message, format!("Layer version {bad} does not exist."));
        }
    }
}

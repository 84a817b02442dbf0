//! Create, update, delete and publish functions, and what becomes of them when
//! their deployment ends.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Moment;
use super::record::{
    Catalog, Code, EventInvokeRecord, FunctionRecord, LastUpdate, LayerUse, PackageSettings,
    Settings, State, VersionRecord,
};
use super::refusal::Refusal;
use super::settings::{
    CodeRequest, CreateFunction, UpdateConfiguration, architecture, check_size, description_of,
};
use super::shape::Arns;
use crate::model::{EventInvokeConfig, FunctionName, FunctionReference, Version};

/// `UpdateFunctionCode`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateCode {
    #[serde(flatten)]
    pub(crate) code: CodeRequest,
    pub(crate) architectures: Option<Vec<String>>,
    pub(crate) publish: Option<bool>,
    pub(crate) dry_run: Option<bool>,
    pub(crate) revision_id: Option<String>,
}

/// `PublishVersion`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PublishVersion {
    #[serde(rename = "CodeSha256")]
    pub(crate) code_sha256: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) revision_id: Option<String>,
}

impl Catalog {
    /// The function of that name.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn function(
        &self,
        name: &FunctionName,
        arns: &Arns,
    ) -> Result<&FunctionRecord, Refusal> {
        self.functions
            .get(name)
            .ok_or_else(|| Refusal::function(&arns.function(name)))
    }

    pub(super) fn function_mut(
        &mut self,
        name: &FunctionName,
        arns: &Arns,
    ) -> Result<&mut FunctionRecord, Refusal> {
        self.functions
            .get_mut(name)
            .ok_or_else(|| Refusal::function(&arns.function(name)))
    }

    /// The version that a reference leads to.
    ///
    /// # Errors
    /// There is no such function, version or alias.
    pub(crate) fn resolve(
        &self,
        reference: &FunctionReference,
        arns: &Arns,
    ) -> Result<(Version, &VersionRecord), Refusal> {
        let missing = || Refusal::function(&arns.reference(reference));
        let function = self.functions.get(&reference.name).ok_or_else(missing)?;
        let version = match reference.qualifier.as_deref() {
            None => Version::Latest,
            Some(qualifier) => match (qualifier.parse(), function.aliases.get(qualifier)) {
                (_, Some(alias)) => alias.route.version,
                (Ok(version), None) => version,
                (Err(_), None) => return Err(missing()),
            },
        };
        let record = function.version(version).ok_or_else(missing)?;
        Ok((version, record))
    }

    /// Whether a function may be created, as far as that shows before its code is
    /// looked at.
    ///
    /// # Errors
    /// The name is taken.
    pub(crate) fn check_free(&self, name: &FunctionName) -> Result<(), Refusal> {
        if self.functions.contains_key(name) {
            return Err(Refusal::conflict(format!("Function already exist: {name}")));
        }
        Ok(())
    }

    /// Adds a function, `Pending`.
    ///
    /// # Errors
    /// The name is taken, or code and layers are too large.
    pub(crate) fn create(
        &mut self,
        name: &FunctionName,
        request: &CreateFunction,
        settings: Settings,
        code: Code,
        moment: &Moment,
    ) -> Result<&FunctionRecord, Refusal> {
        self.check_free(name)?;
        check_size(code.unpacked_size(), &settings.layers)?;
        let latest = VersionRecord {
            settings,
            code,
            state: State::Pending,
            last_update: None,
            revision_id: moment.revision_id.clone(),
            last_modified: moment.at.clone(),
        };
        let mut function = FunctionRecord::new(latest, request.tags.clone());
        if request.publish == Some(true) {
            function.add_version(None);
        }
        Ok(self.functions.entry(name.clone()).or_insert(function))
    }

    /// Changes the code of `$LATEST`; the old code serves until the new is ready.
    /// Returns what the answer describes.
    ///
    /// # Errors
    /// The function is missing, of the other package type, or being changed.
    pub(crate) fn update_code(
        &mut self,
        name: &FunctionName,
        request: &UpdateCode,
        code: Code,
        arns: &Arns,
        moment: &Moment,
    ) -> Result<(Version, VersionRecord), Refusal> {
        let function = self.function_mut(name, arns)?;
        function.check_changeable(arns, name)?;
        function.check_revision(request.revision_id.as_deref())?;
        let mut latest = function.latest.clone();
        check_size(code.unpacked_size(), &latest.settings.layers)?;
        if request.architectures.is_some() {
            latest.settings.architecture = architecture(
                request.architectures.as_deref(),
                &latest.settings.architecture,
            )?;
        }
        latest.code = code;
        latest.begin_update(moment);
        if request.dry_run == Some(true) {
            latest.last_update.clone_from(&function.latest.last_update);
            return Ok((Version::Latest, latest));
        }
        function.replace(latest);
        if request.publish == Some(true) {
            let number = function.add_version(None);
            return Ok((Version::Number(number), function.versions[&number].clone()));
        }
        Ok((Version::Latest, function.latest.clone()))
    }

    /// Changes the configuration of `$LATEST`.
    ///
    /// # Errors
    /// The function is missing or being changed, or a value is refused.
    pub(crate) fn update_configuration(
        &mut self,
        name: &FunctionName,
        request: &UpdateConfiguration,
        layers: Option<Vec<LayerUse>>,
        arns: &Arns,
        moment: &Moment,
    ) -> Result<VersionRecord, Refusal> {
        let function = self.function_mut(name, arns)?;
        function.check_changeable(arns, name)?;
        function.check_revision(request.revision_id.as_deref())?;
        let mut latest = function.latest.clone();
        request.apply(&mut latest.settings, layers)?;
        check_size(latest.code.unpacked_size(), &latest.settings.layers)?;
        latest.begin_update(moment);
        function.replace(latest);
        Ok(function.latest.clone())
    }

    /// Removes a function, or one version of it.
    ///
    /// # Errors
    /// It is not there; the version is `$LATEST`, or an alias leads to it.
    pub(crate) fn delete(
        &mut self,
        reference: &FunctionReference,
        arns: &Arns,
    ) -> Result<(), Refusal> {
        let Some(qualifier) = reference.qualifier.as_deref() else {
            self.function(&reference.name, arns)?;
            self.functions.remove(&reference.name);
            return Ok(());
        };
        let missing = || Refusal::function(&arns.reference(reference));
        let function = self.function_mut(&reference.name, arns)?;
        match qualifier.parse() {
            Ok(Version::Latest) => Err(Refusal::invalid(
                "$LATEST version cannot be deleted without deleting the function.",
            )),
            Ok(Version::Number(number)) => {
                if !function.versions.contains_key(&number) {
                    return Err(missing());
                }
                let version = Version::Number(number);
                let names: Vec<&str> = function
                    .aliases
                    .iter()
                    .filter(|(_, alias)| alias.route.leads_to(version))
                    .map(|(name, _)| name.as_str())
                    .collect();
                if !names.is_empty() {
                    return Err(Refusal::conflict(format!(
                        "Unable to delete version because the following aliases reference it: \
                         [{}]",
                        names.join(", ")
                    )));
                }
                function.versions.remove(&number);
                function.provisioned.remove(qualifier);
                function.event_invoke.remove(qualifier);
                function.policies.remove(qualifier);
                Ok(())
            }
            Err(_) if function.aliases.contains_key(qualifier) => Err(Refusal::invalid(
                "Deletion of aliases is not currently supported.",
            )),
            Err(_) => Err(missing()),
        }
    }

    /// Publishes `$LATEST`, unless it is what the last version is.
    ///
    /// # Errors
    /// The function is missing or being changed, or is not what the caller thinks.
    pub(crate) fn publish(
        &mut self,
        name: &FunctionName,
        request: &PublishVersion,
        arns: &Arns,
    ) -> Result<u64, Refusal> {
        let function = self.function_mut(name, arns)?;
        function.check_changeable(arns, name)?;
        function.check_revision(request.revision_id.as_deref())?;
        let current = function.latest.code.sha256().unwrap_or_default();
        if let Some(asked) = request
            .code_sha256
            .as_deref()
            .filter(|text| !text.is_empty())
            && asked != current
        {
            return Err(Refusal::invalid(format!(
                "CodeSHA256 ({asked}) is different from current CodeSHA256 in $LATEST \
                 ({current}). Please try again with the CodeSHA256 in $LATEST."
            )));
        }
        let description = request
            .description
            .as_deref()
            .filter(|text| !text.is_empty());
        let description = description.map(description_of).transpose()?;
        if let Some(last) = function.versions.get(&function.last_version)
            && last.runs_as(&function.latest)
        {
            return Ok(function.last_version);
        }
        Ok(function.add_version(description))
    }
}

impl FunctionRecord {
    /// A function that is not kept, with what happens to its events.
    pub(crate) fn of_command_line(latest: VersionRecord, events: EventInvokeConfig) -> Self {
        let events = EventInvokeRecord {
            config: events,
            modified: latest.last_modified.clone(),
        };
        Self {
            transient: true,
            event_invoke: BTreeMap::from([(Version::Latest.to_string(), events)]),
            ..Self::new(latest, BTreeMap::new())
        }
    }

    pub(super) fn new(latest: VersionRecord, tags: BTreeMap<String, String>) -> Self {
        Self {
            latest,
            previous: None,
            versions: BTreeMap::new(),
            last_version: 0,
            aliases: BTreeMap::new(),
            reserved: None,
            provisioned: BTreeMap::new(),
            event_invoke: BTreeMap::new(),
            policies: BTreeMap::new(),
            without_effect: BTreeMap::new(),
            tags,
            urls: BTreeMap::new(),
            transient: false,
        }
    }

    /// One of its versions.
    pub(crate) fn version(&self, version: Version) -> Option<&VersionRecord> {
        match version {
            Version::Latest => Some(&self.latest),
            Version::Number(number) => self.versions.get(&number),
        }
    }

    /// Makes a version of `$LATEST`.
    fn add_version(&mut self, description: Option<String>) -> u64 {
        self.last_version += 1;
        let mut record = self.latest.clone();
        if let Some(description) = description {
            record.settings.description = description;
        }
        // Of its own from the start, even if it only becomes active later.
        if record.last_update == Some(LastUpdate::InProgress) {
            record.state = State::Pending;
            record.last_update = None;
        }
        self.versions.insert(self.last_version, record);
        self.last_version
    }

    fn replace(&mut self, latest: VersionRecord) {
        let old = std::mem::replace(&mut self.latest, latest);
        // One that never ran is nothing to come back to.
        self.previous = (old.state == State::Active).then(|| Box::new(old));
    }

    /// Whether it may be changed now.
    pub(super) fn check_changeable(&self, arns: &Arns, name: &FunctionName) -> Result<(), Refusal> {
        if self.latest.state == State::Pending {
            return Err(Refusal::conflict(format!(
                "The operation cannot be performed at this time. The function is currently in \
                 the following state: Pending. An update is in progress for resource: {}",
                arns.function(name)
            )));
        }
        if self.latest.last_update == Some(LastUpdate::InProgress) {
            return Err(Refusal::conflict(format!(
                "The operation cannot be performed at this time. An update is in progress for \
                 resource: {}",
                arns.function(name)
            )));
        }
        Ok(())
    }

    fn check_revision(&self, asked: Option<&str>) -> Result<(), Refusal> {
        match asked {
            Some(asked) if asked != self.latest.revision_id => Err(Refusal::revision()),
            _ => Ok(()),
        }
    }
}

impl VersionRecord {
    fn begin_update(&mut self, moment: &Moment) {
        self.revision_id.clone_from(&moment.revision_id);
        self.last_modified.clone_from(&moment.at);
        self.last_update = Some(LastUpdate::InProgress);
        if self.state != State::Active {
            self.state = State::Pending;
        }
    }

    /// Whether it has the same code and configuration. The description of a version
    /// may be its own.
    fn runs_as(&self, other: &Self) -> bool {
        let mut settings = self.settings.clone();
        settings.description.clone_from(&other.settings.description);
        settings == other.settings && self.code == other.code
    }
}

impl Code {
    pub(super) fn unpacked_size(&self) -> u64 {
        match self {
            Self::Image { .. } => 0,
            Self::Zip { unpacked_size, .. } => *unpacked_size,
        }
    }

    /// `CodeSha256`: hexadecimal of an image, base64 of an archive.
    pub(super) fn sha256(&self) -> Option<String> {
        match self {
            Self::Image { digest, .. } => {
                let digest = digest.as_deref()?;
                Some(digest.trim_start_matches("sha256:").to_owned())
            }
            Self::Zip { digest, .. } => super::shape::base64_of_hex(digest),
        }
    }
}

/// Whether code of this kind may be given to a function of that package type.
///
/// # Errors
/// It may not; with Lambda's text.
pub(crate) fn check_code(package: &PackageSettings, code: &CodeRequest) -> Result<(), Refusal> {
    if code.s3_bucket.is_some() {
        return Err(Refusal::invalid(
            "Lambent has no S3: give the archive as ZipFile, or ImageUri for an image",
        ));
    }
    match (package, &code.image_uri, &code.zip_file) {
        (PackageSettings::Image { .. }, Some(_), None)
        | (PackageSettings::Zip { .. }, None, Some(_)) => Ok(()),
        (PackageSettings::Image { .. }, ..) => Err(Refusal::invalid(
            "Please provide ImageUri when updating a function with packageType Image.",
        )),
        (PackageSettings::Zip { .. }, Some(_), _) => Err(Refusal::invalid(
            "Please don't provide ImageUri when updating a function with packageType Zip.",
        )),
        (PackageSettings::Zip { .. }, None, None) => Err(Refusal::invalid(
            "Please provide a source for function code.",
        )),
    }
}

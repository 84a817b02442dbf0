//! Aliases: names that lead to a version, or to two by weight.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Moment;
use super::record::{AliasRecord, Catalog, FunctionRecord, Route};
use super::refusal::Refusal;
use super::settings::{description_of, required};
use super::shape::Arns;
use crate::model::{FunctionName, Version};

/// `CreateAlias`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateAlias {
    name: Option<String>,
    #[serde(flatten)]
    settings: UpdateAlias,
}

/// `UpdateAlias`; what is not there stays as it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateAlias {
    function_version: Option<String>,
    description: Option<String>,
    routing_config: Option<RoutingConfig>,
    revision_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoutingConfig {
    additional_version_weights: Option<BTreeMap<String, f64>>,
}

impl Catalog {
    /// Adds an alias and returns its name.
    ///
    /// # Errors
    /// The name is taken or none, or there is no such version.
    pub(crate) fn create_alias(
        &mut self,
        function: &FunctionName,
        request: &CreateAlias,
        arns: &Arns,
        moment: &Moment,
    ) -> Result<String, Refusal> {
        let record = self.function_mut(function, arns)?;
        let name = request.name.clone().ok_or_else(|| required("name"))?;
        check_name(&name)?;
        if record.aliases.contains_key(&name) {
            return Err(Refusal::conflict(format!(
                "Alias already exists: {}",
                arns.qualified(function, &name)
            )));
        }
        let settings = &request.settings;
        let version = settings.function_version.as_deref();
        let version = record.existing(
            version.ok_or_else(|| required("functionVersion"))?,
            function,
            arns,
        )?;
        let mut alias = AliasRecord {
            description: String::new(),
            route: Route {
                version,
                weighted: None,
            },
            revision_id: String::new(),
        };
        settings.apply(&mut alias, record, function, arns)?;
        alias.revision_id.clone_from(&moment.revision_id);
        record.aliases.insert(name.clone(), alias);
        Ok(name)
    }

    /// Changes an alias.
    ///
    /// # Errors
    /// It is not there, not what the caller thinks, or there is no such version.
    pub(crate) fn update_alias(
        &mut self,
        function: &FunctionName,
        name: &str,
        request: &UpdateAlias,
        arns: &Arns,
        moment: &Moment,
    ) -> Result<(), Refusal> {
        let record = self.function_mut(function, arns)?;
        let mut alias = record.aliases.get(name).cloned().ok_or_else(|| {
            Refusal::not_found(format!(
                "Alias not found: {}",
                arns.qualified(function, name)
            ))
        })?;
        if request
            .revision_id
            .as_ref()
            .is_some_and(|id| *id != alias.revision_id)
        {
            return Err(Refusal::revision());
        }
        request.apply(&mut alias, record, function, arns)?;
        if record.provisioned.contains_key(name) {
            record.check_provisionable(name, &alias.route)?;
        }
        alias.revision_id.clone_from(&moment.revision_id);
        record.aliases.insert(name.to_owned(), alias);
        Ok(())
    }

    /// Removes an alias, if it is there, with what is configured for it.
    ///
    /// # Errors
    /// There is no such function.
    pub(crate) fn delete_alias(
        &mut self,
        function: &FunctionName,
        name: &str,
        arns: &Arns,
    ) -> Result<(), Refusal> {
        let record = self.function_mut(function, arns)?;
        record.aliases.remove(name);
        record.urls.remove(name);
        record.provisioned.remove(name);
        record.event_invoke.remove(name);
        record.policies.remove(name);
        Ok(())
    }

    /// An alias.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn alias(
        &self,
        function: &FunctionName,
        name: &str,
        arns: &Arns,
    ) -> Result<&AliasRecord, Refusal> {
        let record = self.function(function, arns)?;
        record.aliases.get(name).ok_or_else(|| {
            Refusal::not_found(format!(
                "Cannot find alias arn: {}",
                arns.qualified(function, name)
            ))
        })
    }
}

impl UpdateAlias {
    fn apply(
        &self,
        alias: &mut AliasRecord,
        record: &FunctionRecord,
        function: &FunctionName,
        arns: &Arns,
    ) -> Result<(), Refusal> {
        if let Some(description) = &self.description {
            alias.description = description_of(description)?;
        }
        if let Some(version) = &self.function_version {
            alias.route.version = record.existing(version, function, arns)?;
        }
        if let Some(routing) = &self.routing_config {
            let weights = routing
                .additional_version_weights
                .clone()
                .unwrap_or_default();
            if weights.len() > 1 {
                return Err(Refusal::invalid(
                    "Number of items in AdditionalVersionWeights cannot be greater than 1",
                ));
            }
            alias.route.weighted = match weights.into_iter().next() {
                None => None,
                Some((version, weight)) => {
                    if !(0.0..=1.0).contains(&weight) {
                        return Err(Refusal::constraint(
                            &weight.to_string(),
                            "routingConfig.additionalVersionWeights",
                            "Member must have value between 0.0 and 1.0",
                        ));
                    }
                    Some((record.existing(&version, function, arns)?, weight))
                }
            };
        }
        let latest = |version: Version| version == Version::Latest;
        if let Some((other, _)) = alias.route.weighted {
            if latest(other) || latest(alias.route.version) {
                return Err(Refusal::invalid(
                    "$LATEST is not supported for an alias pointing to more than 1 version",
                ));
            }
            if other == alias.route.version {
                return Err(Refusal::invalid(format!(
                    "Invalid function version {other}. Function version {other} is already \
                     included in routing configuration."
                )));
            }
        }
        Ok(())
    }
}

impl FunctionRecord {
    /// The version of that name, which must be there.
    fn existing(
        &self,
        text: &str,
        function: &FunctionName,
        arns: &Arns,
    ) -> Result<Version, Refusal> {
        let version: Version = text.parse().map_err(|_| {
            Refusal::constraint(
                text,
                "functionVersion",
                r"Member must satisfy regular expression pattern: (\$LATEST|[0-9]+)",
            )
        })?;
        match self.version(version) {
            Some(_) => Ok(version),
            None => Err(Refusal::function(&arns.qualified(function, text))),
        }
    }
}

impl Route {
    /// Whether some invocation gets to that version.
    pub(super) fn leads_to(&self, version: Version) -> bool {
        let weighted = self.weighted.is_some_and(|(other, _)| other == version);
        self.version == version || weighted
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.len() > 128 {
        let rule = "Member must have length less than or equal to 128";
        return Err(Refusal::constraint(name, "name", rule));
    }
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    if name.is_empty() || number || !name.bytes().all(legal) {
        let rule = "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)";
        return Err(Refusal::constraint(name, "name", rule));
    }
    Ok(())
}

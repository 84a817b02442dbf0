//! Functions that a configuration file wants. They are there for as long as it says
//! so and are not kept on disk; requests may change them until the file changes
//! them again, as a stack drifts from its template.

use std::collections::BTreeMap;

use serde_json::json;

use super::Moment;
use super::attributes::UrlRequest;
use super::functions::PublishVersion;
use super::record::{
    Catalog, Code, FunctionRecord, LastUpdate, LayerUse, Settings, State, UrlRecord, VersionRecord,
};
use super::refusal::Refusal;
use super::settings::check_size;
use super::shape::Arns;
use crate::model::{FunctionName, FunctionReference};

/// A function as the file has it, checked, with its code at hand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) settings: Settings,
    pub(crate) code: Code,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) reserved: Option<i64>,
    /// Environments of the alias that are kept initialised.
    pub(crate) provisioned: Option<i64>,
    /// Leads to a version that is published of what is served.
    pub(crate) alias: Option<String>,
    /// Of the alias, if there is one.
    pub(crate) url: Option<UrlRequest>,
}

impl Wanted {
    /// What `$LATEST` is.
    pub(crate) fn record(&self, moment: &Moment) -> VersionRecord {
        VersionRecord {
            settings: self.settings.clone(),
            code: self.code.clone(),
            state: State::Active,
            last_update: None,
            revision_id: moment.revision_id.clone(),
            last_modified: moment.at.clone(),
        }
    }
}

impl Catalog {
    /// Makes a function what the file wants. The version that its alias leads to, if
    /// it wants one. `url_id` is for a URL that is new.
    ///
    /// # Errors
    /// A function that is kept has the name, or what is wanted breaks a rule.
    pub(crate) fn configure(
        &mut self,
        name: &FunctionName,
        wanted: &Wanted,
        url_id: &str,
        arns: &Arns,
        moment: &Moment,
    ) -> Result<Option<u64>, Refusal> {
        let old = self.functions.get(name).cloned();
        if old.as_ref().is_some_and(|old| !old.transient) {
            return Err(Refusal::conflict(format!(
                "there is a stored function {name}: delete it, or choose another name"
            )));
        }
        check_size(wanted.code.unpacked_size(), &wanted.settings.layers)?;
        let mut record = FunctionRecord::new(wanted.record(moment), wanted.tags.clone());
        record.transient = true;
        if let Some(old) = &old {
            record.last_version = old.last_version;
            record.versions.clone_from(&old.versions);
        }
        self.functions.insert(name.clone(), record);
        let reference = |qualifier: Option<&String>| FunctionReference {
            name: name.clone(),
            qualifier: qualifier.cloned(),
        };
        if wanted.reserved.is_some() {
            self.reserve(&reference(None), wanted.reserved, arns)?;
        }
        let mut published = None;
        if let Some(alias) = &wanted.alias {
            let number = self.publish(name, &PublishVersion::default(), arns)?;
            let request = json!({"Name": alias, "FunctionVersion": number.to_string()});
            let request = serde_json::from_value(request)
                .map_err(|error| Refusal::service(error.to_string()))?;
            self.create_alias(name, &request, arns, moment)?;
            published = Some(number);
            if let Some(wanted) = wanted.provisioned {
                self.provision(&reference(Some(alias)), wanted, arns, moment)?;
            }
        }
        // Earlier ones would stay for as long as somebody saves files.
        self.function_mut(name, arns)?
            .versions
            .retain(|number, _| Some(*number) == published);
        if let Some(url) = &wanted.url {
            let key = wanted.alias.clone().unwrap_or_default();
            let known = old.as_ref().and_then(|old| old.urls.get(&key));
            let id = known.map_or(url_id, |url| url.id.as_str());
            let reference = reference(wanted.alias.as_ref());
            self.create_url(&reference, url, id, arns, moment)?;
        }
        Ok(published)
    }

    /// Gives a function of the command line other code, and leaves what requests have
    /// made of its settings; `None` if they have removed it.
    pub(crate) fn renew(
        &mut self,
        name: &FunctionName,
        code: Code,
        layers: Vec<LayerUse>,
        moment: &Moment,
    ) -> Option<&FunctionRecord> {
        let record = self.functions.get_mut(name);
        let record = record.filter(|record| record.transient)?;
        record.latest.code = code;
        record.latest.settings.layers = layers;
        // An update that has not ended, or has failed, is overtaken by this one.
        record.previous = None;
        record.latest.state = State::Active;
        record.latest.last_update = Some(LastUpdate::Successful);
        record.latest.revision_id.clone_from(&moment.revision_id);
        record.latest.last_modified.clone_from(&moment.at);
        Some(record)
    }

    /// Removes a function that the file does not want any more; one that a request
    /// has removed or made is left as it is.
    pub(crate) fn withdraw(&mut self, name: &FunctionName) {
        if self
            .functions
            .get(name)
            .is_some_and(|record| record.transient)
        {
            self.functions.remove(name);
        }
    }

    /// The URL that has this ID, else that of the function of this name, or of its
    /// alias, with what it leads to; `None` if none was configured.
    pub(crate) fn url_of(&self, text: &FunctionName) -> Option<(FunctionReference, &UrlRecord)> {
        let all = self.functions.iter().flat_map(|(name, record)| {
            // The function's own has the empty key, which is the first.
            let urls = record.urls.iter();
            urls.map(move |(key, url)| (name, key, url))
        });
        let by_id = all.clone().find(|(_, _, url)| url.id == text.as_str());
        let (name, key, url) = by_id.or_else(|| all.clone().find(|(name, ..)| *name == text))?;
        let reference = FunctionReference {
            name: name.clone(),
            qualifier: Some(key.clone()).filter(|key| !key.is_empty()),
        };
        Some((reference, url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{CreateFunction, UpdateConfiguration};
    use crate::model::Version;

    fn wanted(digest: &str, alias: Option<&str>) -> Wanted {
        let request = CreateFunction {
            package_type: Some("Image".to_owned()),
            configuration: UpdateConfiguration {
                role: Some("arn:aws:iam::123456789012:role/r".to_owned()),
                ..UpdateConfiguration::default()
            },
            ..CreateFunction::default()
        };
        Wanted {
            settings: request.settings(vec![], "x86_64").unwrap(),
            code: Code::Image {
                uri: "f.tar".to_owned(),
                digest: Some(digest.to_owned()),
            },
            tags: BTreeMap::new(),
            reserved: Some(3),
            provisioned: alias.map(|_| 2),
            alias: alias.map(str::to_owned),
            url: serde_json::from_value(json!({"AuthType": "NONE"})).unwrap(),
        }
    }

    fn moment() -> Moment {
        Moment {
            at: "2026-01-01T00:00:00.000+0000".to_owned(),
            revision_id: "r".to_owned(),
        }
    }

    #[test]
    fn an_alias_follows_and_its_url_stays() {
        let (mut catalog, arns) = (Catalog::default(), Arns::new("us-east-1"));
        let name: FunctionName = "f".parse().unwrap();
        let mut configure = |digest, alias, id| {
            let wanted = wanted(digest, alias);
            let published = catalog.configure(&name, &wanted, id, &arns, &moment());
            let record = &catalog.functions[&name];
            let versions: Vec<u64> = record.versions.keys().copied().collect();
            let leads = alias.map(|alias| record.aliases[alias].route.version);
            let (reference, url) = catalog.url_of(&name).unwrap();
            assert_eq!(reference.name, name);
            let by_id = catalog.url_of(&url.id.parse().unwrap());
            assert_eq!(by_id.as_ref(), Some(&(reference.clone(), url)));
            let url = (reference.qualifier, url.id.clone());
            (published, versions, leads, url)
        };
        let live = |id: &str| (Some("live".to_owned()), id.to_owned());
        let first = Some(Version::Number(1));
        assert_eq!(
            configure("sha256:1", Some("live"), "a"),
            (Ok(Some(1)), vec![1], first, live("a"))
        );
        // Nothing is new.
        assert_eq!(
            configure("sha256:1", Some("live"), "b"),
            (Ok(Some(1)), vec![1], first, live("a"))
        );
        assert_eq!(
            configure("sha256:2", Some("live"), "c"),
            (Ok(Some(2)), vec![2], Some(Version::Number(2)), live("a"))
        );
        assert_eq!(
            configure("sha256:2", None, "d"),
            (Ok(None), vec![], None, (None, "d".to_owned()))
        );
        assert_eq!(catalog.functions[&name].reserved, Some(3));
        assert_eq!(catalog.functions[&name].provisioned_in_all(), 0);
        assert!(catalog.functions[&name].transient);
        let live = wanted("sha256:2", Some("live"));
        let published = catalog.configure(&name, &live, "e", &arns, &moment());
        assert_eq!(published, Ok(Some(3)));
        assert_eq!(catalog.functions[&name].provisioned_in_all(), 2);
        catalog.withdraw(&name);
        assert_eq!(catalog, Catalog::default());
    }

    #[test]
    fn kept_functions_are_left_alone() {
        let (mut catalog, arns) = (Catalog::default(), Arns::new("us-east-1"));
        let name: FunctionName = "f".parse().unwrap();
        let wanted = wanted("sha256:1", None);
        catalog
            .configure(&name, &wanted, "a", &arns, &moment())
            .unwrap();
        catalog.functions.get_mut(&name).unwrap().transient = false;
        let before = catalog.clone();
        let refusal = catalog.configure(&name, &wanted, "a", &arns, &moment());
        let message = refusal.unwrap_err().message;
        assert!(message.contains("stored function f"), "{message}");
        catalog.withdraw(&name);
        assert_eq!(catalog, before);
    }
}

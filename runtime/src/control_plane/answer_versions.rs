//! Answers requests about versions and aliases.

use serde_json::Value;

use super::ControlPlane;
use super::answer::{Answer, listed};
use crate::catalog::{Page, PublishVersion, Refusal};
use crate::model::{FunctionReference, Version};

impl ControlPlane {
    pub(super) fn publish_version(
        &self,
        function: &FunctionReference,
        request: &PublishVersion,
    ) -> Result<Answer, Refusal> {
        let name = &function.name;
        let _turn = self.turn();
        let (number, shape) = self.change(|catalog| {
            let number = catalog.publish(name, request, self.arns())?;
            let record = catalog.function(name, self.arns())?;
            let version = Version::Number(number);
            let shape = record
                .version(version)
                .map(|record| record.shape(self.arns(), name, version, None));
            Ok((number, shape))
        })?;
        self.put_version(name, number);
        let shape = shape.ok_or_else(|| Refusal::service("the new version is not there"))?;
        Ok(Answer::created(shape))
    }

    pub(super) fn list_versions(
        &self,
        function: &FunctionReference,
        page: &Page,
    ) -> Result<Answer, Refusal> {
        let held = self.lock();
        let name = &function.name;
        let record = held.catalog.function(name, self.arns())?;
        let all = record.all().map(|(version, record)| {
            let text = version.to_string();
            let shape = record.shape(self.arns(), name, version, Some(&text));
            (text, shape)
        });
        Ok(listed("Versions", page.of(all)))
    }

    pub(super) fn alias(&self, function: &FunctionReference, name: &str) -> Result<Value, Refusal> {
        let held = self.lock();
        let alias = held.catalog.alias(&function.name, name, self.arns())?;
        Ok(alias.shape(self.arns(), &function.name, name))
    }

    pub(super) fn list_aliases(
        &self,
        function: &FunctionReference,
        version: Option<&str>,
        page: &Page,
    ) -> Result<Answer, Refusal> {
        let held = self.lock();
        let record = held.catalog.function(&function.name, self.arns())?;
        let all = record
            .aliases
            .iter()
            .filter(|(_, alias)| version.is_none_or(|it| alias.route.version.to_string() == it))
            .map(|(name, alias)| {
                let shape = alias.shape(self.arns(), &function.name, name);
                (name.clone(), shape)
            });
        Ok(listed("Aliases", page.of(all)))
    }
}

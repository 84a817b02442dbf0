//! Settings of functions that clients read and write, and that change nothing here:
//! each has a value out of a few.

use serde::Deserialize;
use serde_json::{Value, json};

use super::record::Catalog;
use super::refusal::Refusal;
use super::settings::required;
use super::shape::Arns;
use crate::model::FunctionReference;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeptSetting {
    /// When Lambda would update the runtime.
    RuntimeManagement,
    /// Whether Lambda would stop functions that invoke each other in circles.
    Recursion,
}

/// `PutRuntimeManagementConfig` and `PutFunctionRecursionConfig`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SettingRequest {
    update_runtime_on: Option<String>,
    recursive_loop: Option<String>,
}

impl KeptSetting {
    /// Its member in requests and answers, and how error messages call it.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::RuntimeManagement => ("UpdateRuntimeOn", "updateRuntimeOn"),
            Self::Recursion => ("RecursiveLoop", "recursiveLoop"),
        }
    }

    /// Its values, the default first.
    fn values(self) -> &'static [&'static str] {
        match self {
            Self::RuntimeManagement => &["Auto", "Manual", "FunctionUpdate"],
            Self::Recursion => &["Terminate", "Allow"],
        }
    }

    fn asked(self, request: &SettingRequest) -> Option<&str> {
        match self {
            Self::RuntimeManagement => request.update_runtime_on.as_deref(),
            Self::Recursion => request.recursive_loop.as_deref(),
        }
    }
}

impl Catalog {
    /// Keeps a value.
    ///
    /// # Errors
    /// It is none, or there is no such function.
    pub(crate) fn keep_setting(
        &mut self,
        reference: &FunctionReference,
        setting: KeptSetting,
        request: &SettingRequest,
        arns: &Arns,
    ) -> Result<(), Refusal> {
        self.resolve(reference, arns)?;
        let (member, name) = setting.names();
        let value = setting.asked(request).ok_or_else(|| required(name))?;
        if !setting.values().contains(&value) {
            let values = setting.values().join(", ");
            let rule = format!("Member must satisfy enum value set: [{values}]");
            return Err(Refusal::constraint(value, name, &rule));
        }
        let record = self.function_mut(&reference.name, arns)?;
        record
            .without_effect
            .insert(member.to_owned(), value.to_owned());
        Ok(())
    }

    /// The answer about a setting.
    ///
    /// # Errors
    /// There is no such function.
    pub(crate) fn kept_setting(
        &self,
        reference: &FunctionReference,
        setting: KeptSetting,
        arns: &Arns,
    ) -> Result<Value, Refusal> {
        self.resolve(reference, arns)?;
        let record = self.function(&reference.name, arns)?;
        let (member, _) = setting.names();
        let kept = record.without_effect.get(member).map(String::as_str);
        let mut answer = json!({member: kept.unwrap_or_else(|| setting.values()[0])});
        if setting == KeptSetting::RuntimeManagement {
            answer["FunctionArn"] = json!(arns.reference(reference));
        }
        Ok(answer)
    }
}

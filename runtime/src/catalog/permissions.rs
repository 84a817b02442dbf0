//! Resource policies: statements that are kept and shown. Nobody is identified here,
//! so nobody is kept out.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Moment;
use super::record::{Catalog, PolicyRecord};
use super::refusal::Refusal;
use super::settings::required;
use super::shape::Arns;
use crate::model::FunctionReference;

const SID_PATTERN: &str = "([a-zA-Z0-9-_]+)";
const ACTION_PATTERN: &str = r"(lambda:[*]|lambda:[a-zA-Z]+|[*])";

/// `AddPermission`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddPermission {
    statement_id: Option<String>,
    action: Option<String>,
    principal: Option<String>,
    source_arn: Option<String>,
    source_account: Option<String>,
    event_source_token: Option<String>,
    function_url_auth_type: Option<String>,
    invoked_via_function_url: Option<bool>,
    #[serde(rename = "PrincipalOrgID")]
    principal_org_id: Option<String>,
    revision_id: Option<String>,
}

impl Catalog {
    /// Adds a statement and returns it.
    ///
    /// # Errors
    /// There is no such function, version or alias; the statement is there already or
    /// has no such form.
    pub(crate) fn add_permission(
        &mut self,
        reference: &FunctionReference,
        request: &AddPermission,
        arns: &Arns,
        moment: &Moment,
    ) -> Result<Value, Refusal> {
        if reference.qualifier.as_deref() == Some("$LATEST") {
            return Err(Refusal::invalid(
                "We currently do not support adding policies for $LATEST.",
            ));
        }
        self.resolve(reference, arns)?;
        let statement = request.statement(&arns.reference(reference))?;
        let record = self.function_mut(&reference.name, arns)?;
        let policy = record.policies.get(&key(reference));
        check_revision(policy, request.revision_id.as_deref())?;
        let mut policy = policy.cloned().unwrap_or(PolicyRecord {
            revision_id: String::new(),
            statements: vec![],
        });
        let sid = &statement["Sid"];
        if policy.statements.iter().any(|other| other["Sid"] == *sid) {
            let sid = sid.as_str().unwrap_or_default();
            return Err(Refusal::conflict(format!(
                "The statement id ({sid}) provided already exists. Please provide a new statement \
                 id, or remove the existing statement."
            )));
        }
        policy.statements.push(statement.clone());
        policy.revision_id.clone_from(&moment.revision_id);
        record.policies.insert(key(reference), policy);
        Ok(statement)
    }

    /// Removes a statement.
    ///
    /// # Errors
    /// It is not there, or the policy is not what the caller thinks.
    pub(crate) fn remove_permission(
        &mut self,
        reference: &FunctionReference,
        statement: &str,
        revision: Option<&str>,
        arns: &Arns,
        moment: &Moment,
    ) -> Result<(), Refusal> {
        self.resolve(reference, arns)?;
        let record = self.function_mut(&reference.name, arns)?;
        let mut policy = record
            .policies
            .get(&key(reference))
            .cloned()
            .ok_or_else(|| {
                Refusal::not_found("No policy is associated with the given resource.")
            })?;
        let before = policy.statements.len();
        policy.statements.retain(|other| other["Sid"] != statement);
        if policy.statements.len() == before {
            return Err(Refusal::not_found(format!(
                "Statement {statement} is not found in resource policy."
            )));
        }
        check_revision(Some(&policy), revision)?;
        policy.revision_id.clone_from(&moment.revision_id);
        if policy.statements.is_empty() {
            record.policies.remove(&key(reference));
        } else {
            record.policies.insert(key(reference), policy);
        }
        Ok(())
    }

    /// The answer of `GetPolicy`.
    ///
    /// # Errors
    /// There is no policy.
    pub(crate) fn policy(
        &self,
        reference: &FunctionReference,
        arns: &Arns,
    ) -> Result<Value, Refusal> {
        self.resolve(reference, arns)?;
        let record = self.function(&reference.name, arns)?;
        let policy = record
            .policies
            .get(&key(reference))
            .ok_or_else(|| Refusal::not_found("The resource you requested does not exist."))?;
        let document = json!({
            "Version": "2012-10-17",
            "Id": "default",
            "Statement": policy.statements,
        });
        Ok(json!({"Policy": document.to_string(), "RevisionId": policy.revision_id}))
    }
}

/// Policies are of the function itself where nothing is named.
fn key(reference: &FunctionReference) -> String {
    let qualifier = reference.qualifier.clone().unwrap_or_default();
    if qualifier == "$LATEST" {
        String::new()
    } else {
        qualifier
    }
}

fn check_revision(policy: Option<&PolicyRecord>, asked: Option<&str>) -> Result<(), Refusal> {
    let current = policy.map(|policy| policy.revision_id.as_str());
    match asked {
        Some(asked) if current != Some(asked) => Err(Refusal::revision()),
        _ => Ok(()),
    }
}

impl AddPermission {
    /// In the form of IAM, for `resource`.
    fn statement(&self, resource: &str) -> Result<Value, Refusal> {
        let sid = self.statement_id.as_deref();
        let sid = sid.ok_or_else(|| required("statementId"))?;
        let action = self.action.as_deref().ok_or_else(|| required("action"))?;
        let principal = self.principal.as_deref();
        let principal = principal.ok_or_else(|| required("principal"))?;
        let pattern = |value, member, pattern| {
            let rule = format!("Member must satisfy regular expression pattern: {pattern}");
            Err(Refusal::constraint(value, member, &rule))
        };
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if sid.is_empty() || !sid.bytes().all(legal) {
            return pattern(sid, "statementId", SID_PATTERN);
        }
        if sid.len() > 100 {
            let rule = "Member must have length less than or equal to 100";
            return Err(Refusal::constraint(sid, "statementId", rule));
        }
        let is_action = match action.strip_prefix("lambda:") {
            Some("*") => true,
            Some(name) => !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic()),
            None => action == "*",
        };
        if !is_action {
            return pattern(action, "action", ACTION_PATTERN);
        }
        if principal.is_empty() || principal.contains(char::is_whitespace) {
            return pattern(principal, "principal", "[^\\s]+");
        }
        let mut statement = json!({
            "Sid": sid,
            "Effect": "Allow",
            "Principal": principal_shape(principal),
            "Action": action,
            "Resource": resource,
        });
        let conditions = self.conditions();
        if !conditions.is_empty() {
            statement["Condition"] = conditions.into();
        }
        Ok(statement)
    }

    fn conditions(&self) -> Map<String, Value> {
        let mut conditions = Map::new();
        let mut equals = Map::new();
        for (key, value) in [
            ("AWS:SourceAccount", &self.source_account),
            ("lambda:EventSourceToken", &self.event_source_token),
            ("lambda:FunctionUrlAuthType", &self.function_url_auth_type),
            ("aws:PrincipalOrgID", &self.principal_org_id),
        ] {
            if let Some(value) = value {
                equals.insert(key.to_owned(), json!(value));
            }
        }
        if !equals.is_empty() {
            conditions.insert("StringEquals".to_owned(), equals.into());
        }
        if let Some(arn) = &self.source_arn {
            conditions.insert("ArnLike".to_owned(), json!({"AWS:SourceArn": arn}));
        }
        if let Some(via) = self.invoked_via_function_url {
            let via = json!({"lambda:InvokedViaFunctionUrl": via.to_string()});
            conditions.insert("Bool".to_owned(), via);
        }
        conditions
    }
}

/// A service, an account, an ARN, or everybody.
fn principal_shape(principal: &str) -> Value {
    let account = principal.len() == 12 && principal.bytes().all(|byte| byte.is_ascii_digit());
    if principal == "*" {
        json!("*")
    } else if account {
        json!({"AWS": format!("arn:aws:iam::{principal}:root")})
    } else if principal.starts_with("arn:") {
        json!({"AWS": principal})
    } else {
        json!({"Service": principal})
    }
}

//! Which properties functions have, and which of them mean something here.

use super::function::Function;
use super::kind::FunctionKind;

/// Properties of `AWS::Serverless::Function` that have an effect.
const EFFECTIVE: [&str; 23] = [
    "Architectures",
    "AutoPublishAlias",
    "CodeUri",
    "Description",
    "Environment",
    "EphemeralStorage",
    "Events",
    "FunctionName",
    "FunctionUrlConfig",
    "Handler",
    "ImageConfig",
    "ImageUri",
    "InlineCode",
    "Layers",
    "LoggingConfig",
    "MemorySize",
    "PackageType",
    "ProvisionedConcurrencyConfig",
    "ReservedConcurrentExecutions",
    "Role",
    "Runtime",
    "Tags",
    "Timeout",
];

/// Properties that SAM knows and that have none: without IAM, a network, tracing,
/// deployments.
const INEFFECTIVE: [&str; 26] = [
    "AssumeRolePolicyDocument",
    "AutoPublishAliasAllProperties",
    "AutoPublishCodeSha256",
    "CapacityProviderConfig",
    "CodeSigningConfigArn",
    "DeadLetterQueue",
    "DeploymentPreference",
    "DurableConfig",
    "EventInvokeConfig",
    "FileSystemConfigs",
    "FunctionScalingConfig",
    "KmsKeyArn",
    "PermissionsBoundary",
    "Policies",
    "PropagateTags",
    "PublishToLatestPublished",
    "RecursiveLoop",
    "RolePath",
    "RuntimeManagementConfig",
    "SnapStart",
    "SourceKMSKeyArn",
    "TenancyConfig",
    "Tracing",
    "VersionDeletionPolicy",
    "VersionDescription",
    "VpcConfig",
];

/// What SAM does not take from `Globals`.
pub(super) const OWN: [&str; 3] = ["Events", "FunctionName", "InlineCode"];

/// Properties of `AWS::Lambda::Function` that have an effect.
const PLAIN_EFFECTIVE: [&str; 17] = [
    "Architectures",
    "Code",
    "Description",
    "Environment",
    "EphemeralStorage",
    "FunctionName",
    "Handler",
    "ImageConfig",
    "Layers",
    "LoggingConfig",
    "MemorySize",
    "PackageType",
    "ReservedConcurrentExecutions",
    "Role",
    "Runtime",
    "Tags",
    "Timeout",
];

/// Those that `CloudFormation` knows beside them.
const PLAIN_INEFFECTIVE: [&str; 14] = [
    "CapacityProviderConfig",
    "CodeSigningConfigArn",
    "DeadLetterConfig",
    "DurableConfig",
    "FileSystemConfigs",
    "FunctionScalingConfig",
    "KmsKeyArn",
    "PublishToLatestPublished",
    "RecursiveLoop",
    "RuntimeManagementConfig",
    "SnapStart",
    "TenancyConfig",
    "TracingConfig",
    "VpcConfig",
];

impl Function<'_> {
    /// Says which of its properties have no effect here.
    pub(super) fn warn_of_properties(&self) {
        let (known, effective, ineffective) = match self.kind {
            FunctionKind::Serverless => ("SAM", &EFFECTIVE[..], &INEFFECTIVE[..]),
            FunctionKind::Plain => (
                "CloudFormation",
                &PLAIN_EFFECTIVE[..],
                &PLAIN_INEFFECTIVE[..],
            ),
        };
        let mut without = vec![];
        for (name, _) in self.properties.members() {
            let name = name.as_str();
            if effective.contains(&name) {
                continue;
            }
            if ineffective.contains(&name) {
                without.push(name);
            } else {
                let message = format!("{known} has no such property, and nor does Lambent");
                self.scope.warn(&self.at(name), &message);
            }
        }
        if !without.is_empty() {
            let list = without.join(", ");
            self.scope
                .warn(&self.place, &format!("without effect here: {list}"));
        }
    }
}

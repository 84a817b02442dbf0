//! Resources that SAM makes by itself: no template has them, and any may refer to them.

use super::kind::{FUNCTION, is_sams};
use super::tree::Node;

/// What SAM adds to the name of a function, and the type of what has that name.
const OF_FUNCTIONS: [(&str, &str); 10] = [
    ("Role", "AWS::IAM::Role"),
    ("Url", "AWS::Lambda::Url"),
    ("UrlPublicPermissions", "AWS::Lambda::Permission"),
    ("URLInvokeAllowPublicAccess", "AWS::Lambda::Permission"),
    ("EventInvokeConfig", "AWS::Lambda::EventInvokeConfig"),
    ("DeploymentGroup", "AWS::CodeDeploy::DeploymentGroup"),
    (".Alias", "AWS::Lambda::Alias"),
    (".Version", "AWS::Lambda::Version"),
    (".DestinationQueue", "AWS::SQS::Queue"),
    (".DestinationTopic", "AWS::SNS::Topic"),
];

/// The same, where more follows: the name of the alias, a digest of the code, which
/// destination it is.
const BEGINNINGS_OF_FUNCTIONS: [(&str, &str); 3] = [
    ("Alias", "AWS::Lambda::Alias"),
    ("EventInvokeConfig", UNKNOWN),
    ("Version", "AWS::Lambda::Version"),
];

/// Deployments, stages and the like of the APIs that SAM makes.
const OF_APIS: [&str; 4] = [
    "ServerlessRestApi",
    "ServerlessHttpApi",
    "ServerlessUsagePlan",
    "ServerlessApiKey",
];

/// Of a resource whose type only SAM knows.
const UNKNOWN: &str = "a resource that SAM makes";

/// The type of a resource that SAM makes by itself.
pub(super) fn generated(resources: &Node, logical: &str) -> Option<&'static str> {
    match logical {
        "ServerlessRestApi" => return Some("AWS::ApiGateway::RestApi"),
        "ServerlessHttpApi" => return Some("AWS::ApiGatewayV2::Api"),
        "CodeDeployServiceRole" => return Some("AWS::IAM::Role"),
        "ServerlessDeploymentApplication" => return Some("AWS::CodeDeploy::Application"),
        other if OF_APIS.iter().any(|prefix| other.starts_with(prefix)) => return Some(UNKNOWN),
        _ => {}
    }
    let mut all = resources.members().iter();
    all.find_map(|(name, resource)| {
        let rest = logical.strip_prefix(name.as_str())?;
        let kind = resource.get("Type").and_then(Node::text)?;
        if kind == FUNCTION {
            return of_function(resource, rest);
        }
        // `PetsStage`, `PetsDeployment0123456789`, `Pets.Stage`, `MachineRole`.
        let begins = rest.starts_with(|first: char| first == '.' || first.is_ascii_uppercase());
        (is_sams(kind) && begins).then_some(UNKNOWN)
    })
}

/// What a function has that is called like it, and this behind it.
fn of_function(function: &Node, rest: &str) -> Option<&'static str> {
    if let Some((_, kind)) = OF_FUNCTIONS.iter().find(|(suffix, _)| *suffix == rest) {
        return Some(kind);
    }
    let mut beginnings = BEGINNINGS_OF_FUNCTIONS.iter();
    let beginning = beginnings.find(|(prefix, _)| {
        let more = rest.strip_prefix(prefix);
        more.is_some_and(|more| !more.is_empty())
    });
    if let Some((_, kind)) = beginning {
        return Some(kind);
    }
    // Its events are rules, mappings, topics, and permissions for them.
    let events = function.get("Properties").and_then(|all| all.get("Events"));
    let mut events = events.map_or(&[][..], Node::members).iter();
    let is_event = events.any(|(name, _)| rest.starts_with(name.as_str()));
    is_event.then_some(UNKNOWN)
}

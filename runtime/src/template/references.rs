//! References to nothing: `Ref`, `Fn::GetAtt` and `Fn::Sub` anywhere in a template, also where
//! nothing here depends on what they are. `CloudFormation` refuses the template for each.
//! What a function takes beside names is for whoever works it out.

use std::collections::BTreeSet;

use super::resolve::{Result, Scope};
use super::tree::{Kind, Node};
use crate::configuration::Place;

/// The only macro that makes no names of its own but those of `generated.rs`.
const SAM: &str = "AWS::Serverless-2016-10-31";

/// Checks all of a template, unless macros or files elsewhere may add to it.
///
/// # Errors
/// The first reference that leads nowhere, with its line.
pub(super) fn check(scope: &Scope<'_>) -> Result<()> {
    let root = scope.root;
    let resources = root.get("Resources").map_or(&[][..], Node::members);
    if !only_sam(root) || resources.iter().any(|(name, _)| name.starts_with("Fn::")) {
        return Ok(());
    }
    let declared = root.get("Parameters").map_or(&[][..], Node::members);
    let names = |members: &'_ [(String, Node)]| -> BTreeSet<String> {
        members.iter().map(|(name, _)| name.clone()).collect()
    };
    let walk = Walk {
        scope,
        resources: names(resources),
        parameters: names(declared),
    };
    let top = Place::default();
    if let Some(globals) = root.get("Globals") {
        walk.node(globals, &top.part("Globals"))?;
    }
    for (name, resource) in resources {
        if let Some(properties) = resource.get("Properties") {
            let place = top.part("Resources").part(name).part("Properties");
            walk.node(properties, &place)?;
        }
    }
    match root.get("Outputs") {
        Some(outputs) => walk.node(outputs, &top.part("Outputs")),
        None => Ok(()),
    }
}

/// Whether all resources are in the text, or are SAM's.
fn only_sam(root: &Node) -> bool {
    let is_sam = |node: &Node| node.text() == Some(SAM);
    match root.get("Transform") {
        None => true,
        Some(node) => match &node.kind {
            Kind::List(items) => items.iter().all(is_sam),
            _ => is_sam(node),
        },
    }
}

struct Walk<'a> {
    scope: &'a Scope<'a>,
    /// What is in the text, for one look each: there may be thousands.
    resources: BTreeSet<String>,
    parameters: BTreeSet<String>,
}

impl Walk<'_> {
    fn node(&self, node: &Node, place: &Place) -> Result<()> {
        let place = &place.clone().at(node.line);
        match &node.kind {
            Kind::Scalar { .. } => Ok(()),
            Kind::List(items) => items.iter().try_for_each(|item| self.node(item, place)),
            Kind::Map(members) => match members.as_slice() {
                [(name, argument)] if name == "Ref" => match argument.text() {
                    Some(name) => self.reference(name, place),
                    None => self.node(argument, place),
                },
                [(name, argument)] if name == "Fn::GetAtt" => self.attribute(argument, place),
                [(name, argument)] if name == "Fn::Sub" => self.sub(argument, place),
                // The names of what it includes are not in the text.
                _ if node.get("Fn::Transform").is_some() => Ok(()),
                members => members.iter().try_for_each(|(key, node)| {
                    // What a function is called is no part of the place.
                    if key.starts_with("Fn::") {
                        self.node(node, place)
                    } else {
                        self.node(node, &place.part(key))
                    }
                }),
            },
        }
    }

    fn reference(&self, name: &str, place: &Place) -> Result<()> {
        if self.resources.contains(name) || self.parameters.contains(name) {
            return Ok(());
        }
        self.scope.check_reference(name, place)
    }

    fn resource(&self, name: &str, place: &Place) -> Result<()> {
        if self.resources.contains(name) {
            return Ok(());
        }
        self.scope.check_resource(name, place)
    }

    /// `RESOURCE.ATTRIBUTE`, or the two in a list.
    fn attribute(&self, argument: &Node, place: &Place) -> Result<()> {
        match &argument.kind {
            Kind::Scalar { text, .. } => match text.split_once('.') {
                Some((resource, _)) => self.resource(resource, place),
                None => Ok(()),
            },
            Kind::List(items) => match items.as_slice() {
                [resource, attribute] => {
                    if let Some(resource) = resource.text() {
                        self.resource(resource, place)?;
                    }
                    self.node(attribute, place)
                }
                items => items.iter().try_for_each(|item| self.node(item, place)),
            },
            Kind::Map(_) => self.node(argument, place),
        }
    }

    fn sub(&self, argument: &Node, place: &Place) -> Result<()> {
        let (template, own) = match &argument.kind {
            Kind::List(items) => match items.as_slice() {
                [template, own] => (template, Some(own)),
                items => return items.iter().try_for_each(|item| self.node(item, place)),
            },
            _ => (argument, None),
        };
        if let Some(own) = own {
            self.node(own, place)?;
        }
        let Some(mut rest) = template.text() else {
            return self.node(template, place);
        };
        while let Some((_, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                return Ok(());
            };
            rest = after;
            let name = name.trim();
            if name.starts_with('!') || own.is_some_and(|own| own.get(name).is_some()) {
                continue;
            }
            match name.split_once('.') {
                Some((resource, _)) => self.resource(resource, place)?,
                None => self.reference(name, place)?,
            }
        }
        Ok(())
    }
}

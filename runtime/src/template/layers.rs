//! Layers of a template, and those of its functions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::code::local;
use super::function::Function;
use super::kind::layer_content;
use super::resolve::{Result, Scope, as_text};
use super::tree::Node;
use crate::configuration::{LayerSource, Place};

/// The layers of a template: name and content by the ARN that refers to them.
#[derive(Debug, Default)]
pub(super) struct Layers(BTreeMap<String, (String, Place, Option<Value>)>);

impl Layers {
    pub(super) fn of(scope: &Scope<'_>, resources: &[(&str, &Node, Place)]) -> Result<Self> {
        let mut layers = BTreeMap::new();
        for (logical, resource, place) in resources {
            let kind = resource.get("Type").and_then(Node::text);
            let Some(property) = kind.and_then(layer_content) else {
                continue;
            };
            let name = scope.layer_name(logical)?;
            let place = place.part("Properties").part(property);
            let content = resource
                .get("Properties")
                .and_then(|properties| properties.get(property));
            let content = match content {
                Some(node) => scope.resolve(node, &place)?,
                None => None,
            };
            layers.insert(scope.layer_arn(&name), (name, place, content));
        }
        Ok(Self(layers))
    }

    fn source(&self, arn: String) -> Result<LayerSource> {
        match self.0.get(&arn) {
            None => Ok(LayerSource::Arn(arn)),
            Some((name, place, content)) => Ok(LayerSource::Files {
                name: name.clone(),
                content: local(content.as_ref(), place)?,
            }),
        }
    }
}

impl Function<'_> {
    /// Its layers, base first.
    ///
    /// # Errors
    /// They are no list of layers, or one of them is nowhere on this machine.
    pub(super) fn layers(&self, layers: &Layers) -> Result<Vec<LayerSource>> {
        let Some(value) = self.value("Layers")? else {
            return Ok(vec![]);
        };
        let place = self.at("Layers");
        let wrong = || place.error("is not a list of layer versions");
        let items = value.as_array().ok_or_else(wrong)?;
        items
            .iter()
            .map(|item| {
                let arn = as_text(Some(item)).ok_or_else(wrong)?;
                layers.source(arn)
            })
            .collect()
    }
}

//! Intrinsic functions: what a node is once they are worked out.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::tree::{Kind, Node, is_null};
use crate::configuration::{ConfigurationError, Place};

pub(super) type Result<T> = std::result::Result<T, ConfigurationError>;

/// How deep references may lead: further is a circle.
pub(super) const MAX_DEPTH: usize = 64;

/// Nodes that are worked out, and bytes of texts that are put together, for a whole
/// template: names that lead to other names twice would double with each step.
const MAX_WORK: usize = 4 << 20;

/// What names in a template refer to.
pub(super) struct Scope<'a> {
    pub(super) root: &'a Node,
    /// Given values, by parameter.
    pub(super) given: &'a BTreeMap<String, String>,
    pub(super) region: &'a str,
    /// Conditions that were worked out: each may be named by many others.
    pub(super) conditions: RefCell<BTreeMap<String, bool>>,
    warnings: RefCell<BTreeSet<String>>,
    /// What has been done of [`MAX_WORK`].
    work: Cell<usize>,
}

impl<'a> Scope<'a> {
    /// Of a template, with the values of some of its parameters.
    pub(super) fn new(
        root: &'a Node,
        given: &'a BTreeMap<String, String>,
        region: &'a str,
    ) -> Self {
        Self {
            root,
            given,
            region,
            conditions: RefCell::default(),
            warnings: RefCell::default(),
            work: Cell::default(),
        }
    }

    /// Counts what is being done.
    fn spend(&self, work: usize, place: &Place) -> Result<()> {
        let work = self.work.get().saturating_add(work);
        self.work.set(work);
        if work > MAX_WORK {
            return Err(place.error(
                "the template has too many references, or too long texts once they are put \
                 together",
            ));
        }
        Ok(())
    }

    /// Notes what has no effect here.
    pub(super) fn warn(&self, place: &Place, message: &str) {
        self.warnings
            .borrow_mut()
            .insert(format!("{place}: {message}"));
    }

    /// What was noted, each once.
    pub(super) fn warnings(self) -> Vec<String> {
        self.warnings.into_inner().into_iter().collect()
    }

    /// The value of a node; `None` is `AWS::NoValue`.
    ///
    /// # Errors
    /// A function that cannot be worked out.
    pub(super) fn resolve(&self, node: &Node, place: &Place) -> Result<Option<Value>> {
        self.value(node, place, 0)
    }

    pub(super) fn value(&self, node: &Node, place: &Place, depth: usize) -> Result<Option<Value>> {
        let place = &place.clone().at(node.line);
        if depth > MAX_DEPTH {
            return Err(place.error("the references lead in a circle"));
        }
        self.spend(1, place)?;
        match &node.kind {
            Kind::Scalar { text, plain } => Ok(Some(scalar(text, *plain))),
            Kind::List(items) => {
                let mut values = vec![];
                for item in items {
                    values.extend(self.value(item, place, depth + 1)?);
                }
                Ok(Some(Value::Array(values)))
            }
            Kind::Map(members) => match members.as_slice() {
                [(name, argument)] if name == "Ref" || name.starts_with("Fn::") => {
                    self.function(name, argument, place, depth + 1)
                }
                _ => {
                    let mut map = Map::new();
                    for (key, node) in members {
                        if let Some(value) = self.value(node, &place.part(key), depth + 1)? {
                            map.insert(key.clone(), value);
                        }
                    }
                    Ok(Some(Value::Object(map)))
                }
            },
        }
    }

    fn function(
        &self,
        name: &str,
        argument: &Node,
        place: &Place,
        depth: usize,
    ) -> Result<Option<Value>> {
        match name {
            "Ref" => {
                let name = self.literal(argument, "Ref", place)?;
                self.reference(name, place, depth)
            }
            "Fn::GetAtt" => {
                let (resource, attribute) = self.attribute(argument, place, depth)?;
                self.get_att(&resource, &attribute, place, depth).map(Some)
            }
            "Fn::Sub" => self.sub(argument, place, depth).map(Some),
            "Fn::Join" => {
                let [separator, list] = items(argument, "Fn::Join", place)?;
                let separator = self.text(separator, "Fn::Join", place, depth)?;
                let list = self.texts(list, "Fn::Join", place, depth)?;
                let text = list.join(&separator);
                self.spend(text.len(), place)?;
                Ok(Some(text.into()))
            }
            "Fn::Split" => {
                let [separator, text] = items(argument, "Fn::Split", place)?;
                let separator = self.text(separator, "Fn::Split", place, depth)?;
                let text = self.text(text, "Fn::Split", place, depth)?;
                if separator.is_empty() {
                    return Err(place.error("Fn::Split: the separator is empty"));
                }
                Ok(Some(text.split(&separator).map(Value::from).collect()))
            }
            "Fn::Select" => {
                let [index, list] = items(argument, "Fn::Select", place)?;
                let index = self.text(index, "Fn::Select", place, depth)?;
                let list = self.value(list, place, depth)?;
                let item = index.parse().ok().and_then(|index: usize| {
                    let list = list.as_ref()?.as_array()?;
                    list.get(index).cloned()
                });
                let missing = || place.error(format!("Fn::Select: there is no item {index}"));
                item.map(Some).ok_or_else(missing)
            }
            "Fn::Base64" => {
                use base64::Engine;
                let text = self.text(argument, "Fn::Base64", place, depth)?;
                let text = base64::prelude::BASE64_STANDARD.encode(text);
                self.spend(text.len(), place)?;
                Ok(Some(text.into()))
            }
            "Fn::FindInMap" => self.find_in_map(argument, place, depth),
            "Fn::If" => {
                let [condition, yes, no] = items(argument, "Fn::If", place)?;
                let condition = self.literal(condition, "Fn::If", place)?;
                let holds = self.named_condition(condition, place, depth)?;
                self.value(if holds { yes } else { no }, place, depth)
            }
            "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" => {
                let map = vec![(name.to_owned(), argument.clone())];
                let node = Node {
                    kind: Kind::Map(map),
                    line: argument.line,
                    source: None,
                };
                Ok(Some(self.holds(&node, place, depth)?.into()))
            }
            other => Err(place.error(format!(
                "{other} cannot be worked out here: use a parameter, and --parameter NAME=VALUE"
            ))),
        }
    }

    /// `RESOURCE.ATTRIBUTE`, or the two in a list.
    fn attribute(&self, node: &Node, place: &Place, depth: usize) -> Result<(String, String)> {
        let wrong = || place.error("Fn::GetAtt takes RESOURCE.ATTRIBUTE");
        if let Some(text) = node.text() {
            let (resource, attribute) = text.split_once('.').ok_or_else(wrong)?;
            return Ok((resource.to_owned(), attribute.to_owned()));
        }
        let [resource, attribute] = items(node, "Fn::GetAtt", place)?;
        let resource = resource.text().ok_or_else(wrong)?.to_owned();
        let attribute = self.text(attribute, "Fn::GetAtt", place, depth)?;
        Ok((resource, attribute))
    }

    fn sub(&self, argument: &Node, place: &Place, depth: usize) -> Result<Value> {
        let (template, own) = if let Some(text) = argument.text() {
            (text, None)
        } else {
            let [template, own] = items(argument, "Fn::Sub", place)?;
            (self.literal(template, "Fn::Sub", place)?, Some(own))
        };
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${") {
            text += before;
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| place.error("Fn::Sub: there is a ${ without its }"))?;
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                text += "${";
                text += literal;
                text += "}";
                continue;
            }
            let name = name.trim();
            let value = if let Some(node) = own.and_then(|own| own.get(name)) {
                self.value(node, place, depth)?
            } else if let Some((resource, attribute)) = name.split_once('.') {
                Some(self.get_att(resource, attribute, place, depth)?)
            } else {
                self.reference(name, place, depth)?
            };
            text += &as_text(value.as_ref())
                .ok_or_else(|| place.error(format!("Fn::Sub: ${{{name}}} is not a text")))?;
        }
        text += rest;
        self.spend(text.len(), place)?;
        Ok(text.into())
    }

    fn find_in_map(&self, argument: &Node, place: &Place, depth: usize) -> Result<Option<Value>> {
        let [map, first, second] = items(argument, "Fn::FindInMap", place)?;
        let map = self.text(map, "Fn::FindInMap", place, depth)?;
        let first = self.text(first, "Fn::FindInMap", place, depth)?;
        let second = self.text(second, "Fn::FindInMap", place, depth)?;
        let found = self
            .root
            .get("Mappings")
            .and_then(|mappings| mappings.get(&map)?.get(&first)?.get(&second));
        let found = found.ok_or_else(|| {
            place.error(format!(
                "Fn::FindInMap: Mappings has no {map}.{first}.{second}"
            ))
        })?;
        self.value(found, place, depth)
    }

    /// A text that is not worked out.
    pub(super) fn literal<'n>(
        &self,
        node: &'n Node,
        function: &str,
        place: &Place,
    ) -> Result<&'n str> {
        let _ = self;
        node.text()
            .ok_or_else(|| place.error(format!("{function} takes a text")))
    }

    pub(super) fn text(
        &self,
        node: &Node,
        function: &str,
        place: &Place,
        depth: usize,
    ) -> Result<String> {
        let value = self.value(node, place, depth)?;
        as_text(value.as_ref()).ok_or_else(|| place.error(format!("{function}: not a text")))
    }

    fn texts(
        &self,
        node: &Node,
        function: &str,
        place: &Place,
        depth: usize,
    ) -> Result<Vec<String>> {
        let value = self.value(node, place, depth)?;
        let items = value.as_ref().and_then(Value::as_array);
        let texts = items.map(|items| items.iter().map(|item| as_text(Some(item))).collect());
        let texts: Option<Option<Vec<String>>> = texts;
        texts
            .flatten()
            .ok_or_else(|| place.error(format!("{function}: not a list of texts")))
    }
}

/// A list of so many items.
pub(super) fn items<'n, const N: usize>(
    node: &'n Node,
    function: &str,
    place: &Place,
) -> Result<&'n [Node; N]> {
    let list = match &node.kind {
        Kind::List(items) => items.as_slice().try_into().ok(),
        _ => None,
    };
    list.ok_or_else(|| place.error(format!("{function} takes a list of {N}")))
}

/// Numbers and truth values as `CloudFormation` writes them into texts.
pub(super) fn as_text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Plain whole numbers and truth values are what they look like; everything else
/// stays the text that was written.
fn scalar(text: &str, plain: bool) -> Value {
    if !plain {
        return text.into();
    }
    if is_null(text) {
        return Value::Null;
    }
    match text {
        "true" | "True" | "TRUE" => return true.into(),
        "false" | "False" | "FALSE" => return false.into(),
        _ => {}
    }
    match text.parse::<i64>() {
        // Not 007, which somebody may have meant as it is.
        Ok(number) if number.to_string() == text => number.into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests;

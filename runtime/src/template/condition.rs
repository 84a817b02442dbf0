//! Conditions: what holds, and so which values and resources there are.

use super::resolve::{MAX_DEPTH, Result, Scope, as_text, items};
use super::tree::{Kind, Node};
use crate::configuration::Place;

impl Scope<'_> {
    /// Whether a condition of the template holds.
    ///
    /// # Errors
    /// There is none of that name, or it is none.
    pub(super) fn condition(&self, name: &str, place: &Place) -> Result<bool> {
        self.named_condition(name, place, 0)
    }

    pub(super) fn named_condition(&self, name: &str, place: &Place, depth: usize) -> Result<bool> {
        if let Some(holds) = self.conditions.borrow().get(name) {
            return Ok(*holds);
        }
        let node = self.root.get("Conditions").and_then(|all| all.get(name));
        let node = node.ok_or_else(|| place.error(format!("there is no condition \"{name}\"")))?;
        let place = Place::default().part("Conditions").part(name).at(node.line);
        let holds = self.holds(node, &place, depth + 1)?;
        self.conditions.borrow_mut().insert(name.to_owned(), holds);
        Ok(holds)
    }

    pub(super) fn holds(&self, node: &Node, place: &Place, depth: usize) -> Result<bool> {
        if depth > MAX_DEPTH {
            return Err(place.error("the references lead in a circle"));
        }
        let [(name, argument)] = node.members() else {
            return Err(place.error("is no condition"));
        };
        let all = |count: std::ops::RangeInclusive<usize>| match &argument.kind {
            Kind::List(items) if count.contains(&items.len()) => items
                .iter()
                .map(|item| self.holds(item, place, depth + 1))
                .collect::<Result<Vec<bool>>>(),
            _ => Err(place.error(format!("{name} takes a list of conditions"))),
        };
        match name.as_str() {
            "Condition" => {
                let name = self.literal(argument, "Condition", place)?;
                self.named_condition(name, place, depth)
            }
            "Fn::Equals" => {
                let [one, other] = items(argument, name, place)?;
                let one = self.value(one, place, depth)?;
                let other = self.value(other, place, depth)?;
                Ok(match (as_text(one.as_ref()), as_text(other.as_ref())) {
                    (Some(one), Some(other)) => one == other,
                    _ => one == other,
                })
            }
            "Fn::Not" => Ok(!all(1..=1)?.into_iter().any(|holds| holds)),
            "Fn::And" => Ok(all(1..=10)?.into_iter().all(|holds| holds)),
            "Fn::Or" => Ok(all(1..=10)?.into_iter().any(|holds| holds)),
            other => Err(place.error(format!("{other} is no condition"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tree::parse;
    use super::*;

    /// Each of fifteen levels names the one below ten times: worked out each time,
    /// that would be 10^15 conditions.
    #[test]
    fn each_is_worked_out_once() {
        for (function, leaf, holds) in [
            ("And", "a", true),
            ("And", "b", false),
            ("Or", "a", true),
            ("Or", "b", false),
        ] {
            let mut lines = vec![format!("Conditions:\n  C0: !Equals [a, {leaf}]")];
            for level in 1..=15 {
                let below = vec![format!("!Condition C{}", level - 1); 10].join(", ");
                lines.push(format!("  C{level}: !{function} [{below}]"));
            }
            let root = parse(&lines.join("\n")).unwrap();
            let given = BTreeMap::new();
            let scope = Scope::new(&root, &given, "us-east-1");
            let found = scope.condition("C15", &Place::default());
            assert_eq!(found, Ok(holds), "{function} of {leaf}");
            assert_eq!(scope.conditions.borrow().len(), 16, "{function} of {leaf}");
        }
    }
}

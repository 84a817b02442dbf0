//! `Globals`: properties that resources of a type have in common.

use super::tree::{Kind, Node};

/// The properties of a resource over the global ones: maps are merged, lists
/// follow upon each other, anything else is replaced. An intrinsic function is not
/// a map.
pub(super) fn merged(global: &Node, own: &Node) -> Node {
    let kind = match (&global.kind, &own.kind) {
        (Kind::Map(all), Kind::Map(ours)) if !is_function(global) && !is_function(own) => {
            let mut members: Vec<(String, Node)> = all
                .iter()
                .filter(|(key, _)| own.get(key).is_none())
                .cloned()
                .collect();
            for (key, node) in ours {
                let node = match global.get(key) {
                    Some(global) => merged(global, node),
                    None => node.clone(),
                };
                members.push((key.clone(), node));
            }
            Kind::Map(members)
        }
        (Kind::List(all), Kind::List(ours)) => Kind::List([all.as_slice(), ours].concat()),
        (_, own) => own.clone(),
    };
    Node {
        kind,
        line: own.line,
        source: None,
    }
}

fn is_function(node: &Node) -> bool {
    matches!(node.members(), [(name, _)] if name == "Ref" || name.starts_with("Fn::"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tree::parse;
    use super::*;

    /// The two without their lines.
    fn same(one: &Node, other: &Node) -> bool {
        match (&one.kind, &other.kind) {
            (Kind::List(one), Kind::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
            }
            (Kind::Map(one), Kind::Map(members)) => {
                let found = |key: &str| other.get(key);
                one.len() == members.len()
                    && one
                        .iter()
                        .all(|(key, a)| found(key).is_some_and(|b| same(a, b)))
            }
            (one, other) => one == other,
        }
    }

    #[test]
    fn sams_rules() {
        for (global, own, expected) in [
            ("{a: 1, b: 2}", "{b: 3}", "{a: 1, b: 3}"),
            (
                "{Environment: {Variables: {A: 1, B: 1}}}",
                "{Environment: {Variables: {B: 2, C: 2}}}",
                "{Environment: {Variables: {A: 1, B: 2, C: 2}}}",
            ),
            ("{Layers: [a, b]}", "{Layers: [c]}", "{Layers: [a, b, c]}"),
            ("{a: !Ref X}", "{a: !Ref Y}", "{a: !Ref Y}"),
            ("{a: !Ref X}", "{a: {b: 1}}", "{a: {b: 1}}"),
            ("{a: {b: 1}}", "{a: !GetAtt X.Y}", "{a: !GetAtt X.Y}"),
            ("{a: [1]}", "{a: 2}", "{a: 2}"),
            ("{a: 1}", "{}", "{a: 1}"),
        ] {
            let [global, own, expected] = [global, own, expected].map(|text| parse(text).unwrap());
            let merged = merged(&global, &own);
            assert!(same(&merged, &expected), "{merged:?}\n{expected:?}");
        }
    }
    /// Flow YAML of maps and scalars, without lists, which grow.
    fn maps() -> impl Strategy<Value = String> {
        "[a-z1-9]{1,3}".prop_recursive(3, 16, 3, |inner| {
            proptest::collection::btree_map("[A-C]", inner, 0..3).prop_map(|members| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, value)| format!("{key}: {value}"))
                    .collect();
                format!("{{{}}}", members.join(", "))
            })
        })
    }

    /// Whether everything of `part` is in `whole`.
    fn has(whole: &Node, part: &Node) -> bool {
        match &part.kind {
            Kind::Map(members) => members
                .iter()
                .all(|(key, node)| whole.get(key).is_some_and(|whole| has(whole, node))),
            kind => whole.kind == *kind,
        }
    }

    proptest! {
        /// Its own properties win, all of them, and to say them twice changes nothing.
        #[test]
        fn what_a_resource_says_itself_counts(global in maps(), own in maps()) {
            let [global, own] = [global, own].map(|text| parse(&text).unwrap());
            let once = merged(&global, &own);
            prop_assert!(same(&merged(&once, &own), &once));
            prop_assert!(same(&merged(&global, &once), &once));
            prop_assert!(has(&once, &own), "{:?} {:?}", once, own);
        }
    }
}

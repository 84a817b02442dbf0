//! Whatever is done, in whichever order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::aliases::UpdateAlias;
use super::*;

/// Something that is done to the functions `a` and `b`.
#[derive(Debug, Clone)]
enum Step {
    Create(bool),
    UpdateCode(bool),
    Publish,
    Deployed,
    Failed,
    Delete,
    DeleteVersion(u64),
    Alias(u64, Option<u64>),
    Reserve(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<bool>().prop_map(Step::Create),
        any::<bool>().prop_map(Step::UpdateCode),
        Just(Step::Publish),
        Just(Step::Deployed),
        Just(Step::Deployed),
        Just(Step::Failed),
        Just(Step::Delete),
        (1..5_u64).prop_map(Step::DeleteVersion),
        (1..5_u64, proptest::option::of(1..5_u64))
            .prop_map(|(version, other)| Step::Alias(version, other)),
        (0..600_i64).prop_map(Step::Reserve),
    ]
}

fn take(catalog: &mut Catalog, function: &FunctionName, step: &Step, at: &Moment) -> bool {
    let uri = format!("i:{}", at.revision_id);
    match step {
        Step::Create(publish) => {
            let request: CreateFunction =
                request(json!({"Role": ROLE, "PackageType": "Image", "Publish": publish}));
            let settings = request.settings(vec![], "x86_64").unwrap();
            catalog
                .create(function, &request, settings, image(&uri), at)
                .is_ok()
        }
        Step::UpdateCode(publish) => {
            let update = UpdateCode {
                publish: Some(*publish),
                ..UpdateCode::default()
            };
            catalog
                .update_code(function, &update, image(&uri), &arns(), at)
                .is_ok()
        }
        Step::Publish => catalog
            .publish(function, &PublishVersion::default(), &arns())
            .is_ok(),
        Step::Deployed => {
            catalog.deployed(function, "sha256:00", at);
            true
        }
        Step::Failed => {
            let failed = Failed {
                code: "InvalidImage",
                reason: String::new(),
            };
            catalog.failed(function, &failed, at);
            true
        }
        Step::Delete => catalog
            .delete(&reference(function.as_str()), &arns())
            .is_ok(),
        Step::DeleteVersion(number) => {
            let version = reference(&format!("{function}:{number}"));
            catalog.delete(&version, &arns()).is_ok()
        }
        Step::Alias(version, other) => {
            let weights: BTreeMap<String, f64> =
                other.iter().map(|it| (it.to_string(), 0.5)).collect();
            let body = json!({"Name": "live", "FunctionVersion": version.to_string(),
                "RoutingConfig": {"AdditionalVersionWeights": weights}});
            let made = catalog.create_alias(function, &request(body.clone()), &arns(), at);
            let update: UpdateAlias = request(body);
            made.is_ok()
                || catalog
                    .update_alias(function, "live", &update, &arns(), at)
                    .is_ok()
        }
        Step::Reserve(number) => catalog
            .reserve(&reference(function.as_str()), Some(*number), &arns())
            .is_ok(),
    }
}

proptest! {
    /// Whatever happens: what is refused changes nothing, aliases lead to versions
    /// that are there, numbers are not given twice, nothing stays half-changed, and
    /// the account keeps its unreserved executions.
    #[test]
    fn the_books_are_always_right(steps in proptest::collection::vec((any::<bool>(), step()), 1..60)) {
        let mut catalog = Catalog::default();
        let mut given: BTreeMap<FunctionName, u64> = BTreeMap::new();
        for (number, (which, step)) in (0..).zip(&steps) {
            let function = name(if *which { "a" } else { "b" });
            let before = catalog.clone();
            let done = take(&mut catalog, &function, step, &moment(number));
            if !done {
                prop_assert_eq!(&catalog, &before, "{:?}", step);
            }
            let other = name(if *which { "b" } else { "a" });
            prop_assert_eq!(catalog.functions.get(&other), before.functions.get(&other));
            given.retain(|name, _| catalog.functions.contains_key(name));
            for (name, record) in &catalog.functions {
                let highest = given.entry(name.clone()).or_default();
                prop_assert!(record.last_version >= *highest);
                *highest = record.last_version;
                prop_assert!(record.versions.keys().all(|number| number <= highest));
                for alias in record.aliases.values() {
                    prop_assert!(record.version(alias.route.version).is_some());
                    let other = alias.route.weighted.map(|(version, _)| version);
                    prop_assert!(other.is_none_or(|version| record.version(version).is_some()));
                }
                let changing = record.latest.is_unsettled();
                prop_assert!(record.previous.is_none() || changing);
                for version in record.versions.values() {
                    prop_assert!(!version.is_unsettled() || changing);
                }
            }
            prop_assert!(catalog.unreserved() >= 100);
        }
    }
}

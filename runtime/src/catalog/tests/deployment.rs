//! How deployments end.

use super::*;

/// A version whose image is gone is `Failed` until a service finds the image again.
#[test]
fn what_is_gone_may_come_back() {
    let gone = Failed {
        code: Failed::GONE,
        reason: "gone".to_owned(),
    };
    let mut catalog = with_function();
    let before = catalog.clone();
    catalog.restored(&name("f"), Version::Latest, Err(&gone));
    let record = &catalog.functions[&name("f")].latest;
    assert!(record.is_restorable());
    assert_eq!(latest(&catalog)["StateReasonCode"], "ImageDeleted");
    catalog.restored(&name("f"), Version::Latest, Ok(()));
    assert_eq!(catalog, before);
    // During an update it is the old code that serves.
    let update = UpdateCode::default();
    catalog
        .update_code(&name("f"), &update, image("b"), &arns(), &moment(2))
        .unwrap();
    let updating = latest(&catalog);
    catalog.restored(&name("f"), Version::Latest, Err(&gone));
    assert_eq!(latest(&catalog), updating);
    // One that never worked is not tried again by itself.
    let mut catalog = Catalog::default();
    create(&mut catalog, &json!({})).unwrap();
    let failed = Failed {
        code: "InvalidImage",
        ..gone
    };
    catalog.failed(&name("f"), &failed, &moment(1));
    assert!(!catalog.functions[&name("f")].latest.is_restorable());
}

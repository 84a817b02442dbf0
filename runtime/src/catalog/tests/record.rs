//! What is on disk.

use super::*;

/// An older file, with nothing but what a record must have, is still read.
#[test]
fn files_of_this_format_stay_readable() {
    let old = json!({"version": 1, "functions": {"f": {"latest": {
        "settings": {
            "role": ROLE, "memorySize": 128, "timeout": 3, "ephemeralStorage": 512,
            "package": {"zip": {"runtime": "python3.12", "handler": "a.b"}},
            "architecture": "x86_64",
        },
        "code": {"zip": {"digest": "00", "size": 1, "unpackedSize": 2}},
        "state": "active", "revisionId": "r", "lastModified": "t",
    }}}});
    let read: Catalog = serde_json::from_value(old).unwrap();
    assert_eq!(
        read.functions[&name("f")].latest.code,
        Code::Zip {
            digest: "00".to_owned(),
            size: 1,
            unpacked_size: 2,
        }
    );
    let mut catalog = with_function();
    let url: UrlRequest = request(json!({"AuthType": "NONE"}));
    catalog
        .create_url(&reference("f"), &url, "id", &arns(), &moment(1))
        .unwrap();
    let text = serde_json::to_string(&catalog).unwrap();
    assert_eq!(serde_json::from_str::<Catalog>(&text).unwrap(), catalog);
}

//! Who lives and who dies.

use std::fmt::Write;

use serde_json::json;

use crate::Lambent;
use crate::fixtures::{Error, Fixture};

/// One row for each fill level of `/tmp` and amount of own memory.
pub(super) fn table() -> Result<String, Error> {
    let mut text = "A function of 128 MB with 512 MB of /tmp\n\
        | in /tmp | own memory | result | Max Memory Used | /tmp used |\n|---|---|---|---|---|\n"
        .to_owned();
    for fill in [0, 256, 512] {
        for own in [100, 120, 130, 160] {
            let event = json!({"action": "sequence", "events": [
                {"action": "fillTmp", "mb": fill},
                {"action": "allocate", "mb": own},
            ]});
            let image = Fixture::RustOciArchive.reference();
            let run = Lambent::new().invoke(&image, &event, &["--timeout", "120"]);
            let result = run.result();
            let verdict = match result["payload"]["errorType"].as_str() {
                Some(error) => error.to_owned(),
                None if run.status == 0 => "lives".to_owned(),
                None => return Err(format!("{run:?}").into()),
            };
            let report = &result["report"];
            let _ = writeln!(
                text,
                "| {fill} MB | {own} MB | {verdict} | {} MB | {} MB |",
                report["maxMemoryUsedMb"], report["tmpUsedMb"]
            );
        }
    }
    Ok(text)
}

//! Imports an image into a store and says what it found:
//! `cargo run --release -p lambent-images --example import -- STORE REFERENCE`

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use lambent_images::{ContentStore, ImageReference, NoProgress, Platform};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.as_slice() {
        [store, reference] => import(store, reference),
        _ => Err("usage: import STORE REFERENCE".into()),
    };
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let mut causes = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    let _nobody_reads = writeln!(std::io::stderr(), "import: {}", causes.join(": "));
    ExitCode::FAILURE
}

fn import(store: &str, reference: &str) -> Result<(), Box<dyn Error>> {
    let reference: ImageReference = reference.parse()?;
    let mut store = ContentStore::open(Path::new(store))?;
    if let Ok(form) = std::env::var("LAMBENT_IMAGE_FORM") {
        store = store.with_form(form.parse()?);
    }
    let started = Instant::now();
    let image = store.import(&reference, &Platform::host(), &NoProgress)?;
    let mut out = std::io::stdout().lock();
    let (form, took) = (store.form(), started.elapsed());
    writeln!(out, "{} in {took:?} as {form}", image.manifest_digest)?;
    for layer in &image.layers {
        writeln!(out, "  {} {} bytes", layer.digest, layer.size)?;
    }
    for warning in &image.warnings {
        writeln!(out, "  warning: {warning}")?;
    }
    Ok(())
}

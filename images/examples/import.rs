//! Imports an image into a store and says what it found:
//! `cargo run --release -p lambent-images --example import -- STORE REFERENCE`
#![expect(clippy::print_stdout, reason = "an example's output")]

use std::path::Path;
use std::time::Instant;

use lambent_images::{ContentStore, ImageReference, NoProgress, Platform};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [store, reference] = words.as_slice() else {
        return Err("usage: import STORE REFERENCE".into());
    };
    let reference: ImageReference = reference.parse()?;
    let mut store = ContentStore::open(Path::new(store))?;
    if let Ok(form) = std::env::var("LAMBENT_IMAGE_FORM") {
        store = store.with_form(form.parse()?);
    }
    let started = Instant::now();
    let image = store.import(&reference, &Platform::host(), &NoProgress)?;
    println!(
        "{} in {:?} as {}",
        image.manifest_digest,
        started.elapsed(),
        store.form()
    );
    for layer in &image.layers {
        println!("  {} {} bytes", layer.digest, layer.size);
    }
    for warning in &image.warnings {
        println!("  warning: {warning}");
    }
    Ok(())
}

//! References: what is accepted reads back as itself.

#![no_main]

use lambent_images::ImageReference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match text.parse::<ImageReference>() {
        Ok(reference) => {
            let again = reference.to_string().parse::<ImageReference>();
            assert_eq!(again.ok(), Some(reference));
        }
        Err(error) => {
            let message = error.to_string();
            assert!(!message.chars().any(char::is_control), "{message:?}");
        }
    }
});

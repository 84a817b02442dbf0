//! Indexes, manifests and configurations.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    lambent_images::fuzzing::documents(data);
});

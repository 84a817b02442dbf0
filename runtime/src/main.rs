//! Lambent.
fn main() {}

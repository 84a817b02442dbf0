//! Lambent.

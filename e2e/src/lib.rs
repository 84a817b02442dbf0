//! Support for the end-to-end tests: the lambent binary, real images, real
//! runtimes, and what they may leave behind.

pub mod aws_sdk_rust;
pub mod awscli;
pub mod bench;
pub mod boto3;
pub mod client;
pub mod clients;
pub mod control;
pub mod debugpy;
pub mod delegated;
pub mod extension;
pub mod fidelity;
pub mod fixtures;
mod lambent;
pub mod leftovers;
pub mod load;
#[cfg(target_arch = "x86_64")]
pub mod loader;
pub mod memory_group;
pub mod nested;
pub mod ordinary;
pub mod otlp;
mod parts;
pub mod pillow;
mod python_layer;
pub mod readme;
pub mod resources;
pub mod script;
pub mod serve;
pub mod start;
pub mod subscriber;
pub mod terminal;
pub mod tuning;
pub mod vm;
pub mod wait;
pub mod web_adapter;

pub use lambent::{Lambent, Run, privileged, program};

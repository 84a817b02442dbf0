//! Lambent runs container-packaged Lambda functions on a Linux machine, without
//! Docker, in the execution environment that they will meet in production.
//!
//! `ARCHITECTURE.md` beside this crate shows the way through the house.

mod admin;
mod api;
pub mod asynchronous;
mod body;
mod catalog;
mod chart;
pub mod cli;
mod configuration;
mod configured;
pub mod control_plane;
mod doctor;
mod environment;
mod file;
pub mod functions;
pub mod images;
pub mod model;
pub mod observation;
mod otlp;
pub mod pool;
mod sample;
mod sandbox;
pub mod server;
pub mod service;
pub mod service_error;
mod soak;
mod state;
mod statistics;
mod suite;
mod sys;
pub mod telemetry;
mod template;
mod tune;
mod user_file;
mod validate;
mod yaml;

pub use api::{ResponsePart, StreamError};
pub use doctor::probe::{PROBE_COMMAND, answer as answer_probe};
pub use environment::{
    EnvironmentGone, ExecutionEnvironment, Invocation, InvocationAnswer, InvocationResult, Outcome,
};
pub use sandbox::client::LAUNCHER_COMMAND;
pub use sandbox::run_launcher;
pub use state::StateDirectories;

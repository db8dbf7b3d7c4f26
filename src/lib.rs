//! prefect-rs: a workflow orchestrator in one executable.
//!
//! The modules are the nouns of the field; `ARCHITECTURE.md` is the map.

pub mod agent;
pub mod bench;
pub mod cli;
pub mod client;
pub mod clock;
pub mod settings;
pub mod telemetry;

pub mod db;
pub mod deployments;
pub mod schemas;
pub mod server;

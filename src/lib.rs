//! prefect-rs: a workflow orchestrator in one executable.
//!
//! The modules are the nouns of the field; `ARCHITECTURE.md` is the map.

// The attributes name this crate, also where it uses them itself.
extern crate self as prefect_rs;

pub mod client;
pub mod clock;
pub mod connect;
pub mod settings;
pub mod telemetry;

#[cfg(feature = "sdk")]
pub mod prelude;
#[cfg(feature = "sdk")]
pub mod sdk;

#[cfg(feature = "server")]
pub mod agent;
#[cfg(feature = "server")]
pub mod bench;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod db;
#[cfg(feature = "server")]
pub mod deployments;
#[cfg(feature = "server")]
pub mod schemas;
#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "sdk")]
pub use prefect_rs_macros::{data, flow, task};

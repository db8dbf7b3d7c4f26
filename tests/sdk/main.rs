//! Flows in Rust: in process on databases of their own, and as programs.

mod authoring;
mod history;
mod mistakes;
mod away;
#[path = "../support/genuine.rs"]
mod genuine;
#[path = "../support/genuine_server.rs"]
mod genuine_server;
mod programs;
mod results;
mod retries;
mod runs;
mod server;
mod states;

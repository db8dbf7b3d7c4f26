//! Flows in Rust: in process on databases of their own, and as programs.

mod authoring;
mod history;
mod mistakes;
mod programs;
mod results;
mod retries;
mod runs;
mod server;
mod states;

//! Flows in Rust, in process on databases of their own.

mod history;
mod results;
mod retries;
mod runs;
mod states;

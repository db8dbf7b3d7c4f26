//! Flows in Rust: in process on databases of their own, and as programs.

#[path = "../support/audit.rs"]
mod audit;
mod authoring;
mod away;
mod documentation;
mod faults;
#[path = "../support/genuine.rs"]
mod genuine;
#[path = "../support/genuine_server.rs"]
mod genuine_server;
mod history;
mod home;
mod mistakes;
mod on_genuine_servers;
mod programs;
mod results;
mod retries;
mod returns;
mod runs;
mod scripts;
mod server;
mod states;

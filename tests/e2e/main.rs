//! Stories from end to end: real processes, the genuine client, real faults.

mod agent;
#[path = "../support/genuine.rs"]
mod genuine;
mod ours;
mod stories;

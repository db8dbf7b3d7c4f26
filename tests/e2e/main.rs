//! Stories from end to end: real processes, the genuine client, real faults.

mod agent;
mod agent_faults;
mod agents;
#[path = "../support/audit.rs"]
mod audit;
mod events;
mod faults;
#[path = "../support/genuine.rs"]
mod genuine;
mod newer;
mod ours;
#[path = "../support/postgres.rs"]
mod postgres;
mod storage_faults;
mod stories;
mod together;
mod tutorial;
mod workers;

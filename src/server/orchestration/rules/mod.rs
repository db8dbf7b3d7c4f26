//! The rules, one file a concern.

pub mod cache;
pub mod cancelling;
pub mod concurrency;
pub mod deployment_limits;
pub mod flow_runs;
pub mod pauses;
pub mod retries;
pub mod schedule;
pub mod terminal;

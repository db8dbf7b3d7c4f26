//! The rules, one file a concern.

pub mod cache;
pub mod concurrency;
pub mod retries;
pub mod schedule;
pub mod terminal;

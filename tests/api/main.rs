//! The API in process: recorded histories, both databases, hostile requests.

mod app;
mod automations;
mod background_tasks;
mod beside;
mod blocks;
mod clock_jumps;
mod coverage;
mod deployment_limits;
mod event_feed;
mod events;
mod flow_run_events;
#[path = "../support/genuine.rs"]
mod genuine;
#[path = "../support/genuine_server.rs"]
mod genuine_server;
mod guard;
mod hostile;
mod limits;
mod notification_policies;
mod pauses;
#[path = "../support/postgres.rs"]
mod postgres;
mod replay;
mod retention;
mod secrets;
mod settling;
mod task_run_records;
mod variables;
mod work_pools;
mod workers;

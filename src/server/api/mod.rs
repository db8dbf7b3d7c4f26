//! Handlers, one file a resource: extract, one or two calls, answer.

pub mod admin;
pub mod automations;
pub mod block_documents;
pub mod block_schemas;
pub mod block_specs;
pub mod block_types;
pub mod blocks;
pub mod concurrency_limits;
pub mod csrf_tokens;
pub mod deployment_schedules;
pub mod deployments;
pub mod due;
pub mod events;
pub mod flow_runs;
pub mod flows;
pub mod global_concurrency_limits;
pub mod logs;
pub mod saved_searches;
pub mod sockets;
pub mod states;
pub mod task_runs;
pub mod task_workers;
pub mod ui;
pub mod work_pools;
pub mod work_queues;

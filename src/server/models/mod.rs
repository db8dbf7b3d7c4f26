//! All SQL of the server, one file a noun.
//!
//! The functions are bare verbs (`create`, `read`, `list`, …) over a connection that the caller
//! holds, so that several of them make one write.

pub mod admin;
pub mod artifacts;
pub mod automations;
pub mod background_tasks;
pub mod block_documents;
pub mod block_filters;
pub mod block_schemas;
pub mod block_specs;
pub mod block_types;
pub mod blocks;
pub mod builtin_blocks;
pub mod concurrency_limits;
pub mod configuration;
pub mod counts;
pub mod csrf_tokens;
pub mod deployment_limits;
pub mod deployment_schedules;
pub mod deployments;
pub mod due_runs;
pub mod events;
pub mod explain;
pub mod filters;
pub mod flow_run_graphs;
pub mod flow_run_inputs;
pub mod flow_runs;
pub mod flows;
pub mod global_concurrency_limits;
pub mod history;
pub mod logs;
pub mod names;
pub mod notification_policies;
pub mod pauses;
pub mod presence;
pub mod result_storage;
pub mod results;
pub mod retention;
pub mod rows;
pub mod saved_searches;
pub mod scheduled_runs;
pub mod served;
pub mod settling;
pub mod slot_holders;
pub mod slots;
pub mod stale_runs;
pub mod states;
pub mod task_run_records;
pub mod task_runs;
pub mod transitions;
pub mod triggers;
pub mod ui;
pub mod variables;
pub mod work_pools;
pub mod work_queues;

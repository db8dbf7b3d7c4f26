//! The nouns and their wire shapes, shared by server, client, agent and SDK.
//!
//! There is one model, the newest one; what a client of an older generation gets is a rendering
//! of it (see [`dialect`]). Actions are what a client may send, filters what it may ask.

pub mod actions;
pub mod artifacts;
pub mod automations;
pub mod block_documents;
pub mod block_schemas;
pub mod block_types;
pub mod blocks;
pub mod concurrency_limits;
pub mod concurrency_status;
pub mod csrf_tokens;
pub mod deployment_actions;
pub mod deployment_limits;
pub mod deployments;
pub mod dialect;
pub mod document;
pub mod event_filters;
pub mod events;
pub mod filters;
pub mod flow_run_graphs;
pub mod flow_run_inputs;
pub mod flow_runs;
pub mod flows;
pub mod global_concurrency_limits;
pub mod ids;
pub mod json_schema;
pub mod logs;
pub mod notification_policies;
pub mod objects;
pub mod patience;
pub(crate) mod place;
pub mod pool_types;
pub mod responses;
pub mod saved_searches;
pub mod schedules;
pub mod states;
pub mod task_run_records;
pub mod task_runs;
pub mod text_search;
pub mod time;
pub mod variables;
pub mod work_pools;
pub mod work_queues;

pub use dialect::{Dialect, Render, View};
pub use document::{Document, Tags};
pub use ids::*;
pub use states::{State, StateDetails, StateType};

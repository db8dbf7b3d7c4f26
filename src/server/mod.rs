//! The server: the API, the services, and the one database behind them.
//!
//! A request enters at [`HttpService`], finds its way in `router`, is answered by a handler of [`api`], which reads
//! and writes by [`models`]; a state changes only through [`orchestration`].

pub mod api;
pub mod automations;
pub mod changes;
mod cors;
mod error;
pub mod events;
mod extract;
mod guard;
mod http_service;
mod job_variables;
pub mod local;
mod mistake;
pub mod models;
mod openapi;
pub mod orchestration;
pub mod parameters;
mod refusal;
mod router;
mod serve;
pub mod services;
mod state;
pub mod task_workers;
mod ui;
pub mod vault;
pub mod waiting;

pub use error::ApiError;
pub use http_service::HttpService;
pub use openapi::dashboard_document;
pub use router::openapi;
pub use serve::Server;
pub use state::AppState;
pub(crate) use ui::base as dashboard_base;

//! All that a file of flows needs: `use prefect_rs::prelude::*;`.
//!
//! It has the attributes, the states that functions may return, what code can ask about its run, and errors that take any
//! other error ([`Result`], [`Context`], [`bail!`](anyhow::bail)).

pub use crate::sdk::arguments::{Arguments, input_hash, input_hash_of_run};
pub use crate::sdk::context::{cancelled, flow_run, is_cancelled, spawn, spawn_blocking, task_run};
pub use crate::sdk::delays::exponential_backoff;
pub use crate::sdk::flow::FlowCall;
pub use crate::sdk::futures::{TaskFuture, TaskFutures, gather};
pub use crate::sdk::options::Run;
pub use crate::sdk::outcome::{Cancelled, Completed, Failed, RunError, State, StateType};
pub use crate::sdk::task::TaskCall;
pub use crate::{data, flow, task};
pub use anyhow::{Context, Error, Result, anyhow, bail, ensure};
pub use tracing::{debug, error, info, warn};

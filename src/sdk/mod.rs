//! Flows in Rust.
//!
//! Functions become tasks and flows by an attribute and stay ordinary functions otherwise: typed arguments, `?`, `async` or
//! not. What a flow file needs is in [`crate::prelude`].
//!
//! ```no_run
//! use prefect_rs::prelude::*;
//!
//! #[task(retries = 3, retry_delay_seconds = 1)]
//! async fn rows(url: String) -> Result<Vec<String>> {
//!     Ok(vec![url])
//! }
//!
//! #[task]
//! fn count(rows: Vec<String>) -> usize {
//!     rows.len()
//! }
//!
//! #[flow(name = "Count rows")]
//! async fn pipeline(url: String) -> Result<usize> {
//!     let rows = rows(url).await?;
//!     count(rows).await
//! }
//!
//! fn main() -> Result<()> {
//!     println!("{}", pipeline("http://localhost/rows").run()?);
//!     Ok(())
//! }
//! ```
//!
//! # How it works
//!
//! - An attribute makes a function that returns a lazy [`TaskCall`] or [`FlowCall`], and a type of the same name that stands
//!   for the task or flow (`double::map(..)`). Generated code is a thin shell: arguments and results are put behind a pointer
//!   (`value`), and one engine, compiled once, carries out all runs.
//! - Task runs are orchestrated here, in the process of the flow: dependencies, cache, limits, attempts, states
//!   (`engine::task_runs`). The server is told each transition, in batches that gather while the batch before is on its way
//!   (`engine::recorder`, `engine::records`, `engine::outbox`). So a task costs microseconds, not a request, and history is whole:
//!   a flow run's end is told only after everything in it is.
//! - States of flow runs are proposed to the server, which decides (`engine::flow_runs`).
//! - The way to the server is a [`crate::client::Client`]: a connection, or a router in this process on the local database
//!   ([`crate::connect`]). Nothing here knows which.
//! - What a function returns is told by its type (`outcome::Told`), so that an alias of `Result` fails as `Result` does.
//! - Whose result an argument is: a future says so itself; a value is recognised by what it is, when it equals the result of an
//!   earlier task of the run and is not equal by chance, as numbers and short texts are (`value::fingerprint`).
//! - A server that is away does not fail a run: states and events are kept and sent again, in bounded memory; a flow that
//!   fills it waits. Where the server is this process, what it is not able to do is given up after a while.

pub(crate) mod arguments;
pub(crate) mod context;
pub(crate) mod delays;
pub(crate) mod engine;
pub(crate) mod finite;
pub(crate) mod flow;
pub(crate) mod futures;
pub(crate) mod links;
pub mod logs;
pub(crate) mod map;
pub(crate) mod options;
pub mod outcome;
pub(crate) mod parameters;
pub mod program;
pub(crate) mod serve;
pub(crate) mod session;
#[doc(hidden)]
pub mod tail;
pub(crate) mod task;
pub(crate) mod upstream;
pub(crate) mod value;

pub use context::{FlowRunInfo, TaskRunInfo};
pub use delays::{RetryDelay, Seconds};
pub use flow::{Flow, FlowCall, FlowDefinition};
pub use futures::{TaskFuture, TaskFutures, gather};
pub use map::TaskMap;
pub use options::{FlowOptions, TaskOptions};
pub use parameters::{FlowInput, Parameter, Typed, default_of, default_value, parameter};
pub use serve::Serve;
pub use session::Session;
pub use task::{Running, Task, TaskCall, TaskDefinition};
pub use upstream::Upstream;
pub use value::{
    Input, Inputs, IntoInput, Kept, NoInput, Taken, TaskInput, TaskOutput, kept, taken,
};

pub use crate::settings::{HttpUrl, Settings};
pub use schemars;
pub use serde;

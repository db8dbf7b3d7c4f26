//! prefect-rs: a workflow orchestrator in one executable.
//!
//! The modules are the nouns of the field; `ARCHITECTURE.md` is the map.

// The attributes name this crate, also where it uses them itself.
extern crate self as prefect_rs;

pub mod advert;
pub mod client;
pub mod clock;
pub mod connect;
pub mod http;
pub mod settings;
pub mod telemetry;

#[cfg(feature = "sdk")]
pub mod prelude;
#[cfg(feature = "sdk")]
pub mod sdk;

#[cfg(feature = "server")]
pub mod agent;
#[cfg(feature = "server")]
pub mod bench;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod db;
#[cfg(feature = "server")]
pub mod deployments;
#[cfg(feature = "server")]
pub mod schemas;
#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "sdk")]
/// ```
/// use prefect_rs::prelude::*;
///
/// #[data]
/// enum Reply {
///     Rows(Vec<String>),
///     Nothing,
/// }
///
/// #[task]
/// async fn ask(url: String) -> Result<Reply> {
///     Ok(if url.is_empty() { Reply::Nothing } else { Reply::Rows(vec![url]) })
/// }
/// ```
pub use prefect_rs_macros::data;
#[cfg(feature = "sdk")]
/// ```
/// use prefect_rs::prelude::*;
///
/// #[flow(name = "Weekly report", retries = 1, timeout_seconds = 600)]
/// async fn report(city: String, #[default(7)] days: u32) -> Result<()> {
///     println!("{city}: the last {days} days");
///     Ok(())
/// }
/// ```
pub use prefect_rs_macros::flow;
#[cfg(feature = "sdk")]
/// ```
/// use prefect_rs::prelude::*;
///
/// #[task(name = "Call the API", retries = 3, retry_delay_seconds = [1, 10, 60], tags = ["api"])]
/// async fn call(url: String) -> Result<String> {
///     Ok(url)
/// }
/// ```
pub use prefect_rs_macros::task;

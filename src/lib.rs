//! prefect-rs: a workflow orchestrator in one executable.
//!
//! The modules are the nouns of the field; `ARCHITECTURE.md` is the map.

// The attributes name this crate, also where it uses them itself.
extern crate self as prefect_rs;

// What the executable is made of is of no use to who writes flows; the documentation of the feature `sdk` leaves it out.
#[cfg_attr(not(feature = "server"), doc(hidden))]
pub mod advert;
pub mod client;
#[cfg_attr(not(feature = "server"), doc(hidden))]
pub mod clock;
#[cfg_attr(not(feature = "server"), doc(hidden))]
pub mod connect;
mod hangup;
pub mod http;
#[cfg_attr(not(feature = "server"), doc(hidden))]
pub mod settings;
#[cfg_attr(not(feature = "server"), doc(hidden))]
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

// The program of the README is compiled with the examples of the documentation.
#[cfg(all(doctest, feature = "sdk"))]
#[doc = include_str!("../README.md")]
pub struct Readme;

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

//! Flows on an API of the caller's choice, as tests want it: each with a database of its own, side by side in one process.

#[cfg(feature = "server")]
use std::path::Path;
use std::sync::Arc;

use super::engine::{Engine, flow_runs, on_runtime};
use super::flow::FlowCall;
use super::logs;
use super::outcome::{RunError, State};
use super::value::{self, TaskOutput};
use crate::client::Client;
use crate::settings::Settings;

/// Runs flows on one API.
///
/// ```
/// use prefect_rs::prelude::*;
/// use prefect_rs::sdk::Session;
///
/// #[flow]
/// async fn double(n: i64) -> i64 {
///     2 * n
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// # let home = std::env::temp_dir().join(format!("prefect-rs-doc-{}", std::process::id()));
/// let session = Session::local(&home).await?;
/// assert_eq!(session.run(double(21)).await?, 42);
/// # std::fs::remove_dir_all(home)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Session {
    engine: Arc<Engine>,
}

impl Session {
    /// Opens a session on the database of a home directory, which is made if it is not there.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # use prefect_rs::sdk::Session;
    /// # #[flow] async fn double(n: i64) -> i64 { 2 * n }
    /// # async fn f() -> Result<()> {
    /// let session = Session::local("/tmp/flows-of-a-test").await?;
    /// assert_eq!(session.run(double(2)).await?, 4);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "server")]
    pub async fn local(home: impl AsRef<Path>) -> Result<Self, RunError> {
        let settings = Settings::default_for(home);
        std::fs::create_dir_all(&settings.home).map_err(failed)?;
        let opened = settings.clone();
        let client = on_runtime(async move { crate::connect::local(&opened).await });
        Self::connect(client.await.map_err(failed)?, &settings).await
    }

    /// Opens a session on the API of a client; results are kept in the home of the settings.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # use prefect_rs::sdk::Session;
    /// # #[flow] async fn double(n: i64) -> i64 { 2 * n }
    /// # async fn f() -> Result<()> {
    /// use prefect_rs::client::Client;
    /// use prefect_rs::sdk::Settings;
    ///
    /// let settings = Settings::default_for("/tmp/flows-of-a-test");
    /// let client = Client::http("http://127.0.0.1:4200/api", &settings)?;
    /// let session = Session::connect(client, &settings).await?;
    /// # let _ = session;
    /// # Ok(()) }
    /// ```
    pub async fn connect(client: Client, settings: &Settings) -> Result<Self, RunError> {
        let settings = settings.clone();
        let engine = on_runtime(async move {
            logs::init(&settings);
            Engine::connect(client, &settings).await
        });
        Ok(Self {
            engine: engine.await.map_err(failed)?,
        })
    }

    /// Runs a flow.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # use prefect_rs::sdk::Session;
    /// # #[flow] async fn double(n: i64) -> i64 { 2 * n }
    /// # async fn f() -> Result<()> {
    /// let session = Session::local("/tmp/flows-of-a-test").await?;
    /// println!("{}", session.run(double(21)).await?);
    /// # Ok(()) }
    /// ```
    pub async fn run<T: TaskOutput>(&self, call: FlowCall<T>) -> Result<T, RunError> {
        let run = flow_runs::start(self.engine.clone(), None, call.call);
        Box::pin(run).await.map(|(value, _)| value::take(value))
    }

    /// Runs a flow and returns the state it ended in.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # use prefect_rs::sdk::Session;
    /// # #[flow] async fn double(n: i64) -> i64 { 2 * n }
    /// # async fn f() -> Result<()> {
    /// let session = Session::local("/tmp/flows-of-a-test").await?;
    /// assert!(session.state(double(21)).await.is_completed());
    /// # Ok(()) }
    /// ```
    pub async fn state<T: TaskOutput>(&self, call: FlowCall<T>) -> State {
        let run = flow_runs::start(self.engine.clone(), None, call.call);
        match Box::pin(run).await {
            Ok((_, state)) => state,
            Err(error) => error.state().clone(),
        }
    }

    /// Returns the client of the API.
    ///
    /// ```no_run
    /// # use prefect_rs::prelude::*;
    /// # use prefect_rs::sdk::Session;
    /// # #[flow] async fn double(n: i64) -> i64 { 2 * n }
    /// # async fn f() -> Result<()> {
    /// let session = Session::local("/tmp/flows-of-a-test").await?;
    /// let flows: Vec<serde_json::Value> = session.client().post("/flows/filter", &serde_json::json!({})).await?;
    /// # let _ = flows;
    /// # Ok(()) }
    /// ```
    pub fn client(&self) -> &Client {
        &self.engine.client
    }
}

fn failed(reason: impl ToString) -> RunError {
    RunError::not_run("the session", reason.to_string())
}

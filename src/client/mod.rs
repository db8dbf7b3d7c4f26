//! The typed client of the API, one file a resource.
//!
//! The command line, the agent and the SDK speak to a server only through this client. It does not know whether the server
//! is at the other end of a connection or a function in this process (see [`Transport`]), so every command works the same
//! with and without a server.

mod artifacts;
mod automations;
mod blocks;
mod concurrency_limits;
mod deployments;
mod error;
mod flow_runs;
mod flows;
mod global_concurrency_limits;
mod heartbeats;
mod logs;
mod server_clock;
mod task_runs;
mod transport;
mod types;
mod variables;
mod work_pools;
mod work_queues;

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::clock::{Clock, SystemClock};
use crate::settings::Settings;

pub use artifacts::Artifact;
pub use automations::{Automation, Event};
pub use blocks::{Block, BlockSpec, BlockType};
pub use concurrency_limits::ConcurrencyLimit;
pub use deployments::CreateFlowRun;
pub use error::Error;
pub use global_concurrency_limits::GlobalConcurrencyLimit;
pub use logs::{Log, LogPlace};
pub use reqwest;
pub(crate) use server_clock::ServerClock;
pub use transport::{Handler, Request, Response, Transport};
pub use types::{
    Deployment, DeploymentSchedule, Document, Explanation, Flow, FlowRun, OrchestrationResult,
    Reason, State, StateDetails, TaskRun,
};
pub use variables::Variable;
pub use work_pools::{PoolRun, WorkPool};
pub use work_queues::{CreateWorkQueue, QueueFilter, WorkQueue};

/// What our own clients call themselves; the server chooses its newest dialect by it.
pub const USER_AGENT: &str = concat!("prefect-rs/", env!("CARGO_PKG_VERSION"));

/// The most objects that a server puts into one page.
pub const PAGE: usize = 200;

/// What the methods of a client give back.
pub type Result<T> = std::result::Result<T, Error>;

/// A client of one API.
///
/// ```no_run
/// # async fn f() -> prefect_rs::client::Result<()> {
/// use prefect_rs::client::Client;
/// use prefect_rs::sdk::Settings;
///
/// let settings = Settings::default_for("/tmp/home");
/// let client = Client::http("http://127.0.0.1:4200/api", &settings)?;
/// println!("{}", client.server_version().await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
    max_retries: u32,
    jitter: f64,
    failing_timeout: Duration,
    /// What the answers have told of the server's time; clones of a client share it.
    clock: ServerClock,
}

impl Client {
    /// Makes a client of the API at `url`, which ends in `/api`.
    ///
    /// ```
    /// use prefect_rs::client::Client;
    /// use prefect_rs::sdk::Settings;
    ///
    /// let settings = Settings::default_for("/tmp/home");
    /// let client = Client::http("http://127.0.0.1:4200/api/", &settings).unwrap();
    /// assert_eq!(client.transport().url(), Some("http://127.0.0.1:4200/api"));
    /// ```
    pub fn http(url: &str, settings: &Settings) -> Result<Self> {
        Ok(Self::with(Transport::http(url, settings)?, settings))
    }

    /// Makes a client of an API that is a function in this process.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use prefect_rs::client::reqwest::StatusCode;
    /// use prefect_rs::client::{Client, Handler, Response};
    /// use prefect_rs::sdk::Settings;
    ///
    /// let handler: Handler = Arc::new(|request| {
    ///     Box::pin(async move {
    ///         Ok(Response {
    ///             status: StatusCode::OK,
    ///             headers: Default::default(),
    ///             body: format!("{:?}", request.path).into_bytes(),
    ///         })
    ///     })
    /// });
    /// let client = Client::in_process(handler, &Settings::default_for("/tmp/home"));
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// assert_eq!(client.server_version().await.unwrap(), "/admin/version");
    /// # });
    /// ```
    pub fn in_process(handler: Handler, settings: &Settings) -> Self {
        Self::with(Transport::InProcess(handler), settings)
    }

    fn with(transport: Transport, settings: &Settings) -> Self {
        Self {
            transport,
            max_retries: settings.client_max_retries,
            jitter: settings.client_retry_jitter_factor,
            failing_timeout: settings.flow_failing_server_timeout,
            clock: ServerClock::default(),
        }
    }

    /// Returns how the client reaches its API.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// println!("{:?}", client.transport().url());
    /// # Ok(()) }
    /// ```
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Returns how long flows ask again while the server answers that it has failed.
    #[cfg(feature = "sdk")]
    pub(crate) fn failing_timeout(&self) -> Duration {
        self.failing_timeout
    }

    /// Returns the server's clock, by which runs are due.
    pub(crate) fn clock(&self) -> &ServerClock {
        &self.clock
    }

    /// Returns whether the server answers.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// assert!(client.health().await?);
    /// # Ok(()) }
    /// ```
    pub async fn health(&self) -> Result<bool> {
        self.get("/health").await
    }

    /// Returns the server's version.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// println!("{}", client.server_version().await?);
    /// # Ok(()) }
    /// ```
    pub async fn server_version(&self) -> Result<String> {
        self.get("/admin/version").await
    }

    /// Sends a `GET` and reads the answer.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let flow: serde_json::Value = client.get(&format!("/flows/{id}")).await?;
    /// println!("{}", flow["name"]);
    /// # Ok(()) }
    /// ```
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Request::new(Method::GET, path)).await
    }

    /// Sends a `POST` with a body and reads the answer.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let flows: u64 = client.post("/flows/count", &serde_json::json!({})).await?;
    /// println!("{flows} flows");
    /// # Ok(()) }
    /// ```
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Request::with_body(Method::POST, path, body)?)
            .await
    }

    /// Sends a `POST` whose answer has no body.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.post_only("/task_runs/", &serde_json::json!({"flow_run_id": id, "task_key": "a", "dynamic_key": "0"})).await?;
    /// # Ok(()) }
    /// ```
    pub async fn post_only(&self, path: &str, body: &impl Serialize) -> Result<()> {
        self.send(Request::with_body(Method::POST, path, body)?)
            .await
            .map(drop)
    }

    /// Sends a `POST` of JSON that is written already, whose answer is not read.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// client.post_bytes("/logs/", b"[]".to_vec()).await?;
    /// # Ok(()) }
    /// ```
    pub async fn post_bytes(&self, path: &str, body: Vec<u8>) -> Result<()> {
        let mut request = Request::new(Method::POST, path);
        request.body = Some(body);
        self.send(request).await.map(drop)
    }

    /// Sends a `PATCH`.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.patch(&format!("/flow_runs/{id}"), &serde_json::json!({"name": "of today"})).await?;
    /// # Ok(()) }
    /// ```
    pub async fn patch(&self, path: &str, body: &impl Serialize) -> Result<()> {
        self.send(Request::with_body(Method::PATCH, path, body)?)
            .await
            .map(drop)
    }

    /// Sends a `PUT` whose answer is not read.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let pool = serde_json::json!({"type": "process"});
    /// client.put("/work_pools/shed", &pool).await?;
    /// # Ok(()) }
    /// ```
    pub async fn put(&self, path: &str, body: &impl Serialize) -> Result<()> {
        self.send(Request::with_body(Method::PUT, path, body)?)
            .await
            .map(drop)
    }

    /// Sends a `DELETE`.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.delete(&format!("/flow_runs/{id}")).await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.send(Request::new(Method::DELETE, path))
            .await
            .map(drop)
    }

    /// Returns `None` for what is not there instead of an error.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// use prefect_rs::client::Client;
    ///
    /// if let Some(queue) = Client::optional(client.read_work_queue_by_name("urgent").await)? {
    ///     println!("{}", queue.id);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn optional<T>(result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks a filter page by page until `limit` objects are there, or all of them.
    async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        mut body: Value,
        offset: usize,
        limit: Option<usize>,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        loop {
            let wanted = limit.map_or(PAGE, |limit| PAGE.min(limit - all.len()));
            body["limit"] = json!(wanted);
            body["offset"] = json!(offset + all.len());
            let page: Vec<T> = self.post(path, &body).await?;
            let received = page.len();
            all.extend(page);
            if received < wanted || limit.is_some_and(|limit| all.len() >= limit) {
                return Ok(all);
            }
        }
    }

    async fn call<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        let (method, path) = (request.method.clone(), request.path.clone());
        let response = self.send(request).await?;
        serde_json::from_slice(&response.body).map_err(|source| Error::Unreadable {
            method,
            path,
            source,
        })
    }

    /// Sends a request, again when the failure is a passing one, and turns refusals into errors.
    async fn send(&self, request: Request) -> Result<Response> {
        let mut attempt = 0;
        loop {
            let asked = SystemClock.now();
            let outcome = self.transport.send(&request).await;
            if let Ok(response) = &outcome {
                self.clock.hear(asked, &response.headers);
            }
            let asked_wait = match &outcome {
                Ok(response) if response.is_passing_failure() => response.retry_after(),
                Err(error) if error.is_passing() => None,
                Ok(_) | Err(_) => return outcome?.into_success(&request),
            };
            if attempt == self.max_retries {
                return outcome?.into_success(&request);
            }
            sleep(self.wait(attempt, asked_wait)).await;
            attempt += 1;
        }
    }

    /// Returns how long to wait before the next attempt: as asked by the server, else growing; a part of it is chance.
    fn wait(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        // Quick at first, since most failures are a server that is just starting; a minute at most.
        let wait = asked.unwrap_or_else(|| Duration::from_millis(250) * 2u32.pow(attempt.min(8)));
        let wait = wait.min(Duration::from_secs(60));
        wait.mul_f64(1.0 + self.jitter * rand::random::<f64>())
    }
}

#[cfg(test)]
mod tests;

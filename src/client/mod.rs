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

use crate::settings::Settings;

pub use deployments::CreateFlowRun;
pub use error::Error;
pub use reqwest;
pub use transport::{Handler, Request, Response, Transport};
pub use types::{
    Artifact, Automation, Block, BlockSpec, BlockType, ConcurrencyLimit, Deployment,
    DeploymentSchedule, Document, Event, Explanation, Flow, FlowRun, GlobalConcurrencyLimit, Log,
    OrchestrationResult, QueueFilter, Reason, State, StateDetails, TaskRun, Variable, WorkPool,
    WorkQueue,
};
pub use work_pools::PoolRun;
pub use work_queues::CreateWorkQueue;

/// What our own clients call themselves; the server chooses its newest dialect by it.
pub const USER_AGENT: &str = concat!("prefect-rs/", env!("CARGO_PKG_VERSION"));

/// The most objects that a server puts into one page.
pub const PAGE: usize = 200;

/// What the methods of a client give back.
pub type Result<T> = std::result::Result<T, Error>;

/// A client of one API.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
    max_retries: u32,
    jitter: f64,
}

impl Client {
    /// Makes a client of the API at `url`, which ends in `/api`.
    pub fn http(url: &str, settings: &Settings) -> Result<Self> {
        Ok(Self::with(Transport::http(url, settings)?, settings))
    }

    /// Makes a client of an API that is a function in this process.
    pub fn in_process(handler: Handler, settings: &Settings) -> Self {
        Self::with(Transport::InProcess(handler), settings)
    }

    fn with(transport: Transport, settings: &Settings) -> Self {
        Self {
            transport,
            max_retries: settings.client_max_retries,
            jitter: settings.client_retry_jitter_factor,
        }
    }

    /// Returns how the client reaches its API.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Returns whether the server answers.
    pub async fn health(&self) -> Result<bool> {
        self.get("/health").await
    }

    /// Returns the server's version.
    pub async fn server_version(&self) -> Result<String> {
        self.get("/admin/version").await
    }

    /// Sends a `GET` and reads the answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Request::new(Method::GET, path)).await
    }

    /// Sends a `POST` with a body and reads the answer.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Request::with_body(Method::POST, path, body)?)
            .await
    }

    /// Sends a `POST` whose answer has no body.
    pub async fn post_only(&self, path: &str, body: &impl Serialize) -> Result<()> {
        self.send(Request::with_body(Method::POST, path, body)?)
            .await
            .map(drop)
    }

    /// Sends a `POST` of JSON that is written already, whose answer is not read.
    pub async fn post_bytes(&self, path: &str, body: Vec<u8>) -> Result<()> {
        let mut request = Request::new(Method::POST, path);
        request.body = Some(body);
        self.send(request).await.map(drop)
    }

    /// Sends a `PATCH`.
    pub async fn patch(&self, path: &str, body: &impl Serialize) -> Result<()> {
        self.send(Request::with_body(Method::PATCH, path, body)?)
            .await
            .map(drop)
    }

    /// Sends a `PUT` whose answer is not read.
    pub async fn put(&self, path: &str, body: &impl Serialize) -> Result<()> {
        self.send(Request::with_body(Method::PUT, path, body)?)
            .await
            .map(drop)
    }

    /// Sends a `DELETE`.
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.send(Request::new(Method::DELETE, path))
            .await
            .map(drop)
    }

    /// Returns `None` for what is not there instead of an error.
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
            let outcome = self.transport.send(&request).await;
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

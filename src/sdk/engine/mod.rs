//! The engine: what carries runs out and tells the server about them.
//!
//! It lives on a runtime of its own with one thread, so that connections and batches outlive whichever runtime a flow was
//! called on, and a flow that blocks its threads does not keep the server in the dark.

pub(crate) mod admission;
pub(crate) mod attempt;
pub(crate) mod calls;
pub(crate) mod execution;
pub(crate) mod flow_runs;
pub(crate) mod limits;
pub(crate) mod outbox;
pub(crate) mod patience;
pub(crate) mod proposals;
pub(crate) mod recorder;
pub(crate) mod records;
pub(crate) mod results;
pub(crate) mod signals;
pub(crate) mod task_runs;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tracing::warn;

use crate::client::Client;
use crate::clock::{Clock, SystemClock};
use crate::connect;
use crate::settings::Settings;
use limits::Limits;
use outbox::{Lines, Outbox};
use patience::patiently;
use recorder::{RECORDS, Recorder};
use results::Results;

use super::{logs, program};

/// What all runs of one API share.
pub(crate) struct Engine {
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
    /// Tells states one by one, for the runs whose limits the server keeps by itself.
    pub(crate) states: Recorder,
    pub(crate) logs: Outbox<Lines>,
    pub(crate) limits: Limits,
    pub(crate) results: Results,
    /// Whether the API is a server of this project.
    pub(crate) is_ours: bool,
    /// Whether the API takes events.
    pub(crate) takes_events: bool,
    /// Whether log lines are sent.
    pub(crate) sends_logs: bool,
}

impl Engine {
    /// Returns the engine of this process, which finds its API by the settings.
    pub(crate) async fn global() -> Result<Arc<Self>, String> {
        static GLOBAL: OnceCell<Arc<Engine>> = OnceCell::const_new();
        let connect = || {
            on_runtime(async {
                let settings = Settings::load().map_err(|error| error.to_string())?;
                logs::init(&settings);
                let client = connect::client(&settings)
                    .await
                    .map_err(|error| error.to_string())?;
                if std::env::var_os(program::FLOW_RUN_ID).is_some() {
                    // The server has given the run away, so it was there and will be again; what it says is heard below.
                    let _ =
                        patiently(&client, "a flow run waits", || client.server_version()).await;
                }
                Self::connect(client, &settings).await
            })
        };
        GLOBAL.get_or_try_init(connect).await.cloned()
    }

    /// Makes the engine of a client.
    pub(crate) async fn connect(client: Client, settings: &Settings) -> Result<Arc<Self>, String> {
        signals::listen();
        logs::listen_to_panics();
        let version = or_say_so(&client, client.server_version()).await;
        let version = version.map_err(|error| {
            let Some(url) = client.transport().url() else {
                return format!("the API does not answer: {error}");
            };
            match error.doubt_of_url() {
                Some(doubt) => format!("the API at {url} cannot be used: {error}; {doubt}"),
                None if cfg!(feature = "server") => format!(
                    "the API does not answer: {error}; start the server, or unset PREFECT_API_URL to record the run in the local database"
                ),
                // This build has no database of its own to record the run in.
                None => format!(
                    "the API does not answer: {error}; start the server, or set PREFECT_API_URL to the URL of one that runs"
                ),
            }
        })?;
        let runtime = runtime().handle();
        let takes = async |path: &str| client.post_bytes(path, b"[]".to_vec()).await.is_ok();
        let is_newest = !version.starts_with("2.");
        let takes_records = is_newest && takes(RECORDS).await;
        let takes_events = takes_records || (is_newest && takes("/events").await);
        let recorder = match (takes_records, takes_events) {
            (true, _) => Recorder::records(client.clone(), runtime),
            (false, true) => Recorder::events(client.clone(), runtime),
            (false, false) => Recorder::states(client.clone(), runtime),
        };
        Ok(Arc::new(Self {
            recorder,
            states: Recorder::states(client.clone(), runtime),
            logs: Outbox::open(client.clone(), "/logs/", runtime),
            is_ours: takes_records,
            takes_events,
            limits: Limits::new(client.clone()),
            results: Results::at(settings.home.join("storage").join("results")),
            sends_logs: settings.logging_to_api_enabled,
            client,
        }))
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        SystemClock.now()
    }

    /// Waits until the server knows everything.
    pub(crate) async fn flush(&self) {
        self.recorder.flush().await;
        self.states.flush().await;
        self.limits.flush().await;
        self.logs.flush().await;
    }
}

/// How long a person sits before a program that says nothing, and does not wonder.
const SILENCE: Duration = Duration::from_secs(1);

/// Waits for an answer of the API, and says so where it takes long.
async fn or_say_so<T>(client: &Client, answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    if let Ok(answer) = timeout(SILENCE, &mut answer).await {
        return answer;
    }
    let url = client.transport().url().unwrap_or("this process");
    warn!(target: "prefect", "the API at {url} does not answer yet; it is asked a few times more");
    answer.await
}

/// Returns the engine's runtime.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("prefect-sdk")
            .enable_all()
            .build()
            .expect("the system gives a program its threads")
    })
}

/// Runs a future on the engine's runtime.
pub(crate) async fn on_runtime<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> T {
    match runtime().spawn(future).await {
        Ok(value) => value,
        // The runtime is never shut down, so a failed join is a panic.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

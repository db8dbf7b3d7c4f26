//! The worker of a work pool of the type `process`: an agent that asks a pool, and says that it is alive.
//!
//! It stands in for the genuine process worker and may share a pool with one: what it runs, it has
//! claimed, and where it runs it is written to the run, so that whoever cancels finds it.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};
use tracing::{debug, info, warn};

use super::health::{self, Health};
use super::role::Role;
use super::{Error, Pace, Source, host, waiting_for_server, work};
use crate::client::{self, Client, Document, WorkPool};
use crate::schemas::work_pools::{PROCESS_TYPE, process_template};
use crate::settings::Settings;

/// How often a server that is away is looked for.
const SERVER_PAUSE: Duration = Duration::from_secs(5);

/// The queue that every new pool has.
const DEFAULT: &str = "default";

/// What a worker is told when it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// The pool whose runs it takes.
    pub pool: String,
    /// The queues of it; all if none is named.
    pub queues: Vec<String>,
    /// What it calls itself.
    pub name: String,
    /// How many runs it takes at once.
    pub limit: Option<usize>,
    /// How far ahead of their time it may take runs.
    pub prefetch: Duration,
    /// Whether it takes what is due now, and ends with that.
    pub runs_once: bool,
    /// Whether it creates the pool if there is none.
    pub creates_pool: bool,
    /// The template of a pool that it creates.
    pub template: Option<Value>,
    /// Where it tells whether it is well, as host and port, if at all.
    pub health_check: Option<String>,
    /// How long it waits for its runs when it stops, before it ends them.
    pub grace: Duration,
    /// The command line that starts the guard; none means no guard.
    pub guard: Vec<OsString>,
}

/// Runs a worker until it is asked to stop and has let go of its runs.
///
/// Messages of `stops` are heard as by [`super::run`].
pub async fn run(
    client: Client,
    settings: &Settings,
    options: Options,
    mut stops: mpsc::Receiver<()>,
) -> Result<(), Error> {
    let Some(api_url) = client.transport().url().map(str::to_owned) else {
        return Err(Error::NoServer);
    };
    let health = health_check(&options, settings).await?;
    let Some(pool) = find_pool(&client, &options, &mut stops).await? else {
        return Ok(());
    };
    if pool.is_paused {
        warn!(work_pool.name = %pool.name, "work pool `{}` is paused; its runs wait until it is resumed", pool.name);
    }
    let every = settings
        .worker_heartbeat_seconds
        .max(Duration::from_secs(1));
    let heartbeats = tokio::spawn(beat(client.clone(), options.clone(), every));
    info!(work_pool.name = %pool.name, worker.name = %options.name, "worker started");
    let pace = Pace {
        interval: settings.worker_query_seconds,
        prefetch: options.prefetch,
        limit: options.limit,
        grace: options.grace,
        asks_once: options.runs_once,
        health: health.as_ref().map(|(health, _)| health.clone()),
    };
    let source = Source::Pool {
        name: options.pool,
        queues: options.queues,
        worker: options.name,
    };
    let host = host(settings, api_url, Role::Worker);
    let outcome = work(client, source, pace, host, &options.guard, stops).await;
    heartbeats.abort();
    if let Some((_, serving)) = health {
        serving.abort();
    }
    outcome?;
    info!("worker stopped");
    Ok(())
}

/// Begins to tell whether the worker is well, before anything that may take long.
async fn health_check(
    options: &Options,
    settings: &Settings,
) -> Result<Option<(Arc<Health>, JoinHandle<()>)>, Error> {
    let Some(address) = &options.health_check else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|cause| Error::NoPort {
        address: address.clone(),
        cause,
    })?;
    let health = Arc::new(Health::of(settings.worker_query_seconds));
    let serving = tokio::spawn(health::serve(listener, health.clone()));
    Ok(Some((health, serving)))
}

/// Finds the pool, or creates it; waits for a server. Nothing means that somebody asked to stop meanwhile.
async fn find_pool(
    client: &Client,
    options: &Options,
    stops: &mut mpsc::Receiver<()>,
) -> Result<Option<Document<WorkPool>>, Error> {
    let mut has_warned = false;
    loop {
        match pool(client, options).await {
            Ok(pool) => return Ok(Some(pool)),
            Err(Error::Client(failure)) if !failure.is_refusal() => {
                if !has_warned {
                    warn!("{}", waiting_for_server(&failure));
                }
                has_warned = true;
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = sleep(SERVER_PAUSE) => {}
            Some(()) = stops.recv() => return Ok(None),
        }
    }
}

async fn pool(client: &Client, options: &Options) -> Result<Document<WorkPool>, Error> {
    let found = match Client::optional(client.read_work_pool(&options.pool).await)? {
        Some(found) => found,
        // Not created for a mistake in the queue's name.
        None if options.creates_pool => match options.queues.iter().find(|name| *name != DEFAULT) {
            None => create(client, options).await?,
            Some(queue) => {
                return Err(Error::NoPoolOfQueue {
                    pool: options.pool.clone(),
                    queue: queue.clone(),
                });
            }
        },
        None => return Err(Error::NoPool(options.pool.clone())),
    };
    if found.r#type != PROCESS_TYPE {
        return Err(Error::WrongPool {
            pool: options.pool.clone(),
            kind: found.r#type.clone(),
        });
    }
    if !options.queues.is_empty() {
        let known = client.read_pool_queues(&options.pool).await?;
        let is_unknown = |queue: &&String| known.iter().all(|known| known.name != **queue);
        if let Some(queue) = options.queues.iter().find(is_unknown) {
            return Err(Error::NoPoolQueue {
                pool: options.pool.clone(),
                queue: queue.clone(),
            });
        }
    }
    Ok(found)
}

async fn create(client: &Client, options: &Options) -> client::Result<Document<WorkPool>> {
    let template = options.template.clone().unwrap_or_else(process_template);
    let pool = json!({
        "name": options.pool,
        "type": PROCESS_TYPE,
        "base_job_template": template,
    });
    match client.create_work_pool(&pool).await {
        // Another worker was faster.
        Err(error) if error.status().is_some_and(|status| status == 409) => {
            client.read_work_pool(&options.pool).await
        }
        Ok(created) => {
            info!(work_pool.name = %options.pool, "created work pool `{}`", options.pool);
            Ok(created)
        }
        outcome => outcome,
    }
}

/// Says again and again that the worker is alive, and never ends.
async fn beat(client: Client, options: Options, every: Duration) {
    let mut beats = interval(every);
    loop {
        beats.tick().await;
        let (pool, name) = (&options.pool, &options.name);
        let sent = client
            .send_worker_heartbeat(pool, name, every.as_secs())
            .await;
        let Err(error) = sent else { continue };
        let is_gone = error.status().is_some_and(|status| status == 404);
        if !is_gone || !options.creates_pool {
            debug!("a heartbeat was not heard: {error}");
        } else if let Err(error) = create(&client, &options).await {
            warn!("work pool `{pool}` is gone and was not created again: {error}");
        }
    }
}

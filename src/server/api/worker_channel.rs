//! `/work_pools/{name}/workers/connect`: the socket over which 3.x workers say that they are alive,
//! and learn what becomes of their pool.
//!
//! After the handshake of all sockets the worker says hello, and is told its queues and its pool as
//! it is. From then on it sends heartbeats, and gets a snapshot whenever the pool has changed.
//! Runs are asked for by other requests. Of what a worker may offer, the ending of infrastructure
//! that others have left behind is declined: a run that nobody stops is cancelled by a service.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::sockets;
use crate::db::{self, Conn};
use crate::schemas::flow_runs::AsOf;
use crate::schemas::work_pools::{WorkPool, WorkPoolCreate, WorkPoolUpdate};
use crate::schemas::{Dialect, Document, View, WorkPoolId, WorkQueueId, time};
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::Id;
use crate::server::models::events::lifecycle::Happened;
use crate::server::{AppState, models};

/// The one version of these frames.
const VERSION: &str = "work_pool_worker_channel.v1";
/// What a worker must ask for.
const CAPABILITIES: [&str; 2] = ["worker_heartbeat.v1", "work_pool_snapshot.v1"];
/// A worker that says nothing for so long is gone.
const FIRST_WORD: Duration = Duration::from_secs(30);
/// Changes of a pool that come within this time are one snapshot.
const GATHERING: Duration = Duration::from_millis(50);

/// Why a channel is closed, in the words that workers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// There is no such pool or queue, or no longer.
    Unauthorized,
    /// No version is known to both.
    Version,
    /// A frame that is none, or not in its turn.
    Protocol,
    /// A heartbeat could not be stored now.
    Heartbeat,
    /// The server cannot answer now.
    Transient,
}

impl Reason {
    /// Returns the close code; workers come back after 1011 only.
    fn code(self) -> u16 {
        match self {
            Self::Unauthorized | Self::Version => sockets::POLICY_VIOLATION,
            Self::Protocol => sockets::PROTOCOL_ERROR,
            Self::Heartbeat | Self::Transient => 1011,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Unauthorized => "authorization_failed",
            Self::Version => "unsupported_version",
            Self::Protocol => "protocol_error",
            Self::Heartbeat => "heartbeat_persistence_failed",
            Self::Transient => "transient_server_error",
        }
    }
}

/// A frame of a worker.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "id")]
    _id: Uuid,
    #[serde(rename = "sent_at")]
    _sent_at: time::Instant,
    payload: Value,
}

/// The first frame of a worker.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hello {
    consumer_id: Uuid,
    worker_name: String,
    worker_type: String,
    heartbeat_interval_seconds: u32,
    supported_channel_versions: Vec<String>,
    requested_capabilities: Vec<String>,
    #[serde(default)]
    work_queue_names: Vec<String>,
    #[serde(default, rename = "handled_cleanup_kinds")]
    _handled_cleanup_kinds: Vec<String>,
    #[serde(default, rename = "max_cleanup_concurrency")]
    _max_cleanup_concurrency: u32,
    #[serde(default)]
    create_pool_if_not_found: bool,
    #[serde(default)]
    default_base_job_template: Option<Document>,
    #[serde(default, rename = "worker_metadata")]
    _worker_metadata: Option<Value>,
}

/// A sign of life.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Heartbeat {
    consumer_id: Uuid,
    worker_name: String,
    heartbeat_interval_seconds: u32,
}

/// A worker that was let in.
struct Channel {
    worker: Hello,
    pool: WorkPoolId,
    pool_name: String,
    /// When the pool that the worker knows was last changed.
    pool_updated: DateTime<Utc>,
    /// The number of the last snapshot.
    snapshots: u64,
}

/// What a worker is told first.
struct Welcome {
    pool: WorkPool,
    queues: Vec<(WorkQueueId, String)>,
}

/// Keeps a channel to a worker.
pub async fn connect_worker(
    State(state): State<AppState>,
    Id(name): Id<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let serve = move |state, socket| serve(state, socket, name);
    sockets::accept_with_hands(upgrade, state, "authentication_failed", serve)
}

async fn serve(state: AppState, mut socket: WebSocket, name: String) {
    // Listening begins before the pool is read, so that no change falls between.
    let mut changes = state.changes.listen();
    let reason = match introduced(&state, &mut socket, name).await {
        Ok(channel) => attend(&state, &mut socket, &mut changes, channel).await,
        Err(reason) => Some(reason),
    };
    if let Some(reason) = reason {
        sockets::close(socket, reason.code(), reason.text()).await;
    }
}

/// Reads a hello and answers it.
async fn introduced(
    state: &AppState,
    socket: &mut WebSocket,
    name: String,
) -> Result<Channel, Reason> {
    let first = timeout(FIRST_WORD, sockets::receive_json(socket)).await;
    let Ok(Some(first)) = first else {
        return Err(Reason::Protocol);
    };
    let worker = hello(first)?;
    let welcome = welcome(state, &name, &worker).await?;
    let (id, updated) = (welcome.pool.id, welcome.pool.updated);
    let ready = ready(state.now(), &worker, welcome);
    let sent = sockets::send_json(socket, &ready).await;
    sent.map_err(|_| Reason::Transient)?;
    Ok(Channel {
        worker,
        pool: id,
        pool_name: name,
        pool_updated: updated,
        snapshots: 1,
    })
}

fn hello(frame: Value) -> Result<Hello, Reason> {
    let frame: Frame = read(frame)?;
    if frame.kind != "worker.hello.v1" {
        return Err(Reason::Protocol);
    }
    let hello: Hello = read(frame.payload)?;
    let asks_for = |wanted: &&str| hello.requested_capabilities.iter().any(|one| one == wanted);
    if hello.worker_name.is_empty()
        || hello.worker_type.is_empty()
        || hello.heartbeat_interval_seconds == 0
        || !CAPABILITIES.iter().all(asks_for)
    {
        return Err(Reason::Protocol);
    }
    if !hello
        .supported_channel_versions
        .iter()
        .any(|one| one == VERSION)
    {
        return Err(Reason::Version);
    }
    Ok(hello)
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, Reason> {
    serde_json::from_value(value).map_err(|_| Reason::Protocol)
}

/// Finds the pool and the queues that a worker means, and notes that it is alive.
async fn welcome(state: &AppState, name: &str, hello: &Hello) -> Result<Welcome, Reason> {
    let now = state.now();
    let (name, wanted) = (name.to_owned(), hello.work_queue_names.clone());
    let template = hello.default_base_job_template.clone();
    let template =
        template.filter(|template| template.is_object() && *template != Document::empty_object());
    let (worker, worker_type) = (hello.worker_name.clone(), hello.worker_type.clone());
    let interval = i64::from(hello.heartbeat_interval_seconds);
    let may_create = hello.create_pool_if_not_found && !name.to_lowercase().starts_with("prefect");
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let pool = match models::work_pools::read_by_name(conn, &name).await? {
            Some(pool) => pool,
            None if may_create => {
                let pool = WorkPoolCreate {
                    name: name.clone(),
                    description: None,
                    pool_type: Some(worker_type),
                    base_job_template: template.clone(),
                    is_paused: false,
                    concurrency_limit: None,
                    storage_configuration: None,
                };
                models::work_pools::create(conn, happened, pool, now).await?
            }
            None => return Ok(None),
        };
        // Whoever shows the pool shall see that somebody works there now.
        let mut is_changed = pool.served_until.is_none_or(|until| until < now);
        if let Some(template) = template
            && pool.base_job_template == Document::empty_object()
        {
            let update = WorkPoolUpdate {
                base_job_template: Some(template),
                ..WorkPoolUpdate::default()
            };
            models::work_pools::update(conn, happened, &name, update, now).await?;
            is_changed = true;
        }
        let all = models::work_queues::list_of_pool(conn, pool.id).await?;
        let mut queues: Vec<_> = all
            .into_iter()
            .map(|queue| (queue.id, queue.name))
            .collect();
        if !wanted.is_empty() {
            let is_known = |name: &String| queues.iter().any(|(_, queue)| queue == name);
            if !wanted.iter().all(is_known) {
                return Ok(None);
            }
            queues.retain(|(_, name)| wanted.contains(name));
        }
        models::work_pools::heartbeat(conn, pool.id, &worker, interval, now).await?;
        let pool = models::work_pools::read_by_name(conn, &name).await?;
        Ok(pool.map(|pool| (Welcome { pool, queues }, is_changed)))
    };
    let welcomed = lifecycle::write(state, write).await;
    let welcomed = welcomed.map_err(|cause| failed(&cause, Reason::Transient))?;
    let (welcome, is_changed) = welcomed.ok_or(Reason::Unauthorized)?;
    if is_changed && let Some((queue, _)) = welcome.queues.first() {
        // Other workers of the pool shall have its template too.
        state.changes.tell(Change::of(Kind::WorkQueue, queue.0));
    }
    Ok(welcome)
}

fn failed(cause: &db::Error, reason: Reason) -> Reason {
    tracing::warn!("a worker channel is closed, since the database cannot serve it now: {cause}");
    reason
}

fn frame(now: DateTime<Utc>, kind: &str, payload: Value) -> Value {
    json!({
        "type": kind,
        "id": Uuid::now_v7(),
        "sent_at": time::format(now, Dialect::Three),
        "payload": payload,
    })
}

fn snapshot(now: DateTime<Utc>, number: u64, reason: &str, pool: WorkPool) -> Value {
    json!({
        "snapshot_sequence": number,
        "reason": reason,
        "work_pool": View(Dialect::Three, AsOf(now, pool)),
    })
}

fn ready(now: DateTime<Utc>, worker: &Hello, welcome: Welcome) -> Value {
    let mut declined: Vec<&String> = Vec::new();
    for capability in &worker.requested_capabilities {
        if !CAPABILITIES.contains(&capability.as_str()) && !declined.contains(&capability) {
            declined.push(capability);
        }
    }
    let queues = welcome.queues.iter();
    let queues: Vec<Value> = queues
        .map(|(id, name)| json!({"id": id, "name": name}))
        .collect();
    let payload = json!({
        "consumer_id": worker.consumer_id,
        "worker_id": null,
        "selected_channel_version": VERSION,
        "effective_heartbeat_interval_seconds": worker.heartbeat_interval_seconds,
        "accepted_capabilities": CAPABILITIES,
        "rejected_capabilities": declined,
        "effective_max_cleanup_concurrency": 0,
        "resolved_work_queues": queues,
        "initial_snapshot": snapshot(now, 1, "initial", welcome.pool),
    });
    frame(now, "worker.ready.v1", payload)
}

/// Serves a channel until it ends; the reason, if the server ends it.
async fn attend(
    state: &AppState,
    socket: &mut WebSocket,
    changes: &mut Receiver<Change>,
    mut channel: Channel,
) -> Option<Reason> {
    loop {
        let told = tokio::select! {
            frame = socket.recv() => {
                let frame = match frame? {
                    Ok(Message::Text(text)) => serde_json::from_str(&text).ok(),
                    Ok(Message::Binary(bytes)) => serde_json::from_slice(&bytes).ok(),
                    Ok(Message::Ping(_) | Message::Pong(_)) => continue,
                    Ok(Message::Close(_)) | Err(_) => return None,
                };
                let Some(frame) = frame else { return Some(Reason::Protocol) };
                if let Err(reason) = channel.heartbeat(state, frame).await {
                    return Some(reason);
                }
                // Another server on the same database may have changed the pool.
                "heartbeat_reconciliation"
            }
            () = queue_changed(changes) => {
                sleep(GATHERING).await;
                while changes.try_recv().is_ok() {}
                "work_pool_updated"
            }
        };
        match channel.news(state, told).await {
            Ok(None) => {}
            Ok(Some(news)) => sockets::send_json(socket, &news).await.ok()?,
            Err(reason) => return Some(reason),
        }
    }
}

/// Waits until a queue has changed; a pool's changes are told as such of its queues.
async fn queue_changed(changes: &mut Receiver<Change>) {
    loop {
        match changes.recv().await {
            Ok(change) if change.kind == Kind::WorkQueue => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Channel {
    /// Notes what a frame after the hello says, which can only be that the worker is alive.
    async fn heartbeat(&self, state: &AppState, frame: Value) -> Result<(), Reason> {
        let frame: Frame = read(frame)?;
        if frame.kind != "worker.heartbeat.v1" {
            return Err(Reason::Protocol);
        }
        let heartbeat: Heartbeat = read(frame.payload)?;
        if heartbeat.consumer_id != self.worker.consumer_id
            || heartbeat.worker_name != self.worker.worker_name
            || heartbeat.heartbeat_interval_seconds == 0
        {
            return Err(Reason::Protocol);
        }
        let (pool, now) = (self.pool, state.now());
        let interval = i64::from(heartbeat.heartbeat_interval_seconds);
        let name = self.pool_name.clone();
        let write = async move |conn: &mut Conn| {
            // A pool that is gone has no workers; the worker learns it from what comes next.
            if models::work_pools::read_by_name(conn, &name)
                .await?
                .is_none()
            {
                return Ok(());
            }
            models::work_pools::heartbeat(conn, pool, &heartbeat.worker_name, interval, now).await
        };
        let done = state.db.write(write).await;
        done.map_err(|cause| failed(&cause, Reason::Heartbeat))
    }

    /// Returns a snapshot, if the pool is not what the worker knows.
    async fn news(&mut self, state: &AppState, reason: &str) -> Result<Option<Value>, Reason> {
        let name = self.pool_name.clone();
        let read = async move |conn: &mut Conn| models::work_pools::read_by_name(conn, &name).await;
        let pool = state.db.read_short(read).await;
        let pool = pool.map_err(|cause| failed(&cause, Reason::Transient))?;
        let pool = pool.filter(|pool| pool.id == self.pool);
        let pool = pool.ok_or(Reason::Unauthorized)?;
        if pool.updated == self.pool_updated {
            return Ok(None);
        }
        self.pool_updated = pool.updated;
        self.snapshots += 1;
        let now = state.now();
        let payload = snapshot(now, self.snapshots, reason, pool);
        Ok(Some(frame(now, "work_pool.snapshot.v1", payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(change: impl FnOnce(&mut Value)) -> Value {
        let mut payload = json!({
            "consumer_id": Uuid::nil(), "worker_name": "w1", "worker_type": "process",
            "heartbeat_interval_seconds": 30, "supported_channel_versions": [VERSION],
            "requested_capabilities": ["work_pool_snapshot.v1", "cleanup_delivery.v1", "worker_heartbeat.v1"],
        });
        change(&mut payload);
        frame(DateTime::UNIX_EPOCH, "worker.hello.v1", payload)
    }

    #[test]
    fn a_hello_must_be_whole_and_known() {
        let judged = |frame: Value| hello(frame).map(|hello| hello.worker_name);
        assert_eq!(judged(first(|_| ())), Ok("w1".to_owned()));
        let older = first(|hello| hello["supported_channel_versions"] = json!(["v0"]));
        assert_eq!(judged(older), Err(Reason::Version));
        let deaf = first(|hello| hello["requested_capabilities"] = json!(["worker_heartbeat.v1"]));
        assert_eq!(judged(deaf), Err(Reason::Protocol));
        let chatty = first(|hello| hello["mood"] = json!("good"));
        assert_eq!(judged(chatty), Err(Reason::Protocol));
        let nameless = first(|hello| hello["worker_name"] = json!(""));
        assert_eq!(judged(nameless), Err(Reason::Protocol));
        let heartbeat = json!({"type": "worker.heartbeat.v1", "id": Uuid::nil(), "sent_at": "2026-01-01T00:00:00Z", "payload": {}});
        assert_eq!(judged(heartbeat), Err(Reason::Protocol));
    }
}

//! Background tasks: the socket that hands scheduled task runs to those who serve their tasks, and
//! who they are.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{sleep, timeout};
use utoipa::ToSchema;

use super::sockets;
use crate::schemas::flow_runs::AsOf;
use crate::schemas::task_runs::TaskRun;
use crate::schemas::{Dialect, StateType, TaskRunId, View, time};
use crate::server::changes::{Change, Kind};
use crate::server::extract::{Answer, Body};
use crate::server::models::background_tasks;
use crate::server::{ApiError, AppState};

/// The close code of a client that does not keep to this protocol.
const VIOLATION: u16 = 4001;

/// How long a worker may take to say that it has a run.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(60);

/// Runs may become due by time, or be made by another server.
const LOOK: Duration = Duration::from_secs(5);

/// What a worker subscribes to.
#[derive(Debug, Deserialize)]
struct Subscription {
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    client_id: String,
}

/// Hands scheduled task runs to a worker, one at a time.
pub async fn scheduled_task_subscription(
    State(state): State<AppState>,
    upgrade: WebSocketUpgrade,
) -> Response {
    sockets::accept(upgrade, state, serve)
}

async fn serve(state: AppState, mut socket: WebSocket) {
    let mut changes = state.changes.listen();
    let Some(first) = sockets::receive_json(&mut socket).await else {
        return;
    };
    let subscription = match subscribed(first) {
        Ok(subscription) => subscription,
        Err(missing) => {
            let reason = format!("Protocol violation: expected {missing}");
            return sockets::close(socket, VIOLATION, reason).await;
        }
    };
    let Subscription { keys, client_id } = subscription;
    // Another server may have gone with runs in its hands.
    let lost = state.now() - TimeDelta::seconds(2 * ACKNOWLEDGEMENT.as_secs().cast_signed());
    let release = async move |conn: &mut _| background_tasks::release_before(conn, lost).await;
    let _ = state.db.write(release).await;
    state.task_workers.observe(&client_id, &keys, state.now());
    while let Some(run) = next(&state, &mut socket, &mut changes, &keys, &client_id).await {
        let id = run.id;
        match hand_over(&state, &mut socket, run).await {
            Handed::Acknowledged => {
                let write = async move |conn: &mut _| background_tasks::acknowledge(conn, id).await;
                let _ = state.db.write(write).await;
                state.task_workers.observe(&client_id, &keys, state.now());
            }
            Handed::Quit => {
                release_run(&state, id).await;
                state.task_workers.forget(&client_id);
                return sockets::close(socket, 1000, "").await;
            }
            Handed::Lost => {
                release_run(&state, id).await;
                state.task_workers.forget(&client_id);
                return sockets::close(
                    socket,
                    VIOLATION,
                    "Protocol violation: expected 'ack' message",
                )
                .await;
            }
        }
    }
    state.task_workers.forget(&client_id);
}

fn subscribed(first: serde_json::Value) -> Result<Subscription, &'static str> {
    if first["type"] != "subscribe" {
        return Err("'subscribe' message");
    }
    let subscription: Subscription =
        serde_json::from_value(first).map_err(|_| "'keys' in subscribe message")?;
    if subscription.keys.is_empty() {
        return Err("'keys' in subscribe message");
    }
    if subscription.client_id.is_empty() {
        return Err("'client_id' in subscribe message");
    }
    Ok(subscription)
}

/// Waits for a run that is due; `None` when the worker has gone.
async fn next(
    state: &AppState,
    socket: &mut WebSocket,
    changes: &mut Receiver<Change>,
    keys: &[String],
    client: &str,
) -> Option<TaskRun> {
    loop {
        let (asked, client, now) = (keys.to_vec(), client.to_owned(), state.now());
        let claim =
            async move |conn: &mut _| background_tasks::claim(conn, &asked, &client, now).await;
        match state.db.write(claim).await {
            Ok(Some(run)) => return Some(run),
            Ok(None) => {}
            Err(cause) => tracing::warn!("background tasks cannot be handed out now: {cause}"),
        }
        tokio::select! {
            () = scheduled(changes) => {}
            () = sleep(LOOK) => {}
            frame = socket.recv() => match frame {
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            },
        }
    }
}

/// Waits until a task run was scheduled, or many things have changed.
async fn scheduled(changes: &mut Receiver<Change>) {
    loop {
        match changes.recv().await {
            Ok(Change {
                kind: Kind::TaskRun,
                state_type: Some(StateType::Scheduled),
                ..
            }) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// What became of a run that was sent.
enum Handed {
    Acknowledged,
    Quit,
    Lost,
}

async fn hand_over(state: &AppState, socket: &mut WebSocket, run: TaskRun) -> Handed {
    let frame = View(Dialect::Three, AsOf(state.now(), run));
    if sockets::send_json(socket, &frame).await.is_err() {
        return Handed::Lost;
    }
    match timeout(ACKNOWLEDGEMENT, sockets::receive_json(socket)).await {
        Ok(Some(answer)) if answer["type"] == "ack" => Handed::Acknowledged,
        Ok(Some(answer)) if answer["type"] == "quit" => Handed::Quit,
        Ok(Some(_) | None) | Err(_) => Handed::Lost,
    }
}

async fn release_run(state: &AppState, id: TaskRunId) {
    let write = async move |conn: &mut _| background_tasks::release(conn, id).await;
    if let Err(cause) = state.db.write(write).await {
        tracing::warn!(task_run.id = %id, "task run {id} is handed out again later: {cause}");
    }
    // Somebody else may take it at once.
    state.changes.tell(Change {
        state_type: Some(StateType::Scheduled),
        ..Change::of(Kind::TaskRun, id.0)
    });
}

/// Asks for workers that serve tasks.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct TaskWorkersQuery {
    /// Which ones.
    #[serde(default)]
    pub task_worker_filter: Option<TaskWorkerFilter>,
}

/// Conditions on workers that serve tasks.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct TaskWorkerFilter {
    /// They serve any of these.
    #[serde(default)]
    pub task_keys: Vec<String>,
}

/// A worker that serves tasks.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskWorkerResponse {
    /// The name that it has given itself.
    pub identifier: String,
    /// The tasks that it serves.
    pub task_keys: Vec<String>,
    /// When it was last heard of.
    pub timestamp: String,
}

/// Returns the workers that serve tasks now.
#[utoipa::path(post, path = "/task_workers/filter", request_body = TaskWorkersQuery, responses((status = 200, body = Vec<TaskWorkerResponse>)))]
pub async fn read_task_workers(
    State(state): State<AppState>,
    Body(asked): Body<TaskWorkersQuery>,
) -> Result<Answer<Vec<TaskWorkerResponse>>, ApiError> {
    let wanted: BTreeSet<String> = asked
        .task_worker_filter
        .unwrap_or_default()
        .task_keys
        .into_iter()
        .collect();
    let workers = state.task_workers.list().into_iter();
    let workers = workers.filter(|worker| {
        wanted.is_empty() || worker.task_keys.iter().any(|key| wanted.contains(key))
    });
    let response = workers.map(|worker| TaskWorkerResponse {
        identifier: worker.identifier,
        task_keys: worker.task_keys,
        timestamp: time::format(worker.seen, Dialect::Three),
    });
    Ok(Answer(response.collect()))
}

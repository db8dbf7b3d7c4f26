//! `/work_queues`: which due runs an agent is given.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Map, Value};

use crate::db::Conn;
use crate::schemas::actions::{WorkQueueCreate, WorkQueueGetRuns, WorkQueueUpdate};
use crate::schemas::filters::WorkQueuesQuery;
use crate::schemas::flow_runs::{AsOf, FlowRun};
use crate::schemas::patience::is_poll;
use crate::schemas::time;
use crate::schemas::work_queues::WorkQueue;
use crate::schemas::{Dialect, WorkQueueId};
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::{Body, Id, created, view};
use crate::server::models::events::lifecycle::Happened;
use crate::server::models::work_queues::Deleted;
use crate::server::{ApiError, AppState, models, refusal};

const NOUN: &str = "Work queue";
/// How old the note of the last poll may be; see [`crate::schemas::patience`].
const NOTED: chrono::TimeDelta = chrono::TimeDelta::seconds(15);
/// Who asks, where a client of ours does; others are known by what they call themselves.
const AGENT: &str = "x-prefect-agent";
const NEEDED: &str = "The default queue of a work pool cannot be deleted, since runs wait in it that \
    name no queue. Pause it, or delete the work pool.";
const TAKEN: &str = "A work queue with this name already exists.";

fn tell(state: &AppState, id: WorkQueueId) {
    state.changes.tell(Change::of(Kind::WorkQueue, id.0));
}

/// Creates a work queue.
#[utoipa::path(post, path = "/work_queues/", request_body = WorkQueueCreate, responses((status = 201, body = WorkQueue)))]
pub async fn create_work_queue(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(mut queue): Body<WorkQueueCreate>,
) -> Result<impl IntoResponse, ApiError> {
    if dialect == Dialect::B {
        // There a queue without a filter gives the runs of every deployment.
        queue.filter.get_or_insert_default();
    }
    let now = state.now();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        models::work_queues::create(conn, happened, queue, now).await
    };
    let queue = lifecycle::write(&state, write).await;
    let queue = queue.map_err(|error| ApiError::or_taken(error, TAKEN))?;
    tell(&state, queue.id);
    Ok(created(dialect, true, AsOf(now, queue)))
}

/// Returns work queues.
#[utoipa::path(post, path = "/work_queues/filter", request_body = WorkQueuesQuery, responses((status = 200, body = Vec<WorkQueue>)))]
pub async fn read_work_queues(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<WorkQueuesQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, offset) = (state.limit(asked.limit)?, asked.offset.unwrap_or(0));
    // To 2.0b3 a name tells a queue.
    let is_beta = dialect == Dialect::B;
    let read = async move |conn: &mut _| {
        models::work_queues::list(conn, asked.work_queues.as_ref(), is_beta, limit, offset).await
    };
    let queues = state.db.read(read).await?;
    Ok(view(dialect, AsOf(state.now(), queues).each()))
}

/// Returns a work queue.
#[utoipa::path(get, path = "/work_queues/{id}", params(("id" = WorkQueueId, Path)), responses((status = 200, body = WorkQueue)))]
pub async fn read_work_queue(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<WorkQueueId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| models::work_queues::read(conn, id).await;
    let queue = state.db.read(read).await?;
    let queue = queue.ok_or_else(|| ApiError::not_found(NOUN, id))?;
    Ok(view(dialect, AsOf(state.now(), queue)))
}

/// Returns the work queue of a name, which may hold slashes.
#[utoipa::path(get, path = "/work_queues/name/{*name}", params(("name" = String, Path)), responses((status = 200, body = WorkQueue)))]
pub async fn read_work_queue_by_name(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(name): Id<String>,
) -> Result<impl IntoResponse, ApiError> {
    let which = name.clone();
    let read = async move |conn: &mut _| models::work_queues::read_by_name(conn, &name).await;
    let queue = state.db.read(read).await?;
    // A pool's own queue is not there for 2.0b3 until somebody creates one of its name.
    let queue = queue
        .filter(|queue| dialect != Dialect::B || queue.filter.is_some() || queue.name != "default");
    let queue = queue.ok_or_else(|| ApiError::not_found(NOUN, which))?;
    Ok(view(dialect, AsOf(state.now(), queue)))
}

/// Changes a work queue.
#[utoipa::path(patch, path = "/work_queues/{id}", params(("id" = WorkQueueId, Path)), request_body = WorkQueueUpdate, responses((status = 204)))]
pub async fn update_work_queue(
    State(state): State<AppState>,
    Id(id): Id<WorkQueueId>,
    Body(update): Body<WorkQueueUpdate>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        models::work_queues::update(conn, happened, id, update, now).await
    };
    let found = lifecycle::write(&state, write).await;
    if !found.map_err(|error| ApiError::or_taken(error, TAKEN))? {
        return Err(ApiError::not_found(NOUN, id));
    }
    tell(&state, id);
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a work queue; its runs stay.
#[utoipa::path(delete, path = "/work_queues/{id}", params(("id" = WorkQueueId, Path)), responses((status = 204)))]
pub async fn delete_work_queue(
    State(state): State<AppState>,
    Id(id): Id<WorkQueueId>,
) -> Result<StatusCode, ApiError> {
    delete(&state, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a queue, unless its pool needs it.
pub async fn delete(state: &AppState, id: WorkQueueId) -> Result<(), ApiError> {
    let now = state.now();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        models::work_queues::delete(conn, happened, id, now).await
    };
    match lifecycle::write(state, write).await? {
        Deleted::Gone => {
            tell(state, id);
            Ok(())
        }
        Deleted::Needed => Err(ApiError::Conflict(NEEDED.to_owned())),
        Deleted::Unknown => Err(ApiError::not_found(NOUN, id)),
    }
}

/// Returns the runs of a queue that are due, the earliest first.
#[utoipa::path(post, path = "/work_queues/{id}/get_runs", params(("id" = WorkQueueId, Path)), request_body = WorkQueueGetRuns, responses((status = 200, body = Vec<FlowRun>)))]
pub async fn read_work_queue_runs(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<WorkQueueId>,
    headers: HeaderMap,
    Body(mut asked): Body<Map<String, Value>>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let agent = agent(&headers);
    // Agents are older than the newest servers, which do not look at what they call themselves.
    if dialect == Dialect::Three {
        asked.shift_remove("agent_id");
    }
    let text = Value::Object(asked).to_string();
    let asked: WorkQueueGetRuns = serde_json::from_str(&text)
        .map_err(|_| refusal::explain::<WorkQueueGetRuns>(text.as_bytes()))?;
    let limit = state.limit(asked.limit)?;
    let before = match asked.scheduled_before {
        Some(before) => before.0,
        // Whoever names no end means what is due, and to later clients whatever will be.
        None if dialect == Dialect::B => now,
        None => time::last(),
    };
    let name = agent.clone();
    let read = async move |conn: &mut _| {
        let Some(mut queue) = models::work_queues::read(conn, id).await? else {
            return Ok(None);
        };
        // To 2.0b3 agents a limit of zero is none; to all others it lets nothing through.
        if dialect == Dialect::B && queue.concurrency_limit == Some(0) {
            queue.concurrency_limit = None;
        }
        let runs = models::due_runs::of_work_queue(conn, &queue, dialect, before, limit).await?;
        let polled = models::work_queues::last_poll(conn, id, &name).await?;
        Ok(Some((polled, runs)))
    };
    let (polled, runs) = state
        .db
        .read_short(read)
        .await?
        .ok_or_else(|| ApiError::NoObject(format!("Work queue {id} not found.")))?;
    // An idle server writes nothing more often than the queue's status needs.
    if is_poll(before, now) && polled.is_none_or(|polled| now - polled >= NOTED) {
        let write =
            async move |conn: &mut _| models::work_queues::note_poll(conn, id, &agent, now).await;
        let was_served = state.db.write(write).await?;
        // A queue that nobody asked for a while is served again; pages that say otherwise look anew.
        if !was_served {
            tell(&state, id);
        }
    }
    Ok(view(dialect, AsOf(now, runs).each()))
}

/// The name of who asks.
fn agent(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let named = text(AGENT).or_else(|| text(header::USER_AGENT.as_str()));
    let name: String = named.unwrap_or("unnamed").chars().take(100).collect();
    name
}

/// Tells whether a queue is served in time.
#[utoipa::path(get, path = "/work_queues/{id}/status", params(("id" = WorkQueueId, Path)), responses((status = 200)))]
pub async fn read_work_queue_status(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<WorkQueueId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| {
        let Some(queue) = models::work_queues::read(conn, id).await? else {
            return Ok(None);
        };
        models::work_queues::status(conn, &queue).await.map(Some)
    };
    let status = state.db.read(read).await?;
    let status =
        status.ok_or_else(|| ApiError::NoObject(format!("Work queue with id {id} not found.")))?;
    Ok(view(dialect, AsOf(state.now(), status)))
}

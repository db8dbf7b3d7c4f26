//! `/work_pools`: what a kind of infrastructure can run, the queues in it, and who works there.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::Value;

use crate::db::Conn;
use crate::schemas::actions::{WorkQueueCreate, WorkQueueUpdate};
use crate::schemas::filters::WorkQueuesQuery;
use crate::schemas::flow_runs::AsOf;
use crate::schemas::patience::{Patience, is_poll};
use crate::schemas::time;
use crate::schemas::work_pools::{
    Heartbeat, PoolGetRuns, WorkPool, WorkPoolCreate, WorkPoolUpdate, WorkPoolsQuery, Worker,
    WorkersQuery,
};
use crate::schemas::work_queues::WorkQueue;
use crate::schemas::{Dialect, Document, WorkPoolId, WorkQueueId};
use crate::server::api::work_queues;
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::{Answer, Body, Id, created, no_content, view};
use crate::server::models::events::lifecycle::Happened;
use crate::server::models::work_pools::Due;
use crate::server::{ApiError, AppState, job_variables, models};

const TAKEN: &str = "A work pool with this name already exists.";
/// How old the note of the last poll may be; what is polled counts as served for a minute after it.
const NOTED: chrono::TimeDelta = chrono::TimeDelta::seconds(30);

fn taken_queue(pool: &str, queue: &str) -> String {
    format!("A work queue with the name {queue:?} already exists in work pool {pool:?}.")
}

/// Keeps out of names what would end a part of a path, or begin something else.
fn check_characters(name: &str) -> Result<(), ApiError> {
    match name.contains(['/', '%', '&', '>', '<']) || name.is_empty() {
        true => Err(ApiError::invalid_input(
            &["body", "name"],
            "String should match pattern '^[^/%&><]+$'",
            name,
        )),
        false => Ok(()),
    }
}

/// Checks that what a job template names in its configuration is among its variables: a worker
/// would fail at each run otherwise.
fn check_template(template: Option<&Document>) -> Result<(), ApiError> {
    let template: Value = template.and_then(|t| t.read().ok()).unwrap_or_default();
    let has = |part: &str| {
        template[part]
            .as_object()
            .is_some_and(|part| !part.is_empty())
    };
    let is_empty = template.as_object().is_none_or(|parts| parts.is_empty());
    let is_whole = has("job_configuration") && has("variables");
    if !is_empty && !is_whole {
        return Err(ApiError::invalid_input(
            &["body", "base_job_template"],
            "the template needs both a `job_configuration` and `variables`, neither of them empty; leave it out \
             to get that of the pool's first worker",
            template,
        ));
    }
    let mut used = BTreeSet::new();
    name_placeholders(&template["job_configuration"], &mut used);
    let known = &template["variables"]["properties"];
    let unknown = used.into_iter().filter(|name| known.get(name).is_none());
    let unknown: Vec<_> = unknown.map(|name| format!("'{name}'")).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        &["body", "base_job_template"],
        format!(
            "the job configuration uses variables that the template does not declare: {}; add them to \
             the properties of `variables`",
            unknown.join(", ")
        ),
    ))
}

/// Collects the variables that stand in double braces; blocks, variables of the server and of the
/// environment are no variables of the template.
fn name_placeholders(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let opened = text.split("{{").skip(1);
            let inside = opened.filter_map(|rest| rest.split_once("}}"));
            let inside = inside.map(|(name, _)| name.trim());
            let is_plain = |name: &&str| {
                !name.is_empty()
                    && !name.starts_with(['$', '.'])
                    && !name.starts_with("prefect.")
                    && name
                        .chars()
                        .all(|c| c.is_alphanumeric() || "_-.".contains(c))
            };
            names.extend(inside.filter(is_plain).map(str::to_owned));
        }
        Value::Array(items) => items.iter().for_each(|item| name_placeholders(item, names)),
        Value::Object(members) => members
            .values()
            .for_each(|member| name_placeholders(member, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Keeps users off the names that the server may need itself.
fn check_name(name: &str, action: &str) -> Result<(), ApiError> {
    if !name.to_lowercase().starts_with("prefect") {
        return Ok(());
    }
    let detail =
        format!("Work pools starting with 'Prefect' are reserved for internal use{action}.");
    Err(ApiError::Forbidden(detail))
}

fn check_limit(limit: Option<i64>) -> Result<(), ApiError> {
    match limit {
        Some(limit @ ..0) => Err(ApiError::invalid_input(
            &["body", "concurrency_limit"],
            "ensure this value is greater than or equal to 0",
            limit,
        )),
        _ => Ok(()),
    }
}

async fn pool(state: &AppState, name: String) -> Result<WorkPool, ApiError> {
    let which = name.clone();
    let read = async move |conn: &mut _| models::work_pools::read_by_name(conn, &name).await;
    let pool = state.db.read(read).await?;
    pool.ok_or_else(|| ApiError::no_work_pool(&which))
}

fn tell(state: &AppState, queue: WorkQueueId) {
    state.changes.tell(Change::of(Kind::WorkQueue, queue.0));
}

/// Tells that a pool is there, or not any more, or that somebody polls it.
fn tell_pool(state: &AppState, pool: WorkPoolId) {
    state.changes.tell(Change::of(Kind::Poller, pool.0));
}

/// Creates a work pool with its default queue.
#[utoipa::path(post, path = "/work_pools/", request_body = WorkPoolCreate, responses((status = 201, body = WorkPool)))]
pub async fn create_work_pool(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(pool): Body<WorkPoolCreate>,
) -> Result<impl IntoResponse, ApiError> {
    check_name(&pool.name, "")?;
    check_characters(&pool.name)?;
    check_limit(pool.concurrency_limit)?;
    check_template(pool.base_job_template.as_ref())?;
    let (now, vault) = (state.now(), state.vault.clone());
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let template = pool.base_job_template.as_ref();
        if let Err(refusal) = job_variables::of_pool(conn, &vault, template).await? {
            return Ok(Err(refusal));
        }
        let pool = models::work_pools::create(conn, happened, pool, now).await?;
        happened.pool_unserved(&pool);
        Ok(Ok(pool))
    };
    let pool = lifecycle::write(&state, write).await;
    let pool = pool.map_err(|error| ApiError::or_taken(error, TAKEN))??;
    tell_pool(&state, pool.id);
    Ok(created(dialect, true, AsOf(now, pool)))
}

/// Returns a work pool.
#[utoipa::path(get, path = "/work_pools/{name}", params(("name" = String, Path)), responses((status = 200, body = WorkPool)))]
pub async fn read_work_pool(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(name): Id<String>,
) -> Result<impl IntoResponse, ApiError> {
    let pool = pool(&state, name).await?;
    Ok(view(dialect, AsOf(state.now(), pool)))
}

/// Returns work pools.
#[utoipa::path(post, path = "/work_pools/filter", request_body = WorkPoolsQuery, responses((status = 200, body = Vec<WorkPool>)))]
pub async fn read_work_pools(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<WorkPoolsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = state.limit(asked.limit)?;
    let offset = i64::from(asked.offset.unwrap_or(0));
    let read = async move |conn: &mut _| {
        models::work_pools::list(conn, asked.work_pools.as_ref(), limit, offset).await
    };
    let pools = state.db.read(read).await?;
    Ok(view(dialect, AsOf(state.now(), pools).each()))
}

/// Counts work pools.
#[utoipa::path(post, path = "/work_pools/count", request_body = WorkPoolsQuery, responses((status = 200, body = i64)))]
pub async fn count_work_pools(
    State(state): State<AppState>,
    Body(asked): Body<WorkPoolsQuery>,
) -> Result<Answer<i64>, ApiError> {
    let read =
        async move |conn: &mut _| models::work_pools::count(conn, asked.work_pools.as_ref()).await;
    Ok(Answer(state.db.read(read).await?))
}

/// Changes a work pool.
#[utoipa::path(patch, path = "/work_pools/{name}", params(("name" = String, Path)), request_body = WorkPoolUpdate, responses((status = 204)))]
pub async fn update_work_pool(
    State(state): State<AppState>,
    Id(name): Id<String>,
    Body(update): Body<WorkPoolUpdate>,
) -> Result<StatusCode, ApiError> {
    if update.description.is_some()
        || update.base_job_template.is_some()
        || update.storage_configuration.is_some()
    {
        let action = " and can only be updated to set concurrency limits or pause";
        check_name(&name, action)?;
    }
    check_limit(update.concurrency_limit.flatten())?;
    check_template(update.base_job_template.as_ref())?;
    let (now, which) = (state.now(), name.clone());
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let changed = models::work_pools::update(conn, happened, &name, update, now).await?;
        let Some(id) = changed else {
            return Ok(None);
        };
        models::work_queues::list_of_pool(conn, id).await.map(Some)
    };
    let queues = lifecycle::write(&state, write).await?;
    // Whoever waits for one of its queues shall look again.
    for queue in queues.ok_or_else(|| ApiError::no_work_pool(&which))? {
        tell(&state, queue.id);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a work pool with its queues and workers; its runs stay.
#[utoipa::path(delete, path = "/work_pools/{name}", params(("name" = String, Path)), responses((status = 204)))]
pub async fn delete_work_pool(
    State(state): State<AppState>,
    Id(name): Id<String>,
) -> Result<StatusCode, ApiError> {
    check_name(&name, " and can not be deleted")?;
    let which = name.clone();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let Some(pool) = models::work_pools::read_by_name(conn, &name).await? else {
            return Ok(None);
        };
        let queues = models::work_queues::list_of_pool(conn, pool.id).await?;
        models::work_pools::delete(conn, happened, &name).await?;
        Ok(Some(queues))
    };
    let queues = lifecycle::write(&state, write).await?;
    // Its workers shall learn that there is nothing to wait for.
    for queue in queues.ok_or_else(|| ApiError::no_work_pool(&which))? {
        tell(&state, queue.id);
    }
    tell_pool(&state, WorkPoolId(uuid::Uuid::nil()));
    Ok(StatusCode::NO_CONTENT)
}

/// What became of a request about a queue of a pool.
enum Found<T> {
    Pool,
    Queue(String),
    Done(T),
}

impl<T> Found<T> {
    fn or_unknown(self, pool: &str) -> Result<T, ApiError> {
        match self {
            Self::Pool => Err(ApiError::no_work_pool(pool)),
            Self::Queue(queue) => Err(ApiError::no_work_queue(pool, &queue)),
            Self::Done(value) => Ok(value),
        }
    }
}

/// Returns the runs of a pool that are due, and notes that its queues are served.
#[utoipa::path(post, path = "/work_pools/{name}/get_scheduled_flow_runs", params(("name" = String, Path)), request_body = PoolGetRuns, responses((status = 200)))]
pub async fn read_work_pool_runs(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(name): Id<String>,
    Body(asked): Body<PoolGetRuns>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let due = Due {
        before: asked.scheduled_before.map_or_else(time::last, |at| at.0),
        after: asked.scheduled_after.map(|at| at.0),
        limit: state.limit(asked.limit)?,
    };
    let which = name.clone();
    let names = asked.work_queue_names.filter(|names| !names.is_empty());
    let read = async move |conn: &mut Conn| {
        let Some(pool) = models::work_pools::read_by_name(conn, &name).await? else {
            return Ok(Found::Pool);
        };
        let mut queues = models::work_queues::list_of_pool(conn, pool.id).await?;
        if let Some(names) = names {
            let is_known = |name: &String| queues.iter().any(|queue| queue.name == *name);
            if let Some(name) = names.iter().find(|name| !is_known(name)) {
                return Ok(Found::Queue(name.clone()));
            }
            queues.retain(|queue| names.contains(&queue.name));
        }
        let runs = models::work_pools::due(conn, &pool, &queues, due, now).await?;
        Ok(Found::Done((queues, runs)))
    };
    let (queues, runs) = state.db.read_short(read).await?.or_unknown(&which)?;
    if is_poll(due.before, now) {
        note_polled(&state, queues, now).await?;
    }
    Ok(view(dialect, runs))
}

/// Notes that queues are served; an idle server writes no more often than their status needs.
async fn note_polled(
    state: &AppState,
    queues: Vec<WorkQueue>,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), ApiError> {
    let is_old = |queue: &WorkQueue| queue.last_polled.is_none_or(|polled| now - polled > NOTED);
    let old: Vec<WorkQueueId> = queues
        .iter()
        .filter(|queue| is_old(queue))
        .map(|queue| queue.id)
        .collect();
    if old.is_empty() {
        return Ok(());
    }
    let write = async move |conn: &mut Conn| models::work_queues::set_polled(conn, &old, now).await;
    Ok(state.db.write(write).await?)
}

/// Creates a queue in a pool.
#[utoipa::path(post, path = "/work_pools/{name}/queues", params(("name" = String, Path)), request_body = WorkQueueCreate, responses((status = 201, body = WorkQueue)))]
pub async fn create_pool_queue(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(name): Id<String>,
    Body(queue): Body<WorkQueueCreate>,
) -> Result<impl IntoResponse, ApiError> {
    check_characters(&queue.name)?;
    let now = state.now();
    let (which, queue_name) = (name.clone(), queue.name.clone());
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let Some(pool) = models::work_pools::read_by_name(conn, &name).await? else {
            return Ok(None);
        };
        models::work_queues::create_in_pool(conn, happened, queue, pool.id, now)
            .await
            .map(Some)
    };
    let queue = lifecycle::write(&state, write).await;
    let taken = taken_queue(&which, &queue_name);
    let queue = queue.map_err(|error| ApiError::or_taken(error, &taken))?;
    let queue = queue.ok_or_else(|| ApiError::no_work_pool(&which))?;
    tell(&state, queue.id);
    Ok(created(dialect, true, AsOf(now, queue)))
}

/// Returns the queues of a pool, those of the first priority first.
#[utoipa::path(post, path = "/work_pools/{name}/queues/filter", params(("name" = String, Path)), request_body = WorkQueuesQuery, responses((status = 200, body = Vec<WorkQueue>)))]
pub async fn read_pool_queues(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(name): Id<String>,
    Body(asked): Body<WorkQueuesQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, offset) = (state.limit(asked.limit)?, asked.offset.unwrap_or(0));
    let pool = pool(&state, name).await?;
    let read = async move |conn: &mut _| {
        let filter = asked.work_queues.as_ref();
        models::work_queues::list_in_pool(conn, pool.id, filter, limit, offset).await
    };
    let queues = state.db.read(read).await?;
    Ok(view(dialect, AsOf(state.now(), queues).each()))
}

/// Returns a queue of a pool.
#[utoipa::path(get, path = "/work_pools/{name}/queues/{queue}", params(("name" = String, Path), ("queue" = String, Path)), responses((status = 200, body = WorkQueue)))]
pub async fn read_pool_queue(
    State(state): State<AppState>,
    dialect: Dialect,
    Id((pool, name)): Id<(String, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let queue = queue(&state, pool, name).await?;
    Ok(view(dialect, AsOf(state.now(), queue)))
}

async fn queue(state: &AppState, pool: String, name: String) -> Result<WorkQueue, ApiError> {
    let error = ApiError::no_work_queue(&pool, &name);
    let read =
        async move |conn: &mut _| models::work_queues::read_in_pool(conn, &pool, &name).await;
    state.db.read(read).await?.ok_or(error)
}

/// Changes a queue of a pool.
#[utoipa::path(patch, path = "/work_pools/{name}/queues/{queue}", params(("name" = String, Path), ("queue" = String, Path)), request_body = WorkQueueUpdate, responses((status = 204)))]
pub async fn update_pool_queue(
    State(state): State<AppState>,
    Id((pool, name)): Id<(String, String)>,
    Body(update): Body<WorkQueueUpdate>,
) -> Result<StatusCode, ApiError> {
    let taken = taken_queue(&pool, update.name.as_deref().unwrap_or(&name));
    let queue = queue(&state, pool, name).await?;
    let now = state.now();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        models::work_queues::update(conn, happened, queue.id, update, now).await
    };
    let found = lifecycle::write(&state, write).await;
    found.map_err(|error| ApiError::or_taken(error, &taken))?;
    tell(&state, queue.id);
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a queue of a pool; its runs stay.
#[utoipa::path(delete, path = "/work_pools/{name}/queues/{queue}", params(("name" = String, Path), ("queue" = String, Path)), responses((status = 204)))]
pub async fn delete_pool_queue(
    State(state): State<AppState>,
    Id((pool, name)): Id<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let queue = queue(&state, pool, name).await?;
    work_queues::delete(&state, queue.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Notes that a worker is alive.
#[utoipa::path(post, path = "/work_pools/{name}/workers/heartbeat", params(("name" = String, Path)), request_body = Heartbeat, responses((status = 204)))]
pub async fn worker_heartbeat(
    State(state): State<AppState>,
    Id(name): Id<String>,
    Body(heartbeat): Body<Heartbeat>,
) -> Result<StatusCode, ApiError> {
    let pool = pool(&state, name).await?;
    let now = state.now();
    let was_served = pool.served_until.is_some_and(|until| now <= until);
    let interval = heartbeat
        .heartbeat_interval_seconds
        .map_or(i64::from(Patience::chosen().heartbeat_seconds), |seconds| {
            seconds as i64
        });
    let write = async move |conn: &mut _| {
        models::work_pools::heartbeat(conn, pool.id, &heartbeat.name, interval, now).await
    };
    state.db.write(write).await?;
    if let (false, Some(queue)) = (was_served, pool.default_queue_id) {
        tell(&state, queue);
    }
    // One more of many is told by the watch on who polls.
    if !was_served {
        tell_pool(&state, pool.id);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the workers of a pool.
#[utoipa::path(post, path = "/work_pools/{name}/workers/filter", params(("name" = String, Path)), request_body = WorkersQuery, responses((status = 200, body = Vec<Worker>)))]
pub async fn read_workers(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(name): Id<String>,
    Body(asked): Body<WorkersQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = usize::try_from(state.limit(asked.limit)?).unwrap_or(usize::MAX);
    let offset = asked.offset.unwrap_or(0) as usize;
    let pool = pool(&state, name).await?;
    let read = async move |conn: &mut _| models::work_pools::list_workers(conn, pool.id).await;
    let now = state.now();
    // Who is alive is a matter of the moment.
    let workers = AsOf(now, state.db.read(read).await?).each();
    let workers = workers.into_iter().filter(|worker| asked.means(worker));
    let page: Vec<_> = workers.skip(offset).take(limit).collect();
    Ok(view(dialect, page))
}

/// Forgets a worker of a pool.
#[utoipa::path(delete, path = "/work_pools/{name}/workers/{worker}", params(("name" = String, Path), ("worker" = String, Path)), responses((status = 204)))]
pub async fn delete_worker(
    State(state): State<AppState>,
    Id((name, worker)): Id<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let pool = pool(&state, name).await?;
    let write =
        async move |conn: &mut _| models::work_pools::delete_worker(conn, pool.id, &worker).await;
    no_content(state.db.write(write).await?, || {
        ApiError::NotFound("Worker not found.".to_owned())
    })
}

//! `/task_runs`: creating, asking, and above all changing the state of task runs.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::schemas::actions::{SetState, TaskRunCreate, TaskRunUpdate};
use crate::schemas::filters::{Filters, HistoryQuery, TaskRunSort, TaskRunsQuery};
use crate::schemas::flow_runs::AsOf;
use crate::schemas::global_concurrency_limits::{HolderType, TAG_PREFIX};
use crate::schemas::responses::{HistoryResponse, OrchestrationResult};
use crate::schemas::task_run_records::TaskRunRecord;
use crate::schemas::task_runs::TaskRun;
use crate::schemas::{ConcurrencyLimitId, Dialect, TaskRunId};
use crate::server::changes::{Change, Kind};
use crate::server::extract::{Answer, Body, Id, created, no_content, view};
use crate::server::mistake::Mistake;
use crate::server::models::{self, history};
use crate::server::orchestration::Rule as _;
use crate::server::orchestration::policy::Policy;
use crate::server::orchestration::rules::concurrency::SecureTaskConcurrencySlots;
use crate::server::{ApiError, AppState, events};

use super::flow_runs::{read_history, status};

/// Creates a task run, or returns the one of those keys.
#[utoipa::path(post, path = "/task_runs/", request_body = TaskRunCreate, responses((status = 201, body = TaskRun), (status = 200, body = TaskRun)))]
pub async fn create_task_run(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(mut create): Body<TaskRunCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    if let Some(first) = &mut create.state {
        first.defer(dialect, create.flow_run_id);
    }
    let write = async move |conn: &mut _| models::task_runs::create(conn, create, now).await;
    let (run, is_new) = state.db.write_short(write).await?;
    if is_new {
        state.changes.tell(Change {
            state_type: run.state_type(),
            flow_run_id: run.flow_run_id,
            ..Change::of(Kind::TaskRun, run.id.0)
        });
    }
    Ok(created(dialect, is_new, AsOf(state.now(), run)))
}

/// Returns a task run.
#[utoipa::path(get, path = "/task_runs/{id}", params(("id" = TaskRunId, Path)), responses((status = 200, body = TaskRun)))]
pub async fn read_task_run(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<TaskRunId>,
) -> Result<impl IntoResponse, ApiError> {
    let run = state
        .db
        .read_short(async move |conn| models::task_runs::read(conn, id).await)
        .await?;
    let run = run.ok_or_else(|| ApiError::not_found("Task run", id))?;
    Ok(view(dialect, AsOf(state.now(), run)))
}

/// Returns the task runs of a page.
#[utoipa::path(post, path = "/task_runs/filter", request_body = TaskRunsQuery, responses((status = 200, body = Vec<TaskRun>)))]
pub async fn read_task_runs(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<TaskRunsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, offset) = (
        state.limit(asked.limit)?,
        i64::from(asked.offset.unwrap_or(0)),
    );
    let sort = asked.sort.unwrap_or(TaskRunSort::IdDesc);
    let filters = asked.filters();
    let read = async move |conn: &mut _| {
        models::task_runs::list(conn, &filters, sort, limit, offset).await
    };
    let runs = state.db.read(read).await?;
    Ok(view(dialect, AsOf(state.now(), runs).each()))
}

/// Counts task runs.
#[utoipa::path(post, path = "/task_runs/count", request_body = Filters, responses((status = 200, body = i64)))]
pub async fn count_task_runs(
    State(state): State<AppState>,
    Body(filters): Body<Filters>,
) -> Result<impl IntoResponse, ApiError> {
    Ok(Answer(
        state
            .db
            .read(async move |conn| models::task_runs::count(conn, &filters).await)
            .await?,
    ))
}

/// Counts task runs by interval and state.
#[utoipa::path(post, path = "/task_runs/history", request_body = HistoryQuery, responses((status = 200, body = Vec<HistoryResponse>)))]
pub async fn task_run_history(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<HistoryQuery>,
) -> Result<impl IntoResponse, ApiError> {
    Ok(view(
        dialect,
        read_history(&state, history::Of::TaskRuns, asked).await?,
    ))
}

/// Changes the name of a task run.
#[utoipa::path(patch, path = "/task_runs/{id}", params(("id" = TaskRunId, Path)), request_body = TaskRunUpdate, responses((status = 204)))]
pub async fn update_task_run(
    State(state): State<AppState>,
    Id(id): Id<TaskRunId>,
    Body(update): Body<TaskRunUpdate>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let write =
        async move |conn: &mut _| models::task_runs::update(conn, id, update.name, now).await;
    if !state.db.write(write).await? {
        return Err(ApiError::not_found("Task run", id));
    }
    state.changes.tell(Change::of(Kind::TaskRun, id.0));
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a task run.
#[utoipa::path(delete, path = "/task_runs/{id}", params(("id" = TaskRunId, Path)), responses((status = 204)))]
pub async fn delete_task_run(
    State(state): State<AppState>,
    Id(id): Id<TaskRunId>,
) -> Result<StatusCode, ApiError> {
    let (now, since) = (state.now(), state.events_since());
    let delete = async move |conn: &mut _| models::task_runs::delete(conn, id, since, now).await;
    let found = state.db.write(delete).await?;
    state.changes.tell(Change::of(Kind::TaskRun, id.0));
    no_content(found, || ApiError::not_found("Task run", id))
}

/// Proposes a state for a task run.
#[utoipa::path(post, path = "/task_runs/{id}/set_state", params(("id" = TaskRunId, Path)), request_body = SetState, responses((status = 201, body = OrchestrationResult), (status = 200, body = OrchestrationResult)))]
pub async fn set_task_run_state(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<TaskRunId>,
    Body(SetState {
        state: proposed,
        force,
    }): Body<SetState>,
) -> Result<impl IntoResponse, ApiError> {
    let (now, policy) = (state.now(), Policy::of(dialect, force));
    let wait = state.settings.tag_concurrency_slot_wait_seconds.as_secs() as i64;
    let write = async move |conn: &mut _| {
        models::transitions::transition_task_run(conn, id, proposed, policy, wait, now).await
    };
    let done = state
        .db
        .write_short(write)
        .await?
        .ok_or_else(|| ApiError::NoObject(format!("Task run {id} not found")))?;
    if done.is_written {
        let now = done.result.state.as_ref();
        state.waiting.settled(id.0);
        state.changes.tell(Change {
            state_type: now.map(|state| state.state_type),
            state_name: now.map(|state| state.name.clone()),
            flow_run_id: now.and_then(|state| state.state_details.flow_run_id),
            ..Change::of(Kind::TaskRun, id.0)
        });
    }
    if done.decided_by == Some(SecureTaskConcurrencySlots.name()) {
        note_waiting(&state, id).await?;
    }
    Ok((status(&done, dialect), view(dialect, done.result)))
}

/// Records task runs and their states as their client has carried them out.
///
/// No other server has this route: it takes in one request what would be an event for each state.
#[utoipa::path(post, path = "/task_runs/record", request_body = Vec<TaskRunRecord>, responses((status = 204)))]
pub async fn record_task_runs(
    State(state): State<AppState>,
    Body(records): Body<Vec<TaskRunRecord>>,
) -> Result<StatusCode, ApiError> {
    for (n, record) in records.iter().enumerate() {
        if let Err((place, why)) = record.check() {
            let loc = [json!("body"), json!(n)].into_iter().chain(place).collect();
            return Err(ApiError::Invalid {
                details: vec![Mistake::of(loc, &why)],
                body: Value::Null,
            });
        }
    }
    events::record(&state, records).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Notes that a task run waits for the limits of its tags.
async fn note_waiting(state: &AppState, id: TaskRunId) -> Result<(), ApiError> {
    let read = async move |conn: &mut _| models::task_runs::read(conn, id).await;
    let Some(run) = state.db.read_short(read).await? else {
        return Ok(());
    };
    let names: Vec<_> = run
        .tags
        .0
        .iter()
        .map(|tag| format!("{TAG_PREFIX}{tag}"))
        .collect();
    let names = names.iter().map(String::as_str);
    if state
        .waiting
        .refused(names, HolderType::TaskRun, id.0, state.now())
    {
        // Whoever shows limits looks at all of them.
        let none = ConcurrencyLimitId(uuid::Uuid::nil());
        state
            .changes
            .tell(Change::of(Kind::ConcurrencyLimit, none.0));
    }
    Ok(())
}

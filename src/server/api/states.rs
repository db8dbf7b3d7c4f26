//! `/flow_run_states` and `/task_run_states`: the record of what a run has been.

use axum::extract::State as Extract;
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::schemas::{Dialect, FlowRunId, State, StateId, TaskRunId};
use crate::server::extract::{Asked, Id, view};
use crate::server::{ApiError, AppState, models};

/// Which flow run's states are wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub struct OfFlowRun {
    /// The flow run.
    flow_run_id: FlowRunId,
}

/// Which task run's states are wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub struct OfTaskRun {
    /// The task run.
    task_run_id: TaskRunId,
}

/// Returns a flow run's states in order.
#[utoipa::path(get, path = "/flow_run_states/", params(OfFlowRun), responses((status = 200, body = Vec<State>)))]
pub async fn read_flow_run_states(
    Extract(state): Extract<AppState>,
    dialect: Dialect,
    Asked(OfFlowRun { flow_run_id: id }): Asked<OfFlowRun>,
) -> Result<impl IntoResponse, ApiError> {
    let states = state
        .db
        .read(async move |conn| models::states::list_of_flow_run(conn, id).await)
        .await?;
    Ok(view(dialect, states))
}

/// Returns a state of a flow run.
#[utoipa::path(get, path = "/flow_run_states/{id}", params(("id" = StateId, Path)), responses((status = 200, body = State)))]
pub async fn read_flow_run_state(
    Extract(state): Extract<AppState>,
    dialect: Dialect,
    Id(id): Id<StateId>,
) -> Result<impl IntoResponse, ApiError> {
    let found = state
        .db
        .read(async move |conn| models::states::read_of_flow_run(conn, id).await)
        .await?;
    Ok(view(
        dialect,
        found.ok_or_else(|| ApiError::not_found("Flow run state", id))?,
    ))
}

/// Returns a task run's states in order.
#[utoipa::path(get, path = "/task_run_states/", params(OfTaskRun), responses((status = 200, body = Vec<State>)))]
pub async fn read_task_run_states(
    Extract(state): Extract<AppState>,
    dialect: Dialect,
    Asked(OfTaskRun { task_run_id: id }): Asked<OfTaskRun>,
) -> Result<impl IntoResponse, ApiError> {
    let states = state
        .db
        .read(async move |conn| models::states::list_of_task_run(conn, id).await)
        .await?;
    Ok(view(dialect, states))
}

/// Returns a state of a task run.
#[utoipa::path(get, path = "/task_run_states/{id}", params(("id" = StateId, Path)), responses((status = 200, body = State)))]
pub async fn read_task_run_state(
    Extract(state): Extract<AppState>,
    dialect: Dialect,
    Id(id): Id<StateId>,
) -> Result<impl IntoResponse, ApiError> {
    let found = state
        .db
        .read(async move |conn| models::states::read_of_task_run(conn, id).await)
        .await?;
    Ok(view(
        dialect,
        found.ok_or_else(|| ApiError::not_found("Task run state", id))?,
    ))
}

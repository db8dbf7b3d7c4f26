//! `/flow_runs/{id}/input`: what is handed to a run while it is under way.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use crate::db::{self, Conn};
use crate::schemas::flow_run_inputs::{FlowRunInput, FlowRunInputCreate, FlowRunInputsQuery};
use crate::schemas::{Dialect, FlowRunId};
use crate::server::extract::{Answer, Body, Id, no_content, view};
use crate::server::models::flow_run_inputs;
use crate::server::{ApiError, AppState};

const NOUN: &str = "Flow run input";

/// Hands an input to a flow run.
#[utoipa::path(post, path = "/flow_runs/{id}/input", params(("id" = FlowRunId, Path)), request_body = FlowRunInputCreate, responses((status = 201), (status = 409, description = "the run has an input of that key")))]
pub async fn create_flow_run_input(
    State(state): State<AppState>,
    Id(run): Id<FlowRunId>,
    Body(create): Body<FlowRunInputCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut Conn| flow_run_inputs::create(conn, run, create, now).await;
    state.db.write(write).await.map_err(|error| match error {
        db::Error::NoParent(_) => ApiError::not_found("Flow run", run),
        error => ApiError::or_taken(error, "A flow run input with this key already exists."),
    })?;
    Ok((StatusCode::CREATED, Answer(())))
}

/// Returns the value of an input as it came.
#[utoipa::path(get, path = "/flow_runs/{id}/input/{key}", params(("id" = FlowRunId, Path), ("key" = String, Path)), responses((status = 200)))]
pub async fn read_flow_run_input(
    State(state): State<AppState>,
    Id((run, key)): Id<(FlowRunId, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let asked = key.clone();
    let read = async move |conn: &mut Conn| flow_run_inputs::read(conn, run, &asked).await;
    let found = state.db.read(read).await?;
    let value = found.ok_or_else(|| ApiError::not_found(NOUN, key))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], value))
}

/// Returns inputs whose keys begin alike.
#[utoipa::path(post, path = "/flow_runs/{id}/input/filter", params(("id" = FlowRunId, Path)), request_body = FlowRunInputsQuery, responses((status = 200, body = Vec<FlowRunInput>)))]
pub async fn filter_flow_run_inputs(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(run): Id<FlowRunId>,
    Body(asked): Body<FlowRunInputsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let most = i64::from(state.settings.server_api_default_limit);
    let limit = state.limit(Some(asked.limit.min(most)))?;
    let read = async move |conn: &mut Conn| flow_run_inputs::list(conn, run, asked, limit).await;
    Ok(view(dialect, state.db.read(read).await?))
}

/// Takes an input away.
#[utoipa::path(delete, path = "/flow_runs/{id}/input/{key}", params(("id" = FlowRunId, Path), ("key" = String, Path)), responses((status = 204)))]
pub async fn delete_flow_run_input(
    State(state): State<AppState>,
    Id((run, key)): Id<(FlowRunId, String)>,
) -> Result<StatusCode, ApiError> {
    let asked = key.clone();
    let write = async move |conn: &mut Conn| flow_run_inputs::delete(conn, run, &asked).await;
    no_content(state.db.write(write).await?, || {
        ApiError::not_found(NOUN, key)
    })
}

//! `/deployments`: the schedules of a deployment, and whoever serves it without a queue.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::db;
use crate::schemas::deployment_actions::{ScheduleCreate, ScheduleUpdate};
use crate::schemas::deployments::DeploymentSchedule;
use crate::schemas::flow_runs::{AsOf, FlowRun};
use crate::schemas::time::{self, Instant};
use crate::schemas::work_queues::WorkQueue;
use crate::schemas::{DeploymentId, Dialect, ScheduleId};
use crate::server::changes::{Change, Kind};
use crate::server::extract::{Body, Id, created, view};
use crate::server::models::work_pools::Due;
use crate::server::{ApiError, AppState, models};

const TAKEN: &str = "A schedule of this deployment already has this slug.";

fn unknown() -> ApiError {
    ApiError::NotFound("Deployment not found".to_owned())
}

fn unknown_schedule() -> ApiError {
    ApiError::NotFound("Schedule not found.".to_owned())
}

fn tell(state: &AppState, id: DeploymentId) {
    state.changes.tell(Change::of(Kind::Deployment, id.0));
}

/// Asks for the due runs of deployments.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct DeploymentGetRuns {
    /// The deployments.
    pub deployment_ids: Vec<DeploymentId>,
    /// Until when the runs are due; those of all times by default.
    #[serde(default)]
    pub scheduled_before: Option<Instant>,
    /// How many at most.
    #[serde(default)]
    pub limit: Option<i64>,
}

/// Returns the due runs of deployments, and notes that they are served.
#[utoipa::path(post, path = "/deployments/get_scheduled_flow_runs", request_body = DeploymentGetRuns, responses((status = 200, body = Vec<FlowRun>)))]
pub async fn read_deployment_runs(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<DeploymentGetRuns>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let due = Due {
        before: asked.scheduled_before.map_or_else(time::last, |at| at.0),
        after: None,
        limit: state.limit(asked.limit)?,
    };
    let ids = asked.deployment_ids;
    let write = async move |conn: &mut db::Conn| {
        models::deployments::set_polled(conn, &ids, now).await?;
        models::due_runs::of_deployments(conn, &ids, due).await
    };
    let runs = state.db.write(write).await?;
    Ok(view(dialect, AsOf(now, runs).each()))
}

/// Pauses a deployment: its schedules make no runs, and those they made that nobody has begun go.
#[utoipa::path(post, path = "/deployments/{id}/pause_deployment", params(("id" = DeploymentId, Path)), responses((status = 200)))]
pub async fn pause_deployment(
    state: State<AppState>,
    id: Id<DeploymentId>,
) -> Result<impl IntoResponse, ApiError> {
    let done = super::deployments::set_schedule_inactive(state, id).await;
    done.map_err(in_newer_words)
}

/// Lets the schedules of a deployment make runs again.
#[utoipa::path(post, path = "/deployments/{id}/resume_deployment", params(("id" = DeploymentId, Path)), responses((status = 200)))]
pub async fn resume_deployment(
    state: State<AppState>,
    id: Id<DeploymentId>,
) -> Result<impl IntoResponse, ApiError> {
    let done = super::deployments::set_schedule_active(state, id).await;
    done.map_err(in_newer_words)
}

/// The routes of 2.0b3 say in other words that there is no such deployment.
fn in_newer_words(error: ApiError) -> ApiError {
    match error {
        ApiError::NotFound(_) => unknown(),
        error => error,
    }
}

/// Returns the schedules of a deployment.
#[utoipa::path(get, path = "/deployments/{id}/schedules", params(("id" = DeploymentId, Path)), responses((status = 200, body = Vec<DeploymentSchedule>)))]
pub async fn read_deployment_schedules(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<DeploymentId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| models::deployments::read(conn, id).await;
    let deployment = state.db.read(read).await?.ok_or_else(unknown)?;
    Ok(view(dialect, deployment.schedules))
}

/// Adds schedules to a deployment.
#[utoipa::path(post, path = "/deployments/{id}/schedules", params(("id" = DeploymentId, Path)), request_body = Vec<ScheduleCreate>, responses((status = 201, body = Vec<DeploymentSchedule>)))]
pub async fn create_deployment_schedules(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<DeploymentId>,
    Body(schedules): Body<Vec<ScheduleCreate>>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut db::Conn| {
        if models::deployments::read(conn, id).await?.is_none() {
            return Ok(None);
        }
        let schedules = models::deployment_schedules::create(conn, id, schedules, now).await?;
        Ok(Some(schedules))
    };
    let schedules = state.db.write(write).await;
    let schedules = schedules.map_err(|error| ApiError::or_taken(error, TAKEN))?;
    let schedules = schedules.ok_or_else(unknown)?;
    tell(&state, id);
    Ok(created(dialect, true, schedules))
}

/// Changes a schedule of a deployment; the runs of its schedules that nobody has begun are made
/// anew.
#[utoipa::path(patch, path = "/deployments/{id}/schedules/{schedule_id}", params(("id" = DeploymentId, Path), ("schedule_id" = ScheduleId, Path)), request_body = ScheduleUpdate, responses((status = 204)))]
pub async fn update_deployment_schedule(
    State(state): State<AppState>,
    Id((id, schedule)): Id<(DeploymentId, ScheduleId)>,
    Body(update): Body<ScheduleUpdate>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut db::Conn| {
        let found = models::deployment_schedules::update(conn, id, schedule, update, now).await?;
        models::deployments::delete_scheduled_runs(conn, id, true).await?;
        Ok(found)
    };
    let found = state.db.write(write).await;
    if !found.map_err(|error| ApiError::or_taken(error, TAKEN))? {
        return Err(unknown_schedule());
    }
    tell(&state, id);
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a schedule of a deployment with the runs it made that nobody has begun.
#[utoipa::path(delete, path = "/deployments/{id}/schedules/{schedule_id}", params(("id" = DeploymentId, Path), ("schedule_id" = ScheduleId, Path)), responses((status = 204)))]
pub async fn delete_deployment_schedule(
    State(state): State<AppState>,
    Id((id, schedule)): Id<(DeploymentId, ScheduleId)>,
) -> Result<StatusCode, ApiError> {
    let write = async move |conn: &mut db::Conn| {
        let found = models::deployment_schedules::delete(conn, id, schedule).await?;
        models::deployments::delete_scheduled_runs(conn, id, true).await?;
        Ok(found)
    };
    if !state.db.write(write).await? {
        return Err(unknown_schedule());
    }
    tell(&state, id);
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the work queues that give the runs of a deployment.
#[utoipa::path(get, path = "/deployments/{id}/work_queue_check", params(("id" = DeploymentId, Path)), responses((status = 200, body = Vec<WorkQueue>)))]
pub async fn check_work_queues(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<DeploymentId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut db::Conn| {
        let Some(deployment) = models::deployments::read(conn, id).await? else {
            return Ok(None);
        };
        match deployment.work_queue_id {
            Some(queue) => models::work_queues::read(conn, queue).await.map(Some),
            None => Ok(Some(None)),
        }
    };
    let queue = state.db.read(read).await?.ok_or_else(unknown)?;
    let queues: Vec<WorkQueue> = queue.into_iter().collect();
    Ok(view(dialect, AsOf(state.now(), queues).each()))
}

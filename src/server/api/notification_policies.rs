//! `/flow_run_notification_policies`: who is told when a flow run comes into which state.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::schemas::notification_policies::{
    NotificationPoliciesQuery, NotificationPolicy, NotificationPolicyCreate,
    NotificationPolicyUpdate,
};
use crate::schemas::{Dialect, NotificationPolicyId};
use crate::server::changes::{Change, Kind};
use crate::server::extract::{Body, Id, created, no_content, view};
use crate::server::models::notification_policies as policies;
use crate::server::{ApiError, AppState};

fn absent() -> ApiError {
    ApiError::NotFound("flow run notification policy not found".to_owned())
}

fn changed(state: &AppState, id: NotificationPolicyId) {
    let change = Change::of(Kind::NotificationPolicy, id.0);
    state.changes.tell(change);
}

/// Creates a policy.
#[utoipa::path(post, path = "/flow_run_notification_policies/", request_body = NotificationPolicyCreate, responses((status = 201, body = NotificationPolicy)))]
pub async fn create_notification_policy(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(create): Body<NotificationPolicyCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut _| policies::create(conn, create, now).await;
    let policy = state.db.write(write).await?;
    changed(&state, policy.id);
    Ok(created(dialect, true, policy))
}

/// Returns policies.
#[utoipa::path(post, path = "/flow_run_notification_policies/filter", request_body = NotificationPoliciesQuery, responses((status = 200, body = Vec<NotificationPolicy>)))]
pub async fn read_notification_policies(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<NotificationPoliciesQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, offset) = (state.limit(asked.limit)?, asked.offset.unwrap_or(0));
    let is_active = asked.is_active();
    let read = async move |conn: &mut _| policies::list(conn, is_active, limit, offset).await;
    Ok(view(dialect, state.db.read(read).await?))
}

/// Returns a policy.
#[utoipa::path(get, path = "/flow_run_notification_policies/{id}", params(("id" = NotificationPolicyId, Path)), responses((status = 200, body = NotificationPolicy)))]
pub async fn read_notification_policy(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<NotificationPolicyId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| policies::read(conn, id).await;
    let policy = state.db.read(read).await?.ok_or_else(absent)?;
    Ok(view(dialect, policy))
}

/// Changes a policy.
#[utoipa::path(patch, path = "/flow_run_notification_policies/{id}", params(("id" = NotificationPolicyId, Path)), request_body = NotificationPolicyUpdate, responses((status = 204)))]
pub async fn update_notification_policy(
    State(state): State<AppState>,
    Id(id): Id<NotificationPolicyId>,
    Body(update): Body<NotificationPolicyUpdate>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut _| policies::update(conn, id, update, now).await;
    no_content(state.db.write(write).await?, || {
        ApiError::not_found("Flow run notification policy", id)
    })
    .inspect(|_| changed(&state, id))
}

/// Deletes a policy with what it has still to send.
#[utoipa::path(delete, path = "/flow_run_notification_policies/{id}", params(("id" = NotificationPolicyId, Path)), responses((status = 204)))]
pub async fn delete_notification_policy(
    State(state): State<AppState>,
    Id(id): Id<NotificationPolicyId>,
) -> Result<StatusCode, ApiError> {
    let write = async move |conn: &mut _| policies::delete(conn, id).await;
    no_content(state.db.write(write).await?, absent).inspect(|_| changed(&state, id))
}

//! `/concurrency_limits`: how many task runs with a tag may run at once.

use axum::extract::State;
use axum::response::IntoResponse;

use crate::db;
use crate::schemas::actions::{ConcurrencyLimitCreate, ConcurrencyLimitReset, Page};
use crate::schemas::concurrency_limits::ConcurrencyLimit;
use crate::schemas::{ConcurrencyLimitId, Dialect};
use crate::server::changes::{Change, Kind};
use crate::server::extract::{Answer, Body, Id, view};
use crate::server::{ApiError, AppState, models};

const NOUN: &str = "Concurrency limit";

fn tell(state: &AppState, id: ConcurrencyLimitId) {
    state.changes.tell(Change::of(Kind::ConcurrencyLimit, id.0));
}

/// Creates the limit of a tag, or changes it; 200 either way, as the genuine server answers.
#[utoipa::path(post, path = "/concurrency_limits/", request_body = ConcurrencyLimitCreate, responses((status = 200, body = ConcurrencyLimit)))]
pub async fn create_concurrency_limit(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(limit): Body<ConcurrencyLimitCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut _| {
        models::concurrency_limits::create(conn, &limit.tag, limit.concurrency_limit, now).await
    };
    let limit = state.db.write(write).await?;
    tell(&state, limit.id);
    Ok(view(dialect, limit))
}

/// Returns limits.
#[utoipa::path(post, path = "/concurrency_limits/filter", request_body = Page, responses((status = 200, body = Vec<ConcurrencyLimit>)))]
pub async fn read_concurrency_limits(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(page): Body<Page>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = state.limit(page.limit)?;
    let offset = page.offset.unwrap_or(0);
    let read =
        async move |conn: &mut _| models::concurrency_limits::list(conn, limit, offset).await;
    Ok(view(dialect, state.db.read(read).await?))
}

/// Returns a limit.
#[utoipa::path(get, path = "/concurrency_limits/{id}", params(("id" = ConcurrencyLimitId, Path)), responses((status = 200, body = ConcurrencyLimit)))]
pub async fn read_concurrency_limit(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<ConcurrencyLimitId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| models::concurrency_limits::read(conn, id).await;
    let limit = state.db.read(read).await?;
    let limit = limit.ok_or_else(|| ApiError::not_found(NOUN, id))?;
    Ok(view(dialect, limit))
}

/// Returns the limit of a tag.
#[utoipa::path(get, path = "/concurrency_limits/tag/{tag}", params(("tag" = String, Path)), responses((status = 200, body = ConcurrencyLimit)))]
pub async fn read_concurrency_limit_by_tag(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(tag): Id<String>,
) -> Result<impl IntoResponse, ApiError> {
    let which = tag.clone();
    let read = async move |conn: &mut _| models::concurrency_limits::read_by_tag(conn, &tag).await;
    let limit = state.db.read(read).await?;
    let limit = limit.ok_or_else(|| ApiError::not_found(NOUN, which))?;
    Ok(view(dialect, limit))
}

/// Deletes a limit.
#[utoipa::path(delete, path = "/concurrency_limits/{id}", params(("id" = ConcurrencyLimitId, Path)), responses((status = 200)))]
pub async fn delete_concurrency_limit(
    State(state): State<AppState>,
    Id(id): Id<ConcurrencyLimitId>,
) -> Result<Answer<()>, ApiError> {
    let write = async move |conn: &mut _| models::concurrency_limits::delete(conn, id).await;
    if !state.db.write(write).await? {
        return Err(ApiError::not_found(NOUN, id));
    }
    tell(&state, id);
    Ok(Answer(()))
}

/// Deletes the limit of a tag.
#[utoipa::path(delete, path = "/concurrency_limits/tag/{tag}", params(("tag" = String, Path)), responses((status = 200)))]
pub async fn delete_concurrency_limit_by_tag(
    State(state): State<AppState>,
    Id(tag): Id<String>,
) -> Result<Answer<()>, ApiError> {
    let which = tag.clone();
    let write = async move |conn: &mut _| {
        let limit = models::concurrency_limits::read_by_tag(conn, &tag).await?;
        if let Some(limit) = &limit {
            models::concurrency_limits::delete(conn, limit.id).await?;
        }
        Ok(limit)
    };
    let limit = state.db.write(write).await?;
    tell(
        &state,
        limit.ok_or_else(|| ApiError::not_found(NOUN, which))?.id,
    );
    Ok(Answer(()))
}

/// Frees the slots of a tag's limit, for when their task runs are gone.
#[utoipa::path(post, path = "/concurrency_limits/tag/{tag}/reset", params(("tag" = String, Path)), request_body = ConcurrencyLimitReset, responses((status = 200)))]
pub async fn reset_concurrency_limit_by_tag(
    State(state): State<AppState>,
    Id(tag): Id<String>,
    Body(reset): Body<ConcurrencyLimitReset>,
) -> Result<Answer<()>, ApiError> {
    let (which, now) = (tag.clone(), state.now());
    let slots = reset.slot_override.unwrap_or_default();
    let write = async move |conn: &mut db::Conn| {
        let limit = models::concurrency_limits::lock_by_tags(conn, &[tag])
            .await?
            .pop();
        if let Some(limit) = &limit {
            models::concurrency_limits::set_slots(conn, limit.id, &slots, now).await?;
        }
        Ok(limit)
    };
    let limit = state.db.write(write).await?;
    tell(
        &state,
        limit.ok_or_else(|| ApiError::not_found(NOUN, which))?.id,
    );
    Ok(Answer(()))
}

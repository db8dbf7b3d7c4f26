//! `/concurrency_limits`: how many task runs with a tag may run at once.

use axum::extract::State;
use axum::response::IntoResponse;

use crate::db::Conn;
use crate::schemas::actions::{ConcurrencyLimitCreate, ConcurrencyLimitReset, Page, TagSlots};
use crate::schemas::concurrency_limits::ConcurrencyLimit;
use crate::schemas::global_concurrency_limits::{GlobalConcurrencyLimit, Named, TAG_PREFIX};
use crate::schemas::{ConcurrencyLimitId, Dialect};
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::{Answer, Body, Id, created, view};
use crate::server::models::events::lifecycle::Happened;
use crate::server::{ApiError, AppState, models};

const NOUN: &str = "Concurrency limit";

fn tell(state: &AppState, id: ConcurrencyLimitId) {
    state.changes.tell(Change::of(Kind::ConcurrencyLimit, id.0));
}

/// Creates the limit of a tag, or changes it.
///
/// 2.0b3 and 2.20 answer 200 either way.
#[utoipa::path(post, path = "/concurrency_limits/", request_body = ConcurrencyLimitCreate, responses((status = 201, body = ConcurrencyLimit), (status = 200, body = ConcurrencyLimit)))]
pub async fn create_concurrency_limit(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(limit): Body<ConcurrencyLimitCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let (tag, most) = (&limit.tag, limit.concurrency_limit);
        models::concurrency_limits::create(conn, happened, tag, most, now).await
    };
    let (limit, is_new) = lifecycle::write(&state, write).await?;
    tell(&state, limit.id);
    Ok(created(dialect, is_new && dialect == Dialect::Three, limit))
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
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        models::concurrency_limits::delete(conn, happened, id).await
    };
    if !lifecycle::write(&state, write).await? {
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
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        models::concurrency_limits::delete_by_tag(conn, happened, &tag).await
    };
    let id = lifecycle::write(&state, write).await?;
    tell(&state, id.ok_or_else(|| ApiError::not_found(NOUN, which))?);
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
    let write =
        async move |conn: &mut _| models::concurrency_limits::reset(conn, &tag, &slots, now).await;
    let id = state.db.write(write).await?;
    tell(&state, id.ok_or_else(|| ApiError::not_found(NOUN, which))?);
    Ok(Answer(()))
}

/// Takes a slot of each tag that has a limit, for a task run.
#[utoipa::path(post, path = "/concurrency_limits/increment", request_body = TagSlots, responses((status = 200, body = Vec<Named>), (status = 423, description = "no slots are free")))]
pub async fn increment_concurrency_limits(
    State(state): State<AppState>,
    Body(TagSlots { names, task_run_id }): Body<TagSlots>,
) -> Result<Answer<Vec<Named>>, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut _| {
        let limits = models::concurrency_limits::facts(conn, task_run_id, &names, now).await?;
        let full = limits
            .into_iter()
            .find(|limit| limit.limit == 0 || !limit.is_held && limit.taken >= limit.limit);
        if let Some(limit) = full {
            return Ok(Err(limit));
        }
        models::concurrency_limits::take(conn, task_run_id, &names, now)
            .await
            .map(Ok)
    };
    match state.db.write(write).await? {
        Ok(limits) => {
            let of_tag = |limit: &GlobalConcurrencyLimit| Named {
                name: limit.name.trim_start_matches(TAG_PREFIX).to_owned(),
                ..Named::from(limit)
            };
            Ok(Answer(tell_of(&state, &limits, of_tag)))
        }
        Err(full) if full.limit == 0 => Err(ApiError::Locked(
            format!(
                "The concurrency limit on tag \"{}\" is 0 and will deadlock if the task tries to run again.",
                full.tag
            ),
            None,
        )),
        Err(full) => Err(ApiError::Locked(
            format!(
                "Concurrency limit for the {} tag has been reached",
                full.tag
            ),
            Some(
                state
                    .settings
                    .tag_concurrency_slot_wait_seconds
                    .as_secs_f64(),
            ),
        )),
    }
}

/// Gives back the slots of tags that a task run holds.
#[utoipa::path(post, path = "/concurrency_limits/decrement", request_body = TagSlots, responses((status = 200, body = Vec<Named>)))]
pub async fn decrement_concurrency_limits(
    State(state): State<AppState>,
    Body(TagSlots { names, task_run_id }): Body<TagSlots>,
) -> Result<Answer<Vec<Named>>, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut _| {
        models::concurrency_limits::leave(conn, task_run_id, &names, now).await
    };
    let limits = state.db.write(write).await?;
    Ok(Answer(tell_of(&state, &limits, |limit| Named::from(limit))))
}

fn tell_of(
    state: &AppState,
    limits: &[GlobalConcurrencyLimit],
    shown: impl Fn(&GlobalConcurrencyLimit) -> Named,
) -> Vec<Named> {
    let each = limits.iter().map(|limit| {
        tell(state, limit.id);
        shown(limit)
    });
    each.collect()
}

//! `/v2/concurrency_limits`: limits on whatever has a name, and taking their slots.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::db::Conn;
use crate::schemas::flow_runs::AsOf;
use crate::schemas::global_concurrency_limits::{
    Created, Decrement, DecrementWithLease, GlobalConcurrencyLimit, Increment, IncrementWithLease,
    Leased, LimitCreate, LimitUpdate, LimitsQuery, Named, Renewal,
};
use crate::schemas::{ConcurrencyLimitId, Dialect};
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::{self, Body, Id, view};
use crate::server::models::events::lifecycle::{Became, Happened};
use crate::server::models::global_concurrency_limits::{self as limits, Which};
use crate::server::models::slots::{self, Answer, Claim, Term};
use crate::server::{ApiError, AppState};

const NOUN: &str = "Concurrency Limit";

fn tell(state: &AppState, ids: impl IntoIterator<Item = ConcurrencyLimitId>) {
    for id in ids {
        state.changes.tell(Change::of(Kind::ConcurrencyLimit, id.0));
    }
}

fn tell_of(state: &AppState, limits: &[GlobalConcurrencyLimit]) {
    let counting = limits.iter().filter(|limit| limit.active);
    tell(state, counting.map(|limit| limit.id));
}

fn named(limits: &[GlobalConcurrencyLimit]) -> Vec<Named> {
    limits.iter().map(Named::from).collect()
}

fn after(now: DateTime<Utc>, seconds: f64) -> DateTime<Utc> {
    // The seconds are bounded by a day.
    now + TimeDelta::microseconds((seconds * 1e6) as i64)
}

/// Creates a limit.
#[utoipa::path(post, path = "/v2/concurrency_limits/", request_body = LimitCreate, responses((status = 201, body = GlobalConcurrencyLimit)))]
pub async fn create_global_concurrency_limit(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(create): Body<LimitCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let limit = limits::create(conn, &create, now).await?;
        happened.limit(Became::Created, &limit);
        Ok(limit)
    };
    let limit = lifecycle::write(&state, write).await?;
    tell(&state, [limit.id]);
    Ok(extract::created(dialect, true, Created(AsOf(now, limit))))
}

/// Returns limits by name.
#[utoipa::path(post, path = "/v2/concurrency_limits/filter", request_body = LimitsQuery, responses((status = 200, body = Vec<GlobalConcurrencyLimit>)))]
pub async fn read_global_concurrency_limits(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<LimitsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, offset) = (state.limit(asked.limit)?, asked.offset.unwrap_or(0));
    let read = async move |conn: &mut Conn| limits::list(conn, limit, offset).await;
    let found = state.db.read(read).await?;
    Ok(view(dialect, AsOf(state.now(), found).each()))
}

/// Returns a limit by its id or name.
#[utoipa::path(get, path = "/v2/concurrency_limits/{id_or_name}", params(("id_or_name" = String, Path)), responses((status = 200, body = GlobalConcurrencyLimit)))]
pub async fn read_global_concurrency_limit(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(which): Id<String>,
) -> Result<impl IntoResponse, ApiError> {
    let asked = Which::of(which.clone());
    let read = async move |conn: &mut Conn| limits::read(conn, &asked).await;
    let found = state.db.read(read).await?;
    let limit = found.ok_or_else(|| ApiError::not_found(NOUN, which))?;
    Ok(view(dialect, AsOf(state.now(), limit)))
}

/// Changes a limit.
#[utoipa::path(patch, path = "/v2/concurrency_limits/{id_or_name}", params(("id_or_name" = String, Path)), request_body = LimitUpdate, responses((status = 204)))]
pub async fn update_global_concurrency_limit(
    State(state): State<AppState>,
    Id(which): Id<String>,
    Body(update): Body<LimitUpdate>,
) -> Result<StatusCode, ApiError> {
    let (asked, now) = (Which::of(which.clone()), state.now());
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let changed = limits::update(conn, &asked, update, now).await?;
        if let Some(limit) = &changed {
            happened.limit(Became::Updated, limit);
        }
        Ok(changed)
    };
    let found = lifecycle::write(&state, write).await?;
    let limit = found.ok_or_else(|| ApiError::not_found(NOUN, which))?;
    tell(&state, [limit.id]);
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a limit.
#[utoipa::path(delete, path = "/v2/concurrency_limits/{id_or_name}", params(("id_or_name" = String, Path)), responses((status = 204)))]
pub async fn delete_global_concurrency_limit(
    State(state): State<AppState>,
    Id(which): Id<String>,
) -> Result<StatusCode, ApiError> {
    let asked = Which::of(which.clone());
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let deleted = limits::delete(conn, &asked).await?;
        if let Some(limit) = &deleted {
            happened.limit(Became::Deleted, limit);
        }
        Ok(deleted)
    };
    let found = lifecycle::write(&state, write).await?;
    let limit = found.ok_or_else(|| ApiError::not_found(NOUN, which))?;
    tell(&state, [limit.id]);
    Ok(StatusCode::NO_CONTENT)
}

/// Tells whether names without a limit get one: 2.20 expects it, later generations never.
fn creates_missing(dialect: Dialect, asked: Option<bool>) -> bool {
    dialect == Dialect::Two && asked.unwrap_or(true)
}

/// Takes slots, which the client gives back by itself.
#[utoipa::path(post, path = "/v2/concurrency_limits/increment", request_body = Increment, responses((status = 200, body = Vec<Named>), (status = 423, description = "no slots are free; `Retry-After` says when to ask again")))]
pub async fn increment_slots(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(wish): Body<Increment>,
) -> Result<impl IntoResponse, ApiError> {
    let creates = creates_missing(dialect, wish.create_if_missing);
    let claim = Claim {
        names: wish.names,
        slots: wish.slots,
        mode: wish.mode,
        lease: None,
    };
    let (_, limits) = take(&state, claim, creates).await?;
    Ok(extract::Answer(named(&limits)))
}

/// Takes slots for a while.
#[utoipa::path(post, path = "/v2/concurrency_limits/increment-with-lease", request_body = IncrementWithLease, responses((status = 200, body = Leased), (status = 423, description = "no slots are free; `Retry-After` says when to ask again")))]
pub async fn increment_slots_with_lease(
    State(state): State<AppState>,
    Body(wish): Body<IncrementWithLease>,
) -> Result<impl IntoResponse, ApiError> {
    let term = Term {
        expires: Some(after(state.now(), wish.lease_duration)),
        holder: wish.holder,
    };
    let claim = Claim {
        names: wish.names,
        slots: wish.slots,
        mode: wish.mode,
        lease: Some(term),
    };
    let (lease, limits) = take(&state, claim, false).await?;
    Ok(extract::Answer(Leased {
        lease_id: lease.expect("a lease was asked for"),
        limits: named(&limits),
    }))
}

async fn take(
    state: &AppState,
    claim: Claim,
    creates_missing: bool,
) -> Result<(Option<Uuid>, Vec<GlobalConcurrencyLimit>), ApiError> {
    let now = state.now();
    let names = claim.names.clone();
    let holder = claim.lease.and_then(|term| term.holder);
    let write = async move |conn: &mut Conn| {
        if creates_missing {
            limits::create_missing(conn, &claim.names, now).await?;
        }
        slots::take(conn, claim, now).await
    };
    match state.db.write(write).await? {
        Answer::Taken { lease, limits } => {
            if let Some(holder) = holder {
                state.waiting.settled(holder.id);
            }
            tell_of(state, &limits);
            Ok((lease, limits))
        }
        Answer::Full {
            retry_after_seconds,
        } => {
            if let Some(holder) = holder {
                let names = names.iter().map(String::as_str);
                if state
                    .waiting
                    .refused(names, holder.holder_type, holder.id, now)
                {
                    tell(state, [ConcurrencyLimitId(Uuid::nil())]);
                }
            }
            let most = state.settings.maximum_concurrency_slot_wait_seconds;
            let seconds = spread(retry_after_seconds, most);
            Err(ApiError::Locked("Locked".to_owned(), Some(seconds)))
        }
        Answer::TooMany => Err(ApiError::Unfit(
            "Slots requested is greater than the limit".to_owned(),
        )),
        Answer::NoDecay(names) => {
            let names: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
            Err(ApiError::Unfit(format!(
                "Only concurrency limits with slot decay can be used for rate limiting. \
                 The following limits do not have a decay configured: {}",
                names.join(", ")
            )))
        }
    }
}

/// Returns a wait of about so many seconds, so that those who were refused do not come back at once.
fn spread(seconds: f64, most: Duration) -> f64 {
    let chance: f64 = rand::random_range(0.8..1.2);
    (seconds * chance).clamp(0.05, most.as_secs_f64().max(0.05))
}

/// Gives slots back.
#[utoipa::path(post, path = "/v2/concurrency_limits/decrement", request_body = Decrement, responses((status = 200, body = Vec<Named>)))]
pub async fn decrement_slots(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(wish): Body<Decrement>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let creates = creates_missing(dialect, wish.create_if_missing);
    let write = async move |conn: &mut Conn| {
        if creates {
            limits::create_missing(conn, &wish.names, now).await?;
        }
        let Decrement {
            names,
            slots,
            occupancy_seconds,
            ..
        } = wish;
        slots::give_back(conn, names, slots, occupancy_seconds, now).await
    };
    let limits = state.db.write(write).await?;
    tell_of(&state, &limits);
    Ok(extract::Answer(named(&limits)))
}

/// Gives back the slots of a lease; one that has ended is no mistake.
#[utoipa::path(post, path = "/v2/concurrency_limits/decrement-with-lease", request_body = DecrementWithLease, responses((status = 204)))]
pub async fn decrement_slots_with_lease(
    State(state): State<AppState>,
    Body(wish): Body<DecrementWithLease>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut Conn| slots::end(conn, wish.lease_id, now).await;
    tell(&state, state.db.write(write).await?.unwrap_or_default());
    Ok(StatusCode::NO_CONTENT)
}

/// Keeps slots for longer.
#[utoipa::path(post, path = "/v2/concurrency_limits/leases/{lease_id}/renew", params(("lease_id" = Uuid, Path)), request_body = Renewal, responses((status = 204), (status = 410, description = "the lease has ended")))]
pub async fn renew_lease(
    State(state): State<AppState>,
    Id(lease): Id<Uuid>,
    Body(renewal): Body<Renewal>,
) -> Result<StatusCode, ApiError> {
    let expires = after(state.now(), renewal.lease_duration);
    let write = async move |conn: &mut Conn| slots::renew(conn, lease, expires).await;
    if state.db.write(write).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::Gone(
        "Lease not found - it may have expired or been revoked".to_owned(),
    ))
}

//! Limits on tags: the global limits named `tag:<tag>`, as the older generations know them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::events::lifecycle::{Became, Happened};
use super::global_concurrency_limits::{self as limits, Which};
use super::slots;
use crate::db::{Conn, Result};
use crate::schemas::concurrency_limits::ConcurrencyLimit;
use crate::schemas::global_concurrency_limits::{
    GlobalConcurrencyLimit, LimitCreate, LimitUpdate, TAG_PREFIX,
};
use crate::schemas::{ConcurrencyLimitId, TaskRunId};
use crate::server::orchestration::{Limit, slot_order};

fn name(tag: &str) -> String {
    format!("{TAG_PREFIX}{tag}")
}

fn tag(limit: &GlobalConcurrencyLimit) -> Option<&str> {
    limit.name.strip_prefix(TAG_PREFIX)
}

/// Shows limits as those of tags; others are left out.
async fn shown(
    conn: &mut Conn,
    found: Vec<GlobalConcurrencyLimit>,
) -> Result<Vec<ConcurrencyLimit>> {
    let ids: Vec<_> = found.iter().map(|limit| limit.id).collect();
    let holders = slots::holders(conn, &ids).await?;
    let of_tag = |limit: &GlobalConcurrencyLimit| {
        let mut active_slots: Vec<TaskRunId> = Vec::new();
        for (_, run) in holders.iter().filter(|(id, _)| *id == limit.id.0) {
            if !active_slots.contains(&TaskRunId(*run)) {
                active_slots.push(TaskRunId(*run));
            }
        }
        Some(ConcurrencyLimit {
            id: limit.id,
            created: limit.created,
            updated: limit.updated,
            tag: tag(limit)?.to_owned(),
            concurrency_limit: limit.limit,
            active_slots,
        })
    };
    Ok(found.iter().filter_map(of_tag).collect())
}

/// Creates the limit of a tag, or changes the one there is; its slots stay. Tells which it was.
pub async fn create(
    conn: &mut Conn,
    happened: &mut Happened,
    tag: &str,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<(ConcurrencyLimit, bool)> {
    let which = Which::Name(name(tag));
    let update = LimitUpdate {
        limit: Some(limit),
        ..LimitUpdate::default()
    };
    let known = limits::update(conn, &which, update, now).await?;
    if let Some(limit) = &known {
        happened.limit(Became::Updated, limit);
    } else {
        let create = LimitCreate {
            active: true,
            name: name(tag),
            limit,
            active_slots: 0,
            denied_slots: 0,
            slot_decay_per_second: 0.0,
        };
        let limit = limits::create(conn, &create, now).await?;
        happened.limit(Became::Created, &limit);
    }
    let found = limits::read(conn, &which).await?;
    let found = shown(conn, found.into_iter().collect()).await?.pop();
    Ok((found.expect("it has just been written"), known.is_none()))
}

/// Returns a limit.
pub async fn read(conn: &mut Conn, id: ConcurrencyLimitId) -> Result<Option<ConcurrencyLimit>> {
    let found = limits::read(conn, &Which::Id(id)).await?;
    Ok(shown(conn, found.into_iter().collect()).await?.pop())
}

/// Returns the limit of a tag.
pub async fn read_by_tag(conn: &mut Conn, tag: &str) -> Result<Option<ConcurrencyLimit>> {
    let found = limits::read(conn, &Which::Name(name(tag))).await?;
    Ok(shown(conn, found.into_iter().collect()).await?.pop())
}

/// Returns limits by tag.
pub async fn list(conn: &mut Conn, limit: i64, offset: u32) -> Result<Vec<ConcurrencyLimit>> {
    let found = limits::list_with_prefix(conn, TAG_PREFIX, limit, offset).await?;
    shown(conn, found).await
}

/// Deletes a limit; tells whether there was one.
pub async fn delete(
    conn: &mut Conn,
    happened: &mut Happened,
    id: ConcurrencyLimitId,
) -> Result<bool> {
    if read(conn, id).await?.is_none() {
        return Ok(false);
    }
    let deleted = limits::delete(conn, &Which::Id(id)).await?;
    Ok(note_deleted(happened, deleted).is_some())
}

/// Deletes the limit of a tag and returns its id.
pub async fn delete_by_tag(
    conn: &mut Conn,
    happened: &mut Happened,
    tag: &str,
) -> Result<Option<ConcurrencyLimitId>> {
    let deleted = limits::delete(conn, &Which::Name(name(tag))).await?;
    Ok(note_deleted(happened, deleted))
}

fn note_deleted(
    happened: &mut Happened,
    deleted: Option<GlobalConcurrencyLimit>,
) -> Option<ConcurrencyLimitId> {
    let limit = deleted?;
    happened.limit(Became::Deleted, &limit);
    Some(limit.id)
}

/// Replaces the task runs that hold slots of a tag's limit, and returns its id.
pub async fn reset(
    conn: &mut Conn,
    tag: &str,
    runs: &[TaskRunId],
    now: DateTime<Utc>,
) -> Result<Option<ConcurrencyLimitId>> {
    let Some(limit) = limits::lock(conn, &Which::Name(name(tag))).await? else {
        return Ok(None);
    };
    let id = limit.id;
    let runs: Vec<Uuid> = runs.iter().map(|run| run.0).collect();
    slots::replace(conn, limit, &runs, now).await?;
    Ok(Some(id))
}

/// Returns the limits in force that any of the tags has, in one order for everybody, and holds
/// them until the write ends.
async fn lock_by_tags(conn: &mut Conn, tags: &[String]) -> Result<Vec<GlobalConcurrencyLimit>> {
    let names = slot_order(tags).iter().map(|tag| name(tag)).collect();
    let mut found = limits::lock_by_names(conn, names).await?;
    found.retain(|limit| limit.active);
    Ok(found)
}

/// Returns what rules ask about the limits of a task run's tags.
pub async fn facts(
    conn: &mut Conn,
    run: TaskRunId,
    tags: &[String],
    now: DateTime<Utc>,
) -> Result<Vec<Limit>> {
    let mut found = lock_by_tags(conn, tags).await?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let held = slots::held_by_task_run(conn, run.0).await?;
    let fact = |limit: &mut GlobalConcurrencyLimit| {
        limit.settle(now);
        Some(Limit {
            tag: tag(limit)?.to_owned(),
            limit: limit.limit,
            taken: limit.taken(),
            is_held: held.contains(&limit.id),
        })
    };
    Ok(found.iter_mut().filter_map(fact).collect())
}

/// Gives a task run a slot of each tag that has a limit, and returns these limits; holding one
/// already is no second one.
pub async fn take(
    conn: &mut Conn,
    run: TaskRunId,
    tags: &[String],
    now: DateTime<Utc>,
) -> Result<Vec<GlobalConcurrencyLimit>> {
    let locked = lock_by_tags(conn, tags).await?;
    let held = slots::held_by_task_run(conn, run.0).await?;
    let wanted = locked.iter().filter(|limit| !held.contains(&limit.id));
    slots::hold(conn, run.0, wanted.cloned().collect(), now).await?;
    Ok(locked)
}

/// Takes all slots of a task run back, whatever its tags are now.
pub async fn release(conn: &mut Conn, run: TaskRunId, now: DateTime<Utc>) -> Result<()> {
    slots::end_all_of_task_run(conn, run.0, now).await.map(drop)
}

/// Takes the slots of some tags back from a task run and returns their limits.
pub async fn leave(
    conn: &mut Conn,
    run: TaskRunId,
    tags: &[String],
    now: DateTime<Utc>,
) -> Result<Vec<GlobalConcurrencyLimit>> {
    let locked = lock_by_tags(conn, tags).await?;
    slots::leave(conn, run.0, locked.clone(), now).await?;
    Ok(locked)
}

//! Concurrency limits in the database, and who holds their slots.

use chrono::{DateTime, Utc};

use crate::db::{Conn, Error, FromRow, Result, Row, Value, query};
use crate::schemas::concurrency_limits::ConcurrencyLimit;
use crate::schemas::{ConcurrencyLimitId, Document, TaskRunId};
use crate::server::orchestration::slot_order;

const SELECT: &str =
    "SELECT id, created, updated, tag, concurrency_limit, active_slots FROM concurrency_limit";

impl FromRow for ConcurrencyLimit {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            tag: row.take()?,
            concurrency_limit: row.take()?,
            active_slots: row
                .take::<Document>()?
                .read()
                .map_err(|e| Error::Decode(format!("not a list of task runs: {e}")))?,
        })
    }
}

/// Creates the limit of a tag, or changes the one there is; its slots stay.
pub async fn create(
    conn: &mut Conn,
    tag: &str,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<ConcurrencyLimit> {
    let insert = "INSERT INTO concurrency_limit (id, created, updated, tag, concurrency_limit) \
                  VALUES ($1, $2, $2, $3, $4) ON CONFLICT (tag) DO UPDATE \
                  SET concurrency_limit = excluded.concurrency_limit, updated = excluded.updated";
    query(insert)
        .bind(ConcurrencyLimitId::new())
        .bind(now)
        .bind(tag)
        .bind(limit)
        .execute(conn)
        .await?;
    let sql = format!("{SELECT} WHERE tag = $1");
    query(sql).bind(tag).fetch_one(conn).await
}

/// Returns a limit.
pub async fn read(conn: &mut Conn, id: ConcurrencyLimitId) -> Result<Option<ConcurrencyLimit>> {
    let sql = format!("{SELECT} WHERE id = $1");
    query(sql).bind(id).fetch_optional(conn).await
}

/// Returns the limit of a tag.
pub async fn read_by_tag(conn: &mut Conn, tag: &str) -> Result<Option<ConcurrencyLimit>> {
    let sql = format!("{SELECT} WHERE tag = $1");
    query(sql).bind(tag).fetch_optional(conn).await
}

/// Returns the limits that any of the tags has, in one order for everybody, and holds them until
/// the write ends.
pub async fn lock_by_tags(conn: &mut Conn, tags: &[String]) -> Result<Vec<ConcurrencyLimit>> {
    if tags.is_empty() {
        return Ok(Vec::new());
    }
    let lock = conn.dialect().for_update("concurrency_limit");
    let sql = format!("{SELECT} WHERE tag = ANY($1) ORDER BY tag{lock}");
    query(sql)
        .bind_all([Value::from(slot_order(tags))])
        .fetch_all(conn)
        .await
}

/// Gives a task run a slot of each tag; holding one already is no second one.
pub async fn take(
    conn: &mut Conn,
    run: TaskRunId,
    tags: &[String],
    now: DateTime<Utc>,
) -> Result<()> {
    for mut limit in lock_by_tags(conn, tags).await? {
        if !limit.active_slots.contains(&run) {
            limit.active_slots.push(run);
            set_slots(conn, limit.id, &limit.active_slots, now).await?;
        }
    }
    Ok(())
}

/// Takes a task run's slots back, whatever its tags are now.
pub async fn release(conn: &mut Conn, run: TaskRunId, now: DateTime<Utc>) -> Result<()> {
    let lock = conn.dialect().for_update("concurrency_limit");
    let sql = format!("{SELECT} WHERE active_slots LIKE $1 ORDER BY tag{lock}");
    let held: Vec<ConcurrencyLimit> = query(sql).bind(format!("%{run}%")).fetch_all(conn).await?;
    for mut limit in held {
        limit.active_slots.retain(|holder| *holder != run);
        set_slots(conn, limit.id, &limit.active_slots, now).await?;
    }
    Ok(())
}

/// Returns limits by tag.
pub async fn list(conn: &mut Conn, limit: i64, offset: u32) -> Result<Vec<ConcurrencyLimit>> {
    let sql = format!("{SELECT} ORDER BY tag LIMIT $1 OFFSET $2");
    query(sql)
        .bind(limit)
        .bind(i64::from(offset))
        .fetch_all(conn)
        .await
}

/// Replaces the task runs that hold a slot.
pub async fn set_slots(
    conn: &mut Conn,
    id: ConcurrencyLimitId,
    slots: &[TaskRunId],
    now: DateTime<Utc>,
) -> Result<()> {
    let slots = Document::of(&slots).expect("a list of ids is JSON");
    let sql = "UPDATE concurrency_limit SET active_slots = $2, updated = $3 WHERE id = $1";
    query(sql)
        .bind(id)
        .bind(slots)
        .bind(now)
        .execute(conn)
        .await
        .map(drop)
}

/// Deletes a limit; tells whether there was one.
pub async fn delete(conn: &mut Conn, id: ConcurrencyLimitId) -> Result<bool> {
    let sql = "DELETE FROM concurrency_limit WHERE id = $1";
    Ok(query(sql).bind(id).execute(conn).await? == 1)
}

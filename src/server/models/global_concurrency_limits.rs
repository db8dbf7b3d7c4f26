//! Global concurrency limits in the database; who takes their slots is in [`super::slots`].

use chrono::{DateTime, Utc};

use crate::db::{Conn, FromRow, Result, Row, Value, query};
use crate::schemas::ConcurrencyLimitId;
use crate::schemas::global_concurrency_limits::{
    GlobalConcurrencyLimit, LimitCreate, LimitUpdate, USUAL_OCCUPANCY_SECONDS,
};

const SELECT: &str = "SELECT l.id, l.created, l.updated, l.active, l.name, l.\"limit\", l.active_slots, \
     l.denied_slots, l.slot_decay_per_second, l.avg_slot_occupancy_seconds, l.slots_at \
     FROM concurrency_limit_v2 l";

impl FromRow for GlobalConcurrencyLimit {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            active: row.take()?,
            name: row.take()?,
            limit: row.take()?,
            active_slots: row.take()?,
            denied_slots: row.take()?,
            slot_decay_per_second: row.take()?,
            avg_slot_occupancy_seconds: row.take()?,
            slots_at: row.take()?,
        })
    }
}

/// Reads the columns of a limit that may not be there.
pub fn take_optional(row: &mut Row<'_>) -> Result<Option<GlobalConcurrencyLimit>> {
    let id: Option<ConcurrencyLimitId> = row.take()?;
    let created: Option<DateTime<Utc>> = row.take()?;
    let updated: Option<DateTime<Utc>> = row.take()?;
    let active: Option<bool> = row.take()?;
    let name: Option<String> = row.take()?;
    let limit: Option<i64> = row.take()?;
    let active_slots: Option<f64> = row.take()?;
    let denied_slots: Option<f64> = row.take()?;
    let decay: Option<f64> = row.take()?;
    let occupancy: Option<f64> = row.take()?;
    let slots_at: Option<DateTime<Utc>> = row.take()?;
    let whole = || {
        Some(GlobalConcurrencyLimit {
            id: id?,
            created: created?,
            updated: updated?,
            active: active?,
            name: name?,
            limit: limit?,
            active_slots: active_slots?,
            denied_slots: denied_slots?,
            slot_decay_per_second: decay?,
            avg_slot_occupancy_seconds: occupancy?,
            slots_at: slots_at?,
        })
    };
    Ok(whole())
}

/// What a limit is meant by: clients give either in the same place.
#[derive(Debug, Clone)]
pub enum Which {
    /// The limit's id.
    Id(ConcurrencyLimitId),
    /// The limit's name.
    Name(String),
}

impl Which {
    /// Reads an id or a name.
    pub fn of(text: String) -> Self {
        match text.parse() {
            Ok(id) => Self::Id(id),
            Err(_) => Self::Name(text),
        }
    }
}

/// Creates a limit; a name that is taken is refused.
pub async fn create(
    conn: &mut Conn,
    create: &LimitCreate,
    now: DateTime<Utc>,
) -> Result<GlobalConcurrencyLimit> {
    let limit = GlobalConcurrencyLimit {
        id: ConcurrencyLimitId::new(),
        created: now,
        updated: now,
        active: create.active,
        name: create.name.clone(),
        limit: create.limit,
        active_slots: create.active_slots as f64,
        denied_slots: create.denied_slots as f64,
        slot_decay_per_second: create.slot_decay_per_second,
        avg_slot_occupancy_seconds: USUAL_OCCUPANCY_SECONDS,
        slots_at: now,
    };
    insert(&limit, "").execute(conn).await?;
    Ok(limit)
}

/// Creates limits of one slot that are not in force, as far as the names have none.
pub async fn create_missing(conn: &mut Conn, names: &[String], now: DateTime<Utc>) -> Result<()> {
    for name in names {
        let limit = GlobalConcurrencyLimit {
            id: ConcurrencyLimitId::new(),
            created: now,
            updated: now,
            active: false,
            name: name.clone(),
            limit: 1,
            active_slots: 0.0,
            denied_slots: 0.0,
            slot_decay_per_second: 0.0,
            avg_slot_occupancy_seconds: USUAL_OCCUPANCY_SECONDS,
            slots_at: now,
        };
        insert(&limit, " ON CONFLICT (name) DO NOTHING")
            .execute(conn)
            .await?;
    }
    Ok(())
}

fn insert(limit: &GlobalConcurrencyLimit, on_conflict: &str) -> crate::db::Query {
    let sql = "INSERT INTO concurrency_limit_v2 (id, created, updated, active, name, \"limit\", active_slots, \
               denied_slots, slot_decay_per_second, avg_slot_occupancy_seconds, slots_at) \
               VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $2)";
    query(format!("{sql}{on_conflict}"))
        .bind(limit.id)
        .bind(limit.created)
        .bind(limit.active)
        .bind(&limit.name)
        .bind(limit.limit)
        .bind(limit.active_slots)
        .bind(limit.denied_slots)
        .bind(limit.slot_decay_per_second)
        .bind(limit.avg_slot_occupancy_seconds)
}

/// Returns a limit.
pub async fn read(conn: &mut Conn, which: &Which) -> Result<Option<GlobalConcurrencyLimit>> {
    find(conn, which, "").await
}

/// Returns a limit and holds it until the write ends.
pub async fn lock(conn: &mut Conn, which: &Which) -> Result<Option<GlobalConcurrencyLimit>> {
    let lock = conn.dialect().for_update("l");
    find(conn, which, &lock).await
}

async fn find(
    conn: &mut Conn,
    which: &Which,
    lock: &str,
) -> Result<Option<GlobalConcurrencyLimit>> {
    let by_id = format!("{SELECT} WHERE l.id = $1{lock}");
    let by_name = format!("{SELECT} WHERE l.name = $1{lock}");
    match which {
        Which::Id(id) => query(by_id).bind(*id).fetch_optional(conn).await,
        Which::Name(name) => query(by_name).bind(name).fetch_optional(conn).await,
    }
}

/// Returns the limits of names, in one order for everybody, and holds them until the write ends.
pub async fn lock_by_names(
    conn: &mut Conn,
    names: Vec<String>,
) -> Result<Vec<GlobalConcurrencyLimit>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    lock_any(conn, "l.name", Value::from(names)).await
}

/// As [`lock_by_names`], by their ids.
pub async fn lock_by_ids(
    conn: &mut Conn,
    ids: Vec<uuid::Uuid>,
) -> Result<Vec<GlobalConcurrencyLimit>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    lock_any(conn, "l.id", Value::Uuids(ids)).await
}

async fn lock_any(
    conn: &mut Conn,
    column: &str,
    values: Value,
) -> Result<Vec<GlobalConcurrencyLimit>> {
    let lock = conn.dialect().for_update("l");
    query(format!(
        "{SELECT} WHERE {column} = ANY($1) ORDER BY l.name{lock}"
    ))
    .bind_all([values])
    .fetch_all(conn)
    .await
}

/// Returns limits by name.
pub async fn list(conn: &mut Conn, limit: i64, offset: u32) -> Result<Vec<GlobalConcurrencyLimit>> {
    query(format!("{SELECT} ORDER BY l.name LIMIT $1 OFFSET $2"))
        .bind(limit)
        .bind(i64::from(offset))
        .fetch_all(conn)
        .await
}

/// Returns the limits whose names begin with `prefix`, by name.
pub async fn list_with_prefix(
    conn: &mut Conn,
    prefix: &str,
    limit: i64,
    offset: u32,
) -> Result<Vec<GlobalConcurrencyLimit>> {
    let glob = conn.dialect().glob("l.name", "$1");
    let pattern = conn.dialect().glob_pattern(&format!("{prefix}*"));
    query(format!(
        "{SELECT} WHERE {glob} ORDER BY l.name LIMIT $2 OFFSET $3"
    ))
    .bind(pattern)
    .bind(limit)
    .bind(i64::from(offset))
    .fetch_all(conn)
    .await
}

/// Changes a limit and returns it, if there is one.
pub async fn update(
    conn: &mut Conn,
    which: &Which,
    update: LimitUpdate,
    now: DateTime<Utc>,
) -> Result<Option<GlobalConcurrencyLimit>> {
    let Some(mut limit) = lock(conn, which).await? else {
        return Ok(None);
    };
    // What has come back until now did so at the old rate.
    limit.settle(now);
    let LimitUpdate {
        active,
        name,
        limit: most,
        active_slots,
        denied_slots,
        slot_decay_per_second,
    } = update;
    limit.active = active.unwrap_or(limit.active);
    limit.name = name.unwrap_or(limit.name);
    limit.limit = most.unwrap_or(limit.limit);
    limit.active_slots = active_slots.map_or(limit.active_slots, |slots| slots as f64);
    limit.denied_slots = denied_slots.map_or(limit.denied_slots, |slots| slots as f64);
    limit.slot_decay_per_second = slot_decay_per_second.unwrap_or(limit.slot_decay_per_second);
    save(conn, &limit, now).await?;
    Ok(Some(limit))
}

/// Writes a limit that has been read under lock.
pub async fn save(
    conn: &mut Conn,
    limit: &GlobalConcurrencyLimit,
    now: DateTime<Utc>,
) -> Result<()> {
    let sql = "UPDATE concurrency_limit_v2 SET updated = $2, active = $3, name = $4, \"limit\" = $5, \
               active_slots = $6, denied_slots = $7, slot_decay_per_second = $8, \
               avg_slot_occupancy_seconds = $9, slots_at = $10 WHERE id = $1";
    query(sql)
        .bind(limit.id)
        .bind(now)
        .bind(limit.active)
        .bind(&limit.name)
        .bind(limit.limit)
        .bind(limit.active_slots)
        .bind(limit.denied_slots)
        .bind(limit.slot_decay_per_second)
        .bind(limit.avg_slot_occupancy_seconds)
        .bind(limit.slots_at)
        .execute(conn)
        .await
        .map(drop)
}

/// Deletes a limit and returns it, if there was one.
pub async fn delete(conn: &mut Conn, which: &Which) -> Result<Option<GlobalConcurrencyLimit>> {
    let Some(limit) = lock(conn, which).await? else {
        return Ok(None);
    };
    query("DELETE FROM concurrency_limit_v2 WHERE id = $1")
        .bind(limit.id)
        .execute(conn)
        .await?;
    Ok(Some(limit))
}

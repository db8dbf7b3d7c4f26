//! Slots of concurrency limits: who holds which.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::{Conn, Result, Value, query};
use crate::schemas::Document;
use crate::server::orchestration::{Limit, slot_order};

fn holders(slots: &Document) -> Vec<Uuid> {
    slots.read().unwrap_or_default()
}

/// Returns the limits on these tags, locked for a decision about them.
pub async fn limits_of(conn: &mut Conn, tags: &[String]) -> Result<Vec<Limit>> {
    if tags.is_empty() {
        return Ok(Vec::new());
    }
    let lock = conn.dialect().for_update("concurrency_limit");
    let sql = format!(
        "SELECT tag, concurrency_limit, active_slots FROM concurrency_limit WHERE tag = ANY($1) ORDER BY tag{lock}"
    );
    let rows: Vec<(String, i64, Document)> = query(sql)
        .bind_all([Value::Texts(slot_order(tags))])
        .fetch_all(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(tag, limit, slots)| Limit {
            tag,
            limit,
            active: holders(&slots),
        })
        .collect())
}

/// Gives a run a slot of each tag; holding one already is no second one.
pub async fn take(conn: &mut Conn, run: Uuid, tags: &[String], now: DateTime<Utc>) -> Result<()> {
    for mut limit in limits_of(conn, tags).await? {
        if !limit.active.contains(&run) {
            limit.active.push(run);
            store(conn, &limit, now).await?;
        }
    }
    Ok(())
}

/// Takes a run's slots back, whatever its tags are now.
pub async fn release(conn: &mut Conn, run: Uuid, now: DateTime<Utc>) -> Result<()> {
    let lock = conn.dialect().for_update("concurrency_limit");
    let sql = format!(
        "SELECT tag, concurrency_limit, active_slots FROM concurrency_limit WHERE active_slots LIKE $1 ORDER BY tag{lock}"
    );
    let rows: Vec<(String, i64, Document)> =
        query(sql).bind(format!("%{run}%")).fetch_all(conn).await?;
    for (tag, limit, slots) in rows {
        let active = holders(&slots)
            .into_iter()
            .filter(|holder| *holder != run)
            .collect();
        store(conn, &Limit { tag, limit, active }, now).await?;
    }
    Ok(())
}

async fn store(conn: &mut Conn, limit: &Limit, now: DateTime<Utc>) -> Result<()> {
    let slots = serde_json::to_string(&limit.active).expect("ids are JSON");
    let sql = "UPDATE concurrency_limit SET active_slots = $2, updated = $3 WHERE tag = $1";
    query(sql)
        .bind(&limit.tag)
        .bind(slots)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

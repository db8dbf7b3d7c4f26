//! Work queues in the database, and which runs they give.

use chrono::{DateTime, Duration, Utc};

use super::explain::POLL_PATIENCE;
use crate::db::{Conn, Error, FromRow, Result, Row, query};
use crate::schemas::actions::{WorkQueueCreate, WorkQueueUpdate};
use crate::schemas::work_queues::{QueueFilter, WorkQueue};
use crate::schemas::{Document, WorkQueueId};

const SELECT: &str = "SELECT id, created, updated, name, filter, description, is_paused, \
                      concurrency_limit, last_polled FROM work_queue";

impl FromRow for WorkQueue {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            filter: row
                .take::<Document>()?
                .read()
                .map_err(|e| Error::Decode(format!("not a filter of a work queue: {e}")))?,
            description: row.take()?,
            is_paused: row.take()?,
            concurrency_limit: row.take()?,
            last_polled: row.take()?,
        })
    }
}

fn filter_document(filter: &QueueFilter) -> Document {
    Document::of(filter).expect("lists of texts and ids are JSON")
}

/// Creates a queue; fails if the name is taken.
pub async fn create(
    conn: &mut Conn,
    queue: WorkQueueCreate,
    now: DateTime<Utc>,
) -> Result<WorkQueue> {
    let queue = WorkQueue {
        id: WorkQueueId::new(),
        created: now,
        updated: now,
        name: queue.name,
        filter: queue.filter.unwrap_or_default(),
        description: queue.description.unwrap_or_default(),
        is_paused: queue.is_paused,
        concurrency_limit: queue.concurrency_limit,
        last_polled: None,
    };
    let insert = "INSERT INTO work_queue (id, created, updated, name, filter, description, \
                  is_paused, concurrency_limit) VALUES ($1, $2, $2, $3, $4, $5, $6, $7)";
    query(insert)
        .bind(queue.id)
        .bind(now)
        .bind(&queue.name)
        .bind(filter_document(&queue.filter))
        .bind(&queue.description)
        .bind(queue.is_paused)
        .bind(queue.concurrency_limit)
        .execute(conn)
        .await?;
    Ok(queue)
}

/// Returns a queue.
pub async fn read(conn: &mut Conn, id: WorkQueueId) -> Result<Option<WorkQueue>> {
    let sql = format!("{SELECT} WHERE id = $1");
    query(sql).bind(id).fetch_optional(conn).await
}

/// Returns the queue of a name.
pub async fn read_by_name(conn: &mut Conn, name: &str) -> Result<Option<WorkQueue>> {
    let sql = format!("{SELECT} WHERE name = $1");
    query(sql).bind(name).fetch_optional(conn).await
}

/// Returns queues by name.
pub async fn list(conn: &mut Conn, limit: i64, offset: u32) -> Result<Vec<WorkQueue>> {
    let sql = format!("{SELECT} ORDER BY name LIMIT $1 OFFSET $2");
    query(sql)
        .bind(limit)
        .bind(i64::from(offset))
        .fetch_all(conn)
        .await
}

/// Changes a queue; tells whether there is such a queue.
pub async fn update(
    conn: &mut Conn,
    id: WorkQueueId,
    update: WorkQueueUpdate,
    now: DateTime<Utc>,
) -> Result<bool> {
    let sql = "UPDATE work_queue SET updated = $2, name = COALESCE($3, name), \
               filter = COALESCE($4, filter), description = COALESCE($5, description), \
               is_paused = COALESCE($6, is_paused), \
               concurrency_limit = CASE WHEN $7 THEN $8 ELSE concurrency_limit END WHERE id = $1";
    let changed = query(sql)
        .bind(id)
        .bind(now)
        .bind(update.name)
        .bind(update.filter.as_ref().map(filter_document))
        .bind(update.description)
        .bind(update.is_paused)
        .bind(update.concurrency_limit.is_some())
        .bind(update.concurrency_limit.flatten())
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

/// Deletes a queue; tells whether there was one.
pub async fn delete(conn: &mut Conn, id: WorkQueueId) -> Result<bool> {
    let sql = "DELETE FROM work_queue WHERE id = $1";
    Ok(query(sql).bind(id).execute(conn).await? == 1)
}

/// How long an agent that asks no more is remembered.
const REMEMBERED: Duration = Duration::days(1);

/// Returns when this agent was last noted to have asked.
pub async fn last_poll(
    conn: &mut Conn,
    id: WorkQueueId,
    agent: &str,
) -> Result<Option<DateTime<Utc>>> {
    let sql = "SELECT last_polled FROM work_queue_poll WHERE work_queue_id = $1 AND agent = $2";
    query(sql).bind(id).bind(agent).fetch_optional(conn).await
}

/// Notes that an agent has asked; tells whether the queue counted as served before.
pub async fn note_poll(
    conn: &mut Conn,
    id: WorkQueueId,
    agent: &str,
    now: DateTime<Utc>,
) -> Result<bool> {
    // Deleted since it was asked.
    let Some(queue) = read(conn, id).await? else {
        return Ok(true);
    };
    let sql = "UPDATE work_queue SET last_polled = $2 WHERE id = $1";
    query(sql).bind(id).bind(now).execute(conn).await?;
    let sql = "INSERT INTO work_queue_poll (work_queue_id, agent, last_polled) VALUES ($1, $2, $3) \
               ON CONFLICT (work_queue_id, agent) DO UPDATE SET last_polled = EXCLUDED.last_polled";
    query(sql)
        .bind(id)
        .bind(agent)
        .bind(now)
        .execute(conn)
        .await?;
    let sql = "DELETE FROM work_queue_poll WHERE work_queue_id = $1 AND last_polled < $2";
    query(sql)
        .bind(id)
        .bind(now - REMEMBERED)
        .execute(conn)
        .await?;
    let was_served = |at| now - at < POLL_PATIENCE;
    Ok(queue.last_polled.is_some_and(was_served))
}

//! Work queues in the database.
//!
//! A queue is in a pool; one that was made without is in that of 2.20 agents. It gives the runs
//! that name it, or, in the way of 2.0b3, those that its filter finds.

use std::collections::HashSet;

use chrono::{DateTime, Duration, Utc};

use super::events::lifecycle::{Became, Happened};
use super::filters::compile_work_queues;
use super::work_pools;
use crate::db::Dialect;
use crate::db::{Conn, Error, FromRow, Result, Row, Value, query};
use crate::schemas::actions::{WorkQueueCreate, WorkQueueUpdate};
use crate::schemas::filters::WorkQueueFilter;
use crate::schemas::patience::Patience;
use crate::schemas::work_pools::DEFAULT_AGENT_POOL;
use crate::schemas::work_queues::{QueueFilter, QueueStatus, WorkQueue};
use crate::schemas::{Document, WorkPoolId, WorkQueueId};

const SELECT: &str = "SELECT q.id, q.created, q.updated, q.name, q.filter, q.description, \
    q.is_paused, q.concurrency_limit, q.last_polled, q.work_pool_id, p.name, q.priority, \
    CASE WHEN q.concurrency_limit IS NULL THEN NULL ELSE \
    (SELECT COUNT(*) FROM flow_run r WHERE r.work_queue_id = q.id \
     AND r.state_type IN ('PENDING', 'RUNNING', 'CANCELLING')) END \
    FROM work_queue q LEFT JOIN work_pool p ON p.id = q.work_pool_id";

impl FromRow for WorkQueue {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            filter: row
                .take::<Option<Document>>()?
                .map(|filter| filter.read())
                .transpose()
                .map_err(|e| Error::Decode(format!("not a filter of a work queue: {e}")))?,
            description: row.take()?,
            is_paused: row.take()?,
            concurrency_limit: row.take()?,
            last_polled: row.take()?,
            work_pool_id: row.take()?,
            work_pool_name: row.take()?,
            priority: row.take()?,
            active_slots: row.take()?,
        })
    }
}

fn filter_document(filter: &QueueFilter) -> Document {
    Document::of(filter).expect("lists of texts and ids are JSON")
}

/// Creates a queue of 2.20 agents, or of 2.0b3 ones; fails if the name is taken.
pub async fn create(
    conn: &mut Conn,
    happened: &mut Happened,
    queue: WorkQueueCreate,
    now: DateTime<Utc>,
) -> Result<WorkQueue> {
    let pool = work_pools::ensure_default_agent_pool(conn, happened, now).await?;
    if let Some(id) = pool.default_queue_id
        && let Some(adopted) = adopt_default(conn, id, &queue, now).await?
    {
        return Ok(adopted);
    }
    // Clients list the newest first, and the pool may have been made with its own queue just now.
    let now = now.max(pool.created + Duration::microseconds(1));
    create_in_pool(conn, happened, queue, pool.id, now).await
}

/// Makes the pool's own queue the one that an agent's user creates under its name.
///
/// Such users know no pools, and have never seen that queue: it has no filter until now.
async fn adopt_default(
    conn: &mut Conn,
    id: WorkQueueId,
    queue: &WorkQueueCreate,
    now: DateTime<Utc>,
) -> Result<Option<WorkQueue>> {
    let Some(filter) = &queue.filter else {
        return Ok(None);
    };
    let sql = "UPDATE work_queue SET created = $3, updated = $3, filter = $4, \
               description = COALESCE($5, description), is_paused = $6, concurrency_limit = $7 \
               WHERE id = $1 AND name = $2 AND filter IS NULL";
    let adopted = query(sql)
        .bind(id)
        .bind(&queue.name)
        .bind(now)
        .bind(filter_document(filter))
        .bind(queue.description.clone())
        .bind(queue.is_paused)
        .bind(queue.concurrency_limit)
        .execute(conn)
        .await?;
    match adopted {
        0 => Ok(None),
        _ => read(conn, id).await,
    }
}

/// Creates a queue in a pool; fails if the pool has one of that name.
pub async fn create_in_pool(
    conn: &mut Conn,
    happened: &mut Happened,
    queue: WorkQueueCreate,
    pool: WorkPoolId,
    now: DateTime<Utc>,
) -> Result<WorkQueue> {
    let id = WorkQueueId::new();
    let priority = match queue.priority {
        Some(priority) => make_room(conn, pool, priority, id, now).await?,
        None => free_priority(conn, pool, id).await?,
    };
    let insert = "INSERT INTO work_queue (id, created, updated, name, filter, description, \
                  is_paused, concurrency_limit, work_pool_id, priority) \
                  VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9)";
    query(insert)
        .bind(id)
        .bind(now)
        .bind(&queue.name)
        .bind(queue.filter.as_ref().map(filter_document))
        .bind(queue.description.unwrap_or_default())
        .bind(queue.is_paused)
        .bind(queue.concurrency_limit)
        .bind(pool)
        .bind(priority)
        .execute(conn)
        .await?;
    made(conn, happened, id).await
}

/// Returns a queue that was inserted in this write, and notes that it was.
async fn made(conn: &mut Conn, happened: &mut Happened, id: WorkQueueId) -> Result<WorkQueue> {
    let queue = read(conn, id).await?;
    let queue = queue.expect("the queue was inserted in this write");
    happened.queue(conn, Became::Created, &queue).await?;
    Ok(queue)
}

/// Inserts the queue of a pool's runs that name none.
pub async fn insert_default(
    conn: &mut Conn,
    happened: &mut Happened,
    id: WorkQueueId,
    pool: WorkPoolId,
    now: DateTime<Utc>,
) -> Result<()> {
    let insert = "INSERT INTO work_queue (id, created, updated, name, description, work_pool_id) \
                  VALUES ($1, $2, $2, 'default', 'The work pool''s default queue.', $3)";
    let insert = query(insert).bind(id).bind(now).bind(pool);
    insert.execute(conn).await?;
    made(conn, happened, id).await.map(drop)
}

/// Returns the first place of a pool that no queue has.
async fn free_priority(conn: &mut Conn, pool: WorkPoolId, for_queue: WorkQueueId) -> Result<i64> {
    let taken = others_priorities(conn, pool, for_queue).await?;
    Ok((1..)
        .find(|place| !taken.contains(place))
        .expect("there are more places than queues"))
}

/// Frees a place for a queue: the one that has it moves on by one, and so do those behind it as
/// far as they stand without a gap. Returns the place.
async fn make_room(
    conn: &mut Conn,
    pool: WorkPoolId,
    priority: i64,
    for_queue: WorkQueueId,
    now: DateTime<Utc>,
) -> Result<i64> {
    let taken = others_priorities(conn, pool, for_queue).await?;
    let free = (priority..)
        .find(|place| !taken.contains(place))
        .expect("there are more places than queues");
    if free > priority {
        let sql = "UPDATE work_queue SET priority = priority + 1, updated = $4 \
                   WHERE work_pool_id = $1 AND priority >= $2 AND priority < $3 AND id <> $5";
        query(sql)
            .bind(pool)
            .bind(priority)
            .bind(free)
            .bind(now)
            .bind(for_queue)
            .execute(conn)
            .await?;
    }
    Ok(priority)
}

/// Returns the places that the queues of a pool have, one of them aside.
async fn others_priorities(
    conn: &mut Conn,
    pool: WorkPoolId,
    aside: WorkQueueId,
) -> Result<HashSet<i64>> {
    let sql = "SELECT DISTINCT priority FROM work_queue WHERE work_pool_id = $1 AND id <> $2";
    let taken: Vec<i64> = query(sql).bind(pool).bind(aside).fetch_all(conn).await?;
    Ok(taken.into_iter().collect())
}

/// Returns a queue.
pub async fn read(conn: &mut Conn, id: WorkQueueId) -> Result<Option<WorkQueue>> {
    let sql = format!("{SELECT} WHERE q.id = $1");
    query(sql).bind(id).fetch_optional(conn).await
}

/// Tells whether a queue, or its pool, bounds how many of its runs are under way at once.
pub async fn is_limited(conn: &mut Conn, id: WorkQueueId) -> Result<bool> {
    let sql = "SELECT o.id FROM work_queue o LEFT JOIN work_pool p ON p.id = o.work_pool_id \
               WHERE o.id = $1 AND (o.concurrency_limit IS NOT NULL OR p.concurrency_limit IS NOT NULL)";
    let found: Option<uuid::Uuid> = query(sql).bind(id).fetch_optional(conn).await?;
    Ok(found.is_some())
}

/// Returns a queue that nobody else locks until the write ends.
pub async fn read_locked(conn: &mut Conn, id: WorkQueueId) -> Result<Option<WorkQueue>> {
    if conn.dialect() == Dialect::Postgres {
        let sql = "SELECT id FROM work_queue WHERE id = $1 FOR UPDATE";
        query(sql).bind(id).execute(conn).await?;
    }
    read(conn, id).await
}

/// Returns the agents' queue of a name.
pub async fn read_by_name(conn: &mut Conn, name: &str) -> Result<Option<WorkQueue>> {
    read_in_pool(conn, DEFAULT_AGENT_POOL, name).await
}

/// Returns a queue by the names of its pool and itself.
pub async fn read_in_pool(conn: &mut Conn, pool: &str, name: &str) -> Result<Option<WorkQueue>> {
    let sql = format!("{SELECT} WHERE p.name = $1 AND q.name = $2");
    query(sql).bind(pool).bind(name).fetch_optional(conn).await
}

/// Returns the queue of a name in a pool; makes one that is not there, at a place or at the
/// first that is free.
pub async fn ensure(
    conn: &mut Conn,
    happened: &mut Happened,
    pool: &crate::schemas::work_pools::WorkPool,
    name: &str,
    priority: Option<i64>,
    now: DateTime<Utc>,
) -> Result<WorkQueue> {
    if let Some(queue) = read_in_pool(conn, &pool.name, name).await? {
        return Ok(queue);
    }
    let queue = WorkQueueCreate {
        priority,
        ..WorkQueueCreate::named(name)
    };
    create_in_pool(conn, happened, queue, pool.id, now).await
}

/// Returns queues by name, on request only those that somebody made for agents.
pub async fn list(
    conn: &mut Conn,
    filter: Option<&WorkQueueFilter>,
    only_of_agents: bool,
    limit: i64,
    offset: u32,
) -> Result<Vec<WorkQueue>> {
    let (condition, values) = compile_work_queues(filter, conn.dialect());
    let [of_agents, pool, most, skipped] = [1, 2, 3, 4].map(|n| values.len() + n);
    let sql = format!(
        "{SELECT} WHERE {condition} AND (NOT ${of_agents} OR q.work_pool_id IS NULL \
         OR (p.name = ${pool} AND (q.id <> p.default_queue_id OR q.filter IS NOT NULL))) \
         ORDER BY q.name, q.id LIMIT ${most} OFFSET ${skipped}"
    );
    query(sql)
        .bind_all(values)
        .bind(only_of_agents)
        .bind(DEFAULT_AGENT_POOL)
        .bind(limit)
        .bind(i64::from(offset))
        .fetch_all(conn)
        .await
}

/// Returns the queues of a pool, those of the first priority first.
pub async fn list_of_pool(conn: &mut Conn, pool: WorkPoolId) -> Result<Vec<WorkQueue>> {
    let sql = format!("{SELECT} WHERE q.work_pool_id = $1 ORDER BY q.priority, q.created, q.id");
    query(sql).bind(pool).fetch_all(conn).await
}

/// Returns the queues of a page of a pool, those of the first priority first.
pub async fn list_in_pool(
    conn: &mut Conn,
    pool: WorkPoolId,
    filter: Option<&WorkQueueFilter>,
    limit: i64,
    offset: u32,
) -> Result<Vec<WorkQueue>> {
    let (condition, values) = compile_work_queues(filter, conn.dialect());
    let [of_pool, most, skipped] = [1, 2, 3].map(|n| values.len() + n);
    let sql = format!(
        "{SELECT} WHERE {condition} AND q.work_pool_id = ${of_pool} \
         ORDER BY q.priority, q.created, q.id LIMIT ${most} OFFSET ${skipped}"
    );
    query(sql)
        .bind_all(values)
        .bind(pool)
        .bind(limit)
        .bind(i64::from(offset))
        .fetch_all(conn)
        .await
}

/// Changes a queue; tells whether there is such a queue.
pub async fn update(
    conn: &mut Conn,
    happened: &mut Happened,
    id: WorkQueueId,
    update: WorkQueueUpdate,
    now: DateTime<Utc>,
) -> Result<bool> {
    let Some(known) = read(conn, id).await? else {
        return Ok(false);
    };
    if let (Some(priority), Some(pool)) = (update.priority, known.work_pool_id)
        && priority != known.priority
    {
        make_room(conn, pool, priority, id, now).await?;
    }
    let sql = "UPDATE work_queue SET updated = $2, name = COALESCE($3, name), \
               filter = COALESCE($4, filter), description = COALESCE($5, description), \
               is_paused = COALESCE($6, is_paused), \
               concurrency_limit = CASE WHEN $7 THEN $8 ELSE concurrency_limit END, \
               priority = COALESCE($9, priority), last_polled = COALESCE($10, last_polled) \
               WHERE id = $1";
    let changed = query(sql)
        .bind(id)
        .bind(now)
        .bind(update.name)
        .bind(update.filter.as_ref().map(filter_document))
        .bind(update.description)
        .bind(update.is_paused)
        .bind(update.concurrency_limit.is_some())
        .bind(update.concurrency_limit.flatten())
        .bind(update.priority)
        .bind(update.last_polled.map(|polled| polled.0))
        .execute(conn)
        .await?;
    if let Some(after) = read(conn, id).await? {
        happened.queue_updated(conn, &known, &after).await?;
    }
    Ok(changed == 1)
}

/// What became of a queue that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Gone,
    /// Its pool cannot do without it.
    Needed,
    /// There was none.
    Unknown,
}

/// Deletes a queue, whose runs and deployments stay, unless it is its pool's own.
pub async fn delete(
    conn: &mut Conn,
    happened: &mut Happened,
    id: WorkQueueId,
    now: DateTime<Utc>,
) -> Result<Deleted> {
    let Some(queue) = read(conn, id).await? else {
        return Ok(Deleted::Unknown);
    };
    // Runs of the pool that name no queue would wait in none, and never begin.
    let sql = "SELECT p.id FROM work_pool p WHERE p.default_queue_id = $1";
    let pool: Option<uuid::Uuid> = query(sql).bind(id).fetch_optional(conn).await?;
    if pool.is_none() {
        happened.queue(conn, Became::Deleted, &queue).await?;
        remove(conn, id).await?;
        return Ok(Deleted::Gone);
    }
    // What `adopt_default` gave to a user of agents is taken back.
    let sql = "UPDATE work_queue SET updated = $2, filter = NULL, is_paused = FALSE, \
               concurrency_limit = NULL WHERE id = $1 AND filter IS NOT NULL";
    match query(sql).bind(id).bind(now).execute(conn).await? {
        0 => Ok(Deleted::Needed),
        _ => Ok(Deleted::Gone),
    }
}

/// Removes a queue.
pub(super) async fn remove(conn: &mut Conn, id: WorkQueueId) -> Result<()> {
    for table in ["flow_run", "deployment"] {
        let sql = format!("UPDATE {table} SET work_queue_id = NULL WHERE work_queue_id = $1");
        query(sql).bind(id).execute(conn).await?;
    }
    let sql = "DELETE FROM work_queue WHERE id = $1";
    query(sql).bind(id).execute(conn).await.map(drop)
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
    set_polled(conn, &[id], now).await?;
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
    let was_served = |at| Patience::chosen().is_queue_served(at, now);
    Ok(queue.last_polled.is_some_and(was_served))
}

/// Notes that somebody has asked for runs of queues, whose deployments are served thereby.
pub async fn set_polled(conn: &mut Conn, ids: &[WorkQueueId], now: DateTime<Utc>) -> Result<()> {
    let ids = Value::Uuids(ids.iter().map(|id| id.0).collect());
    let sql = "UPDATE work_queue SET last_polled = $2 WHERE id = ANY($1)";
    query(sql)
        .bind_all([ids.clone(), now.into()])
        .execute(conn)
        .await?;
    let sql = "UPDATE deployment SET last_polled = $2 WHERE work_queue_id = ANY($1)";
    query(sql)
        .bind_all([ids, now.into()])
        .execute(conn)
        .await
        .map(drop)
}

/// Counts a queue's runs that are under way.
pub async fn active_slots(conn: &mut Conn, id: WorkQueueId) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM flow_run WHERE work_queue_id = $1 \
               AND state_type IN ('PENDING', 'RUNNING', 'CANCELLING')";
    query(sql).bind(id).fetch_one(conn).await
}

/// Returns whether a queue is served in time.
pub async fn status(conn: &mut Conn, queue: &WorkQueue) -> Result<QueueStatus> {
    let sql = "SELECT COUNT(*) FROM flow_run WHERE work_queue_id = $1 \
               AND state_type = 'SCHEDULED' AND state_name = 'Late'";
    Ok(QueueStatus {
        late_runs_count: query(sql).bind(queue.id).fetch_one(conn).await?,
        last_polled: queue.last_polled,
    })
}

//! Work pools and their workers in the database, and which runs a pool gives.

use chrono::{DateTime, Utc};

use super::due_runs;
use super::events::lifecycle::{Became, Happened};
use super::filters::{self, page};
use super::work_queues;
use crate::db::{Conn, FromRow, Result, Row, Value, query};
use crate::schemas::filters::Operator;
use crate::schemas::flow_runs::{AsOf, FlowRun};
use crate::schemas::patience::Patience;
use crate::schemas::work_pools::{
    AGENT_TYPE, DEFAULT_AGENT_POOL, PoolRun, WorkPool, WorkPoolCreate, WorkPoolFilter,
    WorkPoolUpdate, Worker,
};
use crate::schemas::work_queues::WorkQueue;
use crate::schemas::{Document, WorkPoolId, WorkQueueId, WorkerId};

const SELECT: &str = "SELECT p.id, p.created, p.updated, p.name, p.description, p.type, \
    p.base_job_template, p.is_paused, p.concurrency_limit, p.storage_configuration, \
    p.default_queue_id, p.served_until, \
    (SELECT COUNT(*) FROM flow_run r JOIN work_queue q ON q.id = r.work_queue_id \
     WHERE q.work_pool_id = p.id AND r.state_type IN ('PENDING', 'RUNNING')) \
    FROM work_pool p";

impl FromRow for WorkPool {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            description: row.take()?,
            pool_type: row.take()?,
            base_job_template: row.take()?,
            is_paused: row.take()?,
            concurrency_limit: row.take()?,
            storage_configuration: row.take()?,
            default_queue_id: row.take()?,
            served_until: row.take()?,
            active_slots: row.take()?,
        })
    }
}

/// Creates a pool with its default queue; fails if the name is taken.
pub async fn create(
    conn: &mut Conn,
    happened: &mut Happened,
    pool: WorkPoolCreate,
    now: DateTime<Utc>,
) -> Result<WorkPool> {
    let (id, queue) = (WorkPoolId::new(), WorkQueueId::new());
    let object = |document: Option<Document>| document.unwrap_or_else(Document::empty_object);
    let insert = "INSERT INTO work_pool (id, created, updated, name, description, type, \
                  base_job_template, is_paused, concurrency_limit, storage_configuration, \
                  default_queue_id) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    query(insert)
        .bind(id)
        .bind(now)
        .bind(&pool.name)
        .bind(pool.description)
        .bind(pool.pool_type.unwrap_or_else(|| AGENT_TYPE.to_owned()))
        .bind(object(pool.base_job_template))
        .bind(pool.is_paused)
        .bind(pool.concurrency_limit)
        .bind(object(pool.storage_configuration))
        .bind(queue)
        .execute(conn)
        .await?;
    work_queues::insert_default(conn, happened, queue, id, now).await?;
    let pool = query(format!("{SELECT} WHERE p.id = $1"))
        .bind(id)
        .fetch_one(conn)
        .await?;
    happened.pool_created(&pool);
    Ok(pool)
}

/// Returns the pool of a name.
pub async fn read_by_name(conn: &mut Conn, name: &str) -> Result<Option<WorkPool>> {
    let sql = format!("{SELECT} WHERE p.name = $1");
    query(sql).bind(name).fetch_optional(conn).await
}

struct Template(Document);

impl FromRow for Template {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        row.take().map(Self)
    }
}

/// Returns the base job template of the pool of a name.
pub async fn template(conn: &mut Conn, name: &str) -> Result<Option<Document>> {
    let sql = "SELECT p.base_job_template FROM work_pool p WHERE p.name = $1";
    let found = query(sql).bind(name).fetch_optional::<Template>(conn);
    Ok(found.await?.map(|Template(template)| template))
}

/// Returns the base job template of the pool that a queue is in.
pub async fn template_of_queue(conn: &mut Conn, queue: WorkQueueId) -> Result<Option<Document>> {
    let sql = "SELECT p.base_job_template FROM work_queue q JOIN work_pool p ON p.id = q.work_pool_id \
               WHERE q.id = $1";
    let found = query(sql).bind(queue).fetch_optional::<Template>(conn);
    Ok(found.await?.map(|Template(template)| template))
}

/// Tells whether a pool, or one of its queues, bounds how many of its runs are under way at once.
pub async fn is_limited(conn: &mut Conn, name: &str) -> Result<bool> {
    let sql = "SELECT p.id FROM work_pool p WHERE p.name = $1 AND (p.concurrency_limit IS NOT NULL OR EXISTS \
               (SELECT 1 FROM work_queue o WHERE o.work_pool_id = p.id AND o.concurrency_limit IS NOT NULL))";
    let found: Option<uuid::Uuid> = query(sql).bind(name).fetch_optional(conn).await?;
    Ok(found.is_some())
}

/// Returns the pool of queues that were made without one, and makes it first if need be.
pub async fn ensure_default_agent_pool(
    conn: &mut Conn,
    happened: &mut Happened,
    now: DateTime<Utc>,
) -> Result<WorkPool> {
    if let Some(pool) = read_by_name(conn, DEFAULT_AGENT_POOL).await? {
        return Ok(pool);
    }
    let pool = WorkPoolCreate {
        name: DEFAULT_AGENT_POOL.to_owned(),
        description: None,
        pool_type: None,
        base_job_template: None,
        is_paused: false,
        concurrency_limit: None,
        storage_configuration: None,
    };
    create(conn, happened, pool, now).await
}

fn condition(filter: Option<&WorkPoolFilter>) -> (String, Vec<Value>) {
    let (mut parts, mut values) = (Vec::new(), Vec::new());
    let mut add = |column: &str, list: Option<Value>| {
        if let Some(list) = list {
            values.push(list);
            parts.push(format!("{column} = ANY(${})", values.len()));
        }
    };
    let Some(filter) = filter else {
        return ("1 = 1".to_owned(), Vec::new());
    };
    let ids = filter.id.as_ref().and_then(|ids| ids.any_.as_ref());
    add(
        "p.id",
        ids.map(|ids| Value::Uuids(ids.iter().map(|id| id.0).collect())),
    );
    let texts = |any: Option<&crate::schemas::work_pools::AnyOf<String>>| {
        any.and_then(|any| any.any_.clone()).map(Value::from)
    };
    add("p.name", texts(filter.name.as_ref()));
    add("p.type", texts(filter.pool_type.as_ref()));
    let joint = match filter.operator {
        Operator::And => " AND ",
        Operator::Or => " OR ",
    };
    if parts.is_empty() {
        return ("1 = 1".to_owned(), values);
    }
    (format!("({})", parts.join(joint)), values)
}

/// Returns pools by name.
pub async fn list(
    conn: &mut Conn,
    filter: Option<&WorkPoolFilter>,
    limit: i64,
    offset: i64,
) -> Result<Vec<WorkPool>> {
    let order = "p.name, p.id";
    page(conn, SELECT, condition(filter), order, limit, offset).await
}

/// Counts pools.
pub async fn count(conn: &mut Conn, filter: Option<&WorkPoolFilter>) -> Result<i64> {
    filters::count(conn, "work_pool p", condition(filter)).await
}

/// Changes a pool; tells which, if there is one of that name.
pub async fn update(
    conn: &mut Conn,
    happened: &mut Happened,
    name: &str,
    update: WorkPoolUpdate,
    now: DateTime<Utc>,
) -> Result<Option<WorkPoolId>> {
    let Some(before) = read_by_name(conn, name).await? else {
        return Ok(None);
    };
    let sql = "UPDATE work_pool SET updated = $2, \
               description = CASE WHEN $3 THEN $4 ELSE description END, \
               is_paused = COALESCE($5, is_paused), \
               base_job_template = COALESCE($6, base_job_template), \
               concurrency_limit = CASE WHEN $7 THEN $8 ELSE concurrency_limit END, \
               storage_configuration = COALESCE($9, storage_configuration) \
               WHERE name = $1";
    query(sql)
        .bind(name)
        .bind(now)
        .bind(update.description.is_some())
        .bind(update.description.flatten())
        .bind(update.is_paused)
        .bind(update.base_job_template)
        .bind(update.concurrency_limit.is_some())
        .bind(update.concurrency_limit.flatten())
        .bind(update.storage_configuration)
        .execute(conn)
        .await?;
    let after = read_by_name(conn, name).await?;
    Ok(after.map(|after| {
        happened.pool_updated(&before, &after);
        after.id
    }))
}

/// Deletes a pool with its queues and workers; its runs stay. Tells whether there was one.
pub async fn delete(conn: &mut Conn, happened: &mut Happened, name: &str) -> Result<bool> {
    let Some(pool) = read_by_name(conn, name).await? else {
        return Ok(false);
    };
    for queue in work_queues::list_of_pool(conn, pool.id).await? {
        happened.queue(conn, Became::Deleted, &queue).await?;
        work_queues::remove(conn, queue.id).await?;
    }
    happened.pool_deleted(&pool);
    let sql = "DELETE FROM work_pool WHERE id = $1";
    Ok(query(sql).bind(pool.id).execute(conn).await? == 1)
}

/// Notes that a worker is alive.
pub async fn heartbeat(
    conn: &mut Conn,
    pool: WorkPoolId,
    name: &str,
    interval_seconds: i64,
    now: DateTime<Utc>,
) -> Result<()> {
    let sql = "INSERT INTO worker (id, created, updated, name, work_pool_id, last_heartbeat_time, \
               heartbeat_interval_seconds) VALUES ($1, $2, $2, $3, $4, $2, $5) \
               ON CONFLICT (work_pool_id, name) DO UPDATE SET updated = excluded.updated, \
               last_heartbeat_time = excluded.last_heartbeat_time, \
               heartbeat_interval_seconds = excluded.heartbeat_interval_seconds";
    query(sql)
        .bind(WorkerId::new())
        .bind(now)
        .bind(name)
        .bind(pool)
        .bind(interval_seconds)
        .execute(conn)
        .await?;
    note_served(conn, pool).await
}

/// Keeps with a pool how long its workers count as alive.
async fn note_served(conn: &mut Conn, pool: WorkPoolId) -> Result<()> {
    let workers = list_workers(conn, pool).await?;
    let until = workers
        .iter()
        .map(|worker| {
            Patience::chosen().alive_until(
                worker.last_heartbeat_time,
                worker.heartbeat_interval_seconds,
            )
        })
        .max();
    let sql = "UPDATE work_pool SET served_until = $2 WHERE id = $1";
    query(sql)
        .bind(pool)
        .bind(until)
        .execute(conn)
        .await
        .map(drop)
}

impl FromRow for Worker {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            work_pool_id: row.take()?,
            last_heartbeat_time: row.take()?,
            heartbeat_interval_seconds: row.take()?,
        })
    }
}

/// Returns the workers of a pool, the one last heard of first.
pub async fn list_workers(conn: &mut Conn, pool: WorkPoolId) -> Result<Vec<Worker>> {
    let sql = "SELECT id, created, updated, name, work_pool_id, last_heartbeat_time, \
               heartbeat_interval_seconds FROM worker WHERE work_pool_id = $1 \
               ORDER BY last_heartbeat_time DESC, id";
    query(sql).bind(pool).fetch_all(conn).await
}

/// Forgets a worker; tells whether there was one.
pub async fn delete_worker(conn: &mut Conn, pool: WorkPoolId, name: &str) -> Result<bool> {
    let sql = "DELETE FROM worker WHERE work_pool_id = $1 AND name = $2";
    let deleted = query(sql).bind(pool).bind(name).execute(conn).await?;
    note_served(conn, pool).await?;
    Ok(deleted == 1)
}

/// Which runs a worker asks for.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// Until when they are due.
    pub before: DateTime<Utc>,
    /// From when on.
    pub after: Option<DateTime<Utc>>,
    /// How many at most.
    pub limit: i64,
}

/// Returns the due runs of a pool's queues: those of the first priority first, each the earliest
/// first, as far as the limits of pool and queue leave room.
pub async fn due(
    conn: &mut Conn,
    pool: &WorkPool,
    queues: &[WorkQueue],
    due: Due,
    now: DateTime<Utc>,
) -> Result<Vec<PoolRun>> {
    let mut found = Vec::new();
    if pool.is_paused {
        return Ok(found);
    }
    let room = |limit: Option<i64>, busy: i64| {
        limit.map_or(i64::MAX, |most| most.saturating_sub(busy).max(0))
    };
    let mut left = due
        .limit
        .min(room(pool.concurrency_limit, pool.active_slots));
    for queue in queues.iter().filter(|queue| !queue.is_paused) {
        let busy = match queue.concurrency_limit {
            Some(_) => work_queues::active_slots(conn, queue.id).await?,
            None => 0,
        };
        let most = left.min(room(queue.concurrency_limit, busy));
        if most == 0 {
            continue;
        }
        let runs: Vec<FlowRun> = due_runs::of_queue_in_pool(conn, queue.id, due, most).await?;
        left -= runs.len() as i64;
        found.extend(runs.into_iter().map(|run| PoolRun {
            work_pool_id: pool.id,
            work_queue_id: queue.id,
            flow_run: AsOf(now, run),
        }));
    }
    Ok(found)
}

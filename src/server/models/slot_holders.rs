//! The flow runs that take up the limits of work pools and queues, for those who look.
//!
//! What counts as taking a slot differs as it does where runs are handed out: a run that is being
//! cancelled takes one of its queue, and none of its pool.

use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::concurrency_status::SlotHolder;
use crate::schemas::{WorkPoolId, WorkQueueId};

const OF_QUEUE: &str =
    "o.work_queue_id = $1 AND o.state_type IN ('PENDING', 'RUNNING', 'CANCELLING')";
const OF_POOL: &str = "o.state_type IN ('PENDING', 'RUNNING') AND o.work_queue_id = $1";

impl FromRow for SlotHolder {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            name: row.take()?,
            state_type: row.take()?,
            state_name: row.take()?,
            start_time: row.take()?,
            state_timestamp: row.take()?,
        })
    }
}

async fn list(
    conn: &mut Conn,
    condition: &str,
    queue: WorkQueueId,
    limit: i64,
    offset: i64,
) -> Result<Vec<SlotHolder>> {
    query(format!(
        "SELECT o.id, o.name, o.state_type, o.state_name, o.start_time, o.state_timestamp \
         FROM flow_run o WHERE {condition} ORDER BY o.id LIMIT $2 OFFSET $3"
    ))
    .bind(queue)
    .bind(limit)
    .bind(offset)
    .fetch_all(conn)
    .await
}

/// Returns a page of the runs that take up a queue.
pub async fn of_queue(
    conn: &mut Conn,
    queue: WorkQueueId,
    limit: i64,
    offset: i64,
) -> Result<Vec<SlotHolder>> {
    list(conn, OF_QUEUE, queue, limit, offset).await
}

/// Counts the runs that take up a queue.
pub async fn count_of_queue(conn: &mut Conn, queue: WorkQueueId) -> Result<i64> {
    query(format!("SELECT COUNT(*) FROM flow_run o WHERE {OF_QUEUE}"))
        .bind(queue)
        .fetch_one(conn)
        .await
}

/// Returns the first runs of a queue that take up its pool.
pub async fn of_pool_in(
    conn: &mut Conn,
    queue: WorkQueueId,
    limit: i64,
) -> Result<Vec<SlotHolder>> {
    list(conn, OF_POOL, queue, limit, 0).await
}

/// Counts the runs that take up a pool, by queue.
pub async fn count_of_pool(conn: &mut Conn, pool: WorkPoolId) -> Result<Vec<(WorkQueueId, i64)>> {
    let sql = "SELECT o.work_queue_id, COUNT(*) FROM flow_run o JOIN work_queue q ON q.id = o.work_queue_id \
               WHERE q.work_pool_id = $1 AND o.state_type IN ('PENDING', 'RUNNING') GROUP BY o.work_queue_id";
    query(sql).bind(pool).fetch_all(conn).await
}

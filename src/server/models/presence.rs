//! Who polls for runs, as far as the database knows.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::{Conn, Result, query};
use crate::schemas::patience::Patience;

/// What is polled, and who does it, where that has a name.
pub(crate) type Present = BTreeSet<(Uuid, String)>;

/// Returns who was heard of lately enough: agents by their queue, workers by their pool, and queues
/// of pools and deployments by themselves.
pub(crate) async fn read(conn: &mut Conn, now: DateTime<Utc>) -> Result<Present> {
    let patience = Patience::chosen();
    let sql = "SELECT work_queue_id, agent FROM work_queue_poll WHERE last_polled > $1 \
               UNION ALL SELECT id, '' FROM work_queue WHERE last_polled > $1 \
               UNION ALL SELECT id, '' FROM deployment WHERE work_queue_id IS NULL AND last_polled > $2";
    let polled: Vec<(Uuid, String)> = query(sql)
        .bind(now - patience.work_queue)
        .bind(now - patience.deployment)
        .fetch_all(conn)
        .await?;
    let sql =
        "SELECT work_pool_id, name, last_heartbeat_time, heartbeat_interval_seconds FROM worker";
    let workers: Vec<(Uuid, String, DateTime<Utc>, i64)> = query(sql).fetch_all(conn).await?;
    let online = workers
        .into_iter()
        .filter(|(_, _, heartbeat, interval)| now <= patience.alive_until(*heartbeat, *interval))
        .map(|(pool, name, ..)| (pool, name));
    Ok(polled.into_iter().chain(online).collect())
}

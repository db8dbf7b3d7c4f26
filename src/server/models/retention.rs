//! What is deleted because it is old: flow runs with all that belongs to them, and what is left of runs that are gone.
//!
//! Everything is done in pieces that one write can hold, so that others get their turn. A flow run goes
//! last: as long as there is something of it, the run is there and found again.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::events::lifecycle::Happened;
use super::events::of_states;
use super::{artifacts, flow_runs, slots};
use crate::db::{Conn, Dialect, Result, Value, query};
use crate::schemas::{ArtifactId, FlowRunId};

/// Flow runs `o` that are over and that no other run has started; those that a run has started become
/// such when that is gone.
const OVER: &str = "o.state_type IN ('COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED') \
    AND o.parent_task_run_id IS NULL";

/// Those of them that ended before `$1`. What ended without having begun has no end of its own.
const OLD: [&str; 2] = [
    "o.end_time < $1",
    "o.end_time IS NULL AND EXISTS (SELECT 1 FROM flow_run_state s WHERE s.id = o.state_id AND s.timestamp < $1)",
];

/// Returns when the flow run ended that will be old first; of runs that never began nobody asks.
pub async fn first_end(conn: &mut Conn) -> Result<Option<DateTime<Utc>>> {
    let sql = format!(
        "SELECT o.end_time FROM flow_run o WHERE o.end_time IS NOT NULL AND {OVER} ORDER BY o.end_time LIMIT 1"
    );
    query(sql).fetch_optional(conn).await
}

/// Tells whether there are flow runs that ended before an instant.
pub async fn has_old(conn: &mut Conn, before: DateTime<Utc>) -> Result<bool> {
    Ok(!old(conn, before, 1, "").await?.is_empty())
}

/// Returns flow runs that ended before an instant, at most so many.
async fn old(conn: &mut Conn, before: DateTime<Utc>, most: i64, lock: &str) -> Result<Vec<Uuid>> {
    let mut found = Vec::new();
    for ended in OLD {
        let sql = format!(
            "SELECT o.id FROM flow_run o WHERE {ended} AND {OVER} ORDER BY o.id LIMIT $2{lock}"
        );
        let left = most - found.len() as i64;
        let more: Vec<Uuid> = query(sql).bind(before).bind(left).fetch_all(conn).await?;
        found.extend(more);
    }
    Ok(found)
}

/// What one write has deleted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The flow runs that are gone.
    pub flow_runs: Vec<Uuid>,
    /// How many rows that belonged to runs went, which tells whether the write was of use.
    pub rows: u64,
}

impl Deleted {
    /// Tells whether there was nothing left to delete.
    pub fn is_nothing(&self) -> bool {
        self.flow_runs.is_empty() && self.rows == 0
    }
}

/// Deletes flow runs that ended before an instant, as far as `most` runs and as many rows of theirs go.
///
/// What has happened to them since `events_since` stays as events.
pub async fn delete_old(
    conn: &mut Conn,
    before: DateTime<Utc>,
    most: i64,
    events_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Deleted> {
    // Runs that another server deletes, or that somebody changes just now, are left to the next time.
    let lock = match conn.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE OF o SKIP LOCKED",
    };
    let mut deleted = Deleted::default();
    for run in old(conn, before, most, lock).await? {
        let left = most - i64::try_from(deleted.rows).unwrap_or(i64::MAX);
        if left <= 0 {
            break;
        }
        let rows = delete_parts(conn, run, left, events_since, now).await?;
        deleted.rows += rows;
        // Less than what there was room for: nothing is left of it.
        if (rows as i64) < left
            && flow_runs::delete(conn, FlowRunId(run), events_since, now).await?
        {
            deleted.flow_runs.push(run);
        }
    }
    Ok(deleted)
}

/// Deletes artifacts, log lines and task runs of a flow run, at most so many; returns how many.
async fn delete_parts(
    conn: &mut Conn,
    run: Uuid,
    most: i64,
    events_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<u64> {
    let mut rows = delete_artifacts(conn, run, most, now).await?;
    let left = |rows: u64| most - i64::try_from(rows).unwrap_or(i64::MAX);
    if left(rows) > 0 {
        rows += delete_logs(conn, run, left(rows)).await?;
    }
    if left(rows) > 0 {
        // Slots and events are found by task runs, so they come before these go.
        slots::end_all_of_deleted(conn, &[run], now).await?;
        of_states::keep_all(conn, &[run], events_since, now).await?;
        let sql = "DELETE FROM task_run WHERE id IN \
                   (SELECT t.id FROM task_run t WHERE t.flow_run_id = $1 ORDER BY t.id LIMIT $2)";
        let delete = query(sql).bind(run).bind(left(rows));
        rows += delete.execute(conn).await?;
    }
    Ok(rows)
}

/// Deletes artifacts of a flow run, at most so many; what was the newest before them is so again.
async fn delete_artifacts(
    conn: &mut Conn,
    run: Uuid,
    most: i64,
    now: DateTime<Utc>,
) -> Result<u64> {
    let sql =
        "SELECT a.id FROM artifact a WHERE a.flow_run_id = $1 ORDER BY a.created, a.id LIMIT $2";
    let old: Vec<Uuid> = query(sql).bind(run).bind(most).fetch_all(conn).await?;
    // That something has become old is no news.
    let mut untold = Happened::at(now);
    for id in &old {
        artifacts::delete(conn, &mut untold, ArtifactId(*id), now).await?;
    }
    Ok(old.len() as u64)
}

/// Deletes log lines of a flow run, the oldest first; returns how many, which may be a few more than `most`
/// where lines are of one instant.
async fn delete_logs(conn: &mut Conn, run: Uuid, most: i64) -> Result<u64> {
    let last = "SELECT l.timestamp FROM log l WHERE l.flow_run_id = $1 ORDER BY l.timestamp LIMIT 1 OFFSET $2";
    let last: Option<DateTime<Utc>> = query(last)
        .bind(run)
        .bind(most - 1)
        .fetch_optional(conn)
        .await?;
    match last {
        Some(last) => {
            query("DELETE FROM log WHERE flow_run_id = $1 AND timestamp <= $2")
                .bind(run)
                .bind(last)
                .execute(conn)
                .await
        }
        None => {
            query("DELETE FROM log WHERE flow_run_id = $1")
                .bind(run)
                .execute(conn)
                .await
        }
    }
}

/// What a flow run may leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the field's own words")]
pub enum Left {
    Logs,
    Artifacts,
}

impl Left {
    fn table(self) -> &'static str {
        match self {
            Self::Logs => "log",
            Self::Artifacts => "artifact",
        }
    }
}

/// Returns flow runs that are gone and of which something is left, among the next `most` that something
/// is of, and the last one looked at; none if that was all.
pub async fn orphans(
    conn: &mut Conn,
    left: Left,
    after: Uuid,
    most: i64,
) -> Result<(Vec<Uuid>, Option<Uuid>)> {
    // One seek a run; `DISTINCT` would read every line.
    let sql = format!(
        "SELECT x.flow_run_id FROM {} x WHERE x.flow_run_id > $1 ORDER BY x.flow_run_id LIMIT 1",
        left.table()
    );
    let (mut named, mut last) = (Vec::new(), after);
    while (named.len() as i64) < most {
        let next: Option<Uuid> = query(sql.clone()).bind(last).fetch_optional(conn).await?;
        let Some(next) = next else { break };
        named.push(next);
        last = next;
    }
    let is_whole = (named.len() as i64) < most;
    let there = query("SELECT o.id FROM flow_run o WHERE o.id = ANY($1)");
    let there: Vec<Uuid> = there
        .bind(Value::Uuids(named.clone()))
        .fetch_all(conn)
        .await?;
    named.retain(|run| !there.contains(run));
    Ok((named, (!is_whole).then_some(last)))
}

/// Deletes what is left of a flow run that is gone, at most so much; returns how much.
pub async fn delete_left(
    conn: &mut Conn,
    left: Left,
    run: Uuid,
    most: i64,
    now: DateTime<Utc>,
) -> Result<u64> {
    let sql = "SELECT o.id FROM flow_run o WHERE o.id = $1";
    if query(sql)
        .bind(run)
        .fetch_optional::<Uuid>(conn)
        .await?
        .is_some()
    {
        return Ok(0);
    }
    match left {
        Left::Logs => delete_logs(conn, run, most).await,
        Left::Artifacts => delete_artifacts(conn, run, most, now).await,
    }
}

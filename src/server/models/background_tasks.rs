//! Background task runs on their way to the workers that serve their tasks.
//!
//! A run is handed to one worker: what is handed out has a row, which says for which state, so
//! that a run which is scheduled anew is handed out anew, and a restart of the server forgets
//! nothing.

use chrono::{DateTime, Utc};

use super::task_runs;
use crate::db::{Conn, Result, Value, query};
use crate::schemas::task_runs::TaskRun;
use crate::schemas::{StateId, TaskRunId};

/// Hands out the first scheduled run of these tasks, if there is one.
pub async fn claim(
    conn: &mut Conn,
    task_keys: &[String],
    client: &str,
    now: DateTime<Utc>,
) -> Result<Option<TaskRun>> {
    let lock = conn.dialect().for_update("o");
    let sql = format!(
        "SELECT o.id, o.state_id FROM task_run o JOIN task_run_state s ON s.id = o.state_id \
         WHERE o.state_type = 'SCHEDULED' AND o.state_name = 'Scheduled' AND o.task_key = ANY($1) \
         AND s.state_details LIKE '%\"deferred\":true%' \
         AND (o.next_scheduled_start_time IS NULL OR o.next_scheduled_start_time <= $2) \
         AND NOT EXISTS (SELECT 1 FROM task_run_delivery d WHERE d.task_run_id = o.id AND d.state_id = o.state_id) \
         ORDER BY o.expected_start_time, o.id LIMIT 1{lock}"
    );
    let asked = query(sql).bind(Value::from(task_keys.to_vec())).bind(now);
    let Some((id, state)) = asked.fetch_optional::<(TaskRunId, StateId)>(conn).await? else {
        return Ok(None);
    };
    let sql = "INSERT INTO task_run_delivery (task_run_id, state_id, client_id, claimed, is_acknowledged) \
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (task_run_id) DO UPDATE SET state_id = excluded.state_id, \
               client_id = excluded.client_id, claimed = excluded.claimed, is_acknowledged = excluded.is_acknowledged";
    let claim = query(sql)
        .bind(id)
        .bind(state)
        .bind(client)
        .bind(now)
        .bind(false);
    claim.execute(conn).await?;
    task_runs::read(conn, id).await
}

/// Notes that the worker has the run.
pub async fn acknowledge(conn: &mut Conn, id: TaskRunId) -> Result<()> {
    let update = query("UPDATE task_run_delivery SET is_acknowledged = $2 WHERE task_run_id = $1");
    update.bind(id).bind(true).execute(conn).await?;
    Ok(())
}

/// Takes back a run that the worker did not acknowledge.
pub async fn release(conn: &mut Conn, id: TaskRunId) -> Result<()> {
    query("DELETE FROM task_run_delivery WHERE task_run_id = $1 AND is_acknowledged = $2")
        .bind(id)
        .bind(false)
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes back what was handed out before an instant and never acknowledged.
pub async fn release_before(conn: &mut Conn, before: DateTime<Utc>) -> Result<u64> {
    query("DELETE FROM task_run_delivery WHERE claimed < $1 AND is_acknowledged = $2")
        .bind(before)
        .bind(false)
        .execute(conn)
        .await
}

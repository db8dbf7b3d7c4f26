//! Numbers of runs and deployments, by what they belong to.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::filters::{Listed, compile};
use crate::db::{Conn, Result, Value, query};
use crate::schemas::filters::Filters;
use crate::schemas::{FlowId, FlowRunId};

/// Counts the task runs of each flow run that has some.
pub async fn task_runs_by_flow_run(conn: &mut Conn, ids: &[FlowRunId]) -> Result<Vec<(Uuid, i64)>> {
    let sql = "SELECT flow_run_id, COUNT(*) FROM task_run WHERE flow_run_id = ANY($1) \
               AND NOT EXISTS (SELECT 1 FROM flow_run sub WHERE sub.parent_task_run_id = task_run.id) \
               GROUP BY flow_run_id";
    query(sql)
        .bind_all([Value::Uuids(ids.iter().map(|id| id.0).collect())])
        .fetch_all(conn)
        .await
}

/// Counts the deployments of each flow that has some.
pub async fn deployments_by_flow(conn: &mut Conn, ids: &[FlowId]) -> Result<Vec<(Uuid, i64)>> {
    let sql = "SELECT flow_id, COUNT(*) FROM deployment WHERE flow_id = ANY($1) GROUP BY flow_id";
    query(sql)
        .bind_all([Value::Uuids(ids.iter().map(|id| id.0).collect())])
        .fetch_all(conn)
        .await
}

/// A run of a flow that is to come.
#[derive(Debug, Clone)]
pub struct NextRun {
    /// The flow.
    pub flow_id: FlowId,
    /// The run.
    pub id: FlowRunId,
    /// Its name.
    pub name: String,
    /// When it is due.
    pub due: DateTime<Utc>,
}

impl crate::db::FromRow for NextRun {
    fn from_row(row: &mut crate::db::Row<'_>) -> Result<Self> {
        Ok(Self {
            flow_id: row.take()?,
            id: row.take()?,
            name: row.take()?,
            due: row.take()?,
        })
    }
}

/// Returns the next run of each flow that has one.
pub async fn next_runs(conn: &mut Conn, ids: &[FlowId]) -> Result<Vec<NextRun>> {
    let sql = "SELECT r.flow_id, r.id, r.name, r.next_scheduled_start_time FROM ( \
               SELECT o.*, ROW_NUMBER() OVER (PARTITION BY o.flow_id ORDER BY o.next_scheduled_start_time, o.id) AS place \
               FROM flow_run o WHERE o.flow_id = ANY($1) AND o.state_type = 'SCHEDULED' \
               AND o.next_scheduled_start_time IS NOT NULL) r WHERE r.place = 1";
    query(sql)
        .bind_all([Value::Uuids(ids.iter().map(|id| id.0).collect())])
        .fetch_all(conn)
        .await
}

/// Counts task runs by the type of their state.
pub async fn task_runs_by_state(conn: &mut Conn, filters: &Filters) -> Result<Vec<(String, i64)>> {
    let (condition, values) = compile(Listed::TaskRuns, filters, conn.dialect());
    query(format!(
        "SELECT o.state_type, COUNT(*) FROM task_run o WHERE {condition} AND o.state_type IS NOT NULL \
         GROUP BY o.state_type"
    ))
    .bind_all(values)
    .fetch_all(conn)
    .await
}

/// Counts task runs that completed and that failed, by stretches of a span: its number, whether it
/// completed, and how many.
pub async fn ended_task_runs(
    conn: &mut Conn,
    filters: &Filters,
    start: DateTime<Utc>,
    seconds: f64,
) -> Result<Vec<(i64, String, i64)>> {
    let (condition, mut values) = compile(Listed::TaskRuns, filters, conn.dialect());
    values.push((start.timestamp_micros() as f64 / 1e6).into());
    values.push(seconds.into());
    let n = values.len();
    let stretch = conn
        .dialect()
        .stretch("o.start_time", &format!("${}", n - 1), &format!("${n}"));
    query(format!(
        "SELECT {stretch} AS stretch, o.state_type, COUNT(*) FROM task_run o WHERE {condition} \
         AND o.start_time IS NOT NULL AND o.state_type IN ('COMPLETED', 'FAILED', 'CRASHED') \
         GROUP BY stretch, o.state_type"
    ))
    .bind_all(values)
    .fetch_all(conn)
    .await
}

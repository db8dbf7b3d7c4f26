//! Inputs of flow runs in the database.

use chrono::{DateTime, Utc};

use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::flow_run_inputs::{FlowRunInput, FlowRunInputCreate, FlowRunInputsQuery};
use crate::schemas::{FlowRunId, FlowRunInputId};

impl FromRow for FlowRunInput {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            flow_run_id: row.take()?,
            key: row.take()?,
            value: row.take()?,
            sender: row.take()?,
        })
    }
}

/// Creates an input; a key that the run has already is refused, and so is a run that is not there.
pub async fn create(
    conn: &mut Conn,
    run: FlowRunId,
    create: FlowRunInputCreate,
    now: DateTime<Utc>,
) -> Result<()> {
    let sql = "INSERT INTO flow_run_input (id, created, updated, flow_run_id, key, value, sender) \
               VALUES ($1, $2, $2, $3, $4, $5, $6)";
    query(sql)
        .bind(FlowRunInputId::new())
        .bind(now)
        .bind(run)
        .bind(create.key)
        .bind(create.value)
        .bind(create.sender)
        .execute(conn)
        .await
        .map(drop)
}

/// Returns the value of an input.
pub async fn read(conn: &mut Conn, run: FlowRunId, key: &str) -> Result<Option<String>> {
    let sql = "SELECT value FROM flow_run_input WHERE flow_run_id = $1 AND key = $2";
    query(sql).bind(run).bind(key).fetch_optional(conn).await
}

/// Returns inputs, the oldest first.
pub async fn list(
    conn: &mut Conn,
    run: FlowRunId,
    asked: FlowRunInputsQuery,
    limit: i64,
) -> Result<Vec<FlowRunInput>> {
    let sql = "SELECT id, created, updated, flow_run_id, key, value, sender FROM flow_run_input \
               WHERE flow_run_id = $1 AND substr(key, 1, length($2)) = $2 AND key <> ALL($3) \
               ORDER BY created, id LIMIT $4";
    query(sql)
        .bind(run)
        .bind(asked.prefix)
        .bind(asked.exclude_keys.unwrap_or_default())
        .bind(limit)
        .fetch_all(conn)
        .await
}

/// Deletes an input; tells whether there was one.
pub async fn delete(conn: &mut Conn, run: FlowRunId, key: &str) -> Result<bool> {
    let sql = "DELETE FROM flow_run_input WHERE flow_run_id = $1 AND key = $2";
    Ok(query(sql).bind(run).bind(key).execute(conn).await? == 1)
}

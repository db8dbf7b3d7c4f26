//! The database as a whole.

use chrono::{DateTime, Utc};

use super::{block_specs, builtin_blocks, result_storage};
use crate::db::{Conn, Result, query};

/// Every table that holds what users made, those that refer to others first.
const TABLES: &[&str] = &[
    "automation_event_follower",
    "automation_bucket",
    "automation_related_resource",
    "automation_action",
    "composite_trigger_child_firing",
    "automation",
    "event_resources",
    "events",
    "flow_run_notification_queue",
    "flow_run_notification_policy",
    "task_run_state_cache",
    "task_run_state",
    "task_run_delivery",
    "task_run",
    "flow_run_input",
    "flow_run_state",
    "flow_run",
    "deployment_schedule",
    "deployment",
    "flow",
    "log",
    "concurrency_lease_limit",
    "concurrency_lease",
    "concurrency_limit_v2",
    "work_queue_poll",
    "work_queue",
    "worker",
    "work_pool",
    "saved_search",
    "variable",
    "artifact_collection",
    "artifact",
    "block",
    "block_spec",
    "block_document_reference",
    "block_document",
    "block_schema",
    "block_type",
];

/// Deletes everything, and leaves the database as a new one is.
pub async fn clear(conn: &mut Conn, now: DateTime<Utc>) -> Result<()> {
    for table in TABLES {
        query(format!("DELETE FROM {table}")).execute(conn).await?;
    }
    result_storage::clear(conn).await?;
    ensure_builtin(conn, now).await
}

/// Makes sure that the database has what clients find in a new one.
pub async fn ensure_builtin(conn: &mut Conn, now: DateTime<Utc>) -> Result<()> {
    block_specs::ensure_builtin(conn, now).await?;
    builtin_blocks::ensure(conn, now).await
}

/// Fails unless the database answers.
pub async fn ping(conn: &mut Conn) -> Result<()> {
    // A cast, since PostgreSQL gives a small number otherwise.
    query("SELECT CAST(1 AS BIGINT)")
        .fetch_one::<i64>(conn)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::TABLES;

    /// What users do not make: how the server knows its key, what generation the schema is of, who may send forms.
    const KEPT: [&str; 3] = ["alembic_version", "configuration", "csrf_token"];

    #[test]
    fn each_table_is_emptied_or_kept_on_purpose() {
        let script = include_str!("../../../migrations/sqlite/0001_initial.sql");
        let tables = script
            .lines()
            .filter_map(|line| line.strip_prefix("CREATE TABLE "));
        let mut count = 0;
        for table in tables.filter_map(|rest| rest.split([' ', '(']).next()) {
            count += 1;
            let is_known = TABLES.contains(&table) || KEPT.contains(&table);
            assert!(is_known, "what becomes of {table}?");
        }
        assert!(count > TABLES.len());
    }
}

//! Deployments in the database.

use chrono::{DateTime, Utc};

use super::filters::{Listed, compile};
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::actions::DeploymentCreate;
use crate::schemas::deployments::Deployment;
use crate::schemas::filters::{Filters, FlowSort};
use crate::schemas::flow_runs::FlowRunnerSettings;
use crate::schemas::{DeploymentId, Document};

/// The columns of a deployment, in the order in which it is read.
pub const COLUMNS: &str = "deployment.id, deployment.created, deployment.updated, deployment.name, \
                           deployment.flow_id, deployment.schedule, deployment.is_schedule_active, \
                           deployment.tags, deployment.parameters, deployment.flow_data, \
                           deployment.flow_runner_type, deployment.flow_runner_config";

impl FromRow for Deployment {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            flow_id: row.take()?,
            schedule: row.take()?,
            is_schedule_active: row.take()?,
            tags: row.take()?,
            parameters: row.take()?,
            flow_data: row.take()?,
            flow_runner: FlowRunnerSettings {
                runner_type: row.take()?,
                config: row.take()?,
            },
        })
    }
}

/// Creates a deployment, or updates the one of that flow and name; tells whether it is new.
///
/// Runs that the old schedule made and that nobody has begun are deleted; the scheduler makes
/// those of the new one. A runner that is not given stays the old one.
pub async fn upsert(
    conn: &mut Conn,
    deployment: DeploymentCreate,
    now: DateTime<Utc>,
) -> Result<(Deployment, bool)> {
    let insert = "INSERT INTO deployment (id, created, updated, name, flow_id, schedule, \
                  is_schedule_active, tags, parameters, flow_data, flow_runner_type, \
                  flow_runner_config) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
                  ON CONFLICT (flow_id, name) DO UPDATE SET updated = excluded.updated, \
                  schedule = excluded.schedule, is_schedule_active = excluded.is_schedule_active, \
                  tags = excluded.tags, parameters = excluded.parameters, \
                  flow_data = excluded.flow_data, \
                  flow_runner_type = CASE WHEN $12 THEN excluded.flow_runner_type \
                  ELSE deployment.flow_runner_type END, \
                  flow_runner_config = CASE WHEN $12 THEN excluded.flow_runner_config \
                  ELSE deployment.flow_runner_config END";
    let id = DeploymentId::new();
    let has_runner = deployment.flow_runner.is_some();
    let runner = deployment.flow_runner.unwrap_or_default();
    let parameters = deployment.parameters;
    query(insert)
        .bind(id)
        .bind(now)
        .bind(&deployment.name)
        .bind(deployment.flow_id)
        .bind(deployment.schedule)
        .bind(deployment.is_schedule_active)
        .bind(deployment.tags)
        .bind(parameters.unwrap_or_else(Document::empty_object))
        .bind(deployment.flow_data)
        .bind(runner.runner_type)
        .bind(runner.config)
        .bind(has_runner)
        .execute(conn)
        .await?;
    let sql = format!("SELECT {COLUMNS} FROM deployment WHERE flow_id = $1 AND name = $2");
    let stored: Deployment = query(sql)
        .bind(deployment.flow_id)
        .bind(deployment.name)
        .fetch_one(conn)
        .await?;
    let is_new = stored.id == id;
    if !is_new {
        delete_scheduled_runs(conn, stored.id, true).await?;
    }
    Ok((stored, is_new))
}

/// Returns a deployment.
pub async fn read(conn: &mut Conn, id: DeploymentId) -> Result<Option<Deployment>> {
    let sql = format!("SELECT {COLUMNS} FROM deployment WHERE id = $1");
    query(sql).bind(id).fetch_optional(conn).await
}

/// Returns a deployment by the names of its flow and itself.
pub async fn read_by_name(
    conn: &mut Conn,
    flow_name: &str,
    name: &str,
) -> Result<Option<Deployment>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM deployment JOIN flow ON flow.id = deployment.flow_id \
         WHERE flow.name = $1 AND deployment.name = $2"
    );
    query(sql)
        .bind(flow_name)
        .bind(name)
        .fetch_optional(conn)
        .await
}

/// Returns the deployments of a page.
pub async fn list(
    conn: &mut Conn,
    filters: &Filters,
    sort: FlowSort,
    limit: i64,
    offset: i64,
) -> Result<Vec<Deployment>> {
    let (condition, values) = compile(Listed::Deployments, filters, conn.dialect());
    let order = match sort {
        FlowSort::CreatedDesc => "o.created DESC, o.id DESC",
        FlowSort::UpdatedDesc => "o.updated DESC, o.id DESC",
        // Names repeat among flows, and pages must not overlap.
        FlowSort::NameAsc => "o.name, o.id",
        FlowSort::NameDesc => "o.name DESC, o.id DESC",
    };
    let columns = COLUMNS.replace("deployment.", "o.");
    let n = values.len();
    let sql = format!(
        "SELECT {columns} FROM deployment o WHERE {condition} ORDER BY {order} LIMIT ${} OFFSET ${}",
        n + 1,
        n + 2
    );
    query(sql)
        .bind_all(values)
        .bind(limit)
        .bind(offset)
        .fetch_all(conn)
        .await
}

/// Counts the deployments that a filter finds.
pub async fn count(conn: &mut Conn, filters: &Filters) -> Result<i64> {
    let (condition, values) = compile(Listed::Deployments, filters, conn.dialect());
    query(format!(
        "SELECT COUNT(*) FROM deployment o WHERE {condition}"
    ))
    .bind_all(values)
    .fetch_one(conn)
    .await
}

/// Lets a schedule make runs or not; tells whether there is such a deployment.
///
/// A schedule that is stopped loses the runs that it made and that nobody has begun.
pub async fn set_schedule_active(
    conn: &mut Conn,
    id: DeploymentId,
    is_active: bool,
    now: DateTime<Utc>,
) -> Result<bool> {
    let sql = "UPDATE deployment SET is_schedule_active = $2, updated = $3 WHERE id = $1";
    let changed = query(sql)
        .bind(id)
        .bind(is_active)
        .bind(now)
        .execute(conn)
        .await?;
    if !is_active {
        delete_scheduled_runs(conn, id, true).await?;
    }
    Ok(changed == 1)
}

/// Deletes a deployment with its runs that nobody has begun; tells whether there was one.
pub async fn delete(conn: &mut Conn, id: DeploymentId) -> Result<bool> {
    delete_scheduled_runs(conn, id, false).await?;
    let sql = "DELETE FROM deployment WHERE id = $1";
    Ok(query(sql).bind(id).execute(conn).await? == 1)
}

/// Deletes runs that wait for their time, all of them or those that a schedule made.
async fn delete_scheduled_runs(
    conn: &mut Conn,
    id: DeploymentId,
    only_automatic: bool,
) -> Result<()> {
    let mut sql =
        "DELETE FROM flow_run WHERE deployment_id = $1 AND state_type = 'SCHEDULED'".to_owned();
    if only_automatic {
        // A run that failed and waits for its retry is scheduled too, but has begun.
        sql.push_str(" AND auto_scheduled AND run_count = 0");
    }
    query(sql).bind(id).execute(conn).await.map(drop)
}

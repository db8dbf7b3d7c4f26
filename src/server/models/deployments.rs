//! Deployments in the database.

use chrono::{DateTime, Utc};

use super::filters::{Listed, compile};
use super::{deployment_schedules, work_pools, work_queues};
use crate::db::{Conn, FromRow, Result, Row, Value, query};
use crate::schemas::deployment_actions::{DeploymentCreate, DeploymentUpdate};
use crate::schemas::deployments::Deployment;
use crate::schemas::filters::{Filters, FlowSort};
use crate::schemas::flow_runs::FlowRunnerSettings;
use crate::schemas::work_pools::DEFAULT_AGENT_POOL;
use crate::schemas::work_queues::WorkQueue;
use crate::schemas::{DeploymentId, Document, FlowId};

const COLUMNS: &str = "o.id, o.created, o.updated, o.name, o.flow_id, o.is_schedule_active, \
    o.tags, o.parameters, o.flow_data, o.flow_runner_type, o.flow_runner_config, o.version, \
    o.description, o.path, o.entrypoint, o.manifest_path, o.pull_steps, \
    o.parameter_openapi_schema, o.enforce_parameter_schema, o.job_variables, o.work_queue_id, \
    o.work_queue_name, p.name, o.infrastructure_document_id, o.storage_document_id, \
    o.concurrency_limit, o.concurrency_options, o.labels, o.last_polled";

/// A deployment and the pool that its queue is in.
const TABLES: &str = "deployment o LEFT JOIN work_queue q ON q.id = o.work_queue_id \
    LEFT JOIN work_pool p ON p.id = q.work_pool_id";

impl FromRow for Deployment {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            flow_id: row.take()?,
            schedules: Vec::new(),
            is_schedule_active: row.take()?,
            tags: row.take()?,
            parameters: row.take()?,
            flow_data: row.take()?,
            flow_runner: FlowRunnerSettings {
                runner_type: row.take()?,
                config: row.take()?,
            },
            version: row.take()?,
            description: row.take()?,
            path: row.take()?,
            entrypoint: row.take()?,
            manifest_path: row.take()?,
            pull_steps: row.take()?,
            parameter_openapi_schema: row.take()?,
            enforce_parameter_schema: row.take()?,
            job_variables: row.take()?,
            work_queue_id: row.take()?,
            work_queue_name: row.take()?,
            work_pool_name: row.take()?,
            infrastructure_document_id: row.take()?,
            storage_document_id: row.take()?,
            concurrency_limit: row.take()?,
            concurrency_options: row.take()?,
            labels: row.take()?,
            last_polled: row.take()?,
        })
    }
}

/// There is no work pool of this name.
#[derive(Debug, Clone, PartialEq)]
pub struct NoPool(pub String);

/// Creates a deployment, or updates the one of that flow and name; tells whether it is new.
///
/// Runs that the old schedules made and that nobody has begun are deleted; the scheduler makes
/// those of the new ones. A runner that is not given stays the old one.
pub async fn upsert(
    conn: &mut Conn,
    deployment: DeploymentCreate,
    now: DateTime<Utc>,
) -> Result<std::result::Result<(Deployment, bool), NoPool>> {
    let (name, flow_id, update) = deployment.split();
    let id = DeploymentId::new();
    let insert = "INSERT INTO deployment (id, created, updated, name, flow_id, \
                  is_schedule_active, labels) VALUES ($1, $2, $2, $3, $4, $5, $6) \
                  ON CONFLICT (flow_id, name) DO NOTHING";
    let queue = match find_queue(conn, &update, now).await? {
        Ok(queue) => queue,
        Err(no_pool) => return Ok(Err(no_pool)),
    };
    query(insert)
        .bind(id)
        .bind(now)
        .bind(&name)
        .bind(flow_id)
        .bind(true)
        .bind(labels(flow_id, update.labels.as_ref()))
        .execute(conn)
        .await?;
    let known = "SELECT id FROM deployment WHERE flow_id = $1 AND name = $2";
    let known = query(known).bind(flow_id).bind(name);
    let stored = DeploymentId(known.fetch_one(conn).await?);
    change(conn, stored, update, queue, now).await?;
    let deployment = read(conn, stored).await?;
    let deployment = deployment.expect("the deployment is there since this write");
    Ok(Ok((deployment, stored == id)))
}

/// Returns the labels of a deployment: where it comes from, and what the client gave.
fn labels(flow: FlowId, given: Option<&Document>) -> Document {
    let own = serde_json::json!({"prefect.flow.id": flow});
    let own = Document::of(&own).expect("ids are JSON");
    given.map_or_else(|| own.clone(), |given| own.merge(given))
}

/// Finds the queue that runs shall wait in, if a pool or a queue is named; makes a queue that is
/// not there.
async fn find_queue(
    conn: &mut Conn,
    update: &DeploymentUpdate,
    now: DateTime<Utc>,
) -> Result<std::result::Result<Option<WorkQueue>, NoPool>> {
    let pool = match update.work_pool_name.as_deref() {
        Some(DEFAULT_AGENT_POOL) => work_pools::ensure_default_agent_pool(conn, now).await?,
        Some(name) => match work_pools::read_by_name(conn, name).await? {
            Some(pool) => pool,
            None => return Ok(Err(NoPool(name.to_owned()))),
        },
        None if update.work_queue_name.is_some() => {
            work_pools::ensure_default_agent_pool(conn, now).await?
        }
        None => return Ok(Ok(None)),
    };
    let queue = match (&update.work_queue_name, pool.default_queue_id) {
        (Some(name), _) => Some(work_queues::ensure(conn, &pool, name, now).await?),
        (None, Some(id)) => work_queues::read(conn, id).await?,
        (None, None) => None,
    };
    Ok(Ok(queue))
}

/// Changes a deployment; none if there is no such one.
pub async fn update(
    conn: &mut Conn,
    id: DeploymentId,
    update: DeploymentUpdate,
    now: DateTime<Utc>,
) -> Result<Option<std::result::Result<(), NoPool>>> {
    let sql = "SELECT id FROM deployment WHERE id = $1";
    let known: Option<uuid::Uuid> = query(sql).bind(id).fetch_optional(conn).await?;
    if known.is_none() {
        return Ok(None);
    }
    match find_queue(conn, &update, now).await? {
        Ok(queue) => change(conn, id, update, queue, now).await.map(Ok).map(Some),
        Err(no_pool) => Ok(Some(Err(no_pool))),
    }
}

/// Writes what is given of a deployment.
async fn change(
    conn: &mut Conn,
    id: DeploymentId,
    mut update: DeploymentUpdate,
    queue: Option<WorkQueue>,
    now: DateTime<Utc>,
) -> Result<()> {
    let schedules = update.take_schedules();
    let mut sql = "UPDATE deployment SET updated = $2".to_owned();
    let mut values: Vec<Value> = vec![id.into(), now.into()];
    let mut columns = given(update);
    if let Some(queue) = queue {
        columns.push(("work_queue_id", queue.id.into()));
        columns.push(("work_queue_name", queue.name.into()));
    }
    for (column, value) in columns {
        values.push(value);
        sql.push_str(&format!(", {column} = ${}", values.len()));
    }
    sql.push_str(" WHERE id = $1");
    query(sql).bind_all(values).execute(conn).await?;
    if let Some(schedules) = schedules {
        deployment_schedules::replace(conn, id, schedules, now).await?;
    }
    delete_scheduled_runs(conn, id, true).await
}

/// Returns the columns that are given, with their values.
fn given(update: DeploymentUpdate) -> Vec<(&'static str, Value)> {
    fn some<T: Into<Value>>(name: &'static str, given: Option<T>) -> Option<(&'static str, Value)> {
        given.map(|value| (name, value.into()))
    }
    let is_active = update.paused.map(|paused| !paused);
    let job_variables = update.job_variables.or(update.infra_overrides);
    let (runner_type, config) = match update.flow_runner {
        Some(runner) => (Some(runner.runner_type), Some(runner.config)),
        None => (None, None),
    };
    let columns = [
        some(
            "is_schedule_active",
            is_active.or(update.is_schedule_active),
        ),
        some("tags", update.tags),
        some("parameters", update.parameters),
        some("flow_data", update.flow_data),
        some("flow_runner_type", runner_type),
        some("flow_runner_config", config),
        some("version", update.version),
        some("description", update.description),
        some("path", update.path),
        some("entrypoint", update.entrypoint),
        some("manifest_path", update.manifest_path),
        some("pull_steps", update.pull_steps),
        some("parameter_openapi_schema", update.parameter_openapi_schema),
        some("enforce_parameter_schema", update.enforce_parameter_schema),
        some("job_variables", job_variables),
        some(
            "infrastructure_document_id",
            update.infrastructure_document_id,
        ),
        some("storage_document_id", update.storage_document_id),
        some("concurrency_limit", update.concurrency_limit),
        some("concurrency_options", update.concurrency_options),
    ];
    columns.into_iter().flatten().collect()
}

/// Returns a deployment.
pub async fn read(conn: &mut Conn, id: DeploymentId) -> Result<Option<Deployment>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE o.id = $1");
    let found = query(sql).bind(id).fetch_all(conn).await?;
    Ok(deployment_schedules::attach(conn, found).await?.pop())
}

/// Returns a deployment by the names of its flow and itself.
pub async fn read_by_name(
    conn: &mut Conn,
    flow_name: &str,
    name: &str,
) -> Result<Option<Deployment>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {TABLES} JOIN flow f ON f.id = o.flow_id \
         WHERE f.name = $1 AND o.name = $2"
    );
    let found = query(sql)
        .bind(flow_name)
        .bind(name)
        .fetch_all(conn)
        .await?;
    Ok(deployment_schedules::attach(conn, found).await?.pop())
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
    let n = values.len();
    let sql = format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE {condition} ORDER BY {order} LIMIT ${} OFFSET ${}",
        n + 1,
        n + 2
    );
    let found = query(sql).bind_all(values).bind(limit).bind(offset);
    let found = found.fetch_all(conn).await?;
    deployment_schedules::attach(conn, found).await
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
pub async fn delete_scheduled_runs(
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

/// Notes that somebody has asked for runs of deployments.
pub async fn set_polled(conn: &mut Conn, ids: &[DeploymentId], now: DateTime<Utc>) -> Result<()> {
    let ids = Value::Uuids(ids.iter().map(|id| id.0).collect());
    let sql = "UPDATE deployment SET last_polled = $2 WHERE id = ANY($1)";
    query(sql)
        .bind_all([ids, now.into()])
        .execute(conn)
        .await
        .map(drop)
}

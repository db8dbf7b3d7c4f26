//! Deployments in the database.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::deployment_limits::{self, Wanted};
use super::events::lifecycle::{Became, Happened};
use super::events::of_states;
use super::filters::{self, Listed, compile, page};
use super::global_concurrency_limits::{self as limits, Which};
use super::{deployment_schedules, flows, work_pools, work_queues};
use crate::db::{Conn, FromRow, Result, Row, Value, query};
use crate::schemas::deployment_actions::{DeploymentCreate, DeploymentUpdate};
use crate::schemas::deployments::Deployment;
use crate::schemas::filters::{Filters, FlowSort};
use crate::schemas::flow_runs::FlowRunnerSettings;
use crate::schemas::work_pools::DEFAULT_AGENT_POOL;
use crate::schemas::work_queues::WorkQueue;
use crate::schemas::{DeploymentId, Document, FlowId, WorkQueueId};

const COLUMNS: &str = "o.id, o.created, o.updated, o.name, o.flow_id, o.is_schedule_active, \
    o.tags, o.parameters, o.flow_data, o.flow_runner_type, o.flow_runner_config, o.version, \
    o.description, o.path, o.entrypoint, o.manifest_path, o.pull_steps, \
    o.parameter_openapi_schema, o.enforce_parameter_schema, o.job_variables, o.work_queue_id, \
    o.work_queue_name, p.name, o.infrastructure_document_id, o.storage_document_id, \
    o.concurrency_options, o.labels, o.last_polled, l.id, l.created, l.updated, l.active, l.name, \
    l.\"limit\", l.active_slots, l.denied_slots, l.slot_decay_per_second, \
    l.avg_slot_occupancy_seconds, l.slots_at";

/// A deployment, the pool that its queue is in, and its limit.
const TABLES: &str = "deployment o LEFT JOIN work_queue q ON q.id = o.work_queue_id \
    LEFT JOIN work_pool p ON p.id = q.work_pool_id \
    LEFT JOIN concurrency_limit_v2 l ON l.id = o.concurrency_limit_id";

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
            concurrency_options: row
                .take::<Option<Document>>()?
                .and_then(|options| options.read().ok()),
            labels: row.take()?,
            last_polled: row.take()?,
            global_concurrency_limit: limits::take_optional(row)?,
        })
    }
}

/// What a new deployment has where its client says nothing.
#[derive(Debug, Clone, Default)]
pub struct Usual {
    /// Whether parameters must fit the schema.
    pub enforces_schema: bool,
    /// The schema of parameters.
    pub schema: Option<Document>,
    /// How a worker gets the code.
    pub pull_steps: Option<Document>,
}

/// What a deployment refers to and what is not there.
#[derive(Debug, Clone, PartialEq)]
pub enum Missing {
    /// A work pool of this name.
    Pool(String),
    /// The global concurrency limit.
    Limit,
}

/// Creates a deployment, or updates the one of that flow and name; tells whether it is new.
///
/// Runs that the old schedules made and that nobody has begun are deleted; the scheduler makes
/// those of the new ones. A runner that is not given stays the old one.
pub async fn upsert(
    conn: &mut Conn,
    happened: &mut Happened,
    deployment: DeploymentCreate,
    usual: Usual,
    now: DateTime<Utc>,
) -> Result<std::result::Result<(Deployment, bool), Missing>> {
    let (name, flow_id, update) = deployment.split();
    let id = DeploymentId::new();
    let insert = "INSERT INTO deployment (id, created, updated, name, flow_id, \
                  is_schedule_active, labels, enforce_parameter_schema, parameter_openapi_schema, pull_steps) \
                  VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9) \
                  ON CONFLICT (flow_id, name) DO UPDATE SET labels = excluded.labels";
    if lacks_limit(conn, &update).await? {
        return Ok(Err(Missing::Limit));
    }
    let queue = match find_queue(conn, happened, &update, now).await? {
        Ok(queue) => queue,
        Err(missing) => return Ok(Err(missing)),
    };
    let before = read_of_flow(conn, flow_id, &name).await?;
    let labels = labels(conn, flow_id, update.labels.as_ref()).await?;
    query(insert)
        .bind(id)
        .bind(now)
        .bind(&name)
        .bind(flow_id)
        .bind(true)
        .bind(labels)
        .bind(usual.enforces_schema)
        .bind(usual.schema)
        .bind(usual.pull_steps)
        .execute(conn)
        .await?;
    let known = "SELECT id FROM deployment WHERE flow_id = $1 AND name = $2";
    let known = query(known).bind(flow_id).bind(name);
    let stored = DeploymentId(known.fetch_one(conn).await?);
    change(conn, stored, update, queue, now).await?;
    let deployment = read(conn, stored).await?;
    let deployment = deployment.expect("the deployment is there since this write");
    let is_new = stored == id;
    match before {
        _ if is_new => {
            happened
                .deployment(conn, Became::Created, &deployment)
                .await?;
        }
        Some(before) => {
            happened
                .deployment_updated(conn, &before, &deployment)
                .await?;
        }
        // Another server has just created it, and tells that.
        None => {}
    }
    Ok(Ok((deployment, is_new)))
}

async fn read_of_flow(conn: &mut Conn, flow: FlowId, name: &str) -> Result<Option<Deployment>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE o.flow_id = $1 AND o.name = $2");
    query(sql).bind(flow).bind(name).fetch_optional(conn).await
}

/// Returns the labels of a deployment: its flow's, where it comes from, and what the client gave.
async fn labels(conn: &mut Conn, flow: FlowId, given: Option<&Document>) -> Result<Document> {
    let own = serde_json::json!({"prefect.flow.id": flow});
    let own = Document::of(&own).expect("ids are JSON");
    let labels = flows::labels(conn, flow).await?.merge(&own);
    Ok(given.map_or_else(|| labels.clone(), |given| labels.merge(given)))
}

/// Finds the queue that runs shall wait in, if a pool or a queue is named; makes a queue that is
/// not there.
async fn find_queue(
    conn: &mut Conn,
    happened: &mut Happened,
    update: &DeploymentUpdate,
    now: DateTime<Utc>,
) -> Result<std::result::Result<Option<WorkQueue>, Missing>> {
    if update.work_pool_name == Some(None) {
        return Ok(Ok(None));
    }
    let pool = match update.work_pool() {
        Some(DEFAULT_AGENT_POOL) => {
            work_pools::ensure_default_agent_pool(conn, happened, now).await?
        }
        Some(name) => match work_pools::read_by_name(conn, name).await? {
            Some(pool) => pool,
            None => return Ok(Err(Missing::Pool(name.to_owned()))),
        },
        None if update.work_queue_name.is_some() => {
            work_pools::ensure_default_agent_pool(conn, happened, now).await?
        }
        None => return Ok(Ok(None)),
    };
    let queue = match (&update.work_queue_name, pool.default_queue_id) {
        (Some(name), _) => {
            // A queue that no pool was named for goes before all others of agents.
            let first = update.work_pool_name.is_none().then_some(1);
            Some(work_queues::ensure(conn, happened, &pool, name, first, now).await?)
        }
        (None, Some(id)) => work_queues::read(conn, id).await?,
        (None, None) => None,
    };
    Ok(Ok(queue))
}

/// Changes a deployment; none if there is no such one.
pub async fn update(
    conn: &mut Conn,
    happened: &mut Happened,
    id: DeploymentId,
    update: DeploymentUpdate,
    now: DateTime<Utc>,
) -> Result<Option<std::result::Result<(), Missing>>> {
    let Some(before) = read(conn, id).await? else {
        return Ok(None);
    };
    if lacks_limit(conn, &update).await? {
        return Ok(Some(Err(Missing::Limit)));
    }
    let queue = match find_queue(conn, happened, &update, now).await? {
        Ok(queue) => queue,
        Err(missing) => return Ok(Some(Err(missing))),
    };
    change(conn, id, update, queue, now).await?;
    if let Some(after) = read(conn, id).await? {
        happened.deployment_updated(conn, &before, &after).await?;
    }
    Ok(Some(Ok(())))
}

/// Tells whether the global limit that is named is not there.
async fn lacks_limit(conn: &mut Conn, update: &DeploymentUpdate) -> Result<bool> {
    match update.global_concurrency_limit_id {
        Some(Some(id)) => Ok(limits::read(conn, &Which::Id(id)).await?.is_none()),
        _ => Ok(false),
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
    let limit = Wanted {
        limit: update.concurrency_limit.take(),
        shared: update.global_concurrency_limit_id.take(),
    };
    let mut sql = "UPDATE deployment SET updated = $2".to_owned();
    let mut values: Vec<Value> = vec![id.into(), now.into()];
    let leaves_pool = update.work_pool_name == Some(None);
    let mut columns = given(update);
    if leaves_pool {
        columns.push(("work_queue_id", None::<WorkQueueId>.into()));
    }
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
    delete_scheduled_runs(conn, id, true).await?;
    deployment_limits::set(conn, id, limit, now).await
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
    let options = update.concurrency_options.map(|options| {
        options.map(|options| Document::of(&options).expect("words and numbers are JSON"))
    });
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
        some("concurrency_options", options),
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
    let found = compile(Listed::Deployments, filters, conn.dialect());
    let order = match sort {
        FlowSort::CreatedDesc => "o.created DESC, o.id DESC",
        FlowSort::UpdatedDesc => "o.updated DESC, o.id DESC",
        // Names repeat among flows, and pages must not overlap.
        FlowSort::NameAsc => "o.name, o.id",
        FlowSort::NameDesc => "o.name DESC, o.id DESC",
    };
    let select = &format!("SELECT {COLUMNS} FROM {TABLES}");
    let found = page(conn, select, found, order, limit, offset).await?;
    deployment_schedules::attach(conn, found).await
}

/// Counts the deployments that a filter finds.
pub async fn count(conn: &mut Conn, filters: &Filters) -> Result<i64> {
    let found = compile(Listed::Deployments, filters, conn.dialect());
    filters::count(conn, "deployment o", found).await
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
///
/// What has happened to its runs since `events_since` stays as events that name it.
pub async fn delete(
    conn: &mut Conn,
    happened: &mut Happened,
    id: DeploymentId,
    events_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool> {
    let Some(known) = read(conn, id).await? else {
        return Ok(false);
    };
    happened.deployment(conn, Became::Deleted, &known).await?;
    let runs = query("SELECT r.id FROM flow_run r WHERE r.deployment_id = $1").bind(id);
    let runs: Vec<Uuid> = runs.fetch_all(conn).await?;
    of_states::keep(conn, &runs, events_since, now).await?;
    delete_scheduled_runs(conn, id, false).await?;
    deployment_limits::forget_own(conn, id).await?;
    let sql = "DELETE FROM deployment WHERE id = $1";
    Ok(query(sql).bind(id).execute(conn).await? == 1)
}

/// Deletes runs that wait for their time, all of them or those that a schedule made.
pub async fn delete_scheduled_runs(
    conn: &mut Conn,
    id: DeploymentId,
    only_automatic: bool,
) -> Result<()> {
    // A run that failed and waits for its retry is scheduled too, but has begun.
    let mut sql = "DELETE FROM flow_run WHERE deployment_id = $1 AND state_type = 'SCHEDULED' AND run_count = 0"
        .to_owned();
    if only_automatic {
        sql.push_str(" AND auto_scheduled");
        // One that was claimed and found no slot has been on its way, and waits in line.
        sql.push_str(" AND state_name <> 'AwaitingConcurrencySlot'");
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

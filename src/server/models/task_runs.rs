//! Task runs in the database.

use chrono::{DateTime, Utc};

use super::concurrency_limits;
use super::events::of_states;
use super::filters::{self, Listed, compile, page};
use super::states::{self, take_optional};
use super::transitions;
use crate::db::{Conn, FromRow, Result, Row, query, storable};
use crate::schemas::actions::{StateCreate, TaskRunCreate};
use crate::schemas::filters::{Filters, TaskRunSort};
use crate::schemas::task_runs::TaskRun;
use crate::schemas::{Document, FlowRunId, Tags, TaskRunId};
use crate::server::orchestration::{Plan, Run, RunId};

const SELECT: &str = "SELECT o.id, o.created, o.updated, o.name, o.flow_run_id, o.task_key, o.dynamic_key, \
    o.run_count, o.expected_start_time, o.next_scheduled_start_time, o.start_time, o.end_time, o.total_run_time, \
    o.cache_key, o.cache_expiration, o.task_version, o.empirical_policy, o.task_inputs, o.tags, \
    o.flow_run_run_count, o.labels, s.id, s.type, s.name, s.timestamp, s.message, s.state_details, s.data \
    FROM task_run o LEFT JOIN task_run_state s ON s.id = o.state_id";

impl FromRow for TaskRun {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            flow_run_id: row.take()?,
            task_key: row.take()?,
            dynamic_key: row.take()?,
            run_count: row.take()?,
            expected_start_time: row.take()?,
            next_scheduled_start_time: row.take()?,
            start_time: row.take()?,
            end_time: row.take()?,
            total_run_time: row.take()?,
            cache_key: row.take()?,
            cache_expiration: row.take()?,
            task_version: row.take()?,
            empirical_policy: row.take()?,
            task_inputs: row.take()?,
            tags: row.take()?,
            flow_run_run_count: row.take()?,
            labels: row.take()?,
            state: take_optional(row)?,
        })
    }
}

/// Creates a task run, or returns the one of those keys; tells whether it is new.
pub async fn create(
    conn: &mut Conn,
    create: TaskRunCreate,
    now: DateTime<Utc>,
) -> Result<(TaskRun, bool)> {
    let id = create.id.unwrap_or_else(TaskRunId::new);
    let run_id = RunId::Task(id, create.flow_run_id);
    let labels = labels(conn, &create).await?;
    let first = create.state.unwrap_or_else(StateCreate::pending);
    let (state, record) = transitions::first(run_id, states::proposed(first, now));
    let text = |text: Option<String>| text.map(storable);
    let mut run = TaskRun {
        id,
        created: now,
        updated: now,
        name: text(create.name.filter(|name| !name.is_empty()))
            .unwrap_or_else(super::names::generate),
        flow_run_id: create.flow_run_id,
        task_key: storable(create.task_key),
        dynamic_key: storable(create.dynamic_key),
        run_count: record.run_count,
        expected_start_time: record.expected_start_time,
        next_scheduled_start_time: record.next_scheduled_start_time,
        start_time: record.start_time,
        end_time: record.end_time,
        total_run_time: record.total_run_time,
        cache_key: text(create.cache_key),
        cache_expiration: create.cache_expiration.map(|at| at.0),
        task_version: text(create.task_version),
        empirical_policy: create.empirical_policy.unwrap_or_default(),
        task_inputs: create.task_inputs.unwrap_or_else(Document::empty_object),
        tags: create.tags,
        flow_run_run_count: 0,
        labels,
        state: Some(state),
    };
    if !insert(conn, &run).await? {
        let sql =
            format!("{SELECT} WHERE o.flow_run_id = $1 AND o.task_key = $2 AND o.dynamic_key = $3");
        let known = query(sql)
            .bind(run.flow_run_id)
            .bind(run.task_key)
            .bind(run.dynamic_key);
        return Ok((known.fetch_one(conn).await?, false));
    }
    let state = run.state.as_mut().expect("the run is made with one");
    transitions::write_first(conn, run_id, state, now).await?;
    Ok((run, true))
}

/// Returns the labels of a new run: its flow run's, where it belongs, and what the client gave.
async fn labels(conn: &mut Conn, create: &TaskRunCreate) -> Result<Document> {
    let given = create.labels.clone();
    let Some(flow_run) = create.flow_run_id else {
        return Ok(given.unwrap_or_else(Document::empty_object));
    };
    let sql = "SELECT labels FROM flow_run WHERE id = $1";
    let inherited: Option<String> = query(sql).bind(flow_run).fetch_optional(conn).await?;
    let inherited = inherited.and_then(|text| Document::parse(text).ok());
    let own = serde_json::json!({"prefect.flow-run.id": flow_run});
    let own = Document::of(&own).expect("ids are JSON");
    let labels = inherited.unwrap_or_else(Document::empty_object).merge(&own);
    Ok(match given {
        Some(given) => labels.merge(&given),
        None => labels,
    })
}

/// Inserts a run with what its row says of its state; says no if its keys are known.
async fn insert(conn: &mut Conn, run: &TaskRun) -> Result<bool> {
    let sql = "INSERT INTO task_run (id, created, updated, name, flow_run_id, task_key, dynamic_key, cache_key, \
               cache_expiration, task_version, empirical_policy, task_inputs, tags, state_id, state_type, \
               state_name, state_timestamp, run_count, expected_start_time, next_scheduled_start_time, start_time, \
               end_time, labels) \
               VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
               $20, $21, $22) \
               ON CONFLICT (flow_run_id, task_key, dynamic_key) DO NOTHING";
    let state = run.state.as_ref();
    let insert = query(sql)
        .bind(run.id)
        .bind(run.created)
        .bind(&run.name)
        .bind(run.flow_run_id)
        .bind(&run.task_key)
        .bind(&run.dynamic_key)
        .bind(run.cache_key.clone())
        .bind(run.cache_expiration)
        .bind(run.task_version.clone())
        .bind(run.empirical_policy.clone())
        .bind(run.task_inputs.clone())
        .bind(run.tags.clone())
        .bind(state.map(|state| state.id))
        .bind(state.map(|state| state.state_type))
        .bind(state.map(|state| state.name.clone()))
        .bind(state.map(|state| state.timestamp))
        .bind(run.run_count)
        .bind(run.expected_start_time)
        .bind(run.next_scheduled_start_time)
        .bind(run.start_time)
        .bind(run.end_time)
        .bind(run.labels.clone());
    Ok(insert.execute(conn).await? == 1)
}

/// Returns a task run by its id.
pub async fn read(conn: &mut Conn, id: TaskRunId) -> Result<Option<TaskRun>> {
    query(format!("{SELECT} WHERE o.id = $1"))
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// What a transition of a task run needs to know of it.
pub struct ForTransition {
    /// What rules ask.
    pub run: Run,
    /// The run's tags, which limits apply to.
    pub tags: Tags,
    /// In which try of its flow run it ran last.
    pub flow_run_run_count: i64,
}

impl FromRow for ForTransition {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let id = RunId::Task(row.take()?, row.take()?);
        let (tags, retry, flow_run_run_count) = (row.take()?, row.take()?, row.take()?);
        let run = Run {
            id,
            record: states::take_record(row)?,
            retry,
            is_deployed: false,
            has_infrastructure: false,
            plan: Plan::default(),
            state: take_optional(row)?,
        };
        Ok(Self {
            run,
            tags,
            flow_run_run_count,
        })
    }
}

/// Returns what a transition needs, and keeps other servers from changing it meanwhile.
pub async fn read_for_transition(conn: &mut Conn, id: TaskRunId) -> Result<Option<ForTransition>> {
    let (columns, record) = (states::COLUMNS, states::RECORD);
    states::lock(conn, "task_run", id.0).await?;
    query(format!(
        "SELECT o.id, o.flow_run_id, o.tags, o.empirical_policy, o.flow_run_run_count, {record}, {columns} \
         FROM task_run o LEFT JOIN task_run_state s ON s.id = o.state_id WHERE o.id = $1"
    ))
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Returns the task runs of a page.
pub async fn list(
    conn: &mut Conn,
    filters: &Filters,
    sort: TaskRunSort,
    limit: i64,
    offset: i64,
) -> Result<Vec<TaskRun>> {
    let found = compile(Listed::TaskRuns, filters, conn.dialect());
    let order = match sort {
        TaskRunSort::IdDesc => "o.id DESC",
        TaskRunSort::ExpectedStartTimeAsc => "o.expected_start_time, o.id",
        TaskRunSort::ExpectedStartTimeDesc => "o.expected_start_time DESC, o.id DESC",
        TaskRunSort::NameAsc => "o.name, o.id",
        TaskRunSort::NameDesc => "o.name DESC, o.id DESC",
        TaskRunSort::NextScheduledStartTimeAsc => "o.next_scheduled_start_time, o.id",
        TaskRunSort::EndTimeDesc => "o.end_time DESC NULLS LAST, o.id DESC",
    };
    page(conn, SELECT, found, order, limit, offset).await
}

/// Returns all task runs of a flow run, in the order in which they were made.
pub async fn list_of_flow_run(conn: &mut Conn, id: FlowRunId) -> Result<Vec<TaskRun>> {
    query(format!(
        "{SELECT} WHERE o.flow_run_id = $1 ORDER BY o.created, o.id"
    ))
    .bind(id)
    .fetch_all(conn)
    .await
}

/// Counts the task runs that a filter finds.
pub async fn count(conn: &mut Conn, filters: &Filters) -> Result<i64> {
    let found = compile(Listed::TaskRuns, filters, conn.dialect());
    filters::count(conn, "task_run o", found).await
}

/// Renames a task run; tells whether there is one.
pub async fn update(
    conn: &mut Conn,
    id: TaskRunId,
    name: Option<String>,
    now: DateTime<Utc>,
) -> Result<bool> {
    let sql = "UPDATE task_run SET updated = $2, name = COALESCE($3, name) WHERE id = $1";
    let change = query(sql).bind(id).bind(now).bind(name);
    Ok(change.execute(conn).await? == 1)
}

/// Deletes a task run with its hold on slots; tells whether there was one.
///
/// What has happened to it since `events_since` stays as events.
pub async fn delete(
    conn: &mut Conn,
    id: TaskRunId,
    events_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool> {
    states::lock(conn, "task_run", id.0).await?;
    of_states::keep_of_task_run(conn, id.0, events_since, now).await?;
    concurrency_limits::release(conn, id, now).await?;
    Ok(query("DELETE FROM task_run WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?
        == 1)
}

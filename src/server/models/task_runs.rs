//! Task runs in the database.

use chrono::{DateTime, Utc};

use super::filters::{Listed, compile};
use super::states::{self, take_optional};
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::actions::{StateCreate, TaskRunCreate};
use crate::schemas::filters::{Filters, TaskRunSort};
use crate::schemas::task_runs::TaskRun;
use crate::schemas::{Document, FlowRunId, Tags, TaskRunId};
use crate::server::orchestration::{Record, Run, RunId};

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
    let name = create
        .name
        .filter(|name| !name.is_empty())
        .unwrap_or_else(super::names::generate);
    let sql = "INSERT INTO task_run (id, created, updated, name, flow_run_id, task_key, dynamic_key, cache_key, \
               cache_expiration, task_version, empirical_policy, task_inputs, tags, labels) \
               VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
               ON CONFLICT (flow_run_id, task_key, dynamic_key) DO NOTHING";
    let insert = query(sql)
        .bind(id)
        .bind(now)
        .bind(name)
        .bind(create.flow_run_id)
        .bind(&create.task_key);
    let insert = insert
        .bind(&create.dynamic_key)
        .bind(create.cache_key)
        .bind(create.cache_expiration.map(|at| at.0));
    let insert = insert
        .bind(create.task_version)
        .bind(create.empirical_policy.clone().unwrap_or_default());
    let insert = insert
        .bind(create.task_inputs.unwrap_or_else(Document::empty_object))
        .bind(create.tags)
        .bind(create.labels.unwrap_or_else(Document::empty_object));
    if insert.execute(conn).await? == 0 {
        let sql =
            format!("{SELECT} WHERE o.flow_run_id = $1 AND o.task_key = $2 AND o.dynamic_key = $3");
        let known = query(sql)
            .bind(create.flow_run_id)
            .bind(create.task_key)
            .bind(create.dynamic_key);
        return Ok((known.fetch_one(conn).await?, false));
    }
    let first = create.state.unwrap_or_else(StateCreate::pending);
    let run = Run {
        id: RunId::Task(id, create.flow_run_id),
        state: None,
        record: Record::default(),
        retry: create.empirical_policy.unwrap_or_default(),
        is_deployed: false,
    };
    states::write(conn, &run, states::proposed(first, now), Vec::new(), now).await?;
    let run = read(conn, id).await?;
    Ok((run.expect("the run was inserted in this write"), true))
}

/// Returns a task run by its id.
pub async fn read(conn: &mut Conn, id: TaskRunId) -> Result<Option<TaskRun>> {
    query(format!("{SELECT} WHERE o.id = $1"))
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// Returns what a transition needs and the run's tags, locked against other servers.
pub async fn read_for_transition(conn: &mut Conn, id: TaskRunId) -> Result<Option<(Run, Tags)>> {
    let lock = conn.dialect().for_update("o");
    let Some(run) = query(format!("{SELECT} WHERE o.id = $1{lock}"))
        .bind(id)
        .fetch_optional::<TaskRun>(conn)
        .await?
    else {
        return Ok(None);
    };
    let facts = Run {
        id: RunId::Task(run.id, run.flow_run_id),
        record: Record {
            run_count: run.run_count,
            total_run_time: run.total_run_time,
            start_time: run.start_time,
            end_time: run.end_time,
            expected_start_time: run.expected_start_time,
            next_scheduled_start_time: run.next_scheduled_start_time,
        },
        retry: run.empirical_policy,
        is_deployed: false,
        state: run.state,
    };
    Ok(Some((facts, run.tags)))
}

/// Returns the task runs of a page.
pub async fn list(
    conn: &mut Conn,
    filters: &Filters,
    sort: TaskRunSort,
    limit: i64,
    offset: i64,
) -> Result<Vec<TaskRun>> {
    let (condition, values) = compile(Listed::TaskRuns, filters, conn.dialect());
    let order = match sort {
        TaskRunSort::IdDesc => "o.id DESC",
        TaskRunSort::ExpectedStartTimeAsc => "o.expected_start_time, o.id",
        TaskRunSort::ExpectedStartTimeDesc => "o.expected_start_time DESC, o.id DESC",
        TaskRunSort::NameAsc => "o.name, o.id",
        TaskRunSort::NameDesc => "o.name DESC, o.id DESC",
        TaskRunSort::NextScheduledStartTimeAsc => "o.next_scheduled_start_time, o.id",
        TaskRunSort::EndTimeDesc => "o.end_time DESC NULLS LAST, o.id DESC",
    };
    let n = values.len();
    let sql = format!(
        "{SELECT} WHERE {condition} ORDER BY {order} LIMIT ${} OFFSET ${}",
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
    let (condition, values) = compile(Listed::TaskRuns, filters, conn.dialect());
    query(format!("SELECT COUNT(*) FROM task_run o WHERE {condition}"))
        .bind_all(values)
        .fetch_one(conn)
        .await
}

/// Deletes a task run; tells whether there was one.
pub async fn delete(conn: &mut Conn, id: TaskRunId) -> Result<bool> {
    Ok(query("DELETE FROM task_run WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?
        == 1)
}

//! Flow runs in the database.

use chrono::{DateTime, Utc};

use super::events::of_states;
use super::filters::{self, Listed, compile, page};
use super::flows;
use super::slots;
use super::states::{self, take_optional};
use super::transitions;
use crate::db::{Conn, FromRow, Result, Row, query, storable};
use crate::schemas::actions::{FlowRunCreate, FlowRunUpdate, StateCreate};
use crate::schemas::filters::{Filters, FlowRunSort};
use crate::schemas::flow_runs::{FlowRun, FlowRunPolicy, FlowRunnerSettings};
use crate::schemas::{DeploymentId, Document, FlowRunId, State, StateType, WorkQueueId};
use crate::server::orchestration::{Plan, RetryType, Run, RunId};

pub(super) const SELECT: &str = "SELECT o.id, o.created, o.updated, o.name, o.flow_id, o.deployment_id, \
    o.parent_task_run_id, o.run_count, o.expected_start_time, o.next_scheduled_start_time, o.start_time, \
    o.end_time, o.total_run_time, o.flow_version, o.parameters, o.idempotency_key, o.context, \
    o.empirical_policy, o.empirical_config, o.tags, o.flow_runner_type, o.flow_runner_config, \
    o.auto_scheduled, o.deployment_version, o.work_queue_id, o.work_queue_name, p.id, p.name, \
    o.infrastructure_document_id, \
    o.infrastructure_pid, o.job_variables, o.labels, o.created_by, s.id, s.type, s.name, s.timestamp, s.message, s.state_details, s.data \
    FROM flow_run o LEFT JOIN flow_run_state s ON s.id = o.state_id \
    LEFT JOIN work_queue q ON q.id = o.work_queue_id LEFT JOIN work_pool p ON p.id = q.work_pool_id";

impl FromRow for FlowRun {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            flow_id: row.take()?,
            deployment_id: row.take()?,
            parent_task_run_id: row.take()?,
            run_count: row.take()?,
            expected_start_time: row.take()?,
            next_scheduled_start_time: row.take()?,
            start_time: row.take()?,
            end_time: row.take()?,
            total_run_time: row.take()?,
            flow_version: row.take()?,
            parameters: row.take()?,
            idempotency_key: row.take()?,
            context: row.take()?,
            empirical_policy: row.take()?,
            empirical_config: row.take()?,
            tags: row.take()?,
            flow_runner: FlowRunnerSettings {
                runner_type: row.take()?,
                config: row.take()?,
            },
            auto_scheduled: row.take()?,
            deployment_version: row.take()?,
            work_queue_id: row.take()?,
            work_queue_name: row.take()?,
            work_pool_id: row.take()?,
            work_pool_name: row.take()?,
            infrastructure_document_id: row.take()?,
            infrastructure_pid: row.take()?,
            job_variables: row.take()?,
            labels: row.take()?,
            created_by: row.take()?,
            state: take_optional(row)?,
        })
    }
}

/// What a run has of the deployment that it is made from, beyond what a client says.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The queue that it waits in, with its name.
    pub work_queue: Option<(WorkQueueId, String)>,
    /// The deployment's version.
    pub deployment_version: Option<String>,
    /// The deployment's labels.
    pub labels: Option<Document>,
    /// Who has it made, where that is an automation.
    pub created_by: Option<Document>,
}

/// Creates a flow run with its first state, or returns the one of that idempotency key; tells
/// whether it is new.
pub async fn create(
    conn: &mut Conn,
    create: FlowRunCreate,
    origin: Origin,
    now: DateTime<Utc>,
) -> Result<(FlowRun, bool)> {
    let id = FlowRunId::new();
    let run_id = RunId::Flow(id, create.parent_task_run_id);
    let labels = labels(conn, &create, &origin).await?;
    let first = create.state.unwrap_or_else(StateCreate::pending);
    let (state, record) = transitions::first(run_id, states::proposed(first, now));
    let text = |text: Option<String>| text.map(storable);
    let object = |document: Option<Document>| document.unwrap_or_else(Document::empty_object);
    let mut run = FlowRun {
        id,
        created: now,
        updated: now,
        name: text(create.name.filter(|name| !name.is_empty()))
            .unwrap_or_else(super::names::generate),
        flow_id: create.flow_id,
        deployment_id: create.deployment_id,
        parent_task_run_id: create.parent_task_run_id,
        run_count: record.run_count,
        expected_start_time: record.expected_start_time,
        next_scheduled_start_time: record.next_scheduled_start_time,
        start_time: record.start_time,
        end_time: record.end_time,
        total_run_time: record.total_run_time,
        flow_version: text(create.flow_version),
        parameters: object(create.parameters),
        idempotency_key: text(create.idempotency_key),
        context: object(create.context),
        empirical_policy: object(create.empirical_policy),
        empirical_config: Document::empty_object(),
        tags: create.tags,
        flow_runner: create.flow_runner.unwrap_or_default(),
        auto_scheduled: false,
        deployment_version: origin.deployment_version,
        work_queue_id: origin.work_queue.as_ref().map(|queue| queue.0),
        work_queue_name: origin
            .work_queue
            .map(|queue| queue.1)
            .or(text(create.work_queue_name)),
        work_pool_id: None,
        work_pool_name: None,
        infrastructure_document_id: create.infrastructure_document_id,
        infrastructure_pid: None,
        job_variables: object(create.job_variables),
        labels,
        created_by: origin.created_by,
        state: Some(state),
    };
    if !insert(conn, &run).await? {
        let sql = format!("{SELECT} WHERE o.flow_id = $1 AND o.idempotency_key = $2");
        let known = query(sql).bind(run.flow_id).bind(run.idempotency_key);
        return Ok((known.fetch_one(conn).await?, false));
    }
    let state = run.state.as_mut().expect("the run is made with one");
    transitions::write_first(conn, run_id, state, now).await?;
    if run.work_queue_id.is_none() {
        return Ok((run, true));
    }
    // The queue's pool is shown with the run.
    let run = read(conn, id).await?;
    Ok((run.expect("the run was inserted in this write"), true))
}

/// Inserts a run with what its row says of its state; says no if its idempotency key is known.
async fn insert(conn: &mut Conn, run: &FlowRun) -> Result<bool> {
    let sql = "INSERT INTO flow_run (id, created, updated, name, flow_id, deployment_id, parent_task_run_id, \
               flow_version, parameters, idempotency_key, context, empirical_policy, tags, flow_runner_type, \
               flow_runner_config, auto_scheduled, state_id, state_type, state_name, state_timestamp, run_count, \
               expected_start_time, next_scheduled_start_time, start_time, end_time, work_queue_name, \
               infrastructure_document_id, job_variables, labels, work_queue_id, deployment_version, created_by) \
               VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, \
               $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31) \
               ON CONFLICT (flow_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING";
    let state = run.state.as_ref();
    let insert = query(sql)
        .bind(run.id)
        .bind(run.created)
        .bind(&run.name)
        .bind(run.flow_id)
        .bind(run.deployment_id)
        .bind(run.parent_task_run_id)
        .bind(run.flow_version.clone())
        .bind(run.parameters.clone())
        .bind(run.idempotency_key.clone())
        .bind(run.context.clone())
        .bind(run.empirical_policy.clone())
        .bind(run.tags.clone())
        .bind(run.flow_runner.runner_type.clone())
        .bind(run.flow_runner.config.clone())
        .bind(run.auto_scheduled)
        .bind(state.map(|state| state.id))
        .bind(state.map(|state| state.state_type))
        .bind(state.map(|state| state.name.clone()))
        .bind(state.map(|state| state.timestamp))
        .bind(run.run_count)
        .bind(run.expected_start_time)
        .bind(run.next_scheduled_start_time)
        .bind(run.start_time)
        .bind(run.end_time)
        .bind(run.work_queue_name.clone())
        .bind(run.infrastructure_document_id)
        .bind(run.job_variables.clone())
        .bind(run.labels.clone())
        .bind(run.work_queue_id)
        .bind(run.deployment_version.clone())
        .bind(run.created_by.clone());
    Ok(insert.execute(conn).await? == 1)
}

/// Returns the labels of a new run: those of its deployment or flow, where it comes from, and what
/// the client gave.
async fn labels(conn: &mut Conn, create: &FlowRunCreate, origin: &Origin) -> Result<Document> {
    let mut own = serde_json::Map::new();
    own.insert(
        "prefect.flow.id".to_owned(),
        create.flow_id.to_string().into(),
    );
    if let Some(id) = create.deployment_id {
        own.insert("prefect.deployment.id".to_owned(), id.to_string().into());
    }
    let own = Document::of(&own).expect("ids are JSON");
    let inherited = match &origin.labels {
        Some(labels) => labels.clone(),
        None => flows::labels(conn, create.flow_id).await?,
    };
    let labels = inherited.merge(&own);
    Ok(create
        .labels
        .as_ref()
        .map_or_else(|| labels.clone(), |given| labels.merge(given)))
}

/// Adds labels to a run, those of the same names in place of the old ones; tells whether there is
/// such a run.
pub async fn add_labels(
    conn: &mut Conn,
    id: FlowRunId,
    labels: &Document,
    now: DateTime<Utc>,
) -> Result<bool> {
    let lock = conn.dialect().for_update("flow_run");
    let sql = format!("SELECT labels FROM flow_run WHERE id = $1{lock}");
    let Some(known) = query(sql).bind(id).fetch_optional::<String>(conn).await? else {
        return Ok(false);
    };
    let known = Document::parse(known).unwrap_or_else(|_| Document::empty_object());
    query("UPDATE flow_run SET labels = $2, updated = $3 WHERE id = $1")
        .bind(id)
        .bind(known.merge(labels))
        .bind(now)
        .execute(conn)
        .await?;
    Ok(true)
}

/// Returns a flow run by its id.
pub async fn read(conn: &mut Conn, id: FlowRunId) -> Result<Option<FlowRun>> {
    query(format!("{SELECT} WHERE o.id = $1"))
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// Returns the name of a flow run.
pub async fn read_name(conn: &mut Conn, id: FlowRunId) -> Result<Option<String>> {
    let sql = "SELECT name FROM flow_run WHERE id = $1";
    query(sql).bind(id).fetch_optional(conn).await
}

/// What a transition of a flow run needs to know of it.
pub struct ForTransition {
    /// What rules ask.
    pub run: Run,
    /// The deployment that the run was made from.
    pub deployment_id: Option<DeploymentId>,
}

impl FromRow for ForTransition {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let id = RunId::Flow(row.take()?, row.take()?);
        let deployment_id: Option<DeploymentId> = row.take()?;
        // What a client put there beyond a policy is not the server's business.
        let policy = FlowRunPolicy::of(&row.take()?);
        let infrastructure: Option<String> = row.take()?;
        let mut record = states::take_record(row)?;
        record.is_resuming = policy.resuming.unwrap_or(false);
        let run = Run {
            id,
            retry: policy.retry(),
            is_deployed: deployment_id.is_some(),
            has_infrastructure: infrastructure.is_some(),
            plan: Plan {
                is_resuming: record.is_resuming,
                retry_type: policy.retry_type.as_deref().and_then(RetryType::of),
                pause_keys: policy.pause_keys.unwrap_or_default(),
            },
            record,
            state: take_optional(row)?,
        };
        Ok(Self { run, deployment_id })
    }
}

/// Keeps what a transition has made of a run's pauses and retries, beside what else its policy says.
pub async fn set_plan(conn: &mut Conn, id: FlowRunId, plan: &Plan) -> Result<()> {
    let sql = "SELECT empirical_policy FROM flow_run WHERE id = $1";
    let policy: String = query(sql).bind(id).fetch_one(conn).await?;
    let policy = Document::parse(policy).unwrap_or_else(|_| Document::empty_object());
    let plan = serde_json::json!({
        "pause_keys": plan.pause_keys,
        "resuming": plan.is_resuming,
        "retry_type": plan.retry_type.map(RetryType::as_str),
    });
    let policy = policy.merge(&Document::of(&plan).expect("a plan is JSON"));
    let sql = "UPDATE flow_run SET empirical_policy = $2 WHERE id = $1";
    query(sql)
        .bind(id)
        .bind(policy)
        .execute(conn)
        .await
        .map(drop)
}

/// Returns what a transition needs, and keeps other servers from changing it meanwhile.
pub async fn read_for_transition(conn: &mut Conn, id: FlowRunId) -> Result<Option<ForTransition>> {
    let (columns, record) = (states::COLUMNS, states::RECORD);
    states::lock(conn, "flow_run", id.0).await?;
    query(format!(
        "SELECT o.id, o.parent_task_run_id, o.deployment_id, o.empirical_policy, o.infrastructure_pid, {record}, {columns} \
         FROM flow_run o LEFT JOIN flow_run_state s ON s.id = o.state_id WHERE o.id = $1"
    ))
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Returns the type of a flow run's state, as the run's client knows it, and how often it was tried.
pub async fn read_stage(conn: &mut Conn, id: FlowRunId) -> Result<Option<(StateType, i64)>> {
    let columns = states::COLUMNS;
    let sql = format!(
        "SELECT o.run_count, {columns} FROM flow_run o JOIN flow_run_state s ON s.id = o.state_id WHERE o.id = $1"
    );
    let stage: Option<Stage> = query(sql).bind(id).fetch_optional(conn).await?;
    Ok(stage.map(|Stage(tries, state)| (state.type_to_its_client(), tries)))
}

struct Stage(i64, State);

impl FromRow for Stage {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self(row.take()?, State::from_row(row)?))
    }
}

/// Returns the flow runs of a page.
pub async fn list(
    conn: &mut Conn,
    filters: &Filters,
    sort: FlowRunSort,
    limit: i64,
    offset: i64,
) -> Result<Vec<FlowRun>> {
    let found = compile(Listed::FlowRuns, filters, conn.dialect());
    let order = match sort {
        FlowRunSort::IdDesc => "o.id DESC",
        FlowRunSort::StartTimeAsc => "o.start_time, o.id",
        FlowRunSort::StartTimeDesc => "o.start_time DESC NULLS LAST, o.id DESC",
        FlowRunSort::ExpectedStartTimeAsc => "o.expected_start_time, o.id",
        FlowRunSort::ExpectedStartTimeDesc => "o.expected_start_time DESC, o.id DESC",
        FlowRunSort::NameAsc => "o.name, o.id",
        FlowRunSort::NameDesc => "o.name DESC, o.id DESC",
        FlowRunSort::NextScheduledStartTimeAsc => "o.next_scheduled_start_time, o.id",
        FlowRunSort::EndTimeDesc => "o.end_time DESC NULLS LAST, o.id DESC",
    };
    page(conn, SELECT, found, order, limit, offset).await
}

/// Counts the flow runs that a filter finds.
pub async fn count(conn: &mut Conn, filters: &Filters) -> Result<i64> {
    let found = compile(Listed::FlowRuns, filters, conn.dialect());
    filters::count(conn, "flow_run o", found).await
}

/// Changes what a client may change; tells whether there is such a run.
pub async fn update(
    conn: &mut Conn,
    id: FlowRunId,
    update: FlowRunUpdate,
    now: DateTime<Utc>,
) -> Result<bool> {
    let sql = "UPDATE flow_run SET updated = $2, name = COALESCE($3, name), flow_version = COALESCE($4, flow_version), \
               parameters = COALESCE($5, parameters), flow_runner_type = COALESCE($6, flow_runner_type), \
               flow_runner_config = COALESCE($7, flow_runner_config), \
               empirical_policy = COALESCE($8, empirical_policy), tags = COALESCE($9, tags), \
               infrastructure_pid = COALESCE($10, infrastructure_pid), \
               job_variables = COALESCE($11, job_variables) WHERE id = $1";
    let runner = update.flow_runner.unwrap_or_default();
    let change = query(sql)
        .bind(id)
        .bind(now)
        .bind(update.name)
        .bind(update.flow_version)
        .bind(update.parameters);
    let change = change
        .bind(runner.runner_type)
        .bind(runner.config)
        .bind(update.empirical_policy)
        .bind(update.tags)
        .bind(update.infrastructure_pid)
        .bind(update.job_variables);
    Ok(change.execute(conn).await? == 1)
}

/// Deletes a flow run with its task runs and logs; tells whether there was one.
///
/// What has happened to it since `events_since` stays as events.
pub async fn delete(
    conn: &mut Conn,
    id: FlowRunId,
    events_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<bool> {
    slots::end_all_of_deleted(conn, &[id.0], now).await?;
    of_states::keep_all(conn, &[id.0], events_since, now).await?;
    query("DELETE FROM log WHERE flow_run_id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(query("DELETE FROM flow_run WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?
        == 1)
}

/// Forgets which process a run was.
pub async fn forget_infrastructure(conn: &mut Conn, id: FlowRunId) -> Result<()> {
    let sql = "UPDATE flow_run SET infrastructure_pid = NULL WHERE id = $1";
    query(sql).bind(id).execute(conn).await.map(drop)
}

//! Counts and averages that dashboards ask for: `/ui/*` of the newer generations, and lateness.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::db::Conn;
use crate::schemas::dialect::{Fields, Render};
use crate::schemas::filters::{
    DeploymentFilter, Filters, FlowFilter, FlowRunFilter, TaskRunFilter, WorkQueueFilter,
};
use crate::schemas::flow_runs::{AsOf, estimated_start_time_delta};
use crate::schemas::task_runs::OfNamedRun;
use crate::schemas::work_pools::WorkPoolFilter;
use crate::schemas::{Dialect, FlowId, FlowRunId, StateType, TaskRunId, View};
use crate::server::extract::{Answer, Body, Id, view};
use crate::server::models::counts::{self, NextRun};
use crate::server::models::{flow_runs, task_runs};
use crate::server::{ApiError, AppState};

/// Flows or runs that are asked about at once.
const MOST_IDS: usize = 200;
/// Runs of which the lateness is averaged.
const MOST_RUNS: i64 = 10_000;
/// Into how many stretches a span of task runs is cut.
const STRETCHES: i64 = 20;

fn few<T>(name: &str, ids: Vec<T>) -> Result<Vec<T>, ApiError> {
    if ids.len() > MOST_IDS {
        let text = format!("ensure this value has at most {MOST_IDS} items");
        return Err(ApiError::invalid(&["body", name], text));
    }
    Ok(ids)
}

/// Names flow runs.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct OfFlowRuns {
    /// Their ids, at most 200.
    flow_run_ids: Vec<FlowRunId>,
}

/// Names flows.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct OfFlows {
    /// Their ids, at most 200.
    flow_ids: Vec<FlowId>,
}

/// Fills in those of which nothing was found.
fn by_id(ids: impl Iterator<Item = Uuid>, found: Vec<(Uuid, i64)>) -> BTreeMap<Uuid, i64> {
    let mut counts: BTreeMap<Uuid, i64> = ids.map(|id| (id, 0)).collect();
    counts.extend(found);
    counts
}

/// Counts the task runs of flow runs.
#[utoipa::path(post, path = "/ui/flow_runs/count-task-runs", request_body = OfFlowRuns, responses((status = 200, body = Object)))]
pub async fn count_task_runs_by_flow_run(
    State(state): State<AppState>,
    Body(asked): Body<OfFlowRuns>,
) -> Result<Answer<BTreeMap<Uuid, i64>>, ApiError> {
    let ids = few("flow_run_ids", asked.flow_run_ids)?;
    let wanted = ids.clone();
    let read = async move |conn: &mut Conn| counts::task_runs_by_flow_run(conn, &wanted).await;
    let found = state.db.read(read).await?;
    Ok(Answer(by_id(ids.into_iter().map(|id| id.0), found)))
}

/// Counts the deployments of flows.
#[utoipa::path(post, path = "/ui/flows/count-deployments", request_body = OfFlows, responses((status = 200, body = Object)))]
pub async fn count_deployments_by_flow(
    State(state): State<AppState>,
    Body(asked): Body<OfFlows>,
) -> Result<Answer<BTreeMap<Uuid, i64>>, ApiError> {
    let ids = few("flow_ids", asked.flow_ids)?;
    let wanted = ids.clone();
    let read = async move |conn: &mut Conn| counts::deployments_by_flow(conn, &wanted).await;
    let found = state.db.read(read).await?;
    Ok(Answer(by_id(ids.into_iter().map(|id| id.0), found)))
}

impl Render for NextRun {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.all("flow_id", &self.flow_id)?;
        fields.all("name", &self.name)?;
        fields.all("state_name", "Scheduled")?;
        fields.all("state_type", "SCHEDULED")?;
        fields.time("next_scheduled_start_time", self.due)?;
        fields.end()
    }
}

/// Returns the next run of flows.
#[utoipa::path(post, path = "/ui/flows/next-runs", request_body = OfFlows, responses((status = 200, body = Object)))]
pub async fn next_runs_by_flow(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<OfFlows>,
) -> Result<Answer<BTreeMap<FlowId, Option<View<NextRun>>>>, ApiError> {
    let ids = few("flow_ids", asked.flow_ids)?;
    let wanted = ids.clone();
    let read = async move |conn: &mut Conn| counts::next_runs(conn, &wanted).await;
    let mut next: BTreeMap<_, _> = ids.into_iter().map(|id| (id, None)).collect();
    for run in state.db.read(read).await? {
        next.insert(run.flow_id, Some(View(dialect, run)));
    }
    Ok(Answer(next))
}

/// Counts task runs by the type of their state.
#[utoipa::path(post, path = "/ui/task_runs/count", request_body = Filters, responses((status = 200, body = Object)))]
pub async fn count_task_runs_by_state(
    State(state): State<AppState>,
    Body(filters): Body<Filters>,
) -> Result<Answer<BTreeMap<String, i64>>, ApiError> {
    let read = async move |conn: &mut Conn| counts::task_runs_by_state(conn, &filters).await;
    let none = StateType::ALL.map(|state_type| (state_type.as_str().to_owned(), 0));
    let mut by_type = BTreeMap::from(none);
    by_type.extend(state.db.read(read).await?);
    Ok(Answer(by_type))
}

/// Asks how task runs ended over time.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "a filter a kind of object")]
pub struct Ended {
    pub task_runs: TaskRunFilter,
    #[serde(default)]
    pub flows: Option<FlowFilter>,
    #[serde(default)]
    pub flow_runs: Option<FlowRunFilter>,
    #[serde(default)]
    pub deployments: Option<DeploymentFilter>,
    #[serde(default)]
    pub work_pools: Option<WorkPoolFilter>,
    #[serde(default)]
    pub work_queues: Option<WorkQueueFilter>,
}

/// How many task runs of a stretch of time ended well, and how many did not.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct EndedCount {
    completed: i64,
    failed: i64,
}

/// Counts task runs that completed and failed, over the span of their start that is asked for.
#[utoipa::path(post, path = "/ui/task_runs/dashboard/counts", request_body = Ended, responses((status = 200, body = Vec<EndedCount>)))]
pub async fn count_task_runs_by_time(
    State(state): State<AppState>,
    Body(asked): Body<Ended>,
) -> Result<Answer<Vec<EndedCount>>, ApiError> {
    let span = asked.task_runs.start_time.as_ref();
    let start = span
        .and_then(|times| times.after_)
        .ok_or_else(|| ApiError::Unfit("task_runs.start_time.after_ is required".to_owned()))?;
    let end: DateTime<Utc> = span
        .and_then(|times| times.before_)
        .map_or_else(|| state.now(), |end| end.0);
    let length = (end - start.0).as_seconds_f64().max(1.0) / STRETCHES as f64;
    let filters = Filters {
        flows: asked.flows,
        flow_runs: asked.flow_runs,
        task_runs: Some(asked.task_runs),
        deployments: asked.deployments,
        work_pools: asked.work_pools,
        work_pool_queues: asked.work_queues,
    };
    let read =
        async move |conn: &mut Conn| counts::ended_task_runs(conn, &filters, start.0, length).await;
    let mut stretches = vec![EndedCount::default(); STRETCHES as usize];
    for (number, state_type, count) in state.db.read(read).await? {
        let place = number.clamp(0, STRETCHES - 1) as usize;
        match state_type.as_str() {
            "COMPLETED" => stretches[place].completed += count,
            _ => stretches[place].failed += count,
        }
    }
    Ok(Answer(stretches))
}

/// Returns a task run.
#[utoipa::path(get, path = "/ui/task_runs/{id}", params(("id" = TaskRunId, Path)), responses((status = 200, body = crate::schemas::task_runs::TaskRun)))]
pub async fn read_task_run_for_ui(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<TaskRunId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut Conn| {
        let Some(run) = task_runs::read(conn, id).await? else {
            return Ok(None);
        };
        let name = match run.flow_run_id {
            Some(id) => flow_runs::read_name(conn, id).await?,
            None => None,
        };
        Ok(Some((run, name)))
    };
    let found = state.db.read(read).await?;
    let (run, name) = found.ok_or_else(|| ApiError::not_found("Task", id))?;
    Ok(view(dialect, OfNamedRun(AsOf(state.now(), run), name)))
}

/// Returns by how many seconds flow runs are late, on average.
#[utoipa::path(post, path = "/flow_runs/lateness", request_body = Filters, responses((status = 200, body = Option<f64>)))]
pub async fn average_flow_run_lateness(
    State(state): State<AppState>,
    Body(filters): Body<Filters>,
) -> Result<Answer<Option<f64>>, ApiError> {
    use crate::schemas::filters::FlowRunSort;
    let read = async move |conn: &mut Conn| {
        flow_runs::list(conn, &filters, FlowRunSort::IdDesc, MOST_RUNS, 0).await
    };
    let (runs, now) = (state.db.read(read).await?, state.now());
    if runs.is_empty() {
        return Ok(Answer(None));
    }
    let late = |run: &crate::schemas::flow_runs::FlowRun| {
        estimated_start_time_delta(
            run.expected_start_time,
            run.start_time,
            run.state_type(),
            now,
        )
    };
    let total: f64 = runs.iter().map(late).sum();
    Ok(Answer(Some(total / runs.len() as f64)))
}

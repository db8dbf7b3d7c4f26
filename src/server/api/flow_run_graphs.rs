//! `/flow_runs/{id}/graph` and `graph-v2`: the graph of a flow run, as the dashboards of the generations draw it.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::schemas::dialect::Fields;
use crate::schemas::flow_run_graphs::Graph;
use crate::schemas::flow_runs::{AsOf, estimated_run_time};
use crate::schemas::task_runs::TaskRun;
use crate::schemas::time::Instant;
use crate::schemas::{Dialect, FlowRunId, Render};
use crate::server::extract::{Asked, Id, view};
use crate::server::models::flow_run_graphs::{self, Bounds, TooLarge};
use crate::server::{ApiError, AppState, models};

/// A task run in the graph of its flow run.
#[derive(Debug)]
struct Dependency {
    run: AsOf<TaskRun>,
    upstream: Vec<Upstream>,
}

/// What a task run got an input from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
struct Upstream {
    id: Option<Uuid>,
    input_type: String,
}

impl Render for Dependency {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let AsOf(now, run) = &self.run;
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &run.id)?;
        fields.newer("name", &run.name)?;
        fields.all("upstream_dependencies", &self.upstream)?;
        fields.part("state", &run.state)?;
        fields.time_option("expected_start_time", run.expected_start_time)?;
        fields.time_option("start_time", run.start_time)?;
        fields.time_option("end_time", run.end_time)?;
        fields.all("total_run_time", &run.total_run_time)?;
        fields.all(
            "estimated_run_time",
            &estimated_run_time(run.total_run_time, run.state.as_ref(), *now),
        )?;
        fields.end()
    }
}

/// Returns the task runs of a flow run with what each depends on.
#[utoipa::path(get, path = "/flow_runs/{id}/graph", params(("id" = FlowRunId, Path)), responses((status = 200)))]
pub async fn read_flow_run_graph(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<FlowRunId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| {
        let run = models::flow_runs::read(conn, id).await?;
        Ok((
            run.is_some(),
            models::task_runs::list_of_flow_run(conn, id).await?,
        ))
    };
    let (is_known, runs) = state.db.read(read).await?;
    if !is_known {
        return Err(ApiError::NoObject(format!("Flow run {id} not found")));
    }
    let now = state.now();
    let node = |run: TaskRun| {
        let inputs: BTreeMap<String, Vec<Upstream>> = run.task_inputs.read().unwrap_or_default();
        let mut upstream: Vec<_> = inputs
            .into_values()
            .flatten()
            .filter(|input| input.id.is_some())
            .collect();
        upstream.sort();
        upstream.dedup();
        Dependency {
            run: AsOf(now, run),
            upstream,
        }
    };
    Ok(view(
        dialect,
        runs.into_iter().map(node).collect::<Vec<_>>(),
    ))
}

/// Which part of a graph is wanted.
#[derive(Debug, Deserialize, IntoParams)]
pub struct Part {
    /// Only what has started or ended since.
    #[param(value_type = Option<String>)]
    since: Option<Instant>,
}

/// Returns the task runs and subflow runs of a flow run with what each waited for.
#[utoipa::path(get, path = "/flow_runs/{id}/graph-v2", params(("id" = FlowRunId, Path), Part), responses((status = 200, body = Graph), (status = 400, description = "the graph has too many nodes to be shown")))]
pub async fn read_flow_run_graph_v2(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<FlowRunId>,
    Asked(part): Asked<Part>,
) -> Result<impl IntoResponse, ApiError> {
    let most = state.settings.flow_run_graph_max_nodes;
    let bounds = Bounds {
        nodes: most as usize,
        artifacts: i64::from(state.settings.flow_run_graph_max_artifacts),
        pending: dialect == Dialect::Three,
        since: part.since.map(|since| since.0),
    };
    let read = async move |conn: &mut _| flow_run_graphs::read(conn, id, bounds).await;
    let graph = state.db.read(read).await?;
    let graph = graph.ok_or_else(|| ApiError::NoObject(format!("Flow run {id} not found")))?;
    let graph = graph.map_err(|TooLarge| {
        ApiError::BadRequest(format!(
            "The graph of flow run {id} has more than {most} nodes."
        ))
    })?;
    Ok(view(dialect, graph))
}

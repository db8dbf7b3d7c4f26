//! `/flow_runs/{id}/graph-v2`: the graph of a flow run, as newer dashboards draw it.

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::schemas::flow_run_graphs::Graph;
use crate::schemas::time::Instant;
use crate::schemas::{Dialect, FlowRunId};
use crate::server::extract::{Asked, Id, view};
use crate::server::models::flow_run_graphs::{self, Bounds, TooLarge};
use crate::server::{ApiError, AppState};

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

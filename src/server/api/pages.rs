//! `POST …/paginate`: pages by number, with how many there are.

use axum::extract::State;
use axum::response::IntoResponse;

use crate::db::Conn;
use crate::schemas::Dialect;
use crate::schemas::deployments::Deployment;
use crate::schemas::filters::{
    DeploymentsPage, FlowRunSort, FlowRunsPage, FlowSort, FlowsPage, TaskRunSort, TaskRunsPage,
};
use crate::schemas::flow_runs::{AsOf, FlowRun};
use crate::schemas::flows::Flow;
use crate::schemas::responses::Paged;
use crate::schemas::task_runs::TaskRun;
use crate::server::extract::{Body, view};
use crate::server::models::{deployments, flow_runs, flows, task_runs};
use crate::server::{ApiError, AppState};

/// Returns how many objects lie before a page.
fn before(page: i64, limit: i64) -> i64 {
    (page - 1).saturating_mul(limit)
}

/// Returns a page of flows.
#[utoipa::path(post, path = "/flows/paginate", request_body = FlowsPage, responses((status = 200, body = Paged<Flow>)))]
pub async fn paginate_flows(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<FlowsPage>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, page, filters) = (state.limit(asked.limit)?, asked.page, asked.filters());
    let sort = asked.sort.unwrap_or(FlowSort::NameAsc);
    let read = async move |conn: &mut Conn| {
        Ok(Paged {
            results: flows::list(conn, &filters, sort, limit, before(page, limit)).await?,
            count: flows::count(conn, &filters).await?,
            limit,
            page,
        })
    };
    Ok(view(dialect, state.db.read(read).await?))
}

/// Returns a page of flow runs.
#[utoipa::path(post, path = "/flow_runs/paginate", request_body = FlowRunsPage, responses((status = 200, body = Paged<FlowRun>)))]
pub async fn paginate_flow_runs(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<FlowRunsPage>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, page, filters) = (state.limit(asked.limit)?, asked.page, asked.filters());
    let sort = asked.sort.unwrap_or(FlowRunSort::IdDesc);
    let now = state.now();
    let read = async move |conn: &mut Conn| {
        let found = flow_runs::list(conn, &filters, sort, limit, before(page, limit)).await?;
        Ok(Paged {
            results: AsOf(now, found).each(),
            count: flow_runs::count(conn, &filters).await?,
            limit,
            page,
        })
    };
    Ok(view(dialect, state.db.read(read).await?))
}

/// Returns a page of task runs.
#[utoipa::path(post, path = "/task_runs/paginate", request_body = TaskRunsPage, responses((status = 200, body = Paged<TaskRun>)))]
pub async fn paginate_task_runs(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<TaskRunsPage>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, page, filters) = (state.limit(asked.limit)?, asked.page, asked.filters());
    let sort = asked.sort.unwrap_or(TaskRunSort::IdDesc);
    let now = state.now();
    let read = async move |conn: &mut Conn| {
        let found = task_runs::list(conn, &filters, sort, limit, before(page, limit)).await?;
        Ok(Paged {
            results: AsOf(now, found).each(),
            count: task_runs::count(conn, &filters).await?,
            limit,
            page,
        })
    };
    Ok(view(dialect, state.db.read(read).await?))
}

/// Returns a page of deployments.
#[utoipa::path(post, path = "/deployments/paginate", request_body = DeploymentsPage, responses((status = 200, body = Paged<Deployment>)))]
pub async fn paginate_deployments(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<DeploymentsPage>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, page, filters) = (state.limit(asked.limit)?, asked.page, asked.filters());
    let sort = asked.sort.unwrap_or(FlowSort::NameAsc);
    let now = state.now();
    let read = async move |conn: &mut Conn| {
        let found = deployments::list(conn, &filters, sort, limit, before(page, limit)).await?;
        Ok(Paged {
            results: AsOf(now, found).each(),
            count: deployments::count(conn, &filters).await?,
            limit,
            page,
        })
    };
    Ok(view(dialect, state.db.read(read).await?))
}

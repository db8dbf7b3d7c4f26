//! `/ui`: whole pages for our dashboard, and its stream of changes.
//!
//! These routes serve our own dashboard only and may change with it, so they are not part of the
//! API's document; `explain` is for everybody and is.

mod stream;

pub use stream::*;

use axum::extract::State;
use axum::http::HeaderName;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::db;
use crate::schemas::FlowRunId;
use crate::schemas::schedules::Schedule;
use crate::server::changes::Changes;
use crate::server::extract::{Answer, Body, Id};
use crate::server::models::explain::{self, Explanation};
use crate::server::models::ui::blocks::{BlockText, BlocksAsk};
use crate::server::models::ui::concurrency_limits::LimitRow;
use crate::server::models::ui::deployments::{DeploymentPage, DeploymentRow};
use crate::server::models::ui::filters::Ask;
use crate::server::models::ui::flow_runs::{ResultRow, RunPage, RunsPage};
use crate::server::models::ui::flows::FlowPanel;
use crate::server::models::ui::graphs::Graph;
use crate::server::models::ui::logs::{LogAsk, LogRow};
use crate::server::models::ui::names::{NamedThing, NamesAsk};
use crate::server::models::ui::overview::Overview;
use crate::server::models::ui::task_runs::{TaskRunPage, TaskRunRow};
use crate::server::models::ui::work_pools::{PoolPage, PoolRow};
use crate::server::models::ui::work_queues::{QueuePage, QueueRow};
use crate::server::models::ui::{
    Page, blocks, concurrency_limits, deployments, flow_runs, flows, graphs, logs, names, overview,
    task_runs, work_pools, work_queues,
};
use crate::server::{ApiError, AppState};
use crate::settings::{MASK, SETTINGS};

/// Dates that a preview of a schedule shows.
const PREVIEWED: usize = 5;

type Result<T> = std::result::Result<T, ApiError>;

/// Names, in the answer of a page, the last change before it was read: a browser that follows the stream from
/// there misses nothing that happens between the two.
const SEEN: &str = "x-last-change";

/// The header of a page that is about to be read.
fn seen(changes: &Changes) -> [(HeaderName, String); 1] {
    let mark = changes.mark(*changes.head().borrow());
    [(HeaderName::from_static(SEEN), mark)]
}

fn found<T: Serialize>(noun: &str, id: Uuid, value: Option<T>) -> Result<Answer<T>> {
    value
        .map(Answer)
        .ok_or_else(|| ApiError::not_found(noun, id))
}

/// Makes a handler that reads a page by a body.
macro_rules! by_body {
    ($($(#[$doc:meta])+ $name:ident($path:literal, $body:ident) -> [$($page:tt)+] = |$conn:ident, $ask:ident, $now:ident| $read:expr;)*) => {$(
        $(#[$doc])+
        #[utoipa::path(post, path = $path, request_body = $body, responses((status = 200, body = $($page)+)))]
        pub(crate) async fn $name(State(state): State<AppState>, Body($ask): Body<$body>) -> Result<impl IntoResponse> {
            let $now = state.now();
            let seen = seen(&state.changes);
            Ok((seen, Answer(state.db.read(async move |$conn: &mut db::Conn| $read.await).await?)))
        }
    )*};
}

/// Makes a handler that reads the page of one thing.
macro_rules! by_id {
    ($($(#[$doc:meta])+ $name:ident($path:literal, $noun:literal) -> [$($page:tt)+] = |$conn:ident, $id:ident, $now:ident| $read:expr;)*) => {$(
        $(#[$doc])+
        #[utoipa::path(get, path = $path, params(("id" = Uuid, Path)), responses((status = 200, body = $($page)+)))]
        pub(crate) async fn $name(State(state): State<AppState>, Id($id): Id<Uuid>) -> Result<impl IntoResponse> {
            let $now = state.now();
            let seen = seen(&state.changes);
            let page = state.db.read(async move |$conn: &mut db::Conn| $read.await).await?;
            Ok((seen, found($noun, $id, page)?))
        }
    )*};
}

/// Makes a handler that reads a page which is asked for nothing.
macro_rules! whole {
    ($($(#[$doc:meta])+ $name:ident($path:literal) -> [$($page:tt)+] = |$conn:ident, $now:ident| $read:expr;)*) => {$(
        $(#[$doc])+
        #[utoipa::path(get, path = $path, responses((status = 200, body = $($page)+)))]
        pub(crate) async fn $name(State(state): State<AppState>) -> Result<impl IntoResponse> {
            let $now = state.now();
            let seen = seen(&state.changes);
            Ok((seen, Answer(state.db.read(async move |$conn: &mut db::Conn| $read.await).await?)))
        }
    )*};
}

by_body! {
    /// Reads the first page.
    read_overview("/ui/overview", Ask) -> [Overview] = |conn, ask, now| overview::read(conn, ask, now);
    /// Lists flow runs with the dots of their plot.
    list_flow_runs("/ui/flow_runs", Ask) -> [RunsPage] = |conn, ask, now| flow_runs::list(conn, ask, now);
    /// Lists task runs.
    list_task_runs("/ui/task_runs", Ask) -> [Page<TaskRunRow>] = |conn, ask, _now| task_runs::list(conn, ask);
    /// Lists deployments.
    list_deployments("/ui/deployments", Ask) -> [Page<DeploymentRow>] = |conn, ask, now| deployments::list(conn, ask, now);
    /// Lists lines of a log.
    list_logs("/ui/logs", LogAsk) -> [Page<LogRow>] = |conn, ask, _now| logs::list(conn, ask);
    /// Names things that are known by their ids.
    list_names("/ui/names", NamesAsk) -> [Vec<NamedThing>] = |conn, ask, _now| names::list(conn, ask);
}

by_id! {
    /// Reads the page of a flow run.
    read_flow_run_page("/ui/flow_runs/{id}", "Flow run") -> [RunPage] = |conn, id, now| flow_runs::read(conn, id, now);
    /// Lists what a flow run's states say of its results.
    list_flow_run_results("/ui/flow_runs/{id}/results", "Flow run") -> [Vec<ResultRow>] = |conn, id, _now| flow_runs::results(conn, id);
    /// Reads the graph of a flow run in columns.
    read_flow_run_columns("/ui/flow_runs/{id}/graph", "Flow run") -> [Graph] = |conn, id, _now| graphs::read(conn, id);
    /// Reads the page of a task run.
    read_task_run_page("/ui/task_runs/{id}/page", "Task run") -> [TaskRunPage] = |conn, id, now| task_runs::read(conn, id, now);
    /// Reads the side panel of a flow.
    read_flow_panel("/ui/flows/{id}", "Flow") -> [FlowPanel] = |conn, id, now| flows::read(conn, id, now);
    /// Reads the page of a deployment.
    read_deployment_page("/ui/deployments/{id}", "Deployment") -> [DeploymentPage] = |conn, id, now| deployments::read(conn, id, now);
    /// Reads the page of a work queue.
    read_work_queue_page("/ui/work_queues/{id}", "Work queue") -> [QueuePage] = |conn, id, now| work_queues::read(conn, id, now);
}

whole! {
    /// Lists the work queues.
    list_work_queues("/ui/work_queues") -> [Vec<QueueRow>] = |conn, now| work_queues::list(conn, now);
    /// Lists the work pools.
    list_work_pools("/ui/work_pools") -> [Vec<PoolRow>] = |conn, now| work_pools::list(conn, now);
}

/// Lists the concurrency limits with who holds their slots and who waits for one.
#[utoipa::path(get, path = "/ui/concurrency_limits", responses((status = 200, body = Vec<LimitRow>)))]
pub(crate) async fn list_concurrency_limits(
    State(state): State<AppState>,
) -> Result<impl IntoResponse> {
    let now = state.now();
    let waiting = state.waiting.list(now);
    let seen = seen(&state.changes);
    let read = async move |conn: &mut db::Conn| concurrency_limits::list(conn, &waiting, now).await;
    Ok((seen, Answer(state.db.read(read).await?)))
}

/// Lists a page of the blocks with their secrets masked.
#[utoipa::path(post, path = "/ui/blocks", request_body = BlocksAsk, responses((status = 200, body = Page<BlockText>)))]
pub(crate) async fn find_blocks(
    State(state): State<AppState>,
    Body(ask): Body<BlocksAsk>,
) -> Result<impl IntoResponse> {
    let vault = state.vault.clone();
    let seen = seen(&state.changes);
    let read = async move |conn: &mut db::Conn| blocks::page(conn, &vault, ask).await;
    Ok((seen, Answer(state.db.read(read).await?)))
}

/// Lists the blocks that can be chosen, with their secrets masked.
#[utoipa::path(get, path = "/ui/blocks", responses((status = 200, body = Vec<BlockText>)))]
pub(crate) async fn list_blocks(State(state): State<AppState>) -> Result<impl IntoResponse> {
    let vault = state.vault.clone();
    let seen = seen(&state.changes);
    let read = async move |conn: &mut db::Conn| blocks::list(conn, &vault).await;
    Ok((seen, Answer(state.db.read(read).await?)))
}

/// A schedule that somebody thinks of.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct ScheduleIdea {
    schedule: Schedule,
}

/// When a schedule would make runs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ScheduleDates {
    dates: Vec<DateTime<Utc>>,
}

/// Tells the next dates of a schedule, or what is wrong with it; keeps nothing.
#[utoipa::path(post, path = "/ui/schedule", request_body = ScheduleIdea, responses((status = 200, body = ScheduleDates)))]
pub async fn preview_schedule(
    State(state): State<AppState>,
    Body(idea): Body<ScheduleIdea>,
) -> impl IntoResponse {
    let dates = idea.schedule.dates(state.now(), PREVIEWED, None);
    let dates = dates.into_iter().map(|date| date.to_utc()).collect();
    Answer(ScheduleDates { dates })
}

/// Reads the page of a work pool.
#[utoipa::path(get, path = "/ui/work_pools/{name}", params(("name" = String, Path)), responses((status = 200, body = PoolPage)))]
pub(crate) async fn read_work_pool_page(
    State(state): State<AppState>,
    Id(name): Id<String>,
) -> Result<impl IntoResponse> {
    let now = state.now();
    let wanted = name.clone();
    let seen = seen(&state.changes);
    let read = async move |conn: &mut db::Conn| work_pools::read(conn, &wanted, now).await;
    let page = state.db.read(read).await?;
    page.map(|page| (seen, Answer(page)))
        .ok_or_else(|| ApiError::NotFound(format!("Work pool '{name}' not found")))
}

/// Tells why a flow run does not run, and what would help.
#[utoipa::path(get, path = "/flow_runs/{id}/explain", params(("id" = FlowRunId, Path)), responses((status = 200, body = Explanation)))]
pub async fn explain_flow_run(
    State(state): State<AppState>,
    Id(id): Id<FlowRunId>,
) -> Result<impl IntoResponse> {
    let now = state.now();
    let read = async move |conn: &mut _| explain::read(conn, id.0, now).await;
    found("Flow run", id.0, state.db.read(read).await?)
}

/// A setting as people may see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ShownSetting {
    name: &'static str,
    value: Option<String>,
    secret: bool,
}

/// What the server says of itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Info {
    version: &'static str,
    api_version: &'static str,
    database: &'static str,
    settings: Vec<ShownSetting>,
}

/// Tells the version and the settings; neither secrets nor paths of the host leave it.
#[utoipa::path(get, path = "/ui/info", responses((status = 200, body = Info)))]
pub async fn read_info(State(state): State<AppState>) -> impl IntoResponse {
    let shown = SETTINGS.iter().map(|setting| {
        let value = setting.shown(&state.settings);
        let hides = value
            .as_ref()
            .is_some_and(|text| text.contains(MASK) || text.contains('/'));
        ShownSetting {
            name: setting.name,
            value: value.filter(|_| !hides),
            secret: hides,
        }
    });
    let database = match state.db.dialect() {
        db::Dialect::Sqlite => "SQLite",
        db::Dialect::Postgres => "PostgreSQL",
    };
    Answer(Info {
        version: env!("CARGO_PKG_VERSION"),
        api_version: "0.8.4",
        database,
        settings: shown.collect(),
    })
}

#[cfg(test)]
mod tests;

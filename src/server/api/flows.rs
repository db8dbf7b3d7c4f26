//! `/flows`: what users wrote, by name.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::db::Conn;
use crate::schemas::actions::{FlowCreate, FlowUpdate};
use crate::schemas::filters::{Filters, FlowSort, FlowsQuery};
use crate::schemas::flows::Flow;
use crate::schemas::{Dialect, FlowId};
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::{Answer, Body, Id, created, no_content, view};
use crate::server::models::events::lifecycle::{Became, Happened};
use crate::server::{ApiError, AppState, models};

/// Creates a flow, or returns the one of that name.
#[utoipa::path(post, path = "/flows/", request_body = FlowCreate, responses((status = 201, body = Flow), (status = 200, body = Flow)))]
pub async fn create_flow(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(flow): Body<FlowCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    // Most often the flow is known; then nothing needs writing.
    let name = flow.name.clone();
    if let Some(known) = state
        .db
        .read(async move |conn| models::flows::read_by_name(conn, &name).await)
        .await?
    {
        return Ok(created(dialect, false, known));
    }
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let (name, tags) = (&flow.name, &flow.tags);
        let (flow, is_new) = models::flows::create(conn, name, tags, flow.labels, now).await?;
        if is_new {
            happened.flow(Became::Created, &flow);
        }
        Ok((flow, is_new))
    };
    let (flow, is_new) = lifecycle::write(&state, write).await?;
    Ok(created(dialect, is_new, flow))
}

/// Returns a flow.
#[utoipa::path(get, path = "/flows/{id}", params(("id" = FlowId, Path)), responses((status = 200, body = Flow)))]
pub async fn read_flow(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<FlowId>,
) -> Result<impl IntoResponse, ApiError> {
    let flow = state
        .db
        .read(async move |conn| models::flows::read(conn, id).await)
        .await?;
    Ok(view(
        dialect,
        flow.ok_or_else(|| ApiError::not_found("Flow", id))?,
    ))
}

/// Returns the flow of a name.
#[utoipa::path(get, path = "/flows/name/{name}", params(("name" = String, Path)), responses((status = 200, body = Flow)))]
pub async fn read_flow_by_name(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(name): Id<String>,
) -> Result<impl IntoResponse, ApiError> {
    let wanted = name.clone();
    let flow = state
        .db
        .read(async move |conn| models::flows::read_by_name(conn, &wanted).await)
        .await?;
    Ok(view(
        dialect,
        flow.ok_or_else(|| ApiError::not_found("Flow", name))?,
    ))
}

/// Changes a flow's tags.
#[utoipa::path(patch, path = "/flows/{id}", params(("id" = FlowId, Path)), request_body = FlowUpdate, responses((status = 204)))]
pub async fn update_flow(
    State(state): State<AppState>,
    Id(id): Id<FlowId>,
    Body(update): Body<FlowUpdate>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let changed = models::flows::update(conn, id, update.tags, now).await?;
        if let Some(flow) = &changed {
            happened.flow(Became::Updated, flow);
        }
        Ok(changed.is_some())
    };
    no_content(lifecycle::write(&state, write).await?, || {
        ApiError::not_found("Flow", id)
    })
}

/// Deletes a flow with its runs and deployments.
#[utoipa::path(delete, path = "/flows/{id}", params(("id" = FlowId, Path)), responses((status = 204)))]
pub async fn delete_flow(
    State(state): State<AppState>,
    Id(id): Id<FlowId>,
) -> Result<StatusCode, ApiError> {
    let (since, now) = (state.events_since(), state.now());
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let deleted = models::flows::delete(conn, id, since, now).await?;
        if let Some(flow) = &deleted {
            happened.flow(Became::Deleted, flow);
        }
        Ok(deleted.is_some())
    };
    let found = lifecycle::write(&state, write).await?;
    state.changes.tell(Change::of(Kind::Flow, id.0));
    no_content(found, || ApiError::not_found("Flow", id))
}

/// Returns the flows of a page.
#[utoipa::path(post, path = "/flows/filter", request_body = FlowsQuery, responses((status = 200, body = Vec<Flow>)))]
pub async fn read_flows(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<FlowsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, offset) = (
        state.limit(asked.limit)?,
        i64::from(asked.offset.unwrap_or(0)),
    );
    let sort = asked.sort.unwrap_or(FlowSort::NameAsc);
    let filters = asked.filters();
    let read =
        async move |conn: &mut _| models::flows::list(conn, &filters, sort, limit, offset).await;
    Ok(view(dialect, state.db.read(read).await?))
}

/// Counts flows.
#[utoipa::path(post, path = "/flows/count", request_body = Filters, responses((status = 200, body = i64)))]
pub async fn count_flows(
    State(state): State<AppState>,
    Body(filters): Body<Filters>,
) -> Result<impl IntoResponse, ApiError> {
    Ok(Answer(
        state
            .db
            .read(async move |conn| models::flows::count(conn, &filters).await)
            .await?,
    ))
}

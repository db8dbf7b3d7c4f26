//! Many objects in one request: deleted, moved into a state, made.
//!
//! Each such request is one write, so that a part of it is never done alone.

use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::db::Conn;
use crate::schemas::actions::DeploymentFlowRunCreate;
use crate::schemas::dialect::Render;
use crate::schemas::filters::{
    BulkSetState, DeploymentsBulk, Filters, FlowRunSort, FlowRunsBulk, FlowSort, FlowsBulk,
};
use crate::schemas::responses::{BulkTransition, Several};
use crate::schemas::{DeploymentId, Dialect, FlowId, FlowRunId};
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::{Answer, Author, Body, Id, RenewsLeases, view};
use crate::server::models::events::lifecycle::{Became, Happened};
use crate::server::models::transitions::{self, Proposal};
use crate::server::models::{deployments, flow_runs, flows};
use crate::server::orchestration::policy::Policy;
use crate::server::{ApiError, AppState};

/// Runs that are made by one request, at most.
const MOST_RUNS: usize = 100;

/// The ids of what was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deleted<T> {
    deleted: Vec<T>,
}

/// Deletes flows with their runs and deployments.
#[utoipa::path(post, path = "/flows/bulk_delete", request_body = FlowsBulk, responses((status = 200, body = Deleted<FlowId>)))]
pub async fn bulk_delete_flows(
    State(state): State<AppState>,
    Body(asked): Body<FlowsBulk>,
) -> Result<Answer<Deleted<FlowId>>, ApiError> {
    let (limit, filters) = (asked.limit, asked.filters());
    let (since, now) = (state.events_since(), state.now());
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let mut deleted = Vec::new();
        for flow in flows::list(conn, &filters, FlowSort::NameAsc, limit, 0).await? {
            if let Some(flow) = flows::delete(conn, flow.id, since, now).await? {
                happened.flow(Became::Deleted, &flow);
                deleted.push(flow.id);
            }
        }
        Ok(deleted)
    };
    let deleted = lifecycle::write(&state, write).await?;
    tell(&state, Kind::Flow, deleted.iter().map(|id| id.0));
    Ok(Answer(Deleted { deleted }))
}

/// Deletes flow runs with their task runs and logs.
#[utoipa::path(post, path = "/flow_runs/bulk_delete", request_body = FlowRunsBulk, responses((status = 200, body = Deleted<FlowRunId>)))]
pub async fn bulk_delete_flow_runs(
    State(state): State<AppState>,
    Body(asked): Body<FlowRunsBulk>,
) -> Result<Answer<Deleted<FlowRunId>>, ApiError> {
    let (limit, filters) = (asked.limit, asked.filters());
    let (since, now) = (state.events_since(), state.now());
    let write = async move |conn: &mut Conn| {
        let mut deleted = Vec::new();
        for run in flow_runs::list(conn, &filters, FlowRunSort::IdDesc, limit, 0).await? {
            if flow_runs::delete(conn, run.id, since, now).await? {
                deleted.push(run.id);
            }
        }
        Ok(deleted)
    };
    let deleted = state.db.write(write).await?;
    tell(&state, Kind::FlowRun, deleted.iter().map(|id| id.0));
    Ok(Answer(Deleted { deleted }))
}

/// Deletes deployments with their runs that nobody has begun.
#[utoipa::path(post, path = "/deployments/bulk_delete", request_body = DeploymentsBulk, responses((status = 200, body = Deleted<DeploymentId>)))]
pub async fn bulk_delete_deployments(
    State(state): State<AppState>,
    Body(asked): Body<DeploymentsBulk>,
) -> Result<Answer<Deleted<DeploymentId>>, ApiError> {
    let (limit, filters) = (asked.limit, asked.filters());
    let (since, now) = (state.events_since(), state.now());
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let mut deleted = Vec::new();
        for deployment in deployments::list(conn, &filters, FlowSort::NameAsc, limit, 0).await? {
            if deployments::delete(conn, happened, deployment.id, since, now).await? {
                deleted.push(deployment.id);
            }
        }
        Ok(deleted)
    };
    let deleted = lifecycle::write(&state, write).await?;
    tell(&state, Kind::Deployment, deleted.iter().map(|id| id.0));
    Ok(Answer(Deleted { deleted }))
}

fn tell(state: &AppState, kind: Kind, ids: impl Iterator<Item = uuid::Uuid>) {
    for id in ids {
        state.changes.tell(Change::of(kind, id));
    }
}

/// Proposes one state for several flow runs; the rules decide about each.
#[utoipa::path(post, path = "/flow_runs/bulk_set_state", request_body = BulkSetState, responses((status = 200, body = Several<BulkTransition>)))]
pub async fn bulk_set_flow_run_state(
    State(state): State<AppState>,
    dialect: Dialect,
    RenewsLeases(client_renews): RenewsLeases,
    Body(asked): Body<BulkSetState>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let proposal = Proposal {
        policy: Policy::of(dialect, asked.force),
        terms: state.slot_terms(client_renews),
        state: asked.state,
    };
    let filters = Filters {
        flow_runs: asked.flow_runs,
        ..Filters::default()
    };
    let write = async move |conn: &mut Conn| {
        let mut done = Vec::new();
        let runs = flow_runs::list(conn, &filters, FlowRunSort::IdDesc, asked.limit, 0).await?;
        let mut ids: Vec<FlowRunId> = runs.into_iter().map(|run| run.id).collect();
        // Requests that overlap lock the same runs in the same order.
        ids.sort_unstable();
        for id in ids {
            let one = transitions::transition_flow_run(conn, id, proposal.clone(), now).await?;
            done.extend(one.map(|one| (id, one)));
        }
        Ok(done)
    };
    let done = state.db.write(write).await?;
    let each = done.into_iter().map(|(id, one)| {
        super::flow_runs::tell(&state, id, &one);
        BulkTransition {
            flow_run_id: id,
            result: one.result,
        }
    });
    let results = each.collect();
    Ok(view(dialect, Several { results }))
}

/// What became of the wish for one run.
#[derive(Debug, Serialize, ToSchema)]
pub struct Made {
    flow_run_id: Option<FlowRunId>,
    status: &'static str,
    error: Option<String>,
}

impl Render for Made {
    fn render<S: Serializer>(&self, _: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

/// Creates several runs from a deployment; one that cannot be made does not keep the others.
#[utoipa::path(post, path = "/deployments/{id}/create_flow_run/bulk", params(("id" = DeploymentId, Path)), request_body = Vec<DeploymentFlowRunCreate>, responses((status = 200, body = Several<Made>)))]
pub async fn bulk_create_flow_runs_from_deployment(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<DeploymentId>,
    Author(author): Author,
    Body(asked): Body<Vec<DeploymentFlowRunCreate>>,
) -> Result<impl IntoResponse, ApiError> {
    if asked.len() > MOST_RUNS {
        let text = format!("at most {MOST_RUNS} runs are made at once");
        return Err(ApiError::invalid(&["body"], text));
    }
    let read = async move |conn: &mut Conn| deployments::read(conn, id).await;
    if state.db.read(read).await?.is_none() {
        return Err(ApiError::not_found("Deployment", id));
    }
    let mut results = Vec::with_capacity(asked.len());
    for one in asked {
        results.push(
            match super::deployments::make_run(&state, dialect, id, one, author.clone()).await {
                Ok((run, _)) => Made {
                    flow_run_id: Some(run.id),
                    status: "CREATED",
                    error: None,
                },
                Err(error) => Made {
                    flow_run_id: None,
                    status: "FAILED",
                    error: Some(error.detail()),
                },
            },
        );
    }
    Ok(view(dialect, Several { results }))
}

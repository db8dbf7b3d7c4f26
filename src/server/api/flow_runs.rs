//! `/flow_runs`: creating, asking, and above all changing the state of flow runs.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::TimeDelta;
use serde::{Deserialize, Serializer};

use crate::db::{self, Conn};
use crate::schemas::actions::{FlowRunCreate, FlowRunUpdate, Labels, ResumeFlowRun, SetState};
use crate::schemas::dialect::{Dialect, Fields, Render};
use crate::schemas::filters::{Filters, FlowRunSort, FlowRunsQuery, HistoryQuery};
use crate::schemas::flow_runs::{AsOf, FlowRun, estimated_run_time};
use crate::schemas::responses::{HistoryResponse, OrchestrationResult, Outcome};
use crate::schemas::{Document, FlowRunId, StateType, WorkQueueId};
use crate::server::changes::{Change, Kind};
use crate::server::extract::{
    Answer, Asked, Author, Body, Id, RenewsLeases, created, no_content, view,
};
use crate::server::models::flow_runs::Origin;
use crate::server::models::transitions::{Proposal, Transitioned};
use crate::server::models::{self, history};
use crate::server::orchestration::policy::Policy;
use crate::server::vault::Vault;
use crate::server::{ApiError, AppState, job_variables};

/// Points a scatter may have.
const MOST_POINTS: i64 = 1000;

/// Creates a flow run, or returns the one of that idempotency key.
#[utoipa::path(post, path = "/flow_runs/", request_body = FlowRunCreate, responses((status = 201, body = FlowRun), (status = 200, body = FlowRun)))]
pub async fn create_flow_run(
    State(state): State<AppState>,
    dialect: Dialect,
    Author(author): Author,
    Body(create): Body<FlowRunCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut _| {
        let origin = match origin(conn, &create).await? {
            Ok(origin) => Origin {
                created_by: author,
                ..origin
            },
            Err(refused) => return Ok(Err(refused)),
        };
        models::flow_runs::create(conn, create, origin, now)
            .await
            .map(Ok)
    };
    let (run, is_new) = state.db.write_short(write).await??;
    if is_new {
        state.changes.tell(change(&run));
    }
    Ok(created(dialect, is_new, AsOf(state.now(), run)))
}

/// Finds the queue of a run that belongs to a pool without a deployment.
async fn origin(conn: &mut Conn, create: &FlowRunCreate) -> db::Result<Result<Origin, ApiError>> {
    let Some(pool) = &create.work_pool_name else {
        return Ok(Ok(Origin::default()));
    };
    let Some(known) = models::work_pools::read_by_name(conn, pool).await? else {
        return Ok(Err(ApiError::no_work_pool(pool)));
    };
    let queue = match (&create.work_queue_name, known.default_queue_id) {
        (Some(name), _) => models::work_queues::read_in_pool(conn, pool, name).await?,
        (None, Some(id)) => models::work_queues::read(conn, id).await?,
        (None, None) => None,
    };
    let Some(queue) = queue else {
        let name = create.work_queue_name.as_deref().unwrap_or_default();
        return Ok(Err(ApiError::no_work_queue(pool, name)));
    };
    Ok(Ok(Origin {
        work_queue: Some((queue.id, queue.name)),
        ..Origin::default()
    }))
}

/// Returns what listeners are told of a flow run.
pub fn change(run: &FlowRun) -> Change {
    Change::of_flow_run(run.id, run.state.as_ref(), run.deployment_id)
}

/// Returns a flow run.
#[utoipa::path(get, path = "/flow_runs/{id}", params(("id" = FlowRunId, Path)), responses((status = 200, body = FlowRun)))]
pub async fn read_flow_run(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<FlowRunId>,
) -> Result<impl IntoResponse, ApiError> {
    let run = state
        .db
        .read_short(async move |conn| models::flow_runs::read(conn, id).await)
        .await?;
    let run = run.ok_or_else(|| ApiError::not_found("Flow run", id))?;
    Ok(view(dialect, AsOf(state.now(), run)))
}

/// Returns the flow runs of a page.
#[utoipa::path(post, path = "/flow_runs/filter", request_body = FlowRunsQuery, responses((status = 200, body = Vec<FlowRun>)))]
pub async fn read_flow_runs(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<FlowRunsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let (limit, offset) = (
        state.limit(asked.limit)?,
        i64::from(asked.offset.unwrap_or(0)),
    );
    let sort = asked.sort.unwrap_or(FlowRunSort::IdDesc);
    let filters = asked.filters();
    let read = async move |conn: &mut _| {
        models::flow_runs::list(conn, &filters, sort, limit, offset).await
    };
    let runs = state.db.read(read).await?;
    Ok(view(dialect, AsOf(state.now(), runs).each()))
}

/// Counts flow runs.
#[utoipa::path(post, path = "/flow_runs/count", request_body = Filters, responses((status = 200, body = i64)))]
pub async fn count_flow_runs(
    State(state): State<AppState>,
    Body(filters): Body<Filters>,
) -> Result<impl IntoResponse, ApiError> {
    Ok(Answer(
        state
            .db
            .read(async move |conn| models::flow_runs::count(conn, &filters).await)
            .await?,
    ))
}

/// Counts flow runs by interval and state.
#[utoipa::path(post, path = "/flow_runs/history", request_body = HistoryQuery, responses((status = 200, body = Vec<HistoryResponse>)))]
pub async fn flow_run_history(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<HistoryQuery>,
) -> Result<impl IntoResponse, ApiError> {
    Ok(view(
        dialect,
        read_history(&state, history::Of::FlowRuns, asked).await?,
    ))
}

/// Reads a history after checking its range.
pub async fn read_history(
    state: &AppState,
    of: history::Of,
    asked: HistoryQuery,
) -> Result<Vec<HistoryResponse>, ApiError> {
    let seconds = asked.history_interval_seconds;
    if !(seconds.is_finite() && seconds >= 1.0) {
        return Err(ApiError::Unfit(
            "History interval must not be less than 1 second.".to_owned(),
        ));
    }
    let (start, end) = (asked.history_start.0, asked.history_end.0);
    let interval = TimeDelta::microseconds((seconds.min(1e11) * 1e6) as i64);
    let range = history::Range {
        start,
        end,
        interval,
    };
    let (mut filters, now) = (asked.filters(), state.now());
    filters.work_pool_queues = asked.work_queues.or(filters.work_pool_queues);
    Ok(state
        .db
        .read(async move |conn| history::read(conn, of, range, &filters, now).await)
        .await?)
}

/// Changes a flow run, though never its state.
#[utoipa::path(patch, path = "/flow_runs/{id}", params(("id" = FlowRunId, Path)), request_body = FlowRunUpdate, responses((status = 204)))]
pub async fn update_flow_run(
    State(state): State<AppState>,
    Id(id): Id<FlowRunId>,
    Body(update): Body<FlowRunUpdate>,
) -> Result<StatusCode, ApiError> {
    let (now, vault) = (state.now(), state.vault.clone());
    let write = async move |conn: &mut Conn| {
        if let Some(variables) = &update.job_variables
            && let Err(refusal) = may_be_given(conn, &vault, id, variables).await?
        {
            return Ok(Err(refusal));
        }
        models::flow_runs::update(conn, id, update, now)
            .await
            .map(Ok)
    };
    no_content(state.db.write(write).await??, || {
        ApiError::not_found("Flow run", id)
    })
}

/// Checks that a run can be given other job variables, and these.
async fn may_be_given(
    conn: &mut Conn,
    vault: &Vault,
    id: FlowRunId,
    variables: &Document,
) -> db::Result<Result<(), ApiError>> {
    let refuse = |text: String| Ok(Err(ApiError::BadRequest(text)));
    let Some(run) = models::flow_runs::read(conn, id).await? else {
        return Ok(Err(ApiError::not_found("Flow run", id)));
    };
    match run.state.map(|state| state.state_type) {
        Some(StateType::Scheduled) => {}
        Some(other) => {
            let word = other.as_str();
            return refuse(format!(
                "Job variables for a flow run in state {word} cannot be updated"
            ));
        }
        None => {
            let text = "Flow run state is required to update job variables but none exists";
            return refuse(text.to_owned());
        }
    }
    let deployment = match run.deployment_id {
        Some(deployment) => models::deployments::read(conn, deployment).await?,
        None => None,
    };
    let Some(deployment) = deployment else {
        return refuse("A deployment for the flow run could not be found".to_owned());
    };
    let failed = "Error updating flow run";
    job_variables::of_run(conn, vault, &deployment, Some(variables), failed).await
}

/// Adds labels to a flow run, those of the same names in place of the old ones.
#[utoipa::path(patch, path = "/flow_runs/{id}/labels", params(("id" = FlowRunId, Path)), request_body = Object, responses((status = 204)))]
pub async fn update_flow_run_labels(
    State(state): State<AppState>,
    Id(id): Id<FlowRunId>,
    Body(Labels(labels)): Body<Labels>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    let write =
        async move |conn: &mut _| models::flow_runs::add_labels(conn, id, &labels, now).await;
    no_content(state.db.write(write).await?, || {
        ApiError::not_found("Flow run", id)
    })
}

/// Deletes a flow run with its task runs and logs.
#[utoipa::path(delete, path = "/flow_runs/{id}", params(("id" = FlowRunId, Path)), responses((status = 204)))]
pub async fn delete_flow_run(
    State(state): State<AppState>,
    Id(id): Id<FlowRunId>,
) -> Result<StatusCode, ApiError> {
    let (since, now) = (state.events_since(), state.now());
    let found = state
        .db
        .write(async move |conn| models::flow_runs::delete(conn, id, since, now).await)
        .await?;
    state.changes.tell(Change::of(Kind::FlowRun, id.0));
    no_content(found, || ApiError::not_found("Flow run", id))
}

/// Through which queue an agent of ours claims a run.
#[derive(Debug, Deserialize)]
pub struct Claim {
    #[serde(default)]
    work_queue_id: Option<WorkQueueId>,
}

/// Proposes a state for a flow run.
///
/// A claim that names its work queue is refused while that is paused or its limit reached. Other
/// claims cannot be judged so, since a run may be in several queues.
#[utoipa::path(post, path = "/flow_runs/{id}/set_state", params(("id" = FlowRunId, Path), ("work_queue_id" = Option<WorkQueueId>, Query)), request_body = SetState, responses((status = 201, body = OrchestrationResult), (status = 200, body = OrchestrationResult)))]
pub async fn set_flow_run_state(
    State(state): State<AppState>,
    dialect: Dialect,
    RenewsLeases(client_renews): RenewsLeases,
    Id(id): Id<FlowRunId>,
    Asked(claim): Asked<Claim>,
    Body(SetState {
        state: proposed,
        force,
    }): Body<SetState>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let proposal = Proposal {
        policy: Policy::of(dialect, force),
        terms: state.slot_terms(client_renews),
        state: proposed,
    };
    let queue = claim
        .work_queue_id
        .filter(|_| proposal.state.state_type == StateType::Pending);
    let write = async move |conn: &mut _| {
        if let Some(queue) = queue
            && let Some(reason) = models::due_runs::why_not_claimed(conn, queue, id).await?
        {
            return models::transitions::abort_flow_run(conn, id, reason).await;
        }
        models::transitions::transition_flow_run(conn, id, proposal, now).await
    };
    let done = state.db.write_short(write).await?;
    let absent = || ApiError::NoObject(format!("Flow run {id} not found"));
    let done = done.ok_or_else(absent)?;
    tell(&state, id, &done);
    Ok((status(&done, dialect), view(dialect, done.result)))
}

/// Lets a paused flow run go on, with the input that it waits for.
#[utoipa::path(post, path = "/flow_runs/{id}/resume", params(("id" = FlowRunId, Path)), request_body = ResumeFlowRun, responses((status = 201, body = OrchestrationResult), (status = 200, body = OrchestrationResult)))]
pub async fn resume_flow_run(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<FlowRunId>,
    Body(ResumeFlowRun { run_input }): Body<ResumeFlowRun>,
) -> Result<impl IntoResponse, ApiError> {
    // Clients of 2.0b3 know no pause; what resumes one follows the rules of those that do.
    let policy = Policy::Core(dialect.max(Dialect::Two));
    let now = state.now();
    let write =
        async move |conn: &mut _| models::pauses::resume(conn, id, run_input, policy, now).await;
    let done = state.db.write(write).await?;
    let done = done.ok_or_else(|| ApiError::not_found("Flow run", id))?;
    tell(&state, id, &done);
    Ok((status(&done, dialect), view(dialect, done.result)))
}

/// Tells listeners what a proposal has made of a flow run.
pub(super) fn tell(state: &AppState, id: FlowRunId, done: &Transitioned) {
    if done.is_written {
        let now = done.result.state.as_ref();
        let change = Change::of_flow_run(id, now, done.deployment_id);
        state.changes.tell(change);
    }
}

/// Returns the status of an answer to a proposal: 201 says that a state was written.
pub fn status(done: &Transitioned, dialect: Dialect) -> StatusCode {
    let is_decided = matches!(
        done.result.outcome,
        Outcome::Accept {} | Outcome::Reject { .. }
    );
    let is_created = if dialect == Dialect::B {
        is_decided
    } else {
        done.is_written
    };
    if is_created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    }
}

/// A point of the scatter of start and duration.
#[derive(Debug)]
struct SimpleFlowRun(AsOf<FlowRun>);

impl Render for SimpleFlowRun {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let AsOf(now, run) = &self.0;
        let state_type = run.state_type();
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &run.id)?;
        fields.part("state_type", &state_type.unwrap_or(StateType::Pending))?;
        fields.time(
            "timestamp",
            run.start_time
                .or(run.expected_start_time)
                .unwrap_or(run.created),
        )?;
        fields.all(
            "duration",
            &estimated_run_time(run.total_run_time, run.state.as_ref(), *now),
        )?;
        let late = crate::schemas::flow_runs::estimated_start_time_delta(
            run.expected_start_time,
            run.start_time,
            state_type,
            *now,
        );
        fields.all("lateness", &late)?;
        fields.end()
    }
}

/// Returns the points of the dashboard's scatter.
#[utoipa::path(post, path = "/ui/flow_runs/history", request_body = FlowRunsQuery, responses((status = 200)))]
pub async fn read_flow_run_points(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<FlowRunsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = asked.limit.unwrap_or(MOST_POINTS);
    if !(0..=MOST_POINTS).contains(&limit) {
        let text = format!("ensure this value is less than or equal to {MOST_POINTS}");
        return Err(ApiError::invalid_input(&["body", "limit"], text, limit));
    }
    let offset = i64::from(asked.offset.unwrap_or(0));
    let sort = asked.sort.unwrap_or(FlowRunSort::ExpectedStartTimeDesc);
    let filters = asked.filters();
    let read = async move |conn: &mut _| {
        models::flow_runs::list(conn, &filters, sort, limit, offset).await
    };
    let runs = AsOf(state.now(), state.db.read(read).await?).each();
    Ok(view(
        dialect,
        runs.into_iter().map(SimpleFlowRun).collect::<Vec<_>>(),
    ))
}

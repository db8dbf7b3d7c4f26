//! `/deployments`: how flows are run from the server.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::db::{self, Conn};
use crate::schemas::actions::{
    DeploymentFlowRunCreate, DeploymentSchedule, FlowRunCreate, StateCreate,
};
use crate::schemas::deployment_actions::{DeploymentCreate, DeploymentUpdate};
use crate::schemas::deployments::Deployment;
use crate::schemas::filters::{DeploymentsQuery, Filters, FlowSort};
use crate::schemas::flow_runs::{AsOf, FlowRun};
use crate::schemas::json_schema::{self, Misfit, Required};
use crate::schemas::{ConcurrencyLimitId, DeploymentId, Dialect, Document, StateType, WorkQueueId};
use crate::server::changes::{Change, Kind};
use crate::server::events::lifecycle;
use crate::server::extract::{Answer, Author, Body, Id, created, view};
use crate::server::models::deployment_schedules::{self, Unclear};
use crate::server::models::deployments::{Missing, Usual};
use crate::server::models::events::lifecycle::Happened;
use crate::server::models::flow_runs::Origin;
use crate::server::{ApiError, AppState, job_variables, models, parameters, services};

const NOUN: &str = "Deployment";

/// Runs that a schedule makes at once; who wants more asks again from the last one on.
const MOST_RUNS: i64 = 10_000;

fn tell(state: &AppState, id: DeploymentId) {
    state.changes.tell(Change::of(Kind::Deployment, id.0));
}

fn missing(missing: Missing) -> ApiError {
    match missing {
        Missing::Pool(name) => ApiError::no_work_pool(&name),
        Missing::Limit => ApiError::NotFound("Concurrency limit not found".to_owned()),
    }
}

/// Changes a deployment.
#[utoipa::path(patch, path = "/deployments/{id}", params(("id" = DeploymentId, Path)), request_body = DeploymentUpdate, responses((status = 204)))]
pub async fn update_deployment(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<DeploymentId>,
    Body(update): Body<DeploymentUpdate>,
) -> Result<StatusCode, ApiError> {
    let now = state.now();
    has_one_limit(update.concurrency_limit, update.global_concurrency_limit_id)?;
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let absent = || ApiError::NotFound("Deployment not found.".to_owned());
        let Some(known) = models::deployments::read(conn, id).await? else {
            return Ok(Err(absent()));
        };
        let variables = update
            .job_variables
            .as_ref()
            .or(update.infra_overrides.as_ref());
        if let (Some(pool), Some(variables)) = (update.work_pool(), variables)
            && let Err(refusal) =
                job_variables::of_changed_deployment(conn, pool, variables).await?
        {
            return Ok(Err(refusal));
        }
        let mut update = match fitting(conn, &known, update).await? {
            Ok(update) => update,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // Older clients know of no slugs, and name all schedules that there shall be.
        let schedules = match dialect {
            Dialect::B | Dialect::Two => None,
            Dialect::Three => update.take_schedules(),
        };
        let plan = match schedules {
            Some(schedules) => match deployment_schedules::plan(conn, id, schedules).await? {
                Ok(plan) => Some(plan),
                Err(why) => return Ok(Err(unclear(why))),
            },
            None => None,
        };
        let done = models::deployments::update(conn, happened, id, update, now).await?;
        let done = done
            .ok_or_else(absent)
            .and_then(|done| done.map_err(missing));
        if let (Ok(()), Some(plan)) = (&done, plan) {
            deployment_schedules::carry_out(conn, id, plan, now).await?;
        }
        Ok(done)
    };
    lifecycle::write(&state, write).await??;
    tell(&state, id);
    Ok(StatusCode::NO_CONTENT)
}

/// Creates a deployment, or updates the one of that flow and name.
#[utoipa::path(post, path = "/deployments/", request_body = DeploymentCreate, responses((status = 201, body = Deployment), (status = 200, body = Deployment)))]
pub async fn create_deployment(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(deployment): Body<DeploymentCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let now = state.now();
    let deployment = match dialect {
        Dialect::B => deployment.completed(),
        Dialect::Two | Dialect::Three => deployment,
    };
    has_one_limit(
        deployment.concurrency_limit,
        deployment.global_concurrency_limit_id,
    )?;
    if deployment.enforce_parameter_schema == Some(true) {
        must_fit(&deployment)?;
    }
    let usual = match dialect {
        Dialect::B | Dialect::Two => Usual::default(),
        Dialect::Three => Usual {
            enforces_schema: true,
            schema: Some(Document::empty_object()),
            pull_steps: Some(Document::empty_list()),
        },
    };
    let vault = state.vault.clone();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let variables = deployment
            .job_variables
            .as_ref()
            .or(deployment.infra_overrides.as_ref());
        let pool = deployment.work_pool();
        if let (Some(pool), Some(variables)) = (pool, variables)
            && let Err(refusal) =
                job_variables::of_deployment(conn, &vault, pool, variables).await?
        {
            return Ok(Err(refusal));
        }
        let done = models::deployments::upsert(conn, happened, deployment, usual, now).await?;
        Ok(done.map_err(missing))
    };
    let (deployment, is_new) = lifecycle::write(&state, write).await??;
    tell(&state, deployment.id);
    Ok(created(dialect, is_new, AsOf(now, deployment)))
}

/// Returns a deployment.
#[utoipa::path(get, path = "/deployments/{id}", params(("id" = DeploymentId, Path)), responses((status = 200, body = Deployment)))]
pub async fn read_deployment(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<DeploymentId>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| models::deployments::read(conn, id).await;
    let deployment = state.db.read(read).await?;
    let deployment = deployment.ok_or_else(|| ApiError::not_found(NOUN, id))?;
    Ok(view(dialect, AsOf(state.now(), deployment)))
}

/// Returns a deployment by the names of its flow and itself.
#[utoipa::path(get, path = "/deployments/name/{flow_name}/{deployment_name}", params(("flow_name" = String, Path), ("deployment_name" = String, Path)), responses((status = 200, body = Deployment)))]
pub async fn read_deployment_by_name(
    State(state): State<AppState>,
    dialect: Dialect,
    Id((flow, name)): Id<(String, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let which = format!("{flow}/{name}");
    let read =
        async move |conn: &mut _| models::deployments::read_by_name(conn, &flow, &name).await;
    let deployment = state.db.read(read).await?;
    let deployment = deployment.ok_or_else(|| ApiError::not_found(NOUN, which))?;
    Ok(view(dialect, AsOf(state.now(), deployment)))
}

/// Returns the deployments of a page.
#[utoipa::path(post, path = "/deployments/filter", request_body = DeploymentsQuery, responses((status = 200, body = Vec<Deployment>)))]
pub async fn read_deployments(
    State(state): State<AppState>,
    dialect: Dialect,
    Body(asked): Body<DeploymentsQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let limit = state.limit(asked.limit)?;
    let offset = i64::from(asked.offset.unwrap_or(0));
    let sort = asked.sort.unwrap_or(FlowSort::NameAsc);
    let filters = asked.filters();
    let read = async move |conn: &mut _| {
        models::deployments::list(conn, &filters, sort, limit, offset).await
    };
    let deployments = state.db.read(read).await?;
    Ok(view(dialect, AsOf(state.now(), deployments).each()))
}

/// Counts deployments.
#[utoipa::path(post, path = "/deployments/count", request_body = Filters, responses((status = 200, body = i64)))]
pub async fn count_deployments(
    State(state): State<AppState>,
    Body(filters): Body<Filters>,
) -> Result<impl IntoResponse, ApiError> {
    let read = async move |conn: &mut _| models::deployments::count(conn, &filters).await;
    Ok(Answer(state.db.read(read).await?))
}

/// Deletes a deployment with its runs that nobody has begun.
#[utoipa::path(delete, path = "/deployments/{id}", params(("id" = DeploymentId, Path)), responses((status = 204)))]
pub async fn delete_deployment(
    State(state): State<AppState>,
    Id(id): Id<DeploymentId>,
) -> Result<StatusCode, ApiError> {
    let (since, now) = (state.events_since(), state.now());
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        models::deployments::delete(conn, happened, id, since, now).await
    };
    if !lifecycle::write(&state, write).await? {
        return Err(ApiError::not_found(NOUN, id));
    }
    tell(&state, id);
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the runs of a deployment's schedule now, in the past too if asked to.
#[utoipa::path(post, path = "/deployments/{id}/schedule", params(("id" = DeploymentId, Path)), request_body = DeploymentSchedule, responses((status = 200)))]
pub async fn schedule_deployment(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<DeploymentId>,
    Body(span): Body<DeploymentSchedule>,
) -> Result<Answer<()>, ApiError> {
    let settings = &state.settings;
    let start = span.start_time.map_or_else(|| state.now(), |start| start.0);
    let later = |ahead: Option<TimeDelta>| ahead.and_then(|ahead| start.checked_add_signed(ahead));
    let furthest = later(TimeDelta::from_std(settings.scheduler_max_scheduled_time).ok());
    let end = span.end_time.map(|end| end.0).or(furthest).unwrap_or(start);
    let most = span.max_runs.unwrap_or(settings.scheduler_max_runs.into());
    if most > MOST_RUNS {
        let text = format!("ensure this value is less than or equal to {MOST_RUNS}");
        return Err(ApiError::invalid_input(&["body", "max_runs"], text, most));
    }
    let count = |count: i64| usize::try_from(count).unwrap_or(0);
    let span = match dialect {
        // Everything up to the end.
        Dialect::B => services::Span {
            start,
            near: end,
            end,
            least: count(most),
            most: count(most),
        },
        Dialect::Two | Dialect::Three => services::Span {
            start,
            near: match span.min_time {
                Some(seconds) => later(patience(seconds)).unwrap_or(end),
                None => later(TimeDelta::from_std(settings.scheduler_min_scheduled_time).ok())
                    .unwrap_or(end),
            },
            end,
            least: count(span.min_runs.unwrap_or(settings.scheduler_min_runs.into())),
            most: count(most),
        },
    };
    services::schedule_deployment(&state, id, span).await?;
    Ok(Answer(()))
}

/// Returns seconds as a span; none if no calendar has so many.
fn patience(seconds: f64) -> Option<TimeDelta> {
    let seconds = std::time::Duration::try_from_secs_f64(seconds.max(0.0)).ok()?;
    TimeDelta::from_std(seconds).ok()
}

/// Lets a deployment's schedule make runs.
#[utoipa::path(post, path = "/deployments/{id}/set_schedule_active", params(("id" = DeploymentId, Path)), responses((status = 200)))]
pub async fn set_schedule_active(
    State(state): State<AppState>,
    Id(id): Id<DeploymentId>,
) -> Result<Answer<()>, ApiError> {
    set_active(&state, id, true).await
}

/// Stops a deployment's schedule and deletes the runs it made that nobody has begun.
#[utoipa::path(post, path = "/deployments/{id}/set_schedule_inactive", params(("id" = DeploymentId, Path)), responses((status = 200)))]
pub async fn set_schedule_inactive(
    State(state): State<AppState>,
    Id(id): Id<DeploymentId>,
) -> Result<Answer<()>, ApiError> {
    set_active(&state, id, false).await
}

async fn set_active(
    state: &AppState,
    id: DeploymentId,
    is_active: bool,
) -> Result<Answer<()>, ApiError> {
    let now = state.now();
    let write = async move |conn: &mut _| {
        models::deployments::set_schedule_active(conn, id, is_active, now).await
    };
    if !state.db.write(write).await? {
        return Err(ApiError::not_found(NOUN, id));
    }
    tell(state, id);
    Ok(Answer(()))
}

/// Creates a run from a deployment: its parameters under those given, its tags beside them.
#[utoipa::path(post, path = "/deployments/{id}/create_flow_run", params(("id" = DeploymentId, Path)), request_body = DeploymentFlowRunCreate, responses((status = 201, body = FlowRun), (status = 200, body = FlowRun)))]
pub async fn create_flow_run_from_deployment(
    State(state): State<AppState>,
    dialect: Dialect,
    Id(id): Id<DeploymentId>,
    Author(author): Author,
    Body(asked): Body<DeploymentFlowRunCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let (run, is_new) = make_run(&state, dialect, id, asked, author).await?;
    Ok(created(dialect, is_new, AsOf(state.now(), run)))
}

/// Makes a run of a deployment, or finds the one of that idempotency key; tells which it was.
pub(super) async fn make_run(
    state: &AppState,
    dialect: Dialect,
    id: DeploymentId,
    asked: DeploymentFlowRunCreate,
    author: Option<Document>,
) -> Result<(FlowRun, bool), ApiError> {
    let now = state.now();
    let first = asked.state.clone().or_else(|| first_state(dialect));
    let vault = state.vault.clone();
    let write = async move |conn: &mut Conn, happened: &mut Happened| {
        let Some(deployment) = models::deployments::read(conn, id).await? else {
            return Ok(None);
        };
        let parameters = match run_parameters(conn, &deployment, &asked).await? {
            Ok(parameters) => parameters,
            Err(refusal) => return Ok(Some(Err(refusal))),
        };
        let (variables, failed) = (asked.job_variables.as_ref(), "Error creating flow run");
        let checked = job_variables::of_run(conn, &vault, &deployment, variables, failed).await?;
        if let Err(refusal) = checked {
            return Ok(Some(Err(refusal)));
        }
        let work_queue = match run_queue(conn, happened, &deployment, &asked, now).await? {
            Ok(queue) => queue,
            Err(refusal) => return Ok(Some(Err(refusal))),
        };
        let origin = Origin {
            work_queue,
            deployment_version: deployment.version,
            labels: Some(deployment.labels),
            created_by: author,
        };
        let run = FlowRunCreate {
            flow_id: deployment.flow_id,
            name: asked.name,
            deployment_id: Some(id),
            flow_version: asked.flow_version,
            parameters: Some(parameters),
            idempotency_key: asked.idempotency_key,
            context: asked.context,
            empirical_policy: asked.empirical_policy,
            tags: deployment.tags.union(&asked.tags),
            parent_task_run_id: asked.parent_task_run_id,
            flow_runner: Some(asked.flow_runner.unwrap_or(deployment.flow_runner)),
            infrastructure_document_id: asked
                .infrastructure_document_id
                .or(deployment.infrastructure_document_id),
            job_variables: asked.job_variables,
            labels: asked.labels,
            work_queue_name: None,
            work_pool_name: None,
            state: first,
        };
        models::flow_runs::create(conn, run, origin, now)
            .await
            .map(Ok)
            .map(Some)
    };
    let made = lifecycle::write(state, write).await?;
    let made = made.ok_or_else(|| ApiError::not_found(NOUN, id))?;
    let (run, is_new) = made?;
    if is_new {
        state.changes.tell(super::flow_runs::change(&run));
    }
    Ok((run, is_new))
}

/// Returns the parameters of a run: those given over those of its deployment, worked out and checked.
async fn run_parameters(
    conn: &mut Conn,
    deployment: &Deployment,
    asked: &DeploymentFlowRunCreate,
) -> db::Result<Result<Document, ApiError>> {
    let parameters = match &asked.parameters {
        Some(given) => deployment.parameters.merge(given),
        None => deployment.parameters.clone(),
    };
    let parameters = match parameters::expand(conn, parameters).await? {
        Ok(parameters) => parameters,
        Err(text) => {
            let text = format!("Error hydrating flow run parameters: {text}");
            return Ok(Err(ApiError::BadRequest(text)));
        }
    };
    let is_enforced = asked.enforce_parameter_schema;
    if is_enforced.unwrap_or(deployment.enforce_parameter_schema) {
        let schema = deployment.parameter_openapi_schema.as_ref();
        if let Err(misfit) = fit(schema, &parameters, Required::Checked) {
            let text = format!("Error creating flow run: {misfit}");
            return Ok(Err(ApiError::Conflict(text)));
        }
    }
    Ok(Ok(parameters))
}

/// Returns the queue of a run: the one that is asked for in the deployment's pool, made where it is
/// not there yet, else the deployment's.
async fn run_queue(
    conn: &mut Conn,
    happened: &mut Happened,
    deployment: &Deployment,
    asked: &DeploymentFlowRunCreate,
    now: DateTime<Utc>,
) -> db::Result<Result<Option<(WorkQueueId, String)>, ApiError>> {
    let Some(name) = &asked.work_queue_name else {
        let name = deployment.work_queue_name.clone();
        return Ok(Ok(deployment.work_queue_id.zip(name)));
    };
    let pool = match &deployment.work_pool_name {
        Some(pool) => models::work_pools::read_by_name(conn, pool).await?,
        None => None,
    };
    let Some(pool) = pool else {
        let text = format!(
            "Cannot create flow run in work queue {name} because deployment {} is not associated with a work pool. \
             Please remove work_queue_name and try again.",
            deployment.id
        );
        return Ok(Err(ApiError::BadRequest(text)));
    };
    let queue = models::work_queues::ensure(conn, happened, &pool, name, None, now).await?;
    Ok(Ok(Some((queue.id, queue.name))))
}

/// Returns the first state of a run that was asked for without one: due now, but for 2.0b3.
fn first_state(dialect: Dialect) -> Option<StateCreate> {
    match dialect {
        Dialect::B => None,
        Dialect::Two | Dialect::Three => Some(StateCreate::of(StateType::Scheduled)),
    }
}

/// Checks parameters against the schema that a deployment has of them.
fn fit(schema: Option<&Document>, parameters: &Document, required: Required) -> Result<(), Misfit> {
    let schema: Value = match schema {
        Some(schema) => json_schema::as_meant(&schema.read().unwrap_or_default()),
        None => return Ok(()),
    };
    let parameters = parameters.read().unwrap_or_default();
    json_schema::check(&schema, &parameters, required)
}

/// Refuses two limits at once: one of the deployment's own, and one that it shares.
fn has_one_limit(
    own: Option<Option<i64>>,
    shared: Option<Option<ConcurrencyLimitId>>,
) -> Result<(), ApiError> {
    match (own.flatten(), shared.flatten()) {
        (Some(_), Some(_)) => Err(ApiError::invalid(
            &["body"],
            "A deployment cannot have both a concurrency limit and a global concurrency limit.",
        )),
        _ => Ok(()),
    }
}

/// Tells why the schedules of a deployment cannot be changed as asked.
fn unclear(unclear: Unclear) -> ApiError {
    ApiError::Unfit(match unclear {
        // A conflict, as where they are created so.
        Unclear::AddedTwice(slug) => {
            return ApiError::Conflict(format!(
                "Two schedules have the slug '{slug}'; each needs one of its own."
            ));
        }
        Unclear::NoSlug => "Each schedule needs a slug, since those of the deployment have one: \
            without it nobody knows which of them is meant."
            .to_owned(),
        Unclear::ReplacedTwice(slug) => {
            format!("Two schedules shall replace the one with the slug '{slug}'; only one can.")
        }
        Unclear::Taken { from, to } => format!(
            "The schedule '{from}' cannot become '{to}', since another schedule of the deployment is \
             called that; replace or delete that one as well."
        ),
    })
}

/// Checks the schema of a new deployment, and that its parameters fit as far as they are given.
fn must_fit(deployment: &DeploymentCreate) -> Result<(), ApiError> {
    let refuse = |reason: String| Err(ApiError::invalid(&["body"], reason));
    let Some(Some(schema)) = &deployment.parameter_openapi_schema else {
        return Ok(());
    };
    let schema: Value = schema.read().unwrap_or_default();
    if let Some(reason) = json_schema::why_no_schema(&schema) {
        return refuse(format!(
            "The provided schema is not a valid json schema. Schema error: {reason}"
        ));
    }
    let parameters = deployment.parameters.as_ref();
    let parameters = parameters.and_then(|parameters| parameters.read().ok());
    let parameters = parameters.unwrap_or_else(|| Value::Object(Default::default()));
    match json_schema::check(&schema, &parameters, Required::Ignored) {
        Ok(()) => Ok(()),
        Err(misfit) => refuse(misfit.to_string()),
    }
}

/// Returns a change whose parameters are worth what they make, if those that the deployment will
/// have fit the schema that it will have.
async fn fitting(
    conn: &mut Conn,
    known: &Deployment,
    mut update: DeploymentUpdate,
) -> db::Result<Result<DeploymentUpdate, ApiError>> {
    if let Some(given) = update.parameters.take() {
        match parameters::expand(conn, given).await? {
            Ok(made) => update.parameters = Some(made),
            Err(text) => {
                let text = format!("Error hydrating deployment parameters: {text}");
                return Ok(Err(ApiError::BadRequest(text)));
            }
        }
    }
    let enforces = update.enforce_parameter_schema;
    if enforces.unwrap_or(known.enforce_parameter_schema) {
        let schema = update
            .parameter_openapi_schema
            .as_ref()
            .and_then(Option::as_ref);
        let schema = schema.or(known.parameter_openapi_schema.as_ref());
        let parameters = update.parameters.as_ref().unwrap_or(&known.parameters);
        if let Err(misfit) = fit(schema, parameters, Required::Ignored) {
            let text = format!("Error updating deployment: {misfit}");
            return Ok(Err(ApiError::Conflict(text)));
        }
    }
    Ok(Ok(update))
}

//! Deployments: how a flow is run from the server, by hand or by schedules.
//!
//! A deployment has any number of schedules. 2.0b3 knows one: it is shown the newest, and whether
//! the schedule is active says there whether the deployment is paused.

use chrono::{DateTime, Utc};
use serde::Serializer;
use serde_json::json;

use super::deployment_limits::ConcurrencyOptions;
use super::dialect::{Dialect, Fields, Render};
use super::flow_runs::{AsOf, FlowRunnerSettings};
use super::global_concurrency_limits::GlobalConcurrencyLimit;
use super::patience::Patience;
use super::schedules::Schedule;
use super::{DeploymentId, Document, FlowId, ScheduleId, Tags, WorkQueueId};

/// A deployment.
#[derive(Debug, Clone, PartialEq, utoipa::ToSchema)]
pub struct Deployment {
    /// The deployment's id.
    pub id: DeploymentId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The name, unique for the flow.
    pub name: String,
    /// The flow that it runs.
    pub flow_id: FlowId,
    /// When it runs by itself, the schedule changed last first.
    pub schedules: Vec<DeploymentSchedule>,
    /// Whether its schedules make runs; else it is paused.
    pub is_schedule_active: bool,
    /// Tags that its runs get.
    pub tags: Tags,
    /// Arguments that its runs get.
    pub parameters: Document,
    /// The flow's code, or where it is, in the form of 2.0b3; opaque to the server.
    pub flow_data: Option<Document>,
    /// How the infrastructure of its runs is made, in the words of 2.0b3.
    pub flow_runner: FlowRunnerSettings,
    /// The version.
    pub version: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The folder of the code.
    pub path: Option<String>,
    /// The file of the code, and the flow in it.
    pub entrypoint: Option<String>,
    /// A file that describes the flow, for 2.20.
    pub manifest_path: Option<String>,
    /// How a worker gets the code.
    pub pull_steps: Option<Document>,
    /// The JSON schema of the flow's parameters.
    pub parameter_openapi_schema: Option<Document>,
    /// Whether parameters must fit the schema.
    pub enforce_parameter_schema: bool,
    /// Settings of its runs' infrastructure.
    pub job_variables: Document,
    /// The work queue that its runs wait in.
    pub work_queue_id: Option<WorkQueueId>,
    /// The queue's name.
    pub work_queue_name: Option<String>,
    /// The name of the queue's pool.
    pub work_pool_name: Option<String>,
    /// The block that describes its runs' infrastructure, for 2.20 agents.
    pub infrastructure_document_id: Option<uuid::Uuid>,
    /// The block that describes where the code is.
    pub storage_document_id: Option<uuid::Uuid>,
    /// How many of its runs may be under way at once.
    pub global_concurrency_limit: Option<GlobalConcurrencyLimit>,
    /// What becomes of a run beyond the limit.
    pub concurrency_options: Option<ConcurrencyOptions>,
    /// Labels, the flow's included.
    pub labels: Document,
    /// When somebody last asked for its runs.
    pub last_polled: Option<DateTime<Utc>>,
}

/// One schedule of a deployment.
#[derive(Debug, Clone, PartialEq, utoipa::ToSchema)]
pub struct DeploymentSchedule {
    /// The schedule's id.
    pub id: ScheduleId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The deployment that it is of.
    pub deployment_id: DeploymentId,
    /// When there are runs.
    pub schedule: Schedule,
    /// Whether it makes runs.
    pub active: bool,
    /// How many runs it makes ahead at most.
    pub max_scheduled_runs: Option<i64>,
    /// Arguments that its runs get over the deployment's.
    pub parameters: Document,
    /// A name by which deploying again finds it.
    pub slug: Option<String>,
}

impl Render for DeploymentSchedule {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("deployment_id", &self.deployment_id)?;
        fields.part("schedule", &self.schedule)?;
        fields.all("active", &self.active)?;
        fields.all("max_scheduled_runs", &self.max_scheduled_runs)?;
        if dialect == Dialect::Two {
            fields.all("max_active_runs", &())?;
            fields.all("catchup", &false)?;
        } else {
            fields.all("parameters", &self.parameters)?;
            fields.all("slug", &self.slug)?;
        }
        fields.end()
    }
}

impl AsOf<Deployment> {
    /// Says whether anybody asks for the deployment's runs.
    fn status(&self) -> &'static str {
        let AsOf(now, deployment) = self;
        let polled = deployment.last_polled;
        match polled {
            Some(polled) if Patience::chosen().is_deployment_served(polled, *now) => "READY",
            _ => "NOT_READY",
        }
    }
}

impl Deployment {
    /// Returns a schema that knows of the parameters no more than the names of those that are given.
    fn named_parameters(&self) -> serde_json::Value {
        let given: serde_json::Map<String, serde_json::Value> =
            self.parameters.read().unwrap_or_default();
        let properties: serde_json::Map<_, _> = given
            .into_iter()
            .map(|(name, _)| (name.clone(), serde_json::json!({ "title": name })))
            .collect();
        serde_json::json!({"title": "Parameters", "type": "object", "properties": properties})
    }
}

impl Render for AsOf<Deployment> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let deployment = &self.1;
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &deployment.id)?;
        fields.time("created", deployment.created)?;
        fields.time("updated", deployment.updated)?;
        fields.all("name", &deployment.name)?;
        fields.all("flow_id", &deployment.flow_id)?;
        // Newer clients ignore fields that they do not know; our agent and commands read these.
        let newest = deployment.schedules.first().map(|one| &one.schedule);
        fields.part("schedule", &newest)?;
        fields.all("is_schedule_active", &deployment.is_schedule_active)?;
        fields.all("parameters", &deployment.parameters)?;
        fields.all("tags", &deployment.tags)?;
        if dialect == Dialect::B {
            match &deployment.flow_data {
                // 2.0b3 needs a document, also where the deployment was made by a newer client.
                None => fields.all("flow_data", &json!({"encoding": "json", "blob": "null"}))?,
                data => fields.all("flow_data", data)?,
            }
            fields.all("flow_runner", &deployment.flow_runner)?;
            return fields.end();
        }
        if deployment.flow_data.is_some() {
            fields.all("flow_data", &deployment.flow_data)?;
            fields.all("flow_runner", &deployment.flow_runner)?;
        }
        newer(&mut fields, dialect, self)?;
        fields.time_option("last_polled", deployment.last_polled)?;
        fields.all("status", &self.status())?;
        fields.end()
    }
}

/// Writes what 2.0b3 does not know.
fn newer<S: Serializer>(
    fields: &mut Fields<S>,
    dialect: Dialect,
    AsOf(now, deployment): &AsOf<Deployment>,
) -> Result<(), S::Error> {
    fields.all("version", &deployment.version)?;
    fields.all("description", &deployment.description)?;
    fields.all("paused", &!deployment.is_schedule_active)?;
    fields.part("schedules", &deployment.schedules)?;
    fields.newest("job_variables", &deployment.job_variables)?;
    fields.all("work_queue_name", &deployment.work_queue_name)?;
    fields.all("work_pool_name", &deployment.work_pool_name)?;
    fields.all("path", &deployment.path)?;
    fields.all("pull_steps", &deployment.pull_steps)?;
    fields.all("entrypoint", &deployment.entrypoint)?;
    fields.all("storage_document_id", &deployment.storage_document_id)?;
    // Such blocks have gone with 2.x, and `prefect deployment inspect` of 3.x fails at their types.
    let infrastructure = deployment
        .infrastructure_document_id
        .filter(|_| dialect != Dialect::Three);
    fields.all("infrastructure_document_id", &infrastructure)?;
    match &deployment.parameter_openapi_schema {
        // `prefect deployment run` of 2.20 cannot do without one.
        None if dialect == Dialect::Two && deployment.flow_data.is_some() => {
            fields.all("parameter_openapi_schema", &deployment.named_parameters())?;
        }
        schema => fields.all("parameter_openapi_schema", schema)?,
    }
    let enforced = &deployment.enforce_parameter_schema;
    fields.all("enforce_parameter_schema", enforced)?;
    fields.all("created_by", &())?;
    fields.all("updated_by", &())?;
    if dialect == Dialect::Two {
        fields.all("infra_overrides", &deployment.job_variables)?;
        fields.all("manifest_path", &deployment.manifest_path)?;
    } else {
        fields.all("work_queue_id", &deployment.work_queue_id)?;
        fields.all("labels", &deployment.labels)?;
        // The number has moved into the limit; clients look for it there.
        fields.all("concurrency_limit", &())?;
        fields.all("concurrency_options", &deployment.concurrency_options)?;
        let limit = deployment.global_concurrency_limit.clone();
        fields.part(
            "global_concurrency_limit",
            &limit.map(|limit| AsOf(*now, limit)),
        )?;
    }
    Ok(())
}

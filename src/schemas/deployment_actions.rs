//! What a client may send to create or change a deployment.
//!
//! A member that is not there leaves what is; `null` takes it away.

use serde::Deserialize;
use utoipa::ToSchema;

use super::actions::{data_document, given, object};
use super::deployment_limits::{self, ConcurrencyOptions};
use super::deployments::DeploymentSchedule;
use super::flow_runs::FlowRunnerSettings;
use super::schedules::Schedule;
use super::{ConcurrencyLimitId, DeploymentId, Document, FlowId, ScheduleId, Tags};
use chrono::{DateTime, Utc};

/// A schedule that a deployment shall have.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `DeploymentSchedule`")]
pub struct ScheduleCreate {
    pub schedule: Schedule,
    #[serde(default)]
    pub active: Option<bool>,
    #[serde(default)]
    pub max_scheduled_runs: Option<i64>,
    #[serde(default, deserialize_with = "object")]
    pub parameters: Option<Document>,
    #[serde(default)]
    pub slug: Option<String>,
    /// The slug that it had before.
    #[serde(default)]
    pub replaces: Option<String>,
    /// Of 2.20, without effect there too.
    #[serde(default)]
    pub max_active_runs: Option<i64>,
    /// Of 2.20, without effect there too.
    #[serde(default)]
    pub catchup: Option<bool>,
    /// Whether it is the one schedule of an older client, which goes by the deployment's id.
    #[serde(skip)]
    pub is_only: bool,
}

impl ScheduleCreate {
    /// The one schedule of an older client.
    pub fn plain(schedule: Schedule) -> Self {
        Self {
            schedule,
            active: None,
            max_scheduled_runs: None,
            parameters: None,
            slug: None,
            replaces: None,
            max_active_runs: None,
            catchup: None,
            is_only: true,
        }
    }

    /// Makes the schedule of a deployment.
    pub fn of(self, deployment_id: DeploymentId, now: DateTime<Utc>) -> DeploymentSchedule {
        let id = if self.is_only {
            ScheduleId(deployment_id.0)
        } else {
            ScheduleId::new()
        };
        DeploymentSchedule {
            id,
            created: now,
            updated: now,
            deployment_id,
            schedule: self.schedule,
            active: self.active.unwrap_or(true),
            max_scheduled_runs: self.max_scheduled_runs,
            parameters: self.parameters.unwrap_or_else(Document::empty_object),
            slug: self.slug,
        }
    }
}

/// Changes a schedule of a deployment; what is not given stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `DeploymentSchedule`")]
pub struct ScheduleUpdate {
    pub schedule: Option<Schedule>,
    pub active: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    pub max_scheduled_runs: Option<Option<i64>>,
    #[serde(default, deserialize_with = "object")]
    pub parameters: Option<Document>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub slug: Option<Option<String>>,
    pub replaces: Option<String>,
    pub max_active_runs: Option<i64>,
    pub catchup: Option<bool>,
}

/// Makes a body of what may be given of a deployment.
macro_rules! deployment_body {
    ($(#[doc = $doc:literal])+ $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        #[expect(missing_docs, reason = "the fields are those of `Deployment`")]
        pub struct $name {
            $(pub $field: $type,)*
            /// The one schedule of older clients.
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<Schedule>)]
            pub schedule: Option<Option<Schedule>>,
            #[serde(default)]
            pub is_schedule_active: Option<bool>,
            #[serde(default)]
            pub schedules: Option<Vec<ScheduleCreate>>,
            #[serde(default)]
            pub paused: Option<bool>,
            #[serde(default)]
            pub tags: Option<Tags>,
            #[serde(default, deserialize_with = "object")]
            pub parameters: Option<Document>,
            #[serde(default, deserialize_with = "data_document")]
            pub flow_data: Option<Document>,
            #[serde(default)]
            pub flow_runner: Option<FlowRunnerSettings>,
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<String>)]
            pub version: Option<Option<String>>,
            /// What a version control system knows of the version.
            #[serde(default)]
            pub version_info: Option<Document>,
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<String>)]
            pub description: Option<Option<String>>,
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<String>)]
            pub path: Option<Option<String>>,
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<String>)]
            pub entrypoint: Option<Option<String>>,
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<String>)]
            pub manifest_path: Option<Option<String>>,
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<Document>)]
            pub pull_steps: Option<Option<Document>>,
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<Document>)]
            pub parameter_openapi_schema: Option<Option<Document>>,
            #[serde(default)]
            pub enforce_parameter_schema: Option<bool>,
            #[serde(default)]
            pub job_variables: Option<Document>,
            /// The job variables in the word of 2.20.
            #[serde(default)]
            pub infra_overrides: Option<Document>,
            /// Null takes a deployment out of its pool, as one that is served from now on.
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<String>)]
            pub work_pool_name: Option<Option<String>>,
            #[serde(default)]
            pub work_queue_name: Option<String>,
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<uuid::Uuid>)]
            pub infrastructure_document_id: Option<Option<uuid::Uuid>>,
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<uuid::Uuid>)]
            pub storage_document_id: Option<Option<uuid::Uuid>>,
            #[serde(default, deserialize_with = "deployment_limits::limit")]
            #[schema(value_type = Option<i64>)]
            pub concurrency_limit: Option<Option<i64>>,
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<ConcurrencyOptions>)]
            pub concurrency_options: Option<Option<ConcurrencyOptions>>,
            /// The global limit that the deployment shares with others, instead of one of its own.
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<ConcurrencyLimitId>)]
            pub global_concurrency_limit_id: Option<Option<ConcurrencyLimitId>>,
            #[serde(default)]
            pub labels: Option<Document>,
        }
    };
}

deployment_body! {
    /// Creates a deployment, or updates the one of that flow and name.
    DeploymentCreate {
        name: String,
        flow_id: FlowId,
    }
}

deployment_body! {
    /// Changes a deployment.
    DeploymentUpdate {}
}

impl DeploymentCreate {
    /// Returns the pool that is named.
    pub fn work_pool(&self) -> Option<&str> {
        self.work_pool_name.as_ref()?.as_deref()
    }

    /// Leaves nothing as it was, in the way of 2.0b3.
    pub fn completed(mut self) -> Self {
        self.schedule.get_or_insert(None);
        self.is_schedule_active.get_or_insert(true);
        self.tags.get_or_insert_default();
        self.parameters.get_or_insert_with(Document::empty_object);
        self
    }

    /// Parts the identity from what may change.
    pub fn split(self) -> (String, FlowId, DeploymentUpdate) {
        macro_rules! update {
            ($($field:ident)*) => { DeploymentUpdate { $($field: self.$field,)* } };
        }
        let mut update = update!(
            schedule is_schedule_active schedules paused tags parameters flow_data flow_runner version
            version_info description path entrypoint manifest_path pull_steps parameter_openapi_schema
            enforce_parameter_schema job_variables infra_overrides work_pool_name work_queue_name
            infrastructure_document_id storage_document_id concurrency_limit concurrency_options
            global_concurrency_limit_id labels
        );
        // Whoever creates a deployment names no pool by null, and changes nothing of one that is there.
        update.work_pool_name = update.work_pool_name.filter(Option::is_some);
        (self.name, self.flow_id, update)
    }
}

impl DeploymentUpdate {
    /// Returns the pool that is named.
    pub fn work_pool(&self) -> Option<&str> {
        self.work_pool_name.as_ref()?.as_deref()
    }

    /// Returns the schedules that the deployment shall have, if any are said.
    pub fn take_schedules(&mut self) -> Option<Vec<ScheduleCreate>> {
        let one = self.schedule.take();
        match (self.schedules.take(), one) {
            // A client of 2.20 that sends the list leaves the one schedule null.
            (Some(list), None | Some(None)) => Some(list),
            (_, Some(Some(one))) => Some(vec![ScheduleCreate::plain(one)]),
            (None, Some(None)) => Some(Vec::new()),
            (None, None) => None,
        }
    }
}

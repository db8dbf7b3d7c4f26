//! Deployments: how a flow is run from the server, by hand or by a schedule.
//!
//! There is one schedule, as 2.0b3 has it; 3.x clients see it as a list of one, under the
//! deployment's own id.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::dialect::{Dialect, Fields, Render};
use super::flow_runs::FlowRunnerSettings;
use super::schedules::Schedule;
use super::{DeploymentId, Document, FlowId, Tags};

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
    /// When it runs by itself.
    pub schedule: Option<Schedule>,
    /// Whether the schedule makes runs.
    pub is_schedule_active: bool,
    /// Tags that its runs get.
    pub tags: Tags,
    /// Arguments that its runs get.
    pub parameters: Document,
    /// The flow's code, or where it is; opaque to the server.
    pub flow_data: Option<Document>,
    /// How the infrastructure of its runs is made.
    pub flow_runner: FlowRunnerSettings,
}

impl Deployment {
    /// Lists the schedule in the words of 3.x.
    fn schedules(&self) -> Vec<impl Serialize> {
        let one = |schedule: &Schedule| {
            json!({
                "id": self.id,
                "deployment_id": self.id,
                "schedule": schedule,
                "active": self.is_schedule_active,
                "max_scheduled_runs": null,
                "parameters": {},
                "slug": null,
            })
        };
        self.schedule.iter().map(one).collect()
    }
}

impl Render for Deployment {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("name", &self.name)?;
        fields.all("flow_id", &self.flow_id)?;
        match &self.flow_data {
            // 2.0b3 needs a document, also where the deployment was made by a newer client.
            None if dialect == Dialect::B => {
                fields.all("flow_data", &json!({"encoding": "json", "blob": "null"}))?;
            }
            data => fields.all("flow_data", data)?,
        }
        fields.part("schedule", &self.schedule)?;
        fields.all("is_schedule_active", &self.is_schedule_active)?;
        fields.all("parameters", &self.parameters)?;
        fields.all("tags", &self.tags)?;
        fields.all("flow_runner", &self.flow_runner)?;
        fields.newer("paused", &!self.is_schedule_active)?;
        fields.newer("schedules", &self.schedules())?;
        fields.end()
    }
}

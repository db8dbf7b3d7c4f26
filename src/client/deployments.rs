//! Deployments.

use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Client, Deployment, DeploymentSchedule, Document, FlowRun, Result};
use crate::http::percent_encoded;

/// A run to be made of a deployment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CreateFlowRun {
    /// Its name; the server makes one up otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Parameters over those of the deployment.
    pub parameters: Map<String, Value>,
    /// Tags beside those of the deployment.
    pub tags: Vec<String>,
    /// Settings of its infrastructure over those of the deployment.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub job_variables: Map<String, Value>,
    /// The state to begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
}

impl Client {
    /// Creates a deployment, or updates the one of this flow and name.
    pub async fn create_deployment(&self, deployment: &Value) -> Result<Document<Deployment>> {
        self.post("/deployments/", deployment).await
    }

    /// Returns a deployment.
    pub async fn read_deployment(&self, id: Uuid) -> Result<Document<Deployment>> {
        self.get(&format!("/deployments/{id}")).await
    }

    /// Returns a deployment by the names of its flow and itself.
    pub async fn read_deployment_by_name(
        &self,
        flow: &str,
        name: &str,
    ) -> Result<Document<Deployment>> {
        let path = format!(
            "/deployments/name/{}/{}",
            percent_encoded(flow),
            percent_encoded(name)
        );
        self.get(&path).await
    }

    /// Returns the deployments that a filter asks for, `limit` at most.
    pub async fn read_deployments(
        &self,
        filter: Value,
        limit: Option<usize>,
    ) -> Result<Vec<Document<Deployment>>> {
        self.pages("/deployments/filter", filter, 0, limit).await
    }

    /// Deletes a deployment.
    pub async fn delete_deployment(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/deployments/{id}")).await
    }

    /// Lets a deployment's schedule make runs again.
    pub async fn resume_schedule(&self, id: Uuid) -> Result<()> {
        let path = format!("/deployments/{id}/set_schedule_active");
        self.post_only(&path, &json!({})).await
    }

    /// Stops a deployment's schedule and removes the runs it made that have not started.
    pub async fn pause_schedule(&self, id: Uuid) -> Result<()> {
        let path = format!("/deployments/{id}/set_schedule_inactive");
        self.post_only(&path, &json!({})).await
    }

    /// Stops all schedules of a deployment, in the words of 2.20 and later servers.
    pub async fn pause_deployment(&self, id: Uuid) -> Result<()> {
        let path = format!("/deployments/{id}/pause_deployment");
        self.post_only(&path, &json!({})).await
    }

    /// Returns the schedules of a deployment.
    pub async fn read_schedules(&self, id: Uuid) -> Result<Vec<Document<DeploymentSchedule>>> {
        self.get(&format!("/deployments/{id}/schedules")).await
    }

    /// Gives a deployment another schedule.
    pub async fn create_schedule(
        &self,
        id: Uuid,
        schedule: &Value,
    ) -> Result<Vec<Document<DeploymentSchedule>>> {
        let path = format!("/deployments/{id}/schedules");
        self.post(&path, &[schedule]).await
    }

    /// Changes a schedule of a deployment.
    pub async fn update_schedule(&self, id: Uuid, schedule: Uuid, changes: &Value) -> Result<()> {
        let path = format!("/deployments/{id}/schedules/{schedule}");
        self.patch(&path, changes).await
    }

    /// Takes a schedule from a deployment.
    pub async fn delete_schedule(&self, id: Uuid, schedule: Uuid) -> Result<()> {
        let path = format!("/deployments/{id}/schedules/{schedule}");
        self.delete(&path).await
    }

    /// Makes a run of a deployment.
    pub async fn create_flow_run_from_deployment(
        &self,
        id: Uuid,
        run: &CreateFlowRun,
    ) -> Result<Document<FlowRun>> {
        self.post(&format!("/deployments/{id}/create_flow_run"), run)
            .await
    }
}

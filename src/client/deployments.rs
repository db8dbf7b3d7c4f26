//! Deployments.

use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Client, Deployment, DeploymentSchedule, Document, FlowRun, Result};
use crate::http::percent_encoded;

/// A run to be made of a deployment.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// use prefect_rs::client::CreateFlowRun;
///
/// let run = CreateFlowRun {
///     name: Some("of today".to_owned()),
///     ..CreateFlowRun::default()
/// };
/// client.create_flow_run_from_deployment(id, &run).await?;
/// # Ok(()) }
/// ```
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
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let flow = client.create_flow("Hello", &[]).await?;
    /// let deployment = serde_json::json!({"name": "nightly", "flow_id": flow.id});
    /// println!("{}", client.create_deployment(&deployment).await?.id);
    /// # Ok(()) }
    /// ```
    pub async fn create_deployment(&self, deployment: &Value) -> Result<Document<Deployment>> {
        self.post("/deployments/", deployment).await
    }

    /// Returns a deployment.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// println!("{}", client.read_deployment(id).await?.name);
    /// # Ok(()) }
    /// ```
    pub async fn read_deployment(&self, id: Uuid) -> Result<Document<Deployment>> {
        self.get(&format!("/deployments/{id}")).await
    }

    /// Returns a deployment by the names of its flow and itself.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let id = client.read_deployment_by_name("Hello", "nightly").await?.id;
    /// # let _ = id;
    /// # Ok(()) }
    /// ```
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
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// for deployment in client.read_deployments(serde_json::json!({}), None).await? {
    ///     println!("{}", deployment.name);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_deployments(
        &self,
        filter: Value,
        limit: Option<usize>,
    ) -> Result<Vec<Document<Deployment>>> {
        self.pages("/deployments/filter", filter, 0, limit).await
    }

    /// Deletes a deployment.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.delete_deployment(id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_deployment(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/deployments/{id}")).await
    }

    /// Lets a deployment's schedule make runs again.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.resume_schedule(id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn resume_schedule(&self, id: Uuid) -> Result<()> {
        let path = format!("/deployments/{id}/set_schedule_active");
        self.post_only(&path, &json!({})).await
    }

    /// Stops a deployment's schedule and removes the runs it made that have not started.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.pause_schedule(id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn pause_schedule(&self, id: Uuid) -> Result<()> {
        let path = format!("/deployments/{id}/set_schedule_inactive");
        self.post_only(&path, &json!({})).await
    }

    /// Stops all schedules of a deployment, in the words of 2.20 and later servers.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.pause_deployment(id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn pause_deployment(&self, id: Uuid) -> Result<()> {
        let path = format!("/deployments/{id}/pause_deployment");
        self.post_only(&path, &json!({})).await
    }

    /// Returns the schedules of a deployment.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// for schedule in client.read_schedules(id).await? {
    ///     println!("{}", schedule.schedule);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_schedules(&self, id: Uuid) -> Result<Vec<Document<DeploymentSchedule>>> {
        self.get(&format!("/deployments/{id}/schedules")).await
    }

    /// Gives a deployment another schedule.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let daily = serde_json::json!({"schedule": {"cron": "0 3 * * *", "timezone": "UTC"}, "active": true});
    /// client.create_schedule(id, &daily).await?;
    /// # Ok(()) }
    /// ```
    pub async fn create_schedule(
        &self,
        id: Uuid,
        schedule: &Value,
    ) -> Result<Vec<Document<DeploymentSchedule>>> {
        let path = format!("/deployments/{id}/schedules");
        self.post(&path, &[schedule]).await
    }

    /// Changes a schedule of a deployment.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// for schedule in client.read_schedules(id).await? {
    ///     client.update_schedule(id, schedule.id, &serde_json::json!({"active": false})).await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn update_schedule(&self, id: Uuid, schedule: Uuid, changes: &Value) -> Result<()> {
        let path = format!("/deployments/{id}/schedules/{schedule}");
        self.patch(&path, changes).await
    }

    /// Takes a schedule from a deployment.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// for schedule in client.read_schedules(id).await? {
    ///     client.delete_schedule(id, schedule.id).await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn delete_schedule(&self, id: Uuid, schedule: Uuid) -> Result<()> {
        let path = format!("/deployments/{id}/schedules/{schedule}");
        self.delete(&path).await
    }

    /// Makes a run of a deployment.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// use prefect_rs::client::CreateFlowRun;
    ///
    /// let run = client.create_flow_run_from_deployment(id, &CreateFlowRun::default()).await?;
    /// println!("{}", run.name);
    /// # Ok(()) }
    /// ```
    pub async fn create_flow_run_from_deployment(
        &self,
        id: Uuid,
        run: &CreateFlowRun,
    ) -> Result<Document<FlowRun>> {
        self.post(&format!("/deployments/{id}/create_flow_run"), run)
            .await
    }
}

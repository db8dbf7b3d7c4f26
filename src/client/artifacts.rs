//! Artifacts.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, Document, Result};

/// An artifact, or the newest of its key.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let artifact: prefect_rs::client::Artifact = client.read_artifact(id).await?.into_view();
/// println!("{:?}", artifact.updated);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct Artifact {
    /// Its id, or that of the collection of its key.
    pub id: Uuid,
    /// The newest artifact of its key, where that was asked for.
    #[serde(default)]
    pub latest_id: Option<Uuid>,
    /// What its versions have in common.
    #[serde(default)]
    pub key: Option<String>,
    /// What it shows.
    #[serde(default, rename = "type")]
    pub artifact_type: Option<String>,
    /// When it was last changed.
    #[serde(default)]
    pub updated: Option<DateTime<Utc>>,
}

impl Client {
    /// Leaves an artifact.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let note = serde_json::json!({"key": "report", "type": "markdown", "data": "All is **well**."});
    /// let artifact = client.create_artifact(&note).await?;
    /// println!("{}", artifact.id);
    /// # Ok(()) }
    /// ```
    pub async fn create_artifact(&self, artifact: &Value) -> Result<Document<Artifact>> {
        self.post("/artifacts/", artifact).await
    }

    /// Changes an artifact.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.update_artifact(id, &serde_json::json!({"data": 60})).await?;
    /// # Ok(()) }
    /// ```
    pub async fn update_artifact(&self, id: Uuid, changes: &Value) -> Result<()> {
        self.patch(&format!("/artifacts/{id}"), changes).await
    }

    /// Returns the newest artifacts of their keys, `limit` at most.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// for artifact in client.read_latest_artifacts(20).await? {
    ///     println!("{:?}", artifact.key);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_latest_artifacts(&self, limit: usize) -> Result<Vec<Document<Artifact>>> {
        let asked =
            json!({"sort": "UPDATED_DESC", "artifacts": {"type": {"not_any_": ["result"]}}});
        self.pages("/artifacts/latest/filter", asked, 0, Some(limit))
            .await
    }

    /// Returns every artifact, the newest first, `limit` at most.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let versions = client.read_artifacts(Some("report"), None).await?;
    /// println!("{} versions", versions.len());
    /// # Ok(()) }
    /// ```
    pub async fn read_artifacts(
        &self,
        key: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<Document<Artifact>>> {
        let filter = match key {
            Some(key) => json!({"key": {"any_": [key]}}),
            None => json!({"type": {"not_any_": ["result"]}}),
        };
        let asked = json!({"sort": "CREATED_DESC", "artifacts": filter});
        self.pages("/artifacts/filter", asked, 0, limit).await
    }

    /// Returns an artifact.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// println!("{:?}", client.read_artifact(id).await?.artifact_type);
    /// # Ok(()) }
    /// ```
    pub async fn read_artifact(&self, id: Uuid) -> Result<Document<Artifact>> {
        self.get(&format!("/artifacts/{id}")).await
    }

    /// Deletes an artifact.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.delete_artifact(id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_artifact(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/artifacts/{id}")).await
    }
}

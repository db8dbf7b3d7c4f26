//! Artifacts.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Artifact, Client, Document, Result};

impl Client {
    /// Leaves an artifact.
    pub async fn create_artifact(&self, artifact: &Value) -> Result<Document<Artifact>> {
        self.post("/artifacts/", artifact).await
    }

    /// Changes an artifact.
    pub async fn update_artifact(&self, id: Uuid, changes: &Value) -> Result<()> {
        self.patch(&format!("/artifacts/{id}"), changes).await
    }

    /// Returns the newest artifacts of their keys, `limit` at most.
    pub async fn read_latest_artifacts(&self, limit: usize) -> Result<Vec<Document<Artifact>>> {
        let asked =
            json!({"sort": "UPDATED_DESC", "artifacts": {"type": {"not_any_": ["result"]}}});
        self.pages("/artifacts/latest/filter", asked, 0, Some(limit))
            .await
    }

    /// Returns every artifact, the newest first, `limit` at most.
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
    pub async fn read_artifact(&self, id: Uuid) -> Result<Document<Artifact>> {
        self.get(&format!("/artifacts/{id}")).await
    }

    /// Deletes an artifact.
    pub async fn delete_artifact(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/artifacts/{id}")).await
    }
}

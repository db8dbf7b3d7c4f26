//! Limits on whatever has a name.

use serde_json::{Value, json};

use super::{Client, Document, GlobalConcurrencyLimit, Result};
use crate::http::percent_encoded;

impl Client {
    /// Creates a limit.
    pub async fn create_global_concurrency_limit(
        &self,
        limit: &Value,
    ) -> Result<Document<GlobalConcurrencyLimit>> {
        self.post("/v2/concurrency_limits/", limit).await
    }

    /// Returns a limit by its id or name.
    pub async fn read_global_concurrency_limit(
        &self,
        which: &str,
    ) -> Result<Document<GlobalConcurrencyLimit>> {
        self.get(&format!(
            "/v2/concurrency_limits/{}",
            percent_encoded(which)
        ))
        .await
    }

    /// Returns limits by name, `limit` at most.
    pub async fn read_global_concurrency_limits(
        &self,
        limit: Option<usize>,
    ) -> Result<Vec<Document<GlobalConcurrencyLimit>>> {
        self.pages("/v2/concurrency_limits/filter", json!({}), 0, limit)
            .await
    }

    /// Changes a limit.
    pub async fn update_global_concurrency_limit(&self, which: &str, change: &Value) -> Result<()> {
        let path = format!("/v2/concurrency_limits/{}", percent_encoded(which));
        self.patch(&path, change).await
    }

    /// Deletes a limit.
    pub async fn delete_global_concurrency_limit(&self, which: &str) -> Result<()> {
        self.delete(&format!(
            "/v2/concurrency_limits/{}",
            percent_encoded(which)
        ))
        .await
    }
}

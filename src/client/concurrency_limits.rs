//! Limits on the task runs with a tag.

use serde_json::json;
use uuid::Uuid;

use super::{Client, ConcurrencyLimit, Document, Result};
use crate::http::percent_encoded;

impl Client {
    /// Creates a limit, or changes that of the tag.
    pub async fn create_concurrency_limit(
        &self,
        tag: &str,
        limit: u32,
    ) -> Result<Document<ConcurrencyLimit>> {
        let body = json!({"tag": tag, "concurrency_limit": limit});
        self.post("/concurrency_limits/", &body).await
    }

    /// Returns a limit.
    pub async fn read_concurrency_limit(&self, id: Uuid) -> Result<Document<ConcurrencyLimit>> {
        self.get(&format!("/concurrency_limits/{id}")).await
    }

    /// Returns the limit of a tag.
    pub async fn read_concurrency_limit_by_tag(
        &self,
        tag: &str,
    ) -> Result<Document<ConcurrencyLimit>> {
        self.get(&format!("/concurrency_limits/tag/{}", percent_encoded(tag)))
            .await
    }

    /// Returns limits from `offset` on, `limit` at most.
    pub async fn read_concurrency_limits(
        &self,
        offset: usize,
        limit: Option<usize>,
    ) -> Result<Vec<Document<ConcurrencyLimit>>> {
        self.pages("/concurrency_limits/filter", json!({}), offset, limit)
            .await
    }

    /// Deletes the limit of a tag.
    pub async fn delete_concurrency_limit_by_tag(&self, tag: &str) -> Result<()> {
        self.delete(&format!("/concurrency_limits/tag/{}", percent_encoded(tag)))
            .await
    }
}

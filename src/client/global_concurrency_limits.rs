//! Limits on whatever has a name.

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, Document, Result};
use crate::http::percent_encoded;

/// A global concurrency limit.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
/// let limit: prefect_rs::client::GlobalConcurrencyLimit = client.read_global_concurrency_limit("database").await?.into_view();
/// println!("{}", limit.limit - limit.active_slots);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct GlobalConcurrencyLimit {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Whether it is in force.
    pub active: bool,
    /// How many slots there are.
    pub limit: i64,
    /// How many of them are taken.
    pub active_slots: i64,
    /// How many slots a second come back by themselves.
    #[serde(default)]
    pub slot_decay_per_second: f64,
}

impl Client {
    /// Creates a limit.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// client.create_global_concurrency_limit(&serde_json::json!({"name": "database", "limit": 5})).await?;
    /// # Ok(()) }
    /// ```
    pub async fn create_global_concurrency_limit(
        &self,
        limit: &Value,
    ) -> Result<Document<GlobalConcurrencyLimit>> {
        self.post("/v2/concurrency_limits/", limit).await
    }

    /// Returns a limit by its id or name.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let limit = client.read_global_concurrency_limit("database").await?;
    /// println!("{} of {}", limit.active_slots, limit.limit);
    /// # Ok(()) }
    /// ```
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
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// for limit in client.read_global_concurrency_limits(None).await? {
    ///     println!("{}", limit.name);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_global_concurrency_limits(
        &self,
        limit: Option<usize>,
    ) -> Result<Vec<Document<GlobalConcurrencyLimit>>> {
        self.pages("/v2/concurrency_limits/filter", json!({}), 0, limit)
            .await
    }

    /// Changes a limit.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// client.update_global_concurrency_limit("database", &serde_json::json!({"limit": 10})).await?;
    /// # Ok(()) }
    /// ```
    pub async fn update_global_concurrency_limit(&self, which: &str, change: &Value) -> Result<()> {
        let path = format!("/v2/concurrency_limits/{}", percent_encoded(which));
        self.patch(&path, change).await
    }

    /// Deletes a limit.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// client.delete_global_concurrency_limit("database").await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_global_concurrency_limit(&self, which: &str) -> Result<()> {
        self.delete(&format!(
            "/v2/concurrency_limits/{}",
            percent_encoded(which)
        ))
        .await
    }
}

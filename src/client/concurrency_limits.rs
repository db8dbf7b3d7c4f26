//! Limits on the task runs with a tag.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{Client, Document, Result};
use crate::http::percent_encoded;

/// A limit on the task runs with a tag.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let limit: prefect_rs::client::ConcurrencyLimit = client.read_concurrency_limit(id).await?.into_view();
/// println!("{}", limit.tag);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct ConcurrencyLimit {
    /// Its id.
    pub id: Uuid,
    /// The tag.
    pub tag: String,
    /// How many may run at once.
    pub concurrency_limit: i64,
    /// The task runs that hold a slot.
    #[serde(default)]
    pub active_slots: Vec<Uuid>,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated: Option<DateTime<Utc>>,
}

impl Client {
    /// Creates a limit, or changes that of the tag.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let limit = client.create_concurrency_limit("database", 2).await?;
    /// assert_eq!(limit.concurrency_limit, 2);
    /// # Ok(()) }
    /// ```
    pub async fn create_concurrency_limit(
        &self,
        tag: &str,
        limit: u32,
    ) -> Result<Document<ConcurrencyLimit>> {
        let body = json!({"tag": tag, "concurrency_limit": limit});
        self.post("/concurrency_limits/", &body).await
    }

    /// Returns a limit.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let limit = client.read_concurrency_limit(id).await?;
    /// println!("{}: {} of {}", limit.tag, limit.active_slots.len(), limit.concurrency_limit);
    /// # Ok(()) }
    /// ```
    pub async fn read_concurrency_limit(&self, id: Uuid) -> Result<Document<ConcurrencyLimit>> {
        self.get(&format!("/concurrency_limits/{id}")).await
    }

    /// Returns the limit of a tag.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let limit = client.read_concurrency_limit_by_tag("database").await?;
    /// println!("held by {:?}", limit.active_slots);
    /// # Ok(()) }
    /// ```
    pub async fn read_concurrency_limit_by_tag(
        &self,
        tag: &str,
    ) -> Result<Document<ConcurrencyLimit>> {
        self.get(&format!("/concurrency_limits/tag/{}", percent_encoded(tag)))
            .await
    }

    /// Returns limits from `offset` on, `limit` at most.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let tags: Vec<String> = client.read_concurrency_limits(0, None).await?.into_iter().map(|limit| limit.into_view().tag).collect();
    /// # drop(tags);
    /// # Ok(()) }
    /// ```
    pub async fn read_concurrency_limits(
        &self,
        offset: usize,
        limit: Option<usize>,
    ) -> Result<Vec<Document<ConcurrencyLimit>>> {
        self.pages("/concurrency_limits/filter", json!({}), offset, limit)
            .await
    }

    /// Deletes the limit of a tag.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// client.delete_concurrency_limit_by_tag("database").await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_concurrency_limit_by_tag(&self, tag: &str) -> Result<()> {
        self.delete(&format!("/concurrency_limits/tag/{}", percent_encoded(tag)))
            .await
    }
}

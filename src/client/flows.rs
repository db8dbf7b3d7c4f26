//! Flows.

use serde_json::json;
use uuid::Uuid;

use super::{Client, Document, Flow, Result};
use crate::http::percent_encoded;

impl Client {
    /// Returns flows by name, `limit` at most.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// for flow in client.read_flows(None).await? {
    ///     println!("{}", flow.name);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_flows(&self, limit: Option<usize>) -> Result<Vec<Document<Flow>>> {
        self.pages("/flows/filter", json!({"sort": "NAME_ASC"}), 0, limit)
            .await
    }

    /// Returns a flow.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// println!("{}", client.read_flow(id).await?.name);
    /// # Ok(()) }
    /// ```
    pub async fn read_flow(&self, id: Uuid) -> Result<Document<Flow>> {
        self.get(&format!("/flows/{id}")).await
    }

    /// Returns a flow by its name.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let id = client.read_flow_by_name("Hello").await?.id;
    /// # let _ = id;
    /// # Ok(()) }
    /// ```
    pub async fn read_flow_by_name(&self, name: &str) -> Result<Document<Flow>> {
        self.get(&format!("/flows/name/{}", percent_encoded(name)))
            .await
    }

    /// Creates a flow, or returns the one of this name.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let flow = client.create_flow("Hello", &["greetings".to_owned()]).await?;
    /// println!("{}", flow.id);
    /// # Ok(()) }
    /// ```
    pub async fn create_flow(&self, name: &str, tags: &[String]) -> Result<Document<Flow>> {
        self.post("/flows/", &json!({"name": name, "tags": tags}))
            .await
    }

    /// Returns the flows with these ids.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let flows = client.read_flows_by_id(&[id]).await?;
    /// # drop(flows);
    /// # Ok(()) }
    /// ```
    pub async fn read_flows_by_id(&self, ids: &[Uuid]) -> Result<Vec<Document<Flow>>> {
        let mut flows = Vec::with_capacity(ids.len());
        for ids in ids.chunks(super::PAGE) {
            let body = json!({"flows": {"id": {"any_": ids}}, "limit": super::PAGE});
            flows.extend(
                self.post::<Vec<Document<Flow>>>("/flows/filter", &body)
                    .await?,
            );
        }
        Ok(flows)
    }
}

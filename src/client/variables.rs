//! Variables.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Client, Document, Result};
use crate::http::percent_encoded;

/// A variable.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
/// let variable: prefect_rs::client::Variable = client.read_variable("city").await?.into_view();
/// println!("{}", variable.value);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: Value,
    /// When it was last changed.
    #[serde(default)]
    pub updated: Option<DateTime<Utc>>,
}

impl Client {
    /// Creates a variable.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let variable = client.create_variable("city", &serde_json::json!("Bonn"), &[]).await?;
    /// assert_eq!(variable.value, "Bonn");
    /// # Ok(()) }
    /// ```
    pub async fn create_variable(
        &self,
        name: &str,
        value: &Value,
        tags: &[String],
    ) -> Result<Document<Variable>> {
        let body = json!({"name": name, "value": value, "tags": tags});
        self.post("/variables/", &body).await
    }

    /// Returns the variable of a name.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// println!("{}", client.read_variable("city").await?.value);
    /// # Ok(()) }
    /// ```
    pub async fn read_variable(&self, name: &str) -> Result<Document<Variable>> {
        self.get(&format!("/variables/name/{}", percent_encoded(name)))
            .await
    }

    /// Returns variables by name, `limit` at most.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// for variable in client.read_variables(Some(10)).await? {
    ///     println!("{} = {}", variable.name, variable.value);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_variables(&self, limit: Option<usize>) -> Result<Vec<Document<Variable>>> {
        self.pages("/variables/filter", json!({}), 0, limit).await
    }

    /// Changes the value of a variable, and its tags where some are given.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// client.update_variable("city", &serde_json::json!("Köln"), &["places".to_owned()]).await?;
    /// # Ok(()) }
    /// ```
    pub async fn update_variable(&self, name: &str, value: &Value, tags: &[String]) -> Result<()> {
        let mut body = json!({"value": value});
        if !tags.is_empty() {
            body["tags"] = json!(tags);
        }
        self.patch(&format!("/variables/name/{}", percent_encoded(name)), &body)
            .await
    }

    /// Deletes the variable of a name.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// client.delete_variable("city").await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_variable(&self, name: &str) -> Result<()> {
        self.delete(&format!("/variables/name/{}", percent_encoded(name)))
            .await
    }
}

//! Variables.

use serde_json::{Value, json};

use super::{Client, Document, Result, Variable};
use crate::http::percent_encoded;

impl Client {
    /// Creates a variable.
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
    pub async fn read_variable(&self, name: &str) -> Result<Document<Variable>> {
        self.get(&format!("/variables/name/{}", percent_encoded(name)))
            .await
    }

    /// Returns variables by name, `limit` at most.
    pub async fn read_variables(&self, limit: Option<usize>) -> Result<Vec<Document<Variable>>> {
        self.pages("/variables/filter", json!({}), 0, limit).await
    }

    /// Changes the value of a variable, and its tags where some are given.
    pub async fn update_variable(&self, name: &str, value: &Value, tags: &[String]) -> Result<()> {
        let mut body = json!({"value": value});
        if !tags.is_empty() {
            body["tags"] = json!(tags);
        }
        self.patch(&format!("/variables/name/{}", percent_encoded(name)), &body)
            .await
    }

    /// Deletes the variable of a name.
    pub async fn delete_variable(&self, name: &str) -> Result<()> {
        self.delete(&format!("/variables/name/{}", percent_encoded(name)))
            .await
    }
}

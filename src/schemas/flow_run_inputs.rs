//! Inputs of flow runs: what people and other flows hand to a run while it is under way.

use chrono::{DateTime, Utc};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serializer};
use utoipa::ToSchema;

use super::dialect::{Dialect, Fields, Render};
use super::{FlowRunId, FlowRunInputId};

/// An input of a flow run.
#[derive(Debug, Clone, ToSchema)]
pub struct FlowRunInput {
    /// The input's id.
    pub id: FlowRunInputId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The run that it is for.
    pub flow_run_id: FlowRunId,
    /// What it is asked for by, unique in its run.
    pub key: String,
    /// The input, mostly JSON; only its run has to understand it.
    pub value: String,
    /// Who sent it.
    pub sender: Option<String>,
}

impl Render for FlowRunInput {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("flow_run_id", &self.flow_run_id)?;
        fields.all("key", &self.key)?;
        fields.all("value", &self.value)?;
        fields.all("sender", &self.sender)?;
        fields.end()
    }
}

/// Creates an input.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the fields are those of `FlowRunInput`")]
pub struct FlowRunInputCreate {
    #[serde(deserialize_with = "key")]
    pub key: String,
    pub value: String,
    #[serde(default)]
    pub sender: Option<String>,
}

/// Asks for inputs.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct FlowRunInputsQuery {
    /// What their keys begin with.
    pub prefix: String,
    /// How many at most.
    #[serde(default = "one")]
    pub limit: i64,
    /// Keys to leave out.
    #[serde(default)]
    pub exclude_keys: Option<Vec<String>>,
}

fn one() -> i64 {
    1
}

/// Keys are parts of paths.
fn key<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let key = String::deserialize(d)?;
    let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if key.is_empty() || !key.chars().all(is_fit) {
        let text = "a key has at least one letter, number, dash or underscore, and nothing else";
        return Err(D::Error::custom(text));
    }
    Ok(key)
}

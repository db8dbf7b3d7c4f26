//! Artifacts: what flows leave for people to look at, and the newest of each key.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serializer};
use utoipa::ToSchema;

use super::dialect::{Dialect, Fields, Render};
use super::filters::{
    ArtifactCollectionFilter, ArtifactFilter, DeploymentFilter, Filters, FlowFilter, FlowRunFilter,
    TaskRunFilter, offset,
};
use super::{ArtifactCollectionId, ArtifactId, Document, FlowRunId, TaskRunId};

/// An artifact.
#[derive(Debug, Clone, ToSchema)]
pub struct Artifact {
    /// The artifact's id.
    pub id: ArtifactId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// What its later versions are known by too.
    pub key: Option<String>,
    /// What it shows: `markdown`, `table`, `link`, `progress`, `image`, ….
    pub artifact_type: Option<String>,
    /// What a person should know.
    pub description: Option<String>,
    /// What is shown.
    pub data: Option<Document>,
    /// Whatever else is known of it, texts by name.
    pub metadata: Option<Document>,
    /// The flow run that made it.
    pub flow_run_id: Option<FlowRunId>,
    /// The task run that made it.
    pub task_run_id: Option<TaskRunId>,
}

impl Artifact {
    fn rest<S: Serializer>(&self, fields: &mut Fields<S>) -> Result<(), S::Error> {
        fields.all("type", &self.artifact_type)?;
        fields.all("description", &self.description)?;
        fields.all("data", &self.data)?;
        fields.all("metadata_", &self.metadata)?;
        fields.all("flow_run_id", &self.flow_run_id)?;
        fields.all("task_run_id", &self.task_run_id)
    }
}

impl Render for Artifact {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("key", &self.key)?;
        self.rest(&mut fields)?;
        fields.end()
    }
}

/// The artifacts of one key, of which the newest is shown.
#[derive(Debug, Clone, ToSchema)]
pub struct ArtifactCollection {
    /// The collection's id.
    pub id: ArtifactCollectionId,
    /// When its first artifact was created.
    pub created: DateTime<Utc>,
    /// The newest artifact.
    pub latest: Artifact,
}

impl ArtifactCollection {
    fn head<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<Fields<S>, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.latest.updated)?;
        fields.all("key", &self.latest.key)?;
        Ok(fields)
    }
}

impl Render for ArtifactCollection {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = self.head(dialect, serializer)?;
        fields.all("latest_id", &self.latest.id)?;
        self.latest.rest(&mut fields)?;
        fields.end()
    }
}

/// A collection in the shape of its newest artifact, as one that is asked for by key is answered.
pub struct AsArtifact(pub ArtifactCollection);

impl Render for AsArtifact {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = self.0.head(dialect, serializer)?;
        self.0.latest.rest(&mut fields)?;
        fields.end()
    }
}

/// Creates an artifact.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `Artifact`")]
pub struct ArtifactCreate {
    #[serde(default, deserialize_with = "key")]
    pub key: Option<String>,
    #[serde(default, rename = "type")]
    pub artifact_type: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub data: Option<Document>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub metadata_: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub flow_run_id: Option<FlowRunId>,
    #[serde(default)]
    pub task_run_id: Option<TaskRunId>,
}

/// Changes an artifact; what is not given stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `Artifact`")]
pub struct ArtifactUpdate {
    #[serde(default)]
    pub data: Option<Document>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub metadata_: Option<BTreeMap<String, String>>,
}

/// The order of artifacts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "a column and a direction")]
pub enum ArtifactSort {
    CreatedDesc,
    UpdatedDesc,
    #[default]
    IdDesc,
    KeyDesc,
    KeyAsc,
}

macro_rules! artifact_bodies {
    ($($(#[doc = $doc:literal])+ $name:ident { artifacts: $filter:ty, $($field:ident: $type:ty = $with:literal,)* })*) => {$(
        $(#[doc = $doc])+
        // The filters stand in each body, since a flattened struct would lose the places of errors.
        #[derive(Debug, Clone, Default, Deserialize, ToSchema)]
        #[expect(missing_docs, reason = "filters, order and page")]
        pub struct $name {
            #[serde(default)]
            pub artifacts: Option<$filter>,
            #[serde(default)]
            pub flow_runs: Option<FlowRunFilter>,
            #[serde(default)]
            pub task_runs: Option<TaskRunFilter>,
            #[serde(default)]
            pub flows: Option<FlowFilter>,
            #[serde(default)]
            pub deployments: Option<DeploymentFilter>,
            $(#[serde(default, deserialize_with = $with)] pub $field: $type,)*
        }
        impl $name {
            /// Returns the conditions on other objects.
            pub fn filters(&self) -> Filters {
                let Self { flow_runs, task_runs, flows, deployments, .. } = self.clone();
                Filters { flow_runs, task_runs, flows, deployments, ..Filters::default() }
            }
        }
    )*};
}

artifact_bodies! {
    /// Asks for artifacts.
    ArtifactsQuery {
        artifacts: ArtifactFilter,
        sort: Option<ArtifactSort> = "Deserialize::deserialize",
        limit: Option<i64> = "Deserialize::deserialize",
        offset: Option<u32> = "offset",
    }
    /// Counts artifacts.
    ArtifactsCount { artifacts: ArtifactFilter, }
    /// Asks for the newest artifacts of their keys.
    LatestArtifactsQuery {
        artifacts: ArtifactCollectionFilter,
        sort: Option<ArtifactSort> = "Deserialize::deserialize",
        limit: Option<i64> = "Deserialize::deserialize",
        offset: Option<u32> = "offset",
    }
    /// Counts keys.
    LatestArtifactsCount { artifacts: ArtifactCollectionFilter, }
}

impl ArtifactCollectionFilter {
    /// Returns the same conditions, as those of the newest artifact.
    pub fn of_latest(self) -> ArtifactFilter {
        ArtifactFilter {
            operator: self.operator,
            id: self.latest_id,
            key: self.key,
            flow_run_id: self.flow_run_id,
            task_run_id: self.task_run_id,
            r#type: self.r#type,
        }
    }
}

/// Keys are parts of paths.
fn key<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let key = Option::<String>::deserialize(d)?;
    let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if key
        .as_ref()
        .is_some_and(|key| key.is_empty() || !key.chars().all(is_fit))
    {
        let text =
            "an artifact key has at least one lowercase letter, number or dash, and nothing else";
        return Err(D::Error::custom(text));
    }
    Ok(key)
}

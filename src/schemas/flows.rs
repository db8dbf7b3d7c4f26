//! Flows: what users wrote, known by name.

use chrono::{DateTime, Utc};
use serde::Serializer;

use super::dialect::{Dialect, Fields, Render};
use super::{Document, FlowId, Tags};

/// A flow.
#[derive(Debug, Clone, PartialEq, utoipa::ToSchema)]
pub struct Flow {
    /// The flow's id.
    pub id: FlowId,
    /// When the server first heard of it.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The name, unique on the server.
    pub name: String,
    /// Tags for finding it.
    pub tags: Tags,
    /// Labels, which its runs inherit.
    pub labels: Document,
}

impl Render for Flow {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("name", &self.name)?;
        fields.all("tags", &self.tags)?;
        fields.newest("labels", &self.labels)?;
        fields.end()
    }
}

//! Saved searches: filters that a user of the dashboard keeps under a name.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::dialect::{Dialect, Fields, Render};
use super::{Document, SavedSearchId};

/// One condition of a search; its words are the dashboard's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the server gives them no meaning")]
pub struct SavedSearchFilter {
    pub object: String,
    pub property: String,
    #[serde(rename = "type")]
    pub value_type: String,
    pub operation: String,
    pub value: Document,
}

/// A saved search.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct SavedSearch {
    /// The search's id.
    pub id: SavedSearchId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The name, unique on the server.
    pub name: String,
    /// Its conditions, a list of `SavedSearchFilter`.
    pub filters: Document,
}

impl Render for SavedSearch {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("name", &self.name)?;
        fields.all("filters", &self.filters)?;
        fields.end()
    }
}

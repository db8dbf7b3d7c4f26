//! Blocks and block specs of 2.0b3: settings of a service under a name, such as a storage.

use chrono::{DateTime, Utc};
use serde::Serializer;
use utoipa::ToSchema;

use super::dialect::{Dialect, Fields, Render};
use super::{BlockId, BlockSpecId, Document};

/// A kind of block.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct BlockSpec {
    /// The spec's id.
    pub id: BlockSpecId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The name, unique together with the version.
    pub name: String,
    /// The version.
    pub version: String,
    /// What its blocks are for, such as `STORAGE`.
    #[schema(rename = "type")]
    pub spec_type: Option<String>,
    /// The JSON schema of its blocks' data.
    pub fields: Document,
}

/// A block.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct Block {
    /// The block's id.
    pub id: BlockId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The name, unique for its spec.
    pub name: String,
    /// Its settings.
    pub data: Document,
    /// What kind of block it is.
    pub block_spec: BlockSpec,
}

impl Render for BlockSpec {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("name", &self.name)?;
        fields.all("version", &self.version)?;
        fields.all("type", &self.spec_type)?;
        fields.all("fields", &self.fields)?;
        fields.end()
    }
}

impl Render for Block {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        // The first generation leaves both out here, and its clients have never seen them.
        let are_shown = dialect != Dialect::B;
        fields.time_option("created", are_shown.then_some(self.created))?;
        fields.time_option("updated", are_shown.then_some(self.updated))?;
        fields.all("name", &self.name)?;
        fields.all("data", &self.data)?;
        fields.all("block_spec_id", &self.block_spec.id)?;
        fields.part("block_spec", &self.block_spec)?;
        fields.end()
    }
}

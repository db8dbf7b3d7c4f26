//! Block types: the kinds of settings that clients of later generations keep on the server.

use chrono::{DateTime, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use utoipa::ToSchema;

use super::BlockTypeId;
use super::block_schemas::BlockSchemaFilter;
use super::dialect::{Dialect, Fields, Render};
use super::filters::{Part, offset};

/// A block type.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct BlockType {
    /// The type's id.
    pub id: BlockTypeId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// What people call it.
    pub name: String,
    /// What programs call it, unique on the server.
    pub slug: String,
    /// Where its picture is.
    pub logo_url: Option<String>,
    /// Where it is explained.
    pub documentation_url: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// How it is used.
    pub code_example: Option<String>,
    /// Whether it cannot be deleted.
    pub is_protected: bool,
}

impl Render for BlockType {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("name", &self.name)?;
        fields.all("slug", &self.slug)?;
        fields.all("logo_url", &self.logo_url)?;
        fields.all("documentation_url", &self.documentation_url)?;
        fields.all("description", &self.description)?;
        fields.all("code_example", &self.code_example)?;
        fields.all("is_protected", &self.is_protected)?;
        fields.end()
    }
}

/// Creates a block type.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `BlockType`")]
pub struct BlockTypeCreate {
    #[serde(deserialize_with = "name")]
    pub name: String,
    #[serde(deserialize_with = "slug")]
    pub slug: String,
    #[serde(default, deserialize_with = "url")]
    pub logo_url: Option<String>,
    #[serde(default, deserialize_with = "url")]
    pub documentation_url: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub code_example: Option<String>,
}

/// Changes a block type; what is not given stays.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `BlockType`")]
pub struct BlockTypeUpdate {
    #[serde(default, deserialize_with = "url")]
    pub logo_url: Option<String>,
    #[serde(default, deserialize_with = "url")]
    pub documentation_url: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub code_example: Option<String>,
}

/// Conditions on slugs.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named as the operator")]
pub struct Slugs {
    #[serde(default)]
    pub any_: Option<Vec<String>>,
}

/// Conditions on block types.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named as the fields that they are about")]
pub struct BlockTypeFilter {
    #[serde(default)]
    pub name: Option<Part>,
    #[serde(default)]
    pub slug: Option<Slugs>,
}

/// Asks for block types.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct BlockTypesQuery {
    /// Which types.
    pub block_types: Option<BlockTypeFilter>,
    /// What one of their schemas must be.
    pub block_schemas: Option<BlockSchemaFilter>,
    /// How many at most.
    pub limit: Option<i64>,
    /// How many to leave out first.
    #[serde(default, deserialize_with = "offset")]
    pub offset: Option<u32>,
}

/// Reads a name that can stand in paths and pages.
pub(super) fn name<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let name = String::deserialize(d)?;
    if name.is_empty() || name.contains(['/', '%', '&', '>', '<']) {
        return Err(D::Error::custom(
            "String should match pattern '^[^/%&><]+$'",
        ));
    }
    Ok(name)
}

fn slug<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let slug = String::deserialize(d)?;
    if is_slug(&slug) {
        return Ok(slug);
    }
    Err(D::Error::custom(
        "Block type slug must only contain lowercase letters, numbers, and dashes.",
    ))
}

/// Reads the address of a page; one that is none would keep clients from reading any type.
fn url<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let url = Option::<String>::deserialize(d)?;
    let is_address = |url: &String| {
        let rest = url.strip_prefix("https://");
        let rest = rest.or_else(|| url.strip_prefix("http://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
    };
    match url {
        Some(url) if !is_address(&url) => Err(D::Error::custom("invalid or missing URL scheme")),
        url => Ok(url),
    }
}

/// Tells whether a text has only small letters, digits and dashes.
pub(super) fn is_slug(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

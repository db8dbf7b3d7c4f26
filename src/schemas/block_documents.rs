//! Block documents: the settings themselves, and what of them is shown to whom.
//!
//! A schema says which of its fields are secret, by paths such as `password`, `auth.token` or
//! `headers.*`. Whoever does not ask for secrets sees a mask in their place, and who sends the
//! mask back leaves what is there.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::actions::object;
use super::block_schemas::{BlockSchema, BlockSchemaFilter, BlockTypeIds};
use super::block_types::{self, BlockType, BlockTypeFilter};
use super::dialect::{Dialect, Fields, Render};
use super::filters::{Operator, Truth, offset};
use super::{BlockDocumentId, BlockSchemaId, BlockTypeId, Document};

/// What is shown in place of a secret.
pub const MASK: &str = "********";

/// A block document.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct BlockDocument {
    /// The document's id.
    pub id: BlockDocumentId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The name, unique for its type.
    pub name: String,
    /// The settings, with those of the documents that it refers to.
    pub data: Document,
    /// What the data looks like.
    pub block_schema: BlockSchema,
    /// The type that it is of.
    pub block_type: BlockType,
    /// The documents that its fields refer to.
    #[schema(no_recursion)]
    pub block_document_references: BTreeMap<String, BlockDocument>,
    /// Whether a client has made it for its own use.
    pub is_anonymous: bool,
}

impl Render for BlockDocument {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("name", &self.name)?;
        fields.all("data", &self.data)?;
        fields.all("block_schema_id", &self.block_schema.id)?;
        fields.part("block_schema", &self.block_schema)?;
        fields.all("block_type_id", &self.block_type.id)?;
        fields.all("block_type_name", &self.block_type.name)?;
        fields.part("block_type", &self.block_type)?;
        fields.part(
            "block_document_references",
            &References(&self.block_document_references),
        )?;
        fields.all("is_anonymous", &self.is_anonymous)?;
        fields.end()
    }
}

struct References<'a>(&'a BTreeMap<String, BlockDocument>);
struct Reference<'a>(&'a BlockDocument);
struct Referred<'a>(&'a BlockDocument);

impl Render for References<'_> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let each = self.0.iter();
        serializer.collect_map(
            each.map(|(name, document)| (name, super::View(dialect, Reference(document)))),
        )
    }
}

impl Render for Reference<'_> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.part("block_document", &Referred(self.0))?;
        fields.end()
    }
}

impl Render for Referred<'_> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let document = self.0;
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &document.id)?;
        fields.all("name", &document.name)?;
        fields.part("block_type", &document.block_type)?;
        fields.all("is_anonymous", &document.is_anonymous)?;
        fields.part(
            "block_document_references",
            &References(&document.block_document_references),
        )?;
        fields.end()
    }
}

/// Creates a block document.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `BlockDocument`")]
pub struct BlockDocumentCreate {
    #[serde(default, deserialize_with = "document_name")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "object")]
    pub data: Option<Document>,
    pub block_schema_id: BlockSchemaId,
    pub block_type_id: BlockTypeId,
    #[serde(default)]
    pub is_anonymous: bool,
}

/// Changes a block document.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockDocumentUpdate {
    /// Another schema of the same type.
    #[serde(default)]
    pub block_schema_id: Option<BlockSchemaId>,
    /// Fields to set.
    #[serde(default, deserialize_with = "object")]
    pub data: Option<Document>,
    /// Whether fields that are not given stay.
    #[serde(default = "yes")]
    pub merge_existing_data: bool,
}

fn yes() -> bool {
    true
}

/// Conditions on ids of block documents.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named as the operator")]
pub struct BlockDocumentIds {
    #[serde(default)]
    pub any_: Option<Vec<BlockDocumentId>>,
}

/// Conditions on names, in which `%` and `_` stand for any text and any character.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named as the operators")]
pub struct BlockDocumentNames {
    #[serde(default)]
    pub any_: Option<Vec<String>>,
    #[serde(default)]
    pub like_: Option<String>,
}

/// Conditions on block documents; anonymous ones are left out unless the filter says otherwise.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named as the fields that they are about")]
pub struct BlockDocumentFilter {
    #[serde(default)]
    pub operator: Operator,
    #[serde(default)]
    pub id: Option<BlockDocumentIds>,
    #[serde(default = "named")]
    pub is_anonymous: Option<Truth>,
    #[serde(default)]
    pub block_type_id: Option<BlockTypeIds>,
    #[serde(default)]
    pub name: Option<BlockDocumentNames>,
}

fn named() -> Option<Truth> {
    Some(Truth { eq_: Some(false) })
}

impl Default for BlockDocumentFilter {
    fn default() -> Self {
        Self {
            operator: Operator::And,
            id: None,
            is_anonymous: named(),
            block_type_id: None,
            name: None,
        }
    }
}

/// The order of block documents.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the variants are named as the orders")]
pub enum BlockDocumentSort {
    #[default]
    NameAsc,
    NameDesc,
    BlockTypeAndNameAsc,
}

/// Conditions on block documents, their types and their schemas.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "a filter a kind of object")]
pub struct BlockDocumentFilters {
    pub block_documents: Option<BlockDocumentFilter>,
    pub block_types: Option<BlockTypeFilter>,
    pub block_schemas: Option<BlockSchemaFilter>,
}

/// Asks for block documents.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct BlockDocumentsQuery {
    /// Which documents.
    pub block_documents: Option<BlockDocumentFilter>,
    /// What their types must be.
    pub block_types: Option<BlockTypeFilter>,
    /// What their schemas must be.
    pub block_schemas: Option<BlockSchemaFilter>,
    /// Whether secrets are sent.
    #[serde(default)]
    pub include_secrets: bool,
    /// In which order.
    pub sort: Option<BlockDocumentSort>,
    /// How many at most.
    pub limit: Option<i64>,
    /// How many to leave out first.
    #[serde(default, deserialize_with = "offset")]
    pub offset: Option<u32>,
}

fn document_name<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    struct Name(String);
    impl<'de> Deserialize<'de> for Name {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            block_types::name(d).map(Self)
        }
    }
    match Option::<Name>::deserialize(d)? {
        Some(Name(name)) if !block_types::is_slug(&name) => Err(D::Error::custom(
            "Block document name must only contain lowercase letters, numbers, and dashes.",
        )),
        name => Ok(name.map(|Name(name)| name)),
    }
}

/// The paths of the secret fields of a schema.
#[derive(Debug, Clone, Default)]
pub struct SecretFields(Vec<String>);

impl SecretFields {
    /// Returns the secret fields that a schema names.
    pub fn of(fields: &Document) -> Self {
        #[derive(Deserialize)]
        struct Named {
            #[serde(default)]
            secret_fields: Vec<String>,
        }
        Self(
            fields
                .read::<Named>()
                .map_or_else(|_| Vec::new(), |named| named.secret_fields),
        )
    }

    /// Returns data with a mask in place of each secret.
    pub fn obscure(&self, data: &Document) -> Document {
        if self.0.is_empty() {
            return data.clone();
        }
        let Ok(mut value) = data.read::<Value>() else {
            return data.clone();
        };
        for path in &self.0 {
            each_at(&mut value, path, &mut |secret| {
                if !secret.is_null() {
                    *secret = Value::from(MASK);
                }
            });
        }
        Document::of(&value).expect("a value is JSON")
    }

    /// Returns data with the present secrets in place of masks that were sent back.
    pub fn restore(&self, sent: &Document, present: &Document) -> Document {
        if self.0.is_empty() || !sent.get().contains(MASK) {
            return sent.clone();
        }
        let (Ok(mut sent_value), Ok(present)) = (sent.read::<Value>(), present.read::<Value>())
        else {
            return sent.clone();
        };
        for path in &self.0 {
            let steps: Vec<&str> = path.split('.').collect();
            restore_at(&mut sent_value, &present, &steps);
        }
        Document::of(&sent_value).expect("a value is JSON")
    }
}

/// Applies a change to everything that a path leads to; lists are looked through.
fn each_at(value: &mut Value, path: &str, change: &mut impl FnMut(&mut Value)) {
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    match value {
        Value::Array(items) if step == "*" && rest.is_empty() => {
            items.iter_mut().for_each(change);
        }
        Value::Array(items) => {
            let path = if step == "*" { rest } else { path };
            items
                .iter_mut()
                .for_each(|item| each_at(item, path, change));
        }
        Value::Object(members) => {
            let fits = |name: &String| step == "*" || name == step;
            for (_, member) in members.iter_mut().filter(|(name, _)| fits(name)) {
                if rest.is_empty() {
                    change(member);
                } else {
                    each_at(member, rest, change);
                }
            }
        }
        _ => {}
    }
}

fn restore_at(sent: &mut Value, present: &Value, steps: &[&str]) {
    let Some((step, rest)) = steps.split_first() else {
        if sent.as_str() == Some(MASK) {
            *sent = present.clone();
        }
        return;
    };
    match (sent, present) {
        (Value::Array(sent), Value::Array(present)) => {
            let steps = if *step == "*" { rest } else { steps };
            for (sent, present) in sent.iter_mut().zip(present) {
                restore_at(sent, present, steps);
            }
        }
        (Value::Object(sent), Value::Object(present)) => {
            for (name, sent) in sent.iter_mut() {
                if let Some(present) = present.get(name)
                    && (*step == "*" || name == step)
                {
                    restore_at(sent, present, rest);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse(text.to_owned()).unwrap()
    }

    fn secrets() -> SecretFields {
        let fields =
            r#"{"secret_fields": ["password", "auth.token", "headers.*", "hosts.*.key", "value"]}"#;
        SecretFields::of(&document(fields))
    }

    const DATA: &str = r#"{"user":"me","password":"p","auth":{"token":5,"kind":"k"},"headers":{"a":"1","b":null},"hosts":[{"key":"x","name":"n"}],"value":{"deep":[1]}}"#;

    #[test]
    fn every_secret_is_masked_and_nothing_else() {
        assert_eq!(
            secrets().obscure(&document(DATA)).get(),
            r#"{"user":"me","password":"********","auth":{"token":"********","kind":"k"},"headers":{"a":"********","b":null},"hosts":[{"key":"********","name":"n"}],"value":"********"}"#
        );
        let none = SecretFields::of(&document("{}"));
        assert_eq!(none.obscure(&document(DATA)).get(), DATA);
    }

    #[test]
    fn masks_that_come_back_leave_the_secrets() {
        let present = document(DATA);
        let masked = secrets().obscure(&present);
        assert_eq!(secrets().restore(&masked, &present).get(), DATA);
        let changed =
            document(r#"{"user":"********","password":"new","headers":{"c":"********"}}"#);
        assert_eq!(secrets().restore(&changed, &present).get(), changed.get());
    }
}

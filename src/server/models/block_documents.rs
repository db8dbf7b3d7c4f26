//! Block documents in the database; their data is sealed.
//!
//! A field that refers to another document is no part of the data: it is a row of its own, so that
//! the other document is read as it is now, and the reference goes when it goes. Blocks of 2.0b3
//! have a store of their own: they belong to one version of a spec, where these belong to a type
//! with any number of schemas, and no client of one generation can read what another has stored.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::block_filters::Conditions;
use super::{block_schemas, block_types};
use crate::db::{Conn, FromRow, Result, Row, Value, query};
use crate::schemas::block_documents::{
    BlockDocument, BlockDocumentCreate, BlockDocumentFilters, BlockDocumentSort,
    BlockDocumentUpdate, SecretFields,
};
use crate::schemas::block_schemas::BlockSchema;
use crate::schemas::block_types::BlockType;
use crate::schemas::{BlockDocumentId, Document};
use crate::server::vault::{Sealer, Vault};

/// How many documents are put into those that refer to them, in one answer; what is beyond stays
/// a reference.
const MOST_EXPANDED: usize = 1000;

/// Whether secrets are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// As they are.
    Shown,
    /// A mask in their place.
    Masked,
}

impl Secrets {
    /// Returns what a client has asked for.
    pub fn of(include_secrets: bool) -> Self {
        if include_secrets {
            Self::Shown
        } else {
            Self::Masked
        }
    }
}

/// A document as it lies in the database.
struct Stored {
    id: BlockDocumentId,
    created: DateTime<Utc>,
    updated: DateTime<Utc>,
    name: String,
    sealed: String,
    is_anonymous: bool,
    block_type: BlockType,
    block_schema: BlockSchema,
}

impl FromRow for Stored {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            sealed: row.take()?,
            is_anonymous: row.take()?,
            block_type: FromRow::from_row(row)?,
            block_schema: FromRow::from_row(row)?,
        })
    }
}

fn select() -> String {
    let of_type = block_types::COLUMNS;
    format!(
        "SELECT d.id, d.created, d.updated, d.name, d.data, d.is_anonymous, {of_type}, {}, {} \
         FROM block_document d JOIN block_type t ON t.id = d.block_type_id \
         JOIN block_schema s ON s.id = d.block_schema_id JOIN block_type st ON st.id = s.block_type_id",
        block_schemas::COLUMNS,
        of_type.replace("t.", "st."),
    )
}

/// What a field holds that refers to another document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pointer {
    #[serde(rename = "$ref")]
    to: Target,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    block_document_id: BlockDocumentId,
}

/// Data as it is stored: what is in it, and where it refers to.
struct Parts {
    plain: Document,
    references: BTreeMap<String, BlockDocumentId>,
}

impl Parts {
    fn of(data: &Document) -> Self {
        let mut members: serde_json::Map<_, _> = data.read().unwrap_or_default();
        let mut references = BTreeMap::new();
        members.retain(|name, value| match Pointer::deserialize(&*value) {
            Ok(pointer) => {
                references.insert(name.clone(), pointer.to.block_document_id);
                false
            }
            Err(_) => true,
        });
        let plain = match references.is_empty() {
            // What needs no change keeps its form.
            true => data.clone(),
            false => Document::of(&members).expect("members are JSON"),
        };
        Self { plain, references }
    }
}

async fn write_references(
    conn: &mut Conn,
    parent: BlockDocumentId,
    references: &BTreeMap<String, BlockDocumentId>,
) -> Result<()> {
    let sql = "INSERT INTO block_document_reference (parent_block_document_id, name, \
               reference_block_document_id) VALUES ($1, $2, $3)";
    for (name, id) in references {
        query(sql)
            .bind(parent)
            .bind(name)
            .bind(*id)
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Creates a document; fails if its type has one of that name, or something it names is not there.
pub async fn create(
    conn: &mut Conn,
    sealer: &Sealer,
    create: BlockDocumentCreate,
    now: DateTime<Utc>,
) -> Result<BlockDocumentId> {
    let id = BlockDocumentId::new();
    let parts = Parts::of(&create.data.unwrap_or_else(Document::empty_object));
    let name = create.name.unwrap_or_else(|| format!("anonymous-{id}"));
    let insert = "INSERT INTO block_document (id, created, updated, name, data, is_anonymous, \
                  block_schema_id, block_type_id) VALUES ($1, $2, $2, $3, $4, $5, $6, $7)";
    query(insert)
        .bind(id)
        .bind(now)
        .bind(name)
        .bind(sealer.seal(&parts.plain, id.0))
        .bind(create.is_anonymous)
        .bind(create.block_schema_id)
        .bind(create.block_type_id)
        .execute(conn)
        .await?;
    write_references(conn, id, &parts.references).await?;
    Ok(id)
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updated {
    /// It was made.
    Done,
    /// There is no such document.
    Missing,
    /// The schema is of another type, or there is none.
    OtherType,
}

/// Changes a document.
pub async fn update(
    conn: &mut Conn,
    vault: &Vault,
    sealer: &Sealer,
    id: BlockDocumentId,
    update: BlockDocumentUpdate,
    now: DateTime<Utc>,
) -> Result<Updated> {
    super::states::lock(conn, "block_document", id.0).await?;
    let sql = format!("{} WHERE d.id = $1", select());
    let stored: Option<Stored> = query(sql).bind(id).fetch_optional(conn).await?;
    let Some(stored) = stored else {
        return Ok(Updated::Missing);
    };
    let mut secrets = SecretFields::of(&stored.block_schema.fields);
    let mut schema_id = stored.block_schema.id;
    if let Some(other) = update.block_schema_id.filter(|other| *other != schema_id) {
        match block_schemas::read(conn, other).await? {
            Some(schema) if schema.block_type.id == stored.block_type.id => {
                secrets = SecretFields::of(&schema.fields);
                schema_id = other;
            }
            _ => return Ok(Updated::OtherType),
        }
    }
    let mut plain = vault.open(stored.sealed, id.0)?;
    if let Some(sent) = update.data {
        let sent = Parts::of(&secrets.restore(&sent, &plain));
        let replaced: Vec<String> = sent
            .plain
            .read::<serde_json::Map<_, _>>()
            .unwrap_or_default()
            .into_iter()
            .map(|(name, _)| name)
            .chain(sent.references.keys().cloned())
            .collect();
        let merges = update.merge_existing_data;
        let forget = "DELETE FROM block_document_reference WHERE parent_block_document_id = $1 \
                      AND ($2 OR name = ANY($3))";
        query(forget)
            .bind(id)
            .bind(!merges)
            .bind(replaced)
            .execute(conn)
            .await?;
        plain = match merges {
            true => without(&plain, sent.references.keys()).merge(&sent.plain),
            false => sent.plain,
        };
        write_references(conn, id, &sent.references).await?;
    }
    let sql =
        "UPDATE block_document SET updated = $2, data = $3, block_schema_id = $4 WHERE id = $1";
    query(sql)
        .bind(id)
        .bind(now)
        .bind(sealer.seal(&plain, id.0))
        .bind(schema_id)
        .execute(conn)
        .await?;
    Ok(Updated::Done)
}

fn without<'a>(data: &Document, mut names: impl Iterator<Item = &'a String>) -> Document {
    let Some(first) = names.next() else {
        return data.clone();
    };
    let mut members: serde_json::Map<String, serde_json::Value> = data.read().unwrap_or_default();
    members.shift_remove(first);
    names.for_each(|name| drop(members.shift_remove(name)));
    Document::of(&members).expect("members are JSON")
}

/// Deletes a document; tells whether there was one.
pub async fn delete(conn: &mut Conn, id: BlockDocumentId) -> Result<bool> {
    let sql = "DELETE FROM block_document WHERE id = $1";
    Ok(query(sql).bind(id).execute(conn).await? == 1)
}

/// Returns a document with those that it refers to.
pub async fn read(
    conn: &mut Conn,
    vault: &Vault,
    id: BlockDocumentId,
    secrets: Secrets,
) -> Result<Option<BlockDocument>> {
    let sql = format!("{} WHERE d.id = $1", select());
    let stored: Vec<Stored> = query(sql).bind(id).fetch_all(conn).await?;
    Ok(expand(conn, vault, stored, secrets).await?.pop())
}

/// Returns the document of a type by its name.
pub async fn read_by_name(
    conn: &mut Conn,
    vault: &Vault,
    slug: &str,
    name: &str,
    secrets: Secrets,
) -> Result<Option<BlockDocument>> {
    let sql = format!("{} WHERE t.slug = $1 AND d.name = $2", select());
    let stored: Vec<Stored> = query(sql).bind(slug).bind(name).fetch_all(conn).await?;
    Ok(expand(conn, vault, stored, secrets).await?.pop())
}

fn conditions(conn: &Conn, filters: &BlockDocumentFilters) -> Conditions {
    let mut conditions = Conditions::new(conn);
    conditions.on_documents(&filters.block_documents.clone().unwrap_or_default());
    conditions.on_types(filters.block_types.as_ref());
    conditions.on_schemas(filters.block_schemas.as_ref());
    conditions
}

/// Returns documents.
pub async fn list(
    conn: &mut Conn,
    vault: &Vault,
    filters: &BlockDocumentFilters,
    sort: BlockDocumentSort,
    (limit, offset): (i64, u32),
    secrets: Secrets,
) -> Result<Vec<BlockDocument>> {
    let mut conditions = conditions(conn, filters);
    let (limit, offset) = (conditions.bind(limit), conditions.bind(i64::from(offset)));
    let order = match sort {
        BlockDocumentSort::NameAsc => "d.name, d.id",
        BlockDocumentSort::NameDesc => "d.name DESC, d.id DESC",
        BlockDocumentSort::BlockTypeAndNameAsc => "t.name, d.name, d.id",
    };
    let sql = format!(
        "{} WHERE {} ORDER BY {order} LIMIT {limit} OFFSET {offset}",
        select(),
        conditions.sql()
    );
    let stored = query(sql)
        .bind_all(conditions.values)
        .fetch_all(conn)
        .await?;
    expand(conn, vault, stored, secrets).await
}

/// Counts documents.
pub async fn count(conn: &mut Conn, filters: &BlockDocumentFilters) -> Result<i64> {
    let conditions = conditions(conn, filters);
    let sql = format!(
        "SELECT COUNT(*) FROM block_document d JOIN block_type t ON t.id = d.block_type_id \
         JOIN block_schema s ON s.id = d.block_schema_id WHERE {}",
        conditions.sql()
    );
    query(sql).bind_all(conditions.values).fetch_one(conn).await
}

/// Documents with all that they refer to, opened.
struct Shelf {
    documents: HashMap<BlockDocumentId, BlockDocument>,
    references: HashMap<BlockDocumentId, Vec<(String, BlockDocumentId)>>,
    expanded: usize,
}

/// Reads what documents refer to and puts it into them.
async fn expand(
    conn: &mut Conn,
    vault: &Vault,
    stored: Vec<Stored>,
    secrets: Secrets,
) -> Result<Vec<BlockDocument>> {
    let asked: Vec<_> = stored.iter().map(|document| document.id).collect();
    let mut shelf = Shelf {
        documents: HashMap::new(),
        references: HashMap::new(),
        expanded: 0,
    };
    let mut fresh = stored;
    while !fresh.is_empty() {
        let ids: Vec<_> = fresh.iter().map(|document| document.id.0).collect();
        for document in fresh {
            let document = open(vault, document)?;
            shelf.documents.insert(document.id, document);
        }
        let sql = "SELECT parent_block_document_id, name, reference_block_document_id \
                   FROM block_document_reference WHERE parent_block_document_id = ANY($1) ORDER BY name";
        let references: Vec<(uuid::Uuid, String, uuid::Uuid)> =
            query(sql).bind(Value::Uuids(ids)).fetch_all(conn).await?;
        let mut unknown = Vec::new();
        for (parent, name, id) in references {
            if !shelf.documents.contains_key(&BlockDocumentId(id)) {
                unknown.push(id);
            }
            let of_parent = shelf.references.entry(BlockDocumentId(parent));
            of_parent.or_default().push((name, BlockDocumentId(id)));
        }
        if unknown.is_empty() || shelf.documents.len() > MOST_EXPANDED {
            break;
        }
        let sql = format!("{} WHERE d.id = ANY($1)", select());
        fresh = query(sql)
            .bind(Value::Uuids(unknown))
            .fetch_all(conn)
            .await?;
    }
    let mut path = Vec::new();
    let documents = asked
        .into_iter()
        .filter_map(|id| shelf.take(id, secrets, &mut path));
    Ok(documents.collect())
}

fn open(vault: &Vault, stored: Stored) -> Result<BlockDocument> {
    Ok(BlockDocument {
        id: stored.id,
        created: stored.created,
        updated: stored.updated,
        name: stored.name,
        data: vault.open(stored.sealed, stored.id.0)?,
        block_schema: stored.block_schema,
        block_type: stored.block_type,
        block_document_references: BTreeMap::new(),
        is_anonymous: stored.is_anonymous,
    })
}

impl Shelf {
    /// Returns a document with all that it refers to; `path` leads to it.
    fn take(
        &mut self,
        id: BlockDocumentId,
        secrets: Secrets,
        path: &mut Vec<BlockDocumentId>,
    ) -> Option<BlockDocument> {
        let mut document = self.documents.get(&id)?.clone();
        let references = self.references.get(&id).cloned().unwrap_or_default();
        path.push(id);
        let mut fields = serde_json::Map::new();
        for (name, to) in references {
            let is_bounded = !path.contains(&to) && self.expanded < MOST_EXPANDED;
            self.expanded += 1;
            let inner = is_bounded.then(|| self.take(to, secrets, path)).flatten();
            let data = match &inner {
                Some(inner) => inner.data.read().unwrap_or_default(),
                None => serde_json::to_value(Pointer {
                    to: Target {
                        block_document_id: to,
                    },
                })
                .expect("an id is JSON"),
            };
            fields.insert(name.clone(), data);
            if let Some(inner) = inner {
                document.block_document_references.insert(name, inner);
            }
        }
        path.pop();
        if !fields.is_empty() {
            let fields = Document::of(&fields).expect("fields are JSON");
            document.data = document.data.merge(&fields);
        }
        if secrets == Secrets::Masked {
            document.data = SecretFields::of(&document.block_schema.fields).obscure(&document.data);
        }
        Some(document)
    }
}

//! Blocks of 2.0b3 and block documents of later clients, with their secrets masked.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::filters::Where;
use super::{Page, row};
use crate::db::{Conn, Result, Value, query};
use crate::schemas::{Document, Tags};
use crate::server::models::filters::like_pattern;
use crate::server::vault::Vault;
use crate::settings::MASK;

/// No answer has more blocks than this.
const MOST: i64 = 1000;
/// What a page of the dashboard shows of them.
const PAGE: i64 = 60;

/// The blocks of both stores, with what they are found by.
const STORES: &str = "SELECT b.id, b.name, s.name AS type_name FROM block b JOIN block_spec s ON s.id = b.block_spec_id \
     UNION ALL \
     SELECT d.id, d.name, t.name AS type_name FROM block_document d JOIN block_type t ON t.id = d.block_type_id \
     WHERE NOT d.is_anonymous";

/// Which blocks are asked for.
#[derive(Debug, Clone, Default, serde::Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct BlocksAsk {
    /// A part of the name of a block or of its type.
    name: Option<String>,
    limit: Option<i64>,
    offset: i64,
}

row! {
    BlockStored {
        id: Uuid, name: String, type_name: String, kind: Option<String>, is_default: bool,
        created: DateTime<Utc>, updated: DateTime<Utc>, sealed: String, schema: Document,
    }
}

row! {
    DocumentStored {
        id: Uuid, name: String, type_name: String, slug: String, capabilities: Tags,
        created: DateTime<Utc>, updated: DateTime<Utc>, sealed: String, schema: Document,
    }
}

/// What only a block document has.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct OfDocument {
    /// What programs call its type.
    slug: String,
    capabilities: Tags,
}

/// A block with its secrets masked.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BlockText {
    id: Uuid,
    name: String,
    type_name: String,
    kind: Option<String>,
    is_default: bool,
    created: DateTime<Utc>,
    updated: DateTime<Utc>,
    data: Document,
    schema: Document,
    /// Whether its data could be read with the key that the server has.
    is_readable: bool,
    /// Nothing for a block of 2.0b3.
    document: Option<OfDocument>,
}

/// Lists the blocks of both stores by name, with their secrets masked: as many as somebody can choose from.
pub(crate) async fn list(conn: &mut Conn, vault: &Vault) -> Result<Vec<BlockText>> {
    let ask = BlocksAsk {
        limit: Some(MOST),
        ..BlocksAsk::default()
    };
    Ok(page(conn, vault, ask).await?.results)
}

/// Lists a page of the blocks of both stores by name, with their secrets masked.
pub(crate) async fn page(
    conn: &mut Conn,
    vault: &Vault,
    ask: BlocksAsk,
) -> Result<Page<BlockText>> {
    let mut found = Where::all(conn.dialect());
    if let Some(text) = ask.name.filter(|text| !text.is_empty()) {
        let n = found.bind(Value::from(like_pattern(&text)));
        found.and(format!(
            "(LOWER(x.name) LIKE ${n} ESCAPE '\\' OR LOWER(x.type_name) LIKE ${n} ESCAPE '\\')"
        ));
    }
    let count = format!("SELECT COUNT(*) FROM ({STORES}) x WHERE {}", found.sql());
    let count = found.clone().query(count).fetch_one(conn).await?;
    let sql = format!(
        "SELECT x.id FROM ({STORES}) x WHERE {} ORDER BY LOWER(x.name), x.id LIMIT {} OFFSET {}",
        found.sql(),
        ask.limit.unwrap_or(PAGE).clamp(0, MOST),
        ask.offset.max(0)
    );
    let ids: Vec<Uuid> = found.query(sql).fetch_all(conn).await?;
    let mut results = of_specs(conn, vault, &ids).await?;
    results.extend(documents(conn, vault, &ids).await?);
    let places: HashMap<Uuid, usize> = ids.into_iter().zip(0..).collect();
    results.sort_by_key(|block| places.get(&block.id).copied());
    Ok(Page { results, count })
}

async fn of_specs(conn: &mut Conn, vault: &Vault, ids: &[Uuid]) -> Result<Vec<BlockText>> {
    let sql = "SELECT b.id, b.name, s.name, s.type, b.is_default_storage_block, b.created, b.updated, b.data, s.fields \
               FROM block b JOIN block_spec s ON s.id = b.block_spec_id WHERE b.id = ANY($1)";
    let rows: Vec<BlockStored> = query(sql)
        .bind(Value::Uuids(ids.to_vec()))
        .fetch_all(conn)
        .await?;
    let shown = |row: BlockStored| {
        // A block whose key is lost must not take the whole page with it.
        let data = vault.open(row.sealed, row.id).ok();
        BlockText {
            is_readable: data.is_some(),
            data: data.map_or_else(Document::empty_object, |data| mask(&data, &row.schema)),
            id: row.id,
            name: row.name,
            type_name: row.type_name,
            kind: row.kind,
            is_default: row.is_default,
            created: row.created,
            updated: row.updated,
            schema: row.schema,
            document: None,
        }
    };
    Ok(rows.into_iter().map(shown).collect())
}

/// Lists the documents; what refers to another document stays a reference, as its parent has it.
async fn documents(conn: &mut Conn, vault: &Vault, ids: &[Uuid]) -> Result<Vec<BlockText>> {
    let sql = "SELECT d.id, d.name, t.name, t.slug, s.capabilities, d.created, d.updated, d.data, s.fields \
               FROM block_document d JOIN block_type t ON t.id = d.block_type_id \
               JOIN block_schema s ON s.id = d.block_schema_id WHERE d.id = ANY($1)";
    let rows: Vec<DocumentStored> = query(sql)
        .bind(Value::Uuids(ids.to_vec()))
        .fetch_all(conn)
        .await?;
    let sql = "SELECT parent_block_document_id, name, reference_block_document_id \
               FROM block_document_reference WHERE parent_block_document_id = ANY($1) ORDER BY name";
    let told: Vec<(Uuid, String, Uuid)> = query(sql)
        .bind(Value::Uuids(ids.to_vec()))
        .fetch_all(conn)
        .await?;
    let mut references: HashMap<Uuid, Vec<(String, Uuid)>> = HashMap::new();
    for (parent, name, to) in told {
        references.entry(parent).or_default().push((name, to));
    }
    let shown = |row: DocumentStored| {
        let data = vault.open(row.sealed, row.id).ok();
        let is_readable = data.is_some();
        let mut data = data.map_or_else(Document::empty_object, |data| mask(&data, &row.schema));
        let inner = references.remove(&row.id).unwrap_or_default();
        if !inner.is_empty() {
            let inner = inner
                .into_iter()
                .map(|(name, to)| (name, json!({"$ref": {"block_document_id": to}})));
            let inner: serde_json::Map<_, _> = inner.collect();
            data = data.merge(&Document::of(&inner).expect("members are JSON"));
        }
        BlockText {
            id: row.id,
            name: row.name,
            type_name: row.type_name,
            kind: None,
            is_default: false,
            created: row.created,
            updated: row.updated,
            data,
            schema: row.schema,
            is_readable,
            document: Some(OfDocument {
                slug: row.slug,
                capabilities: row.capabilities,
            }),
        }
    };
    Ok(rows.into_iter().map(shown).collect())
}

/// Hides the values that are secret by their schema or by their name; what is not an object is hidden whole.
fn mask(data: &Document, schema: &Document) -> Document {
    let schema: Json = schema.read().unwrap_or_default();
    let listed = schema["secret_fields"].as_array().into_iter().flatten();
    // A path into the data counts for the field that it starts with.
    let listed: Vec<&str> = listed
        .filter_map(|path| path.as_str()?.split('.').next())
        .collect();
    let is_secret = |name: &str| {
        let field = &schema["properties"][name];
        listed.contains(&name) || field["format"] == "password" || field["writeOnly"] == true
    };
    let masked = match data.read::<Json>() {
        Ok(Json::Object(mut fields)) => {
            for (name, value) in &mut fields {
                if is_secret(name) && !value.is_null() {
                    *value = Json::from(MASK);
                }
                hide(name, value);
            }
            Json::Object(fields)
        }
        _ => serde_json::json!({ "data": MASK }),
    };
    Document::of(&masked).unwrap_or_else(|_| Document::empty_object())
}

fn hide(name: &str, value: &mut Json) {
    const SECRET: [&str; 9] = [
        "secret",
        "password",
        "passwd",
        "token",
        "key",
        "credential",
        "connection_string",
        "auth",
        "private",
    ];
    let name = name.to_lowercase();
    match value {
        Json::Null => {}
        Json::Object(fields) => fields
            .iter_mut()
            .for_each(|(name, value)| hide(name, value)),
        value if SECRET.iter().any(|word| name.contains(word)) => *value = Json::from(MASK),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_schema_calls_secret_is_masked_whatever_its_name() {
        let document = |text: &str| Document::parse(text.to_owned()).unwrap();
        let schema =
            r#"{"secret_fields":["inner.pin"],"properties":{"word":{"format":"password"}}}"#;
        let data = document(r#"{"word":"w","inner":{"pin":1},"plain":"p"}"#);
        assert_eq!(
            mask(&data, &document(schema)).get(),
            r#"{"word":"********","inner":"********","plain":"p"}"#
        );
    }

    #[test]
    fn secrets_of_a_block_are_masked_at_any_depth() {
        let data = Document::parse(
            r#"{"bucket":"b","aws_secret_access_key":"s","more":{"token":"t","n":1}}"#.into(),
        );
        assert_eq!(
            mask(&data.unwrap(), &Document::empty_object()).get(),
            r#"{"bucket":"b","aws_secret_access_key":"********","more":{"token":"********","n":1}}"#
        );
    }
}

//! Block types in the database, the built-in ones among them.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::block_filters::Conditions;
use super::block_schemas;
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::block_schemas::{BlockSchemaCreate, BlockSchemaFilter, NON_VERSIONED};
use crate::schemas::block_types::{BlockType, BlockTypeCreate, BlockTypeFilter, BlockTypeUpdate};
use crate::schemas::{BlockTypeId, Document, Tags};

/// The types that a new server has, so that a block can be made before any client has registered
/// its own; clients add their schemas beside ours.
const BUILTIN: &str = include_str!("builtin_block_types.json");

/// The columns of a type `t`, in the order of [`FromRow`].
pub const COLUMNS: &str = "t.id, t.created, t.updated, t.name, t.slug, t.logo_url, t.documentation_url, \
    t.description, t.code_example, t.is_protected";

impl FromRow for BlockType {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            slug: row.take()?,
            logo_url: row.take()?,
            documentation_url: row.take()?,
            description: row.take()?,
            code_example: row.take()?,
            is_protected: row.take()?,
        })
    }
}

#[derive(Deserialize)]
struct Builtin {
    name: String,
    slug: String,
    description: String,
    is_protected: bool,
    fields: Document,
    capabilities: Tags,
}

/// Makes sure that the built-in types are there; those that clients have changed stay as they are.
pub async fn ensure_builtin(conn: &mut Conn, now: DateTime<Utc>) -> Result<()> {
    let builtin: Vec<Builtin> =
        serde_json::from_str(BUILTIN).expect("a test reads the built-in types");
    for builtin in builtin {
        let sql = "INSERT INTO block_type (id, created, updated, name, slug, description, is_protected) \
                   VALUES ($1, $2, $2, $3, $4, $5, $6) ON CONFLICT (slug) DO NOTHING";
        let id = BlockTypeId::new();
        let is_new = query(sql)
            .bind(id)
            .bind(now)
            .bind(builtin.name)
            .bind(builtin.slug)
            .bind(builtin.description)
            .bind(builtin.is_protected)
            .execute(conn)
            .await?
            == 1;
        if is_new {
            let schema = BlockSchemaCreate {
                block_type_id: id,
                fields: Some(builtin.fields),
                capabilities: builtin.capabilities,
                version: NON_VERSIONED.to_owned(),
            };
            block_schemas::create(conn, schema, now).await?;
        }
    }
    Ok(())
}

/// Creates a type; fails if its slug is taken.
pub async fn create(
    conn: &mut Conn,
    create: BlockTypeCreate,
    now: DateTime<Utc>,
) -> Result<BlockType> {
    let id = BlockTypeId::new();
    let sql = "INSERT INTO block_type (id, created, updated, name, slug, logo_url, documentation_url, \
               description, code_example) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8)";
    query(sql)
        .bind(id)
        .bind(now)
        .bind(create.name)
        .bind(create.slug)
        .bind(create.logo_url)
        .bind(create.documentation_url)
        .bind(create.description)
        .bind(create.code_example)
        .execute(conn)
        .await?;
    let made = read(conn, id).await?;
    Ok(made.expect("the type was inserted in this write"))
}

/// Returns a type.
pub async fn read(conn: &mut Conn, id: BlockTypeId) -> Result<Option<BlockType>> {
    let sql = format!("SELECT {COLUMNS} FROM block_type t WHERE t.id = $1");
    query(sql).bind(id).fetch_optional(conn).await
}

/// Returns the type of a slug.
pub async fn read_by_slug(conn: &mut Conn, slug: &str) -> Result<Option<BlockType>> {
    let sql = format!("SELECT {COLUMNS} FROM block_type t WHERE t.slug = $1");
    query(sql).bind(slug).fetch_optional(conn).await
}

/// Returns types by name.
pub async fn list(
    conn: &mut Conn,
    types: Option<&BlockTypeFilter>,
    schemas: Option<&BlockSchemaFilter>,
    limit: i64,
    offset: u32,
) -> Result<Vec<BlockType>> {
    let mut conditions = Conditions::new(conn);
    conditions.on_types(types);
    conditions.on_any_schema(schemas);
    let (limit, offset) = (conditions.bind(limit), conditions.bind(i64::from(offset)));
    let sql = format!(
        "SELECT {COLUMNS} FROM block_type t WHERE {} ORDER BY t.name, t.id LIMIT {limit} OFFSET {offset}",
        conditions.sql()
    );
    query(sql).bind_all(conditions.values).fetch_all(conn).await
}

/// Changes a type, if there is one.
pub async fn update(
    conn: &mut Conn,
    id: BlockTypeId,
    update: BlockTypeUpdate,
    now: DateTime<Utc>,
) -> Result<()> {
    let sql = "UPDATE block_type SET updated = $2, logo_url = COALESCE($3, logo_url), \
               documentation_url = COALESCE($4, documentation_url), description = COALESCE($5, description), \
               code_example = COALESCE($6, code_example) WHERE id = $1";
    query(sql)
        .bind(id)
        .bind(now)
        .bind(update.logo_url)
        .bind(update.documentation_url)
        .bind(update.description)
        .bind(update.code_example)
        .execute(conn)
        .await
        .map(drop)
}

/// Deletes a type with its schemas and documents.
pub async fn delete(conn: &mut Conn, id: BlockTypeId) -> Result<()> {
    let sql = "DELETE FROM block_type WHERE id = $1";
    query(sql).bind(id).execute(conn).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_builtin_type_says_what_its_data_is() {
        let builtin: Vec<Builtin> = serde_json::from_str(BUILTIN).unwrap();
        for Builtin {
            name, slug, fields, ..
        } in &builtin
        {
            let fields: serde_json::Value = fields.read().unwrap();
            assert_eq!(fields["block_type_slug"], slug.as_str());
            assert_eq!(fields["title"], name.replace(' ', "").as_str());
            for secret in fields["secret_fields"].as_array().unwrap() {
                let field = secret.as_str().unwrap().split('.').next().unwrap();
                assert!(fields["properties"][field].is_object(), "{slug}: {field}");
            }
        }
        let protected: Vec<_> = builtin
            .iter()
            .filter(|builtin| builtin.is_protected)
            .map(|builtin| builtin.slug.as_str())
            .collect();
        assert_eq!(protected, ["local-file-system", "secret", "webhook"]);
    }
}

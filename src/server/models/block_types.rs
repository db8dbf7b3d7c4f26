//! Block types in the database.

use chrono::{DateTime, Utc};

use super::block_filters::Conditions;
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::block_schemas::BlockSchemaFilter;
use crate::schemas::block_types::{BlockType, BlockTypeCreate, BlockTypeFilter, BlockTypeUpdate};
use crate::schemas::{BlockTypeId, Dialect};

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

/// Returns types by name, those left out that clients of the dialect cannot know.
pub async fn list(
    conn: &mut Conn,
    dialect: Dialect,
    types: Option<&BlockTypeFilter>,
    schemas: Option<&BlockSchemaFilter>,
    limit: i64,
    offset: u32,
) -> Result<Vec<BlockType>> {
    let mut conditions = Conditions::new(conn);
    conditions.on_types(types);
    conditions.on_any_schema(schemas);
    conditions.on_known_types(dialect);
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

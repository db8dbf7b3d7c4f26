//! Block schemas in the database, each read together with its type.

use chrono::{DateTime, Utc};

use super::block_filters::Conditions;
use super::block_types;
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::block_schemas::{BlockSchema, BlockSchemaCreate, BlockSchemaFilter, checksum};
use crate::schemas::{BlockSchemaId, Dialect, Document, Tags};

/// The columns of a schema `s` without its type.
pub const COLUMNS: &str =
    "s.id, s.created, s.updated, s.checksum, s.fields, s.capabilities, s.version";

fn select() -> String {
    format!(
        "SELECT {COLUMNS}, {} FROM block_schema s JOIN block_type t ON t.id = s.block_type_id",
        block_types::COLUMNS
    )
}

impl FromRow for BlockSchema {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let (id, created, updated) = (row.take()?, row.take()?, row.take()?);
        let (checksum, fields) = (row.take()?, row.take()?);
        let (capabilities, version) = (row.take()?, row.take()?);
        Ok(Self {
            id,
            created,
            updated,
            checksum,
            fields,
            capabilities,
            version,
            block_type: FromRow::from_row(row)?,
        })
    }
}

/// Creates a schema, or returns the one of that type, checksum and version; tells whether it is new.
pub async fn create(
    conn: &mut Conn,
    create: BlockSchemaCreate,
    now: DateTime<Utc>,
) -> Result<(BlockSchema, bool)> {
    let fields = create.fields.unwrap_or_else(Document::empty_object);
    let members: serde_json::Value = fields.read().unwrap_or_default();
    let checksum = checksum(&members);
    let fields = match members.get("block_schema_references") {
        Some(_) => fields,
        None => fields.merge(
            &Document::parse(r#"{"block_schema_references":{}}"#.to_owned())
                .expect("a constant document"),
        ),
    };
    let id = BlockSchemaId::new();
    let insert = "INSERT INTO block_schema (id, created, updated, checksum, fields, capabilities, version, \
                  block_type_id) VALUES ($1, $2, $2, $3, $4, $5, $6, $7) \
                  ON CONFLICT (checksum, version, block_type_id) DO NOTHING";
    let is_new = query(insert)
        .bind(id)
        .bind(now)
        .bind(&checksum)
        .bind(fields)
        .bind(create.capabilities)
        .bind(&create.version)
        .bind(create.block_type_id)
        .execute(conn)
        .await?
        == 1;
    let sql = format!(
        "{} WHERE s.checksum = $1 AND s.version = $2 AND s.block_type_id = $3",
        select()
    );
    let schema = query(sql)
        .bind(checksum)
        .bind(create.version)
        .bind(create.block_type_id)
        .fetch_one(conn)
        .await?;
    Ok((schema, is_new))
}

/// Returns a schema.
pub async fn read(conn: &mut Conn, id: BlockSchemaId) -> Result<Option<BlockSchema>> {
    let sql = format!("{} WHERE s.id = $1", select());
    query(sql).bind(id).fetch_optional(conn).await
}

/// Returns the newest schema of a checksum, and of a version if asked.
pub async fn read_by_checksum(
    conn: &mut Conn,
    checksum: &str,
    version: Option<String>,
) -> Result<Option<BlockSchema>> {
    let sql = format!(
        "{} WHERE s.checksum = $1 AND ($2 IS NULL OR s.version = $2) \
         ORDER BY s.created DESC, s.id DESC LIMIT 1",
        select()
    );
    query(sql)
        .bind(checksum)
        .bind(version)
        .fetch_optional(conn)
        .await
}

/// Returns schemas, the newest first, those left out that clients of the dialect cannot know.
pub async fn list(
    conn: &mut Conn,
    dialect: Dialect,
    filter: Option<&BlockSchemaFilter>,
    limit: i64,
    offset: u32,
) -> Result<Vec<BlockSchema>> {
    let mut conditions = Conditions::new(conn);
    conditions.on_schemas(filter);
    conditions.on_known_schemas(dialect);
    let (limit, offset) = (conditions.bind(limit), conditions.bind(i64::from(offset)));
    let sql = format!(
        "{} WHERE {} ORDER BY s.created DESC, s.id DESC LIMIT {limit} OFFSET {offset}",
        select(),
        conditions.sql()
    );
    query(sql).bind_all(conditions.values).fetch_all(conn).await
}

/// Deletes a schema with its documents; tells whether there was one.
pub async fn delete(conn: &mut Conn, id: BlockSchemaId) -> Result<bool> {
    let sql = "DELETE FROM block_schema WHERE id = $1";
    Ok(query(sql).bind(id).execute(conn).await? == 1)
}

/// Returns everything that blocks of any schema can do which clients of the dialect may know.
pub async fn capabilities(conn: &mut Conn, dialect: Dialect) -> Result<Tags> {
    let mut conditions = Conditions::new(conn);
    conditions.on_known_schemas(dialect);
    let sql = format!(
        "SELECT DISTINCT s.capabilities FROM block_schema s WHERE {}",
        conditions.sql()
    );
    let lists: Vec<String> = query(sql)
        .bind_all(conditions.values)
        .fetch_all(conn)
        .await?;
    let mut known = std::collections::BTreeSet::new();
    for list in lists {
        known.extend(serde_json::from_str::<Vec<String>>(&list).unwrap_or_default());
    }
    Ok(Tags(known.into_iter().collect()))
}

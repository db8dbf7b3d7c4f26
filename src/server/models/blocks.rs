//! Blocks in the database, each read together with its spec; their data is sealed.

use chrono::{DateTime, Utc};

use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::actions::{BlockCreate, BlockUpdate};
use crate::schemas::blocks::{Block, BlockSpec};
use crate::schemas::{BlockId, Document};
use crate::server::vault::{Sealer, Vault};

const SELECT: &str = "SELECT block.id, block.created, block.updated, block.name, block.data, \
                      spec.id, spec.created, spec.updated, spec.name, spec.version, spec.type, \
                      spec.fields FROM block JOIN block_spec AS spec ON spec.id = block.block_spec_id";

/// A block as it lies in the database, its data sealed.
struct Stored {
    block: Block,
    sealed: String,
}

impl FromRow for Stored {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let (id, created, updated, name) = (row.take()?, row.take()?, row.take()?, row.take()?);
        let sealed = row.take()?;
        let block = Block {
            id,
            created,
            updated,
            name,
            data: Document::empty_object(),
            block_spec: BlockSpec::from_row(row)?,
        };
        Ok(Self { block, sealed })
    }
}

impl Stored {
    fn open(self, vault: &Vault) -> Result<Block> {
        let Self { mut block, sealed } = self;
        block.data = vault.open(sealed, block.id.0)?;
        Ok(block)
    }
}

/// Creates a block; fails if its spec has one of that name, or if there is no such spec.
pub async fn create(
    conn: &mut Conn,
    sealer: &Sealer,
    block: BlockCreate,
    now: DateTime<Utc>,
) -> Result<BlockId> {
    let id = BlockId::new();
    let data = block.data.unwrap_or_else(Document::empty_object);
    let insert = "INSERT INTO block (id, created, updated, name, data, block_spec_id, \
                  is_default_storage_block) VALUES ($1, $2, $2, $3, $4, $5, $6)";
    query(insert)
        .bind(id)
        .bind(now)
        .bind(block.name)
        .bind(sealer.seal(&data, id.0))
        .bind(block.block_spec_id)
        .bind(false)
        .execute(conn)
        .await?;
    Ok(id)
}

/// Returns a block.
pub async fn read(conn: &mut Conn, vault: &Vault, id: BlockId) -> Result<Option<Block>> {
    let sql = format!("{SELECT} WHERE block.id = $1");
    let stored: Option<Stored> = query(sql).bind(id).fetch_optional(conn).await?;
    stored.map(|stored| stored.open(vault)).transpose()
}

/// Tells what the blocks of a block's spec are for; none if there is no such block.
pub async fn spec_type(conn: &mut Conn, id: BlockId) -> Result<Option<Option<String>>> {
    let sql = format!("{SELECT} WHERE block.id = $1");
    let stored: Option<Stored> = query(sql).bind(id).fetch_optional(conn).await?;
    Ok(stored.map(|stored| stored.block.block_spec.spec_type))
}

/// Returns a block by the names of its spec and itself, of the newest version that has it unless
/// one is named.
pub async fn read_by_name(
    conn: &mut Conn,
    vault: &Vault,
    spec_name: &str,
    version: Option<String>,
    name: &str,
) -> Result<Option<Block>> {
    let sql = format!(
        "{SELECT} WHERE block.name = $1 AND spec.name = $2 AND ($3 IS NULL OR spec.version = $3) \
         ORDER BY spec.version DESC LIMIT 1"
    );
    let stored: Option<Stored> = query(sql)
        .bind(name)
        .bind(spec_name)
        .bind(version)
        .fetch_optional(conn)
        .await?;
    stored.map(|stored| stored.open(vault)).transpose()
}

/// Returns blocks by spec and name, of one type if asked.
pub async fn list(
    conn: &mut Conn,
    vault: &Vault,
    spec_type: Option<String>,
    limit: i64,
    offset: u32,
) -> Result<Vec<Block>> {
    let sql = format!(
        "{SELECT} WHERE $1 IS NULL OR spec.type = $1 \
         ORDER BY spec.name, spec.version DESC, block.name LIMIT $2 OFFSET $3"
    );
    let stored: Vec<Stored> = query(sql)
        .bind(spec_type)
        .bind(limit)
        .bind(i64::from(offset))
        .fetch_all(conn)
        .await?;
    stored
        .into_iter()
        .map(|stored| stored.open(vault))
        .collect()
}

/// Changes a block; tells whether there is such a block.
pub async fn update(
    conn: &mut Conn,
    sealer: &Sealer,
    id: BlockId,
    update: BlockUpdate,
    now: DateTime<Utc>,
) -> Result<bool> {
    let sql = "UPDATE block SET name = COALESCE($2, name), data = COALESCE($3, data), \
               updated = $4 WHERE id = $1";
    let changed = query(sql)
        .bind(id)
        .bind(update.name)
        .bind(update.data.map(|data| sealer.seal(&data, id.0)))
        .bind(now)
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

/// Deletes a block; tells whether there was one.
pub async fn delete(conn: &mut Conn, id: BlockId) -> Result<bool> {
    let sql = "DELETE FROM block WHERE id = $1";
    Ok(query(sql).bind(id).execute(conn).await? == 1)
}

/// Returns the default storage.
pub async fn read_default_storage(conn: &mut Conn, vault: &Vault) -> Result<Option<Block>> {
    let sql = format!("{SELECT} WHERE block.is_default_storage_block = $1 LIMIT 1");
    let stored: Option<Stored> = query(sql).bind(true).fetch_optional(conn).await?;
    stored.map(|stored| stored.open(vault)).transpose()
}

/// Makes a block the default storage, and no other one.
pub async fn set_default_storage(conn: &mut Conn, id: BlockId) -> Result<()> {
    clear_default_storage(conn).await?;
    let sql = "UPDATE block SET is_default_storage_block = $2 WHERE id = $1";
    query(sql).bind(id).bind(true).execute(conn).await.map(drop)
}

/// Leaves no default storage.
pub async fn clear_default_storage(conn: &mut Conn) -> Result<()> {
    let sql = "UPDATE block SET is_default_storage_block = $1 WHERE is_default_storage_block = $2";
    query(sql)
        .bind(false)
        .bind(true)
        .execute(conn)
        .await
        .map(drop)
}

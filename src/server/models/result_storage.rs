//! The block that clients keep results in where nothing else is said.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::configuration;
use crate::db::{Conn, Result, query};
use crate::schemas::{BlockDocumentId, Tags};

const KEY: &str = "default_result_storage_block_id";

/// What a block must be able to do.
const CAPABILITY: &str = "write-path";

/// Why a block cannot be the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// There is no such block.
    Missing,
    /// Its type cannot write.
    CannotWrite,
}

/// Returns the block, unless it has been deleted since.
pub async fn read(conn: &mut Conn) -> Result<Option<BlockDocumentId>> {
    let kept = configuration::read(conn, KEY).await?;
    let Some(id) = kept.and_then(|id| id.parse().ok()).map(BlockDocumentId) else {
        return Ok(None);
    };
    Ok(capabilities(conn, id).await?.map(|_| id))
}

/// Makes a block the one.
pub async fn write(
    conn: &mut Conn,
    id: BlockDocumentId,
    now: DateTime<Utc>,
) -> Result<std::result::Result<(), Unfit>> {
    match capabilities(conn, id).await? {
        None => Ok(Err(Unfit::Missing)),
        Some(able) if !able.0.iter().any(|one| one == CAPABILITY) => Ok(Err(Unfit::CannotWrite)),
        Some(_) => configuration::write(conn, KEY, &id.to_string(), now)
            .await
            .map(Ok),
    }
}

/// Forgets which it was.
pub async fn clear(conn: &mut Conn) -> Result<()> {
    configuration::delete(conn, KEY).await
}

/// Returns what the type of a block can do; none if there is no such block.
async fn capabilities(conn: &mut Conn, id: BlockDocumentId) -> Result<Option<Tags>> {
    let sql = "SELECT s.capabilities, s.id FROM block_document d \
               JOIN block_schema s ON s.id = d.block_schema_id WHERE d.id = $1";
    let found: Option<(Tags, Uuid)> = query(sql).bind(id).fetch_optional(conn).await?;
    Ok(found.map(|(able, _)| able))
}

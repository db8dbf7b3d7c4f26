//! Block specs in the database, the built-in ones among them.

use chrono::{DateTime, Utc};

use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::actions::BlockSpecCreate;
use crate::schemas::blocks::BlockSpec;
use crate::schemas::{BlockSpecId, Document};

/// The storages that 2.0b3 clients look for under these very names.
const BUILTIN: &str = include_str!("builtin_block_specs.json");

const SELECT: &str = "SELECT id, created, updated, name, version, type, fields FROM block_spec";

impl FromRow for BlockSpec {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            version: row.take()?,
            spec_type: row.take()?,
            fields: row.take()?,
        })
    }
}

/// Makes sure that the built-in specs are there as this program knows them.
pub async fn ensure_builtin(conn: &mut Conn, now: DateTime<Utc>) -> Result<()> {
    let specs: Vec<BlockSpecCreate> =
        serde_json::from_str(BUILTIN).expect("a test reads the built-in specs");
    // A spec that is the same already is not written.
    let insert = "INSERT INTO block_spec (id, created, updated, name, version, type, fields) \
                  VALUES ($1, $2, $2, $3, $4, $5, $6) ON CONFLICT (name, version) DO UPDATE \
                  SET type = excluded.type, fields = excluded.fields, updated = excluded.updated \
                  WHERE block_spec.fields <> excluded.fields";
    for spec in specs {
        query(insert)
            .bind(BlockSpecId::new())
            .bind(now)
            .bind(spec.name)
            .bind(spec.version)
            .bind(spec.spec_type)
            .bind(spec.fields)
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Creates a spec; fails if name and version are taken.
pub async fn create(
    conn: &mut Conn,
    spec: BlockSpecCreate,
    now: DateTime<Utc>,
) -> Result<BlockSpec> {
    let spec = BlockSpec {
        id: BlockSpecId::new(),
        created: now,
        updated: now,
        name: spec.name,
        version: spec.version,
        spec_type: spec.spec_type,
        fields: spec.fields.unwrap_or_else(Document::empty_object),
    };
    let insert = "INSERT INTO block_spec (id, created, updated, name, version, type, fields) \
                  VALUES ($1, $2, $2, $3, $4, $5, $6)";
    query(insert)
        .bind(spec.id)
        .bind(now)
        .bind(&spec.name)
        .bind(&spec.version)
        .bind(spec.spec_type.clone())
        .bind(spec.fields.clone())
        .execute(conn)
        .await?;
    Ok(spec)
}

/// Returns specs by name, of one type if asked.
pub async fn list(
    conn: &mut Conn,
    spec_type: Option<String>,
    limit: i64,
    offset: u32,
) -> Result<Vec<BlockSpec>> {
    let sql = format!(
        "{SELECT} WHERE $1 IS NULL OR type = $1 ORDER BY name, created, id LIMIT $2 OFFSET $3"
    );
    query(sql)
        .bind(spec_type)
        .bind(limit)
        .bind(i64::from(offset))
        .fetch_all(conn)
        .await
}

/// Returns the versions of a spec, the oldest first.
pub async fn list_versions(conn: &mut Conn, name: &str) -> Result<Vec<BlockSpec>> {
    let sql = format!("{SELECT} WHERE name = $1 ORDER BY created, id");
    query(sql).bind(name).fetch_all(conn).await
}

/// Returns one version of a spec.
pub async fn read_by_name(conn: &mut Conn, name: &str, version: &str) -> Result<Option<BlockSpec>> {
    let sql = format!("{SELECT} WHERE name = $1 AND version = $2");
    query(sql)
        .bind(name)
        .bind(version)
        .fetch_optional(conn)
        .await
}

/// Deletes a spec with its blocks; tells whether there was one.
pub async fn delete(conn: &mut Conn, id: BlockSpecId) -> Result<bool> {
    let sql = "DELETE FROM block_spec WHERE id = $1";
    Ok(query(sql).bind(id).execute(conn).await? == 1)
}

#[cfg(test)]
mod tests {
    use super::{BUILTIN, BlockSpecCreate};

    #[test]
    fn the_builtin_specs_are_those_that_clients_look_for() {
        let specs: Vec<BlockSpecCreate> = serde_json::from_str(BUILTIN).unwrap();
        let mut names: Vec<_> = specs.iter().map(|spec| spec.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "Azure Blob Storage",
                "File Storage",
                "Google Cloud Storage",
                "KV Server Storage",
                "Local Storage",
                "S3 Storage",
                "Temporary Local Storage",
            ]
        );
        for spec in &specs {
            assert_eq!(
                (spec.version.as_str(), spec.spec_type.as_deref()),
                ("1.0", Some("STORAGE"))
            );
            let fields: serde_json::Value = spec.fields.as_ref().unwrap().read().unwrap();
            assert_eq!(fields["title"], spec.name.as_str());
        }
    }
}

//! Saved searches in the database.

use chrono::{DateTime, Utc};

use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::saved_searches::{SavedSearch, SavedSearchFilter};
use crate::schemas::{Document, SavedSearchId};

const SELECT: &str = "SELECT id, created, updated, name, filters FROM saved_search";

impl FromRow for SavedSearch {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            filters: row.take()?,
        })
    }
}

/// Creates a search, or replaces the filters of the one of that name; tells whether it is new.
pub async fn upsert(
    conn: &mut Conn,
    name: &str,
    filters: &[SavedSearchFilter],
    now: DateTime<Utc>,
) -> Result<(SavedSearch, bool)> {
    let id = SavedSearchId::new();
    let insert = "INSERT INTO saved_search (id, created, updated, name, filters) \
                  VALUES ($1, $2, $2, $3, $4) ON CONFLICT (name) DO UPDATE \
                  SET filters = excluded.filters, updated = excluded.updated";
    query(insert)
        .bind(id)
        .bind(now)
        .bind(name)
        .bind(Document::of(&filters).expect("conditions are JSON"))
        .execute(conn)
        .await?;
    let sql = format!("{SELECT} WHERE name = $1");
    let search: SavedSearch = query(sql).bind(name).fetch_one(conn).await?;
    let is_new = search.id == id;
    Ok((search, is_new))
}

/// Returns a search.
pub async fn read(conn: &mut Conn, id: SavedSearchId) -> Result<Option<SavedSearch>> {
    let sql = format!("{SELECT} WHERE id = $1");
    query(sql).bind(id).fetch_optional(conn).await
}

/// Returns searches by name.
pub async fn list(conn: &mut Conn, limit: i64, offset: u32) -> Result<Vec<SavedSearch>> {
    let sql = format!("{SELECT} ORDER BY name LIMIT $1 OFFSET $2");
    query(sql)
        .bind(limit)
        .bind(i64::from(offset))
        .fetch_all(conn)
        .await
}

/// Deletes a search; tells whether there was one.
pub async fn delete(conn: &mut Conn, id: SavedSearchId) -> Result<bool> {
    let sql = "DELETE FROM saved_search WHERE id = $1";
    Ok(query(sql).bind(id).execute(conn).await? == 1)
}

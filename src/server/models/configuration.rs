//! Facts about the installation that the database itself must remember.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::{Conn, Result, query};

/// Returns a value.
pub async fn read(conn: &mut Conn, key: &str) -> Result<Option<String>> {
    let sql = "SELECT value FROM configuration WHERE key = $1";
    query(sql).bind(key).fetch_optional(conn).await
}

/// Keeps a value unless there is one already; returns the one that is kept.
pub async fn read_or_insert(
    conn: &mut Conn,
    key: &str,
    value: &str,
    now: DateTime<Utc>,
) -> Result<String> {
    let insert = "INSERT INTO configuration (id, created, updated, key, value) \
                  VALUES ($1, $2, $2, $3, $4) ON CONFLICT (key) DO NOTHING";
    query(insert)
        .bind(Uuid::now_v7())
        .bind(now)
        .bind(key)
        .bind(value)
        .execute(conn)
        .await?;
    let sql = "SELECT value FROM configuration WHERE key = $1";
    query(sql).bind(key).fetch_one(conn).await
}

/// Keeps a value in place of whatever there was.
pub async fn write(conn: &mut Conn, key: &str, value: &str, now: DateTime<Utc>) -> Result<()> {
    let insert = "INSERT INTO configuration (id, created, updated, key, value) \
                  VALUES ($1, $2, $2, $3, $4) ON CONFLICT (key) DO UPDATE \
                  SET value = excluded.value, updated = excluded.updated";
    let write = query(insert).bind(Uuid::now_v7()).bind(now).bind(key);
    write.bind(value).execute(conn).await.map(drop)
}

/// Forgets a value.
pub async fn delete(conn: &mut Conn, key: &str) -> Result<()> {
    let sql = "DELETE FROM configuration WHERE key = $1";
    query(sql).bind(key).execute(conn).await.map(drop)
}

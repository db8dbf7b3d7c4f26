//! CSRF tokens in the database, one a client, so that each of several servers knows them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::csrf_tokens::CsrfToken;

const SELECT: &str = "SELECT id, created, updated, token, client, expiration FROM csrf_token";

impl FromRow for CsrfToken {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            token: row.take()?,
            client: row.take()?,
            expiration: row.take()?,
        })
    }
}

/// Gives a client a new token instead of its last one, and forgets tokens that are no longer good.
pub async fn create(
    conn: &mut Conn,
    client: &str,
    token: &str,
    expiration: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<CsrfToken> {
    query("DELETE FROM csrf_token WHERE expiration <= $1")
        .bind(now)
        .execute(conn)
        .await?;
    let insert = "INSERT INTO csrf_token (id, created, updated, token, client, expiration) \
                  VALUES ($1, $2, $2, $3, $4, $5) ON CONFLICT (client) DO UPDATE \
                  SET token = excluded.token, expiration = excluded.expiration, \
                  updated = excluded.updated";
    query(insert)
        .bind(Uuid::now_v7())
        .bind(now)
        .bind(token)
        .bind(client)
        .bind(expiration)
        .execute(conn)
        .await?;
    let sql = format!("{SELECT} WHERE client = $1");
    query(sql).bind(client).fetch_one(conn).await
}

/// Returns a client's token if it is still good.
pub async fn read(conn: &mut Conn, client: &str, now: DateTime<Utc>) -> Result<Option<CsrfToken>> {
    let sql = format!("{SELECT} WHERE client = $1 AND expiration > $2");
    query(sql).bind(client).bind(now).fetch_optional(conn).await
}

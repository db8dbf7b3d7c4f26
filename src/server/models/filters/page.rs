//! The page of what a condition finds, and how much it finds in all.

use crate::db::{Conn, FromRow, Result, Value, query};

/// Reads a page; `select` stands before the `WHERE`, `found` is a condition with its values from
/// `$1` on.
pub async fn page<T: FromRow>(
    conn: &mut Conn,
    select: &str,
    found: (String, Vec<Value>),
    order: &str,
    limit: i64,
    offset: i64,
) -> Result<Vec<T>> {
    let (condition, values) = found;
    let (most, skipped) = (values.len() + 1, values.len() + 2);
    query(format!(
        "{select} WHERE {condition} ORDER BY {order} LIMIT ${most} OFFSET ${skipped}"
    ))
    .bind_all(values)
    .bind(limit)
    .bind(offset)
    .fetch_all(conn)
    .await
}

/// Counts what a condition finds; `from` names the tables and their aliases.
pub async fn count(conn: &mut Conn, from: &str, found: (String, Vec<Value>)) -> Result<i64> {
    let (condition, values) = found;
    query(format!("SELECT COUNT(*) FROM {from} WHERE {condition}"))
        .bind_all(values)
        .fetch_one(conn)
        .await
}

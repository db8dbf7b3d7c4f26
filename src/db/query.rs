//! One SQL text for both databases.
//!
//! A [`Query`] is a text with `$n` placeholders and the values for them. It runs on a [`Conn`],
//! which is one connection of either database. The functions are `async` for PostgreSQL's sake;
//! on SQLite they never suspend, since there the whole operation runs on the thread that owns the
//! connection (see [`super::sqlite`]).

use std::borrow::Cow;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Arguments, AssertSqlSafe, SqlSafeStr};

use super::value::{FromRow, Kind, Row, RowRef, Value};
use super::{Dialect, Result, dialect};

/// One connection of either database.
pub enum Conn {
    /// SQLite, on the thread that owns the connection.
    Sqlite(rusqlite::Connection),
    /// PostgreSQL, inside a transaction when the operation writes.
    Postgres(sqlx::pool::PoolConnection<sqlx::Postgres>),
}

impl Conn {
    /// Returns which database this is, for the few fragments of SQL that differ.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }
}

/// A statement and the values of its placeholders.
#[derive(Debug, Clone)]
#[must_use = "a query does nothing until it is executed or fetched"]
pub struct Query {
    sql: Cow<'static, str>,
    values: Vec<Value>,
}

/// Starts a query.
pub fn query(sql: impl Into<Cow<'static, str>>) -> Query {
    Query {
        sql: sql.into(),
        values: Vec::with_capacity(16),
    }
}

impl Query {
    /// Binds the next placeholder.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Binds several placeholders at once.
    pub fn bind_all(mut self, values: impl IntoIterator<Item = Value>) -> Self {
        self.values.extend(values);
        self
    }

    /// Runs the statement and returns how many rows it touched.
    pub async fn execute(self, conn: &mut Conn) -> Result<u64> {
        match conn {
            Conn::Sqlite(conn) => {
                let mut statement = conn.prepare_cached(&dialect::for_sqlite(&self.sql))?;
                bind_sqlite(&mut statement, &self.values)?;
                Ok(statement.raw_execute()? as u64)
            }
            Conn::Postgres(conn) => {
                let conn: &mut PgConnection = conn;
                let (sql, arguments) = self.into_postgres()?;
                Ok(sqlx::query_with(sql, arguments)
                    .execute(conn)
                    .await?
                    .rows_affected())
            }
        }
    }

    /// Runs the statement once for each row of values and returns how many rows each touched.
    ///
    /// For SQLite, where a statement of many rows costs more than a small one run many times: it
    /// keeps what it changes for an undo of its own, and all its texts at once.
    pub async fn execute_each<const N: usize>(
        self,
        conn: &mut Conn,
        rows: &[[Value; N]],
    ) -> Result<Vec<u64>> {
        let mut touched = Vec::with_capacity(rows.len());
        match conn {
            Conn::Sqlite(conn) => {
                let mut statement = conn.prepare_cached(&dialect::for_sqlite(&self.sql))?;
                for row in rows {
                    bind_sqlite(&mut statement, row)?;
                    touched.push(statement.raw_execute()? as u64);
                }
            }
            Conn::Postgres(_) => {
                for row in rows {
                    let one = query(self.sql.clone()).bind_all(row.iter().cloned());
                    touched.push(one.execute(conn).await?);
                }
            }
        }
        Ok(touched)
    }

    /// Hands over row by row and keeps none, for what is only summed up.
    pub async fn for_each(
        self,
        conn: &mut Conn,
        mut each: impl FnMut(&mut Row<'_>) -> Result<()>,
    ) -> Result<()> {
        match conn {
            Conn::Sqlite(conn) => {
                let mut statement = conn.prepare_cached(&dialect::for_sqlite(&self.sql))?;
                bind_sqlite(&mut statement, &self.values)?;
                let mut rows = statement.raw_query();
                while let Some(row) = rows.next()? {
                    each(&mut Row {
                        inner: RowRef::Sqlite(row),
                        next: 0,
                    })?;
                }
                Ok(())
            }
            Conn::Postgres(conn) => {
                let conn: &mut PgConnection = conn;
                let (sql, arguments) = self.into_postgres()?;
                let mut rows = sqlx::query_with(sql, arguments).fetch(conn);
                while let Some(row) = rows.try_next().await? {
                    each(&mut Row {
                        inner: RowRef::Postgres(&row),
                        next: 0,
                    })?;
                }
                Ok(())
            }
        }
    }

    /// Returns every row.
    pub async fn fetch_all<T: FromRow>(self, conn: &mut Conn) -> Result<Vec<T>> {
        match conn {
            Conn::Sqlite(conn) => {
                let mut statement = conn.prepare_cached(&dialect::for_sqlite(&self.sql))?;
                bind_sqlite(&mut statement, &self.values)?;
                let mut rows = statement.raw_query();
                let mut out = Vec::new();
                while let Some(row) = rows.next()? {
                    out.push(T::from_row(&mut Row {
                        inner: RowRef::Sqlite(row),
                        next: 0,
                    })?);
                }
                Ok(out)
            }
            Conn::Postgres(conn) => {
                let conn: &mut PgConnection = conn;
                let (sql, arguments) = self.into_postgres()?;
                let rows = sqlx::query_with(sql, arguments).fetch_all(conn).await?;
                rows.iter()
                    .map(|row| {
                        T::from_row(&mut Row {
                            inner: RowRef::Postgres(row),
                            next: 0,
                        })
                    })
                    .collect()
            }
        }
    }

    /// Returns the first row, if there is one.
    pub async fn fetch_optional<T: FromRow>(self, conn: &mut Conn) -> Result<Option<T>> {
        match conn {
            Conn::Sqlite(conn) => {
                let mut statement = conn.prepare_cached(&dialect::for_sqlite(&self.sql))?;
                bind_sqlite(&mut statement, &self.values)?;
                let mut rows = statement.raw_query();
                rows.next()?
                    .map(|row| {
                        T::from_row(&mut Row {
                            inner: RowRef::Sqlite(row),
                            next: 0,
                        })
                    })
                    .transpose()
            }
            Conn::Postgres(conn) => {
                let conn: &mut PgConnection = conn;
                let (sql, arguments) = self.into_postgres()?;
                let row = sqlx::query_with(sql, arguments)
                    .fetch_optional(conn)
                    .await?;
                row.map(|row| {
                    T::from_row(&mut Row {
                        inner: RowRef::Postgres(&row),
                        next: 0,
                    })
                })
                .transpose()
            }
        }
    }

    /// Returns the one row that the statement always gives, such as a count.
    pub async fn fetch_one<T: FromRow>(self, conn: &mut Conn) -> Result<T> {
        let sql = self.sql.clone();
        let row = self.fetch_optional(conn).await?;
        row.ok_or_else(|| super::Error::Driver(format!("no row came back from: {sql}")))
    }

    fn into_postgres(self) -> Result<(sqlx::SqlStr, PgArguments)> {
        let mut arguments = PgArguments::default();
        for value in self.values {
            bind_postgres(&mut arguments, value)
                .map_err(|e| super::Error::Driver(format!("a value cannot be bound: {e}")))?;
        }
        // Values are always bound; the texts are literals and what the filters compile from names
        // of columns, so no text of a client ever becomes SQL.
        Ok((
            AssertSqlSafe(self.sql.into_owned()).into_sql_str(),
            arguments,
        ))
    }
}

fn bind_sqlite(statement: &mut rusqlite::Statement<'_>, values: &[Value]) -> Result<()> {
    if statement.parameter_count() != values.len() {
        return Err(super::Error::Driver(format!(
            "a statement has {} placeholders and {} values",
            statement.parameter_count(),
            values.len()
        )));
    }
    for (index, value) in values.iter().enumerate() {
        value.bind_sqlite(statement, index + 1)?;
    }
    Ok(())
}

fn bind_postgres(
    arguments: &mut PgArguments,
    value: Value,
) -> std::result::Result<(), sqlx::error::BoxDynError> {
    match value {
        Value::Null(kind) => match kind {
            Kind::Bool => arguments.add(None::<bool>),
            Kind::Int => arguments.add(None::<i64>),
            Kind::Real => arguments.add(None::<f64>),
            Kind::Text => arguments.add(None::<String>),
            Kind::Bytes => arguments.add(None::<Vec<u8>>),
            Kind::Uuid => arguments.add(None::<uuid::Uuid>),
            Kind::Time => arguments.add(None::<chrono::DateTime<chrono::Utc>>),
        },
        Value::Bool(b) => arguments.add(b),
        Value::Int(n) => arguments.add(n),
        Value::Real(x) => arguments.add(x),
        Value::Text(s) => arguments.add(s),
        Value::Bytes(b) => arguments.add(b),
        Value::Uuid(id) => arguments.add(id),
        Value::Time(t) => arguments.add(t),
        Value::Uuids(ids) => arguments.add(ids),
        Value::Texts(texts) => arguments.add(texts),
    }
}

#[cfg(test)]
mod tests {
    use super::{Conn, query};

    #[tokio::test]
    async fn placeholders_keep_their_numbers_on_sqlite() {
        let memory = rusqlite::Connection::open_in_memory().unwrap();
        let conn = &mut Conn::Sqlite(memory);
        let swapped = query("SELECT $2, $1, $2").bind("one").bind("two");
        let row: (String, String, String) = swapped.fetch_one(conn).await.unwrap();
        assert_eq!(row, ("two".into(), "one".into(), "two".into()));
        let missing = query("SELECT $2").bind("one").fetch_one::<String>(conn);
        assert!(missing.await.is_err());
    }
}

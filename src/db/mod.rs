//! The seam to the databases: SQLite by default, PostgreSQL by setting.
//!
//! [`Db::read`] and [`Db::write`] take an operation, a closure over one [`Conn`], and run it where
//! the connection lives. A write answers after its commit and never touches anything but the
//! database: no network, no sleep, no other lock. Drivers are known nowhere else.

use std::path::{Path, PathBuf};

pub mod dialect;
mod error;
mod migrations;
mod postgres;
mod query;
mod sqlite;
#[cfg(test)]
mod tests;
mod value;

pub use dialect::Dialect;
pub use error::Error;
pub use query::{Conn, Query, query};

use crate::settings::{DatabaseUrl, Synchronous};
pub use value::{Column, FromRow, Kind, Row, Value, format_time, storable};

/// What an operation on a database gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is enough for a command, or for a test.
const FEW_CONNECTIONS: u32 = 4;

/// A database, shared by cloning.
#[derive(Clone)]
pub struct Db(Backend);

#[derive(Clone)]
enum Backend {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Db {
    /// Opens a database, creating it or bringing its schema up to date where needed.
    ///
    /// # Errors
    /// [`Error::Foreign`] when something else lies there; it is left untouched.
    pub async fn open(url: &DatabaseUrl, synchronous: Synchronous) -> Result<Self> {
        Self::open_with(url, synchronous, FEW_CONNECTIONS).await
    }

    /// Opens a database as [`Db::open`] does, with at most so many connections where it is one of PostgreSQL.
    pub async fn open_with(
        url: &DatabaseUrl,
        synchronous: Synchronous,
        most_connections: u32,
    ) -> Result<Self> {
        Ok(Self(match url {
            DatabaseUrl::Sqlite(path) => {
                let path = path.clone();
                let opened = tokio::task::spawn_blocking(move || {
                    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
                        std::fs::create_dir_all(folder)
                            .map_err(|error| Error::of_folder(folder, &error))?;
                    }
                    sqlite::Sqlite::open(&path, synchronous)
                });
                Backend::Sqlite(opened.await.map_err(|e| Error::Driver(e.to_string()))??)
            }
            DatabaseUrl::SqliteMemory => {
                let text = "a database in memory forgets everything; name a file instead";
                return Err(Error::Driver(text.into()));
            }
            DatabaseUrl::Postgres(url) => {
                Backend::Postgres(postgres::Postgres::open(url.reveal(), most_connections).await?)
            }
        }))
    }

    /// Runs an operation that only reads, on one snapshot.
    pub async fn read<T: Send + 'static>(
        &self,
        op: impl AsyncFnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.0 {
            Backend::Sqlite(db) => db.read(op).await,
            Backend::Postgres(db) => db.read(op).await,
        }
    }

    /// Runs a read of a few rows as [`Db::read`] does, though on SQLite in this thread where it can.
    pub async fn read_short<T: Send + 'static>(
        &self,
        op: impl AsyncFnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.0 {
            Backend::Sqlite(db) => db.read_short(op).await,
            Backend::Postgres(db) => db.read(op).await,
        }
    }

    /// Runs an operation that may write, in one transaction, and returns after its commit.
    ///
    /// An `Err` from the operation undoes all that it did.
    pub async fn write<T: Send + 'static>(
        &self,
        op: impl AsyncFnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.0 {
            Backend::Sqlite(db) => db.write(op).await,
            Backend::Postgres(db) => db.write(op).await,
        }
    }

    /// Runs an operation of a few statements as [`Db::write`] does, though on SQLite in this thread
    /// when nobody else is writing.
    ///
    /// This thread then waits for the disk, so it is for what a request waits for, not for batches.
    pub async fn write_short<T: Send + 'static>(
        &self,
        op: impl AsyncFnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.0 {
            Backend::Sqlite(db) => db.write_short(op).await,
            Backend::Postgres(db) => db.write(op).await,
        }
    }

    /// Copies a consistent image of a SQLite database to `target`, online.
    pub async fn backup(&self, target: PathBuf) -> Result<()> {
        let Backend::Sqlite(db) = self.0.clone() else {
            return Err(Error::Driver(
                "a PostgreSQL database is backed up by `pg_dump`".into(),
            ));
        };
        let copied = tokio::task::spawn_blocking(move || db.backup(&target));
        copied.await.map_err(|e| Error::Driver(e.to_string()))?
    }

    /// Returns which database this is.
    pub fn dialect(&self) -> Dialect {
        match self.0 {
            Backend::Sqlite(_) => Dialect::Sqlite,
            Backend::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Finishes what waits and lets go of the database.
    pub async fn close(&self) {
        match self.0.clone() {
            Backend::Sqlite(db) => {
                let _ = tokio::task::spawn_blocking(move || db.close()).await;
            }
            Backend::Postgres(db) => db.close(),
        }
    }
}

/// Deletes a SQLite database of ours with its side files; a foreign file is refused.
pub fn delete_sqlite(path: &Path) -> Result<()> {
    if path.exists() {
        let conn =
            rusqlite::Connection::open(path).map_err(|error| Error::from(error).of_file(path))?;
        migrations::refuse_foreign_sqlite(&conn, path)?;
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Unwritable(format!(
                    "{}: {e}",
                    Path::new(&file).display()
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

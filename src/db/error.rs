//! What can go wrong in a database, as far as a caller can act on it.
//!
//! Absence is an `Option` and a refusal is a value; an [`Error`] means that the statement did not
//! do its work. The server turns it into a status in one place.

use thiserror::Error;

/// A failed database operation.
#[derive(Debug, Clone, Error)]
pub enum Error {
    /// A unique key is taken already.
    #[error("a row with the same key exists already: {0}")]
    NotUnique(String),
    /// A row refers to another that does not exist.
    #[error("a row refers to another one that does not exist: {0}")]
    NoParent(String),
    /// The database cannot take the write now; trying again may succeed.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The disk or the database file is full, or cannot be written.
    #[error(
        "the database cannot be written: {0}; free space or mend its permissions, then try again"
    )]
    Unwritable(String),
    /// What lies at the path is not ours to touch.
    #[error("{what}")]
    Foreign {
        /// What was found, and that it was left as it is.
        what: String,
        /// Ways out, each of which is enough.
        remedies: Vec<String>,
    },
    /// No connection was made.
    #[error("{what}")]
    Unopened {
        /// Which database, and why not.
        what: String,
        /// What to look at.
        remedy: String,
    },
    /// A stored value does not have the form that it must have.
    #[error("a stored value cannot be read: {0}")]
    Decode(String),
    /// A sealed value cannot be opened, or nothing can be sealed.
    #[error("{0}")]
    Sealed(String),
    /// The pool or thread that would run the operation has stopped.
    #[error("the database is closed")]
    Closed,
    /// Anything else, in the driver's words.
    #[error("database failure: {0}")]
    Driver(String),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let text = error.to_string();
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..) => Self::Decode(text),
                _ => Self::Driver(text),
            };
        };
        match (failure.code, failure.extended_code) {
            (
                _,
                rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE
                | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
            ) => Self::NotUnique(text),
            (_, rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => Self::NoParent(text),
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::Busy(text),
            (
                ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure,
                _,
            ) => Self::Unwritable(text),
            (ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt, _) => Self::Foreign {
                what: text,
                remedies: Vec::new(),
            },
            _ => Self::Driver(text),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let text = error.to_string();
        match error {
            sqlx::Error::Database(e) => match e.code().as_deref() {
                Some("23505") => Self::NotUnique(text),
                Some("23503") => Self::NoParent(text),
                // Serialization failure, deadlock, too many connections, lock not available.
                Some("40001" | "40P01" | "53300" | "55P03") => Self::Busy(text),
                // The server stops, has crashed, or is starting.
                Some("57P01" | "57P02" | "57P03") => Self::Busy(text),
                // Disk full, out of memory, read-only transaction.
                Some("53100" | "53200" | "25006") => Self::Unwritable(text),
                _ => Self::Driver(text),
            },
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => {
                Self::Busy(text)
            }
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Decode(text),
            _ => Self::Driver(text),
        }
    }
}

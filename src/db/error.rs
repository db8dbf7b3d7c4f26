//! What can go wrong in a database, as far as a caller can act on it.
//!
//! Absence is an `Option` and a refusal is a value; an [`Error`] means that the statement did not
//! do its work. The server turns it into a status in one place.

use std::path::Path;

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
    #[error("the database cannot take this now: {0}")]
    Busy(String),
    /// The disk or the database file is full, or cannot be written.
    #[error(
        "the database cannot be written: {0}; free space or mend its permissions, then try again"
    )]
    Unwritable(String),
    /// Whoever runs this, or the user of a database that it names, may not do what is asked.
    #[error("the database cannot be written: {0}; it has to be writable, and to who runs this")]
    NotPermitted(String),
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

impl Error {
    /// Names the file that could not be opened or written, and what helps; other failures stay as they are.
    pub(super) fn of_file(self, path: &Path) -> Self {
        let file = path.display().to_string();
        match self {
            Self::NotPermitted(reason) => {
                let folder = path
                    .parent()
                    .filter(|folder| !folder.as_os_str().is_empty());
                let folder = folder.unwrap_or(Path::new(".")).display();
                // SQLite names the file in some of its words.
                let reason = reason.strip_suffix(&format!(": {file}")).unwrap_or(&reason);
                Self::Unopened {
                    what: format!("the database {file} cannot be written: {reason}"),
                    remedy: format!(
                        "make the file and its folder {folder} writable for this user, or name another place with PREFECT_HOME or PREFECT_API_DATABASE_CONNECTION_URL"
                    ),
                }
            }
            Self::Unwritable(reason) if !reason.contains(&file) => {
                Self::Unwritable(format!("{file}: {reason}"))
            }
            other => other,
        }
    }

    /// Says that the folder of a database cannot be made.
    pub(super) fn of_folder(folder: &Path, error: &std::io::Error) -> Self {
        Self::Unopened {
            what: format!(
                "the folder {} of the database cannot be made: {error}",
                folder.display()
            ),
            remedy: "make the folder that it lies in writable for this user, or name another place with PREFECT_HOME or PREFECT_API_DATABASE_CONNECTION_URL"
                .to_owned(),
        }
    }
}

impl Error {
    /// Reads an SQLSTATE; see postgresql.org/docs/current/errcodes-appendix.html.
    fn of_postgres(code: Option<&str>, text: String) -> Self {
        match code {
            Some("23505") => Self::NotUnique(text),
            Some("23503") => Self::NoParent(text),
            // Serialization failure, deadlock, too many connections, lock not available.
            Some("40001" | "40P01" | "53300" | "55P03") => Self::Busy(text),
            // The server stops, has crashed, or is starting.
            Some("57P01" | "57P02" | "57P03") => Self::Busy(text),
            // A right is missing, or the database may only be read.
            Some("42501" | "25006") => Self::NotPermitted(text),
            // Disk full, out of memory.
            Some("53100" | "53200") => Self::Unwritable(text),
            _ => Self::Driver(text),
        }
    }
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
            (ErrorCode::DiskFull | ErrorCode::SystemIoFailure, _) => Self::Unwritable(text),
            (ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied, _) => {
                Self::NotPermitted(text)
            }
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
            // In its own words, without the place in PostgreSQL's source that the driver adds.
            sqlx::Error::Database(e) => {
                Self::of_postgres(e.code().as_deref(), e.message().to_owned())
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => {
                Self::Busy(text)
            }
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Decode(text),
            _ => Self::Driver(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn of(code: std::ffi::c_int, text: &str, path: &str) -> Error {
        let text = Some(text.to_owned());
        let failure = rusqlite::Error::SqliteFailure(ffi::Error::new(code), text);
        Error::from(failure).of_file(Path::new(path))
    }

    #[test]
    fn a_file_that_may_not_be_written_is_named_with_the_remedy() {
        let path = "/home/me/.prefect/orion.db";
        for (code, text, reason) in [
            (
                ffi::SQLITE_READONLY,
                "attempt to write a readonly database",
                "attempt to write a readonly database",
            ),
            (
                ffi::SQLITE_CANTOPEN,
                "unable to open database file: /home/me/.prefect/orion.db",
                "unable to open database file",
            ),
            (
                ffi::SQLITE_READONLY_DIRECTORY,
                "attempt to write a readonly database",
                "attempt to write a readonly database",
            ),
        ] {
            let Error::Unopened { what, remedy } = of(code, text, path) else {
                panic!("{text} has no remedy");
            };
            assert_eq!(
                what,
                format!("the database {path} cannot be written: {reason}")
            );
            assert_eq!(
                remedy,
                "make the file and its folder /home/me/.prefect writable for this user, \
                 or name another place with PREFECT_HOME or PREFECT_API_DATABASE_CONNECTION_URL"
            );
        }
        let Error::Unopened { remedy, .. } = of(ffi::SQLITE_READONLY, "", "orion.db") else {
            panic!("a file in this folder has no remedy");
        };
        assert!(remedy.contains("its folder . writable"), "{remedy}");
    }

    #[test]
    fn a_full_disk_is_told_with_the_file_and_as_such() {
        let told = of(
            ffi::SQLITE_FULL,
            "database or disk is full",
            "/data/orion.db",
        );
        let Error::Unwritable(text) = told else {
            panic!("a full disk is told as {told:?}");
        };
        assert_eq!(text, "/data/orion.db: database or disk is full");
    }
}

//! The URL of a database, in the spellings of all generations.
//!
//! Python writes the driver into the scheme (`sqlite+aiosqlite`, `postgresql+asyncpg`); we take the database and drop the
//! driver. A password in the URL is never printed.

use std::{fmt, path::PathBuf};

use super::value::{MASK, Secret, Value};

/// Where the data is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A SQLite database in memory, which ends with its process.
    SqliteMemory,
    /// A PostgreSQL database: a URL with the scheme `postgres`, credentials included.
    Postgres(Secret),
}

impl DatabaseUrl {
    /// Returns the file of a SQLite database.
    pub fn sqlite_path(&self) -> Option<&std::path::Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::SqliteMemory | Self::Postgres(_) => None,
        }
    }

    /// Returns the name of the kind of database.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) | Self::SqliteMemory => "sqlite",
            Self::Postgres(_) => "postgresql",
        }
    }
}

impl Value for DatabaseUrl {
    const ALLOWED: &'static str = "sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME";

    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("it is not a URL")?;
        match scheme.split('+').next().unwrap_or(scheme) {
            "sqlite" => parse_sqlite(rest),
            "postgresql" | "postgres" if rest.trim_matches('/').is_empty() => {
                Err("it names no host and no database".to_owned())
            }
            "postgresql" | "postgres" => {
                Ok(Self::Postgres(Secret::new(format!("postgres://{rest}"))))
            }
            other => Err(format!("the kind of database '{other}' is not known")),
        }
    }

    fn text(&self) -> Option<String> {
        Some(match self {
            Self::Sqlite(path) => format!("sqlite:///{}", path.display()),
            Self::SqliteMemory => "sqlite:///:memory:".to_owned(),
            Self::Postgres(url) => url.reveal().to_owned(),
        })
    }

    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Reads what follows `sqlite://`: `/relative`, `//absolute` or a memory database.
fn parse_sqlite(rest: &str) -> Result<DatabaseUrl, String> {
    let Some(path) = rest.strip_prefix('/') else {
        return Err("a path follows after three slashes".to_owned());
    };
    if path.contains(":memory:") || path.contains("mode=memory") {
        return Ok(DatabaseUrl::SqliteMemory);
    }
    let path = path.strip_prefix("file:").unwrap_or(path);
    // Options of Python's driver (`?timeout=60`) have no meaning here.
    let path = path.split('?').next().unwrap_or(path);
    if path.trim_matches('/').is_empty() {
        return Err("it names no file".to_owned());
    }
    // `sqlite:////${PREFECT_HOME}/orion.db` is the spelling of the first generation: one slash too many.
    let path = match path.strip_prefix("//") {
        Some(rest) => format!("/{rest}"),
        None => path.to_owned(),
    };
    PathBuf::parse(&path).map(DatabaseUrl::Sqlite)
}

/// Writes the URL with its password masked.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:///{}", path.display()),
            Self::SqliteMemory => f.write_str("sqlite:///:memory:"),
            Self::Postgres(url) => f.write_str(&masked(url.reveal())),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Masks the password of a URL, in its authority and in its query.
fn masked(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    // A password that is not encoded may have a question mark in it.
    let authority = rest.rfind('@').unwrap_or(0);
    let (rest, query) = match rest[authority..].split_once('?') {
        Some((place, query)) => (&rest[..authority + place.len()], Some(query)),
        None => (rest, None),
    };
    let rest = match rest.rsplit_once('@') {
        Some((credentials, place)) => {
            let user = credentials.split(':').next().unwrap_or_default();
            match credentials.contains(':') {
                true => format!("{user}:{MASK}@{place}"),
                false => format!("{user}@{place}"),
            }
        }
        None => rest.to_owned(),
    };
    let query = query.map(|query| {
        let options: Vec<String> = query
            .split('&')
            .map(|option| match option.split_once('=') {
                Some((name, _)) if name.to_ascii_lowercase().contains("password") => {
                    format!("{name}={MASK}")
                }
                _ => option.to_owned(),
            })
            .collect();
        format!("?{}", options.join("&"))
    });
    format!("{scheme}://{rest}{}", query.unwrap_or_default())
}

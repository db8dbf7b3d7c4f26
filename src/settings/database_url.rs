//! The URL of a database, in the spellings of all generations.
//!
//! Python writes the driver into the scheme (`sqlite+aiosqlite`, `postgresql+asyncpg`); we take the database and drop the
//! driver. A password in the URL is never printed.

use std::{fmt, path::PathBuf};

use super::{
    HOME_TEMPLATE,
    value::{MASK, Secret, Value},
};

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
                let url = format!("postgres://{rest}");
                check_postgres(&url, rest)?;
                Ok(Self::Postgres(Secret::new(url)))
            }
            other => Err(format!("the kind of database '{other}' is not known")),
        }
    }

    fn parse_in(text: &str, home: &str) -> Result<Self, String> {
        match Self::parse(text)? {
            // The home goes in once the URL is taken apart, since any letter may stand in its name.
            Self::Sqlite(path) => {
                let path = path.to_string_lossy().replace(HOME_TEMPLATE, home);
                PathBuf::parse(&without_second_slash(path)).map(Self::Sqlite)
            }
            Self::SqliteMemory => Ok(Self::SqliteMemory),
            Self::Postgres(_) => Self::parse(&text.replace(HOME_TEMPLATE, home)),
        }
    }

    fn shown_invalid(text: &str) -> String {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        match scheme {
            sqlite if sqlite.starts_with("sqlite") => text.to_owned(),
            _ if !rest.contains(['@', '?']) => text.to_owned(),
            // Where a password ends in what is no URL, nobody can tell.
            "" => MASK.to_owned(),
            scheme => format!("{scheme}://{MASK}"),
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
    // Other options of Python's driver (`?timeout=60`) have no meaning here.
    let (path, options) = path.split_once('?').unwrap_or((path, ""));
    let path = path.strip_prefix("file:").unwrap_or(path);
    if path == ":memory:" || options.split('&').any(|option| option == "mode=memory") {
        return Ok(DatabaseUrl::SqliteMemory);
    }
    if path.trim_matches('/').is_empty() {
        return Err("it names no file".to_owned());
    }
    PathBuf::parse(&without_second_slash(path.to_owned())).map(DatabaseUrl::Sqlite)
}

/// Mends `sqlite:////${PREFECT_HOME}/orion.db`, the spelling of the first generation: one slash too many.
fn without_second_slash(path: String) -> String {
    match path.strip_prefix("//") {
        Some(rest) => format!("/{rest}"),
        None => path,
    }
}

/// Refuses what the driver would, and a password that would be taken for something else; shows nothing of it.
fn check_postgres(url: &str, rest: &str) -> Result<(), String> {
    let (authority, after) = match rest.find(['/', '?', '#']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    // An option may have an `@` in its value.
    let is_cut_off = after
        .split_once('@')
        .is_some_and(|(before, _)| !(before.contains('?') && before.contains('=')));
    match reqwest::Url::parse(url) {
        Ok(_) if !(is_cut_off && authority.contains(':')) => Ok(()),
        Err(error) if !after.contains('@') => Err(format!("it is no URL: {error}")),
        Ok(_) | Err(_) => Err(
            "an `@` stands after its host; percent-encode what the password has of `/` (%2F), `?` (%3F), `#` (%23) and `@` (%40)"
                .to_owned(),
        ),
    }
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
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let authority = match authority.rsplit_once('@') {
        Some((credentials, host)) => {
            let user = credentials.split(':').next().unwrap_or_default();
            match credentials.contains(':') {
                true => format!("{user}:{MASK}@{host}"),
                false => format!("{user}@{host}"),
            }
        }
        None => authority.to_owned(),
    };
    let query = query.map(|query| {
        let options: Vec<String> = query
            .split('&')
            .map(|option| match option.split_once('=') {
                // What has an `@` may be the end of a password that was not encoded.
                Some((name, value))
                    if name.to_ascii_lowercase().contains("password") || value.contains('@') =>
                {
                    format!("{name}={MASK}")
                }
                _ => option.to_owned(),
            })
            .collect();
        format!("?{}", options.join("&"))
    });
    format!("{scheme}://{authority}{path}{}", query.unwrap_or_default())
}

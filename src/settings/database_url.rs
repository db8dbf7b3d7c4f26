//! The URL of a database, in the spellings of all generations.
//!
//! Python writes the driver into the scheme (`sqlite+aiosqlite`, `postgresql+asyncpg`); we take the database and drop the
//! driver. A password in the URL is never printed.
//!
//! The path of a file is printed so that it is read as the same path again: what would mean something else in a URL is
//! escaped (`%3F` for `?`). Only these escapes are undone when one is read; any other, such as `%20`, is a part of the
//! name, as it is for the genuine server, which undoes none.

use std::{
    fmt,
    path::{Path, PathBuf},
};

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
    pub fn sqlite_path(&self) -> Option<&Path> {
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
            Self::Sqlite(path) if path.to_string_lossy().contains(HOME_TEMPLATE) => {
                let path = path.to_string_lossy().replace(HOME_TEMPLATE, home);
                PathBuf::parse(&without_second_slash(path)).map(Self::Sqlite)
            }
            file @ (Self::Sqlite(_) | Self::SqliteMemory) => Ok(file),
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
            Self::Sqlite(path) => sqlite_url(path),
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
    let file = without_second_slash(unescaped(path));
    // A `~` that was escaped is the first letter of a name.
    let file = match path.starts_with('~') {
        true => PathBuf::parse(&file)?,
        false => PathBuf::from(file),
    };
    Ok(DatabaseUrl::Sqlite(file))
}

/// Returns the URL of a file, from which [`parse_sqlite`] reads the same path again.
fn sqlite_url(path: &Path) -> String {
    let path = path.to_string_lossy();
    let is_misread = ["~", ":memory:", "file:"]
        .iter()
        .any(|beginning| path.starts_with(beginning));
    let mut url = "sqlite:///".to_owned();
    for letter in path.chars() {
        // In the middle of a path these two are letters like others.
        let is_harmless = matches!(letter, '~' | ':') && !is_misread;
        match can_be_escaped(letter) && !is_harmless {
            true => url.push_str(&format!("%{:02X}", u32::from(letter))),
            false => url.push(letter),
        }
    }
    url
}

/// Undoes what [`sqlite_url`] escapes, and nothing else.
fn unescaped(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        path.push_str(before);
        let letter = after
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .map(char::from)
            .filter(|letter| can_be_escaped(*letter));
        match letter {
            Some(letter) => {
                path.push(letter);
                rest = &after[2..];
            }
            None => {
                path.push('%');
                rest = after;
            }
        }
    }
    path.push_str(rest);
    path
}

/// Tells whether a letter has a meaning in the URL of a file, or none that can be printed.
fn can_be_escaped(letter: char) -> bool {
    matches!(
        letter,
        '%' | '?' | '#' | '~' | ':' | '\u{1}'..='\u{1f}' | '\u{7f}'
    )
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
            Self::Sqlite(path) => f.write_str(&sqlite_url(path)),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_means_something_in_a_url_is_escaped_and_read_as_it_was() {
        for (path, url) in [
            ("/tmp/orion.db", "sqlite:////tmp/orion.db"),
            (
                "/tmp/what?home/orion.db",
                "sqlite:////tmp/what%3Fhome/orion.db",
            ),
            ("/tmp/100%/orion.db", "sqlite:////tmp/100%25/orion.db"),
            ("/tmp/a%3Fb/orion.db", "sqlite:////tmp/a%253Fb/orion.db"),
            ("/tmp/a#b/orion.db", "sqlite:////tmp/a%23b/orion.db"),
            ("/tmp/a b:c~/orion.db", "sqlite:////tmp/a b:c~/orion.db"),
            ("~/orion.db", "sqlite:///%7E/orion.db"),
            (":memory:", "sqlite:///%3Amemory%3A"),
            ("file:x", "sqlite:///file%3Ax"),
        ] {
            let file = DatabaseUrl::Sqlite(path.into());
            assert_eq!(file.to_string(), url);
            assert_eq!(DatabaseUrl::parse(url).unwrap(), file);
        }
    }

    #[rstest::rstest]
    #[case("sqlite+aiosqlite:////data/a%20b/orion.db", "/data/a%20b/orion.db")]
    #[case("sqlite:////data/100%/orion.db", "/data/100%/orion.db")]
    #[case("sqlite:////data/%+F%3", "/data/%+F%3")]
    #[case("sqlite:////data/%äöü#", "/data/%äöü#")]
    fn what_nobody_escaped_is_a_part_of_the_name(#[case] url: &str, #[case] path: &str) {
        let file = DatabaseUrl::Sqlite(path.into());
        assert_eq!(DatabaseUrl::parse(url).unwrap(), file);
    }

    proptest! {
        #[test]
        fn any_path_is_read_as_it_was_printed(path in "/?[ -~ä\u{1}\n\u{7f}]{0,12}[a-z%?#][ -~]{0,12}") {
            prop_assume!(!path.contains(HOME_TEMPLATE));
            let file = DatabaseUrl::Sqlite(path.into());
            let printed = file.text().unwrap_or_default();
            prop_assert_eq!(DatabaseUrl::parse(&printed), Ok(file.clone()), "{}", &printed);
            prop_assert_eq!(DatabaseUrl::parse_in(&printed, "/a?b"), Ok(file.clone()));
            prop_assert_eq!(file.to_string(), printed);
        }
    }
}

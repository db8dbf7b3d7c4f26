//! The few fragments of SQL that differ between the databases.
//!
//! Statements are written once, in the words that both understand. `= ANY($n)` is PostgreSQL's
//! way to say "in this list"; SQLite is given a subquery over the list as JSON instead, which has
//! no limit on the number of values and keeps one statement text for all lengths.

use memchr::{memchr, memmem};

/// Which database a statement runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Dialect {
    /// Locks the rows that a write has read, so that no other server changes them meanwhile.
    ///
    /// SQLite has one writer, hence nothing to lock.
    pub fn for_update(self, table: &str) -> String {
        match self {
            Self::Sqlite => String::new(),
            Self::Postgres => format!(" FOR UPDATE OF {table}"),
        }
    }

    /// Returns what keeps a row of `table` from being deleted until the write ends, without keeping
    /// others from it; on SQLite nobody else writes.
    pub fn for_key_share(self, table: &str) -> String {
        match self {
            Self::Sqlite => String::new(),
            Self::Postgres => format!(" FOR KEY SHARE OF {table}"),
        }
    }

    /// Tells whether the JSON list of `column` holds every text of the list bound at `$n`.
    pub fn list_contains_all(self, column: &str, n: usize) -> String {
        match self {
            Self::Sqlite => format!(
                "NOT EXISTS (SELECT 1 FROM json_each(${n}) AS wanted WHERE wanted.value NOT IN \
                 (SELECT value FROM json_each({column})))"
            ),
            Self::Postgres => format!("({column})::jsonb @> to_jsonb(${n}::text[])"),
        }
    }

    /// Tells whether the JSON list of `column` holds any text of the list bound at `$n`.
    pub fn list_contains_any(self, column: &str, n: usize) -> String {
        match self {
            Self::Sqlite => format!(
                "EXISTS (SELECT 1 FROM json_each({column}) AS had JOIN json_each(${n}) AS wanted \
                 ON had.value = wanted.value)"
            ),
            Self::Postgres => format!("({column})::jsonb ?| ${n}::text[]"),
        }
    }

    /// Returns a label's value of the JSON object `object` by its bound name.
    pub fn label(self, object: &str, name: &str) -> String {
        match self {
            Self::Sqlite => {
                format!("(SELECT l.value FROM json_each({object}) AS l WHERE l.key = {name})")
            }
            Self::Postgres => format!("(({object})::jsonb ->> {name})"),
        }
    }

    /// Returns the elements of a JSON list as the rows `e.value`.
    pub fn elements(self, list: &str) -> String {
        match self {
            Self::Sqlite => format!("json_each({list}) AS e"),
            Self::Postgres => format!("jsonb_array_elements(({list})::jsonb) AS e(value)"),
        }
    }

    /// Tells whether a text fits a pattern that was bound as [`Self::glob_pattern`] writes it.
    pub fn glob(self, text: &str, pattern: &str) -> String {
        match self {
            Self::Sqlite => format!("({text} GLOB {pattern})"),
            Self::Postgres => format!("({text} LIKE {pattern})"),
        }
    }

    /// Writes a pattern, in which `*` is any text and `?` any character.
    pub fn glob_pattern(self, pattern: &str) -> String {
        let mut out = String::with_capacity(pattern.len());
        for c in pattern.chars() {
            match (self, c) {
                (Self::Sqlite, '[') => out.push_str("[[]"),
                (Self::Sqlite, c) => out.push(c),
                (Self::Postgres, '*') => out.push('%'),
                (Self::Postgres, '?') => out.push('_'),
                (Self::Postgres, c @ ('%' | '_' | '\\')) => out.extend(['\\', c]),
                (Self::Postgres, c) => out.push(c),
            }
        }
        out
    }

    /// Tells whether a text contains another.
    pub fn contains(self, text: &str, part: &str) -> String {
        match self {
            Self::Sqlite => format!("(INSTR({text}, {part}) > 0)"),
            Self::Postgres => format!("(STRPOS({text}, {part}) > 0)"),
        }
    }

    /// Returns the number of the stretch of `seconds` since `pivot` that an instant lies in; both are
    /// placeholders of numbers, the pivot in seconds since 1970.
    pub fn stretch(self, instant: &str, pivot: &str, seconds: &str) -> String {
        match self {
            // There is no FLOOR in every SQLite, and a cast cuts towards zero. A large number added before it
            // would take the last digits: seconds, where the stretches are days.
            Self::Sqlite => {
                let exact = format!(
                    "(strftime('%s', {instant}) + CAST(substr({instant}, 20) AS REAL) - {pivot}) / {seconds}"
                );
                format!("(CAST({exact} AS BIGINT) - (CAST({exact} AS BIGINT) > {exact}))")
            }
            Self::Postgres => format!(
                "CAST(FLOOR((EXTRACT(EPOCH FROM {instant})::float8 - {pivot}) / {seconds}) AS BIGINT)"
            ),
        }
    }
}

/// Rewrites placeholders, `= ANY($n)` and `<> ALL($n)` for SQLite.
///
/// To SQLite `$2` is a name and takes the next free number, so that `SET a = $2 WHERE id = $1`
/// would get its values swapped; `?2` is the second value wherever it stands.
pub(super) fn for_sqlite(sql: &str) -> String {
    let has = |words: &[u8]| memmem::find(sql.as_bytes(), words).is_some();
    let lists = has(b" ANY(") || has(b" ALL(");
    let sql = if lists {
        with_lists(sql)
    } else {
        sql.to_owned()
    };
    with_numbers(sql)
}

/// Works on bytes in place, since it runs for every statement.
fn with_numbers(sql: String) -> String {
    let mut bytes = sql.into_bytes();
    let mut from = 0;
    while let Some(at) = memchr(b'$', &bytes[from..]).map(|at| from + at) {
        from = at + 1;
        if bytes.get(from).is_some_and(u8::is_ascii_digit) {
            bytes[at] = b'?';
        }
    }
    String::from_utf8(bytes).expect("one ASCII character took the place of another")
}

fn with_lists(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 64);
    let mut rest = sql;
    while let Some((at, found, with)) = next_list(rest) {
        out.push_str(&rest[..at]);
        out.push_str(with);
        rest = &rest[at + found.len()..];
        let end = rest.find(')').expect("a list placeholder is closed");
        out.push_str(&format!("(SELECT value FROM json_each({}))", &rest[..end]));
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

fn next_list(sql: &str) -> Option<(usize, &'static str, &'static str)> {
    [("= ANY(", "IN "), ("<> ALL(", "NOT IN ")]
        .into_iter()
        .filter_map(|(found, with)| sql.find(found).map(|at| (at, found, with)))
        .min()
}

#[cfg(test)]
mod tests {
    use super::for_sqlite;

    #[test]
    fn lists_become_subqueries_on_sqlite() {
        assert_eq!(
            for_sqlite("SELECT 1 WHERE a = ANY($1) AND b <> ALL($2) AND c = $3"),
            "SELECT 1 WHERE a IN (SELECT value FROM json_each(?1)) \
             AND b NOT IN (SELECT value FROM json_each(?2)) AND c = ?3"
        );
    }

    #[test]
    fn placeholders_keep_their_numbers_on_sqlite() {
        assert_eq!(
            for_sqlite("UPDATE t SET a = $2, b = json_extract(c, '$.x') WHERE id = $1"),
            "UPDATE t SET a = ?2, b = json_extract(c, '$.x') WHERE id = ?1"
        );
    }
}

//! The few fragments of SQL that differ between the databases.
//!
//! Statements are written once, in the words that both understand. `= ANY($n)` is PostgreSQL's
//! way to say "in this list"; SQLite is given a subquery over the list as JSON instead, which has
//! no limit on the number of values and keeps one statement text for all lengths.

use std::borrow::Cow;

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
}

/// Rewrites placeholders, `= ANY($n)` and `<> ALL($n)` for SQLite.
///
/// To SQLite `$2` is a name and takes the next free number, so that `SET a = $2 WHERE id = $1`
/// would get its values swapped; `?2` is the second value wherever it stands.
pub(super) fn for_sqlite(sql: &str) -> Cow<'_, str> {
    match with_lists(sql) {
        sql if sql.contains('$') => Cow::Owned(with_numbers(&sql)),
        sql => sql,
    }
}

fn with_numbers(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut characters = sql.chars().peekable();
    while let Some(character) = characters.next() {
        let is_placeholder =
            character == '$' && characters.peek().is_some_and(char::is_ascii_digit);
        out.push(if is_placeholder { '?' } else { character });
    }
    out
}

fn with_lists(sql: &str) -> Cow<'_, str> {
    if !sql.contains(" ANY(") && !sql.contains(" ALL(") {
        return Cow::Borrowed(sql);
    }
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
    Cow::Owned(out)
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

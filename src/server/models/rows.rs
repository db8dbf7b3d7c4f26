//! Many rows at once: on PostgreSQL in one statement, on SQLite by one that runs for each row.
//!
//! PostgreSQL is asked over a network, so there the number of statements counts; for SQLite see
//! [`Query::execute_each`](crate::db::Query::execute_each). A statement's text depends on how many
//! rows it has, and texts are kept prepared. So a batch is cut into a few sizes only, and the cache
//! never fills with texts that come once.

use std::collections::HashSet;

use uuid::Uuid;

use crate::db::{Conn, Dialect, Result, Value, query};

/// Runs `INSERT INTO .. VALUES`, the rows, and what stands behind them.
pub async fn insert<const N: usize>(
    conn: &mut Conn,
    into: &str,
    rows: Vec<[Value; N]>,
    behind: &str,
) -> Result<()> {
    let sql = |rows| format!("{into} VALUES {} {behind}", placeholders(rows, N));
    match conn.dialect() {
        Dialect::Sqlite => {
            query(sql(1)).execute_each(conn, &rows).await?;
        }
        Dialect::Postgres => {
            let sizes: Vec<usize> = pieces(&rows).map(<[_]>::len).collect();
            let mut rows = rows.into_iter();
            for size in sizes {
                let piece = rows.by_ref().take(size).flatten();
                query(sql(size)).bind_all(piece).execute(conn).await?;
            }
        }
    }
    Ok(())
}

/// Inserts rows that break no rule of their table, such as one about another table.
///
/// Then SQLite need keep no journal for the statement, and several rows in one cost less than each alone.
/// Where a row fails all the same, those before it stay until the write is undone as a whole.
pub async fn insert_plain<const N: usize>(
    conn: &mut Conn,
    into: &str,
    rows: Vec<[Value; N]>,
) -> Result<()> {
    let (verb, sizes) = match conn.dialect() {
        Dialect::Sqlite => ("INSERT OR FAIL INTO", &SIZES[1..]),
        Dialect::Postgres => ("INSERT INTO", &SIZES[..]),
    };
    let sizes: Vec<usize> = cut(&rows, sizes).map(<[_]>::len).collect();
    let mut rows = rows.into_iter();
    for size in sizes {
        let sql = format!("{verb} {into} VALUES {}", placeholders(size, N));
        let piece = rows.by_ref().take(size).flatten();
        query(sql).bind_all(piece).execute(conn).await?;
    }
    Ok(())
}

/// Inserts those rows that collide with no other, and returns their ids, which are the first column.
pub async fn insert_new<const N: usize>(
    conn: &mut Conn,
    into: &str,
    rows: &[[Value; N]],
) -> Result<HashSet<Uuid>> {
    let id = |row: &[Value; N]| match &row[0] {
        Value::Uuid(id) => Some(*id),
        _ => None,
    };
    let behind = "ON CONFLICT DO NOTHING";
    let sql = |rows| format!("{into} VALUES {} {behind}", placeholders(rows, N));
    let mut new = HashSet::with_capacity(rows.len());
    match conn.dialect() {
        Dialect::Sqlite => {
            let touched = query(sql(1)).execute_each(conn, rows).await?;
            let inserted = rows.iter().zip(touched).filter(|pair| pair.1 == 1);
            new.extend(inserted.filter_map(|(row, _)| id(row)));
        }
        Dialect::Postgres => {
            for piece in pieces(rows) {
                let insert = query(format!("{} RETURNING id", sql(piece.len())));
                let insert = insert.bind_all(piece.iter().flatten().cloned());
                new.extend(insert.fetch_all::<Uuid>(conn).await?);
            }
        }
    }
    Ok(new)
}

/// The sizes; more rows a statement would not be faster.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// Cuts a batch into pieces of few distinct sizes.
pub fn pieces<T>(rest: &[T]) -> impl Iterator<Item = &[T]> {
    cut(rest, &SIZES)
}

fn cut<'a, T>(mut rest: &'a [T], sizes: &'a [usize]) -> impl Iterator<Item = &'a [T]> {
    std::iter::from_fn(move || {
        let size = sizes.iter().copied().find(|size| *size <= rest.len())?;
        let (piece, others) = rest.split_at(size);
        rest = others;
        Some(piece)
    })
}

/// Returns `($1, $2), ($3, $4)` for two rows of two columns.
pub fn placeholders(rows: usize, columns: usize) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { "), (" });
        for column in 1..=columns {
            let comma = if column == 1 { "" } else { ", " };
            let _ = write!(text, "{comma}${}", row * columns + column);
        }
    }
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_every_row_in_order() {
        let rows: Vec<usize> = (0..150).collect();
        let pieces: Vec<&[usize]> = pieces(&rows).collect();
        assert_eq!(pieces.concat(), rows);
        let sizes: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
        assert_eq!(sizes, [64, 64, 16, 4, 1, 1]);
    }

    #[test]
    fn each_value_has_its_own_placeholder() {
        assert_eq!(placeholders(2, 3), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(placeholders(1, 1), "($1)");
    }
}

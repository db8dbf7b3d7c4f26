//! How one page of a long list of runs is read.

use super::filters::{Ask, Where};
use crate::db::{Conn, FromRow, Result};

/// The order of runs by when they should start, and the same backwards.
pub(super) const OLDEST_FIRST: [&str; 2] = [
    "r.expected_start_time ASC, r.id ASC",
    "r.expected_start_time DESC, r.id DESC",
];

/// How one page of a long list is read.
pub(super) struct Listing {
    /// The columns and tables of a row.
    pub(super) row: &'static str,
    pub(super) tables: &'static str,
    /// The tables that the condition speaks of, and the column of the id in them.
    pub(super) asked: &'static str,
    pub(super) id: &'static str,
    /// The order, and the same backwards.
    pub(super) order: [String; 2],
}

impl Listing {
    /// Reads one page. Only ids are passed over, from whichever end is nearer, so that the last page
    /// comes as soon as the first, and names are looked up for the rows of the page alone.
    pub(super) async fn page<T: FromRow>(
        &self,
        conn: &mut Conn,
        found: Where,
        ask: &Ask,
        count: i64,
    ) -> Result<Vec<T>> {
        let size = ask.limit().min(count - ask.offset()).max(0);
        let is_behind = ask.offset() > count / 2;
        let offset = if is_behind {
            (count - ask.offset() - size).max(0)
        } else {
            ask.offset()
        };
        let Self {
            row,
            tables,
            asked,
            id,
            ..
        } = self;
        let order = &self.order[usize::from(is_behind)];
        let sql = format!(
            "SELECT {row} FROM {tables} WHERE {id} IN ( \
               SELECT {id} FROM {asked} WHERE {} ORDER BY {order} LIMIT {size} OFFSET {offset}) \
             ORDER BY {order}",
            found.sql()
        );
        let mut rows = found.query(sql).fetch_all(conn).await?;
        if is_behind {
            rows.reverse();
        }
        Ok(rows)
    }
}

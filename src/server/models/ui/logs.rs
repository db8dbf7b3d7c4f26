//! Lines of the logs of runs.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::filters::Where;
use super::{Page, row};
use crate::db::{Conn, Result, Value};
use crate::server::models::filters::like_pattern;

/// No more lines of a log travel at once.
const MOST_LOGS: i64 = 2000;

row! {
    LogRow {
        id: Uuid, timestamp: DateTime<Utc>, level: i64, name: String, message: String,
        task_run_id: Option<Uuid>, task_run_name: Option<String>,
    }
}

/// Which lines of which log.
#[derive(Debug, Clone, Default, serde::Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct LogAsk {
    flow_run_id: Option<Uuid>,
    task_run_id: Option<Uuid>,
    level: i64,
    search: Option<String>,
    limit: Option<i64>,
    offset: i64,
}

/// Lists lines of a log, oldest first.
pub(crate) async fn list(conn: &mut Conn, ask: LogAsk) -> Result<Page<LogRow>> {
    let mut found = Where::all(conn.dialect());
    for (column, id) in [
        ("flow_run_id", ask.flow_run_id),
        ("task_run_id", ask.task_run_id),
    ] {
        if let Some(id) = id {
            let n = found.bind(Value::Uuid(id));
            found.and(format!("l.{column} = ${n}"));
        }
    }
    if ask.level > 0 {
        let n = found.bind(Value::Int(ask.level));
        found.and(format!("l.level >= ${n}"));
    }
    if let Some(text) = ask.search.filter(|text| !text.is_empty()) {
        let n = found.bind(Value::from(like_pattern(&text)));
        found.and(format!("LOWER(l.message) LIKE ${n} ESCAPE '\\'"));
    }
    let count = format!("SELECT COUNT(*) FROM log l WHERE {}", found.sql());
    let count = found.clone().query(count).fetch_one(conn).await?;
    let sql = format!(
        "SELECT l.id, l.timestamp, l.level, l.name, l.message, l.task_run_id, t.name FROM log l \
         LEFT JOIN task_run t ON t.id = l.task_run_id WHERE {} ORDER BY l.timestamp, l.id LIMIT {} OFFSET {}",
        found.sql(),
        ask.limit.unwrap_or(400).clamp(0, MOST_LOGS),
        ask.offset.max(0)
    );
    let results = found.query(sql).fetch_all(conn).await?;
    Ok(Page { results, count })
}

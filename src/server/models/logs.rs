//! Log lines in the database.

use chrono::{DateTime, Utc};

use super::filters::{compile_logs, page};
use super::rows;
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::actions::LogCreate;
use crate::schemas::filters::{LogFilter, LogSort};
use crate::schemas::logs::Log;
use crate::schemas::{FlowRunId, LogId};

impl FromRow for Log {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            name: row.take()?,
            level: row.take()?,
            message: row.take()?,
            timestamp: row.take()?,
            flow_run_id: row.take()?,
            task_run_id: row.take()?,
        })
    }
}

/// Gives lines their ids.
pub fn received(logs: Vec<LogCreate>, now: DateTime<Utc>) -> Vec<Log> {
    let line = |log: LogCreate| Log {
        id: LogId::new(),
        created: now,
        name: log.name,
        level: log.level,
        message: log.message,
        timestamp: log.timestamp.0,
        flow_run_id: log.flow_run_id,
        task_run_id: log.task_run_id,
    };
    logs.into_iter().map(line).collect()
}

/// Keeps a batch of lines.
pub async fn create(conn: &mut Conn, logs: &[Log]) -> Result<()> {
    let into =
        "log (id, created, updated, name, level, message, timestamp, flow_run_id, task_run_id)";
    let row = |log: &Log| {
        [
            log.id.into(),
            log.created.into(),
            log.created.into(),
            (&log.name).into(),
            log.level.into(),
            (&log.message).into(),
            log.timestamp.into(),
            log.flow_run_id.into(),
            log.task_run_id.into(),
        ]
    };
    rows::insert_plain(conn, into, logs.iter().map(row).collect()).await
}

/// Hands over the lines of a flow run, the oldest first.
pub async fn for_each_of(conn: &mut Conn, run: FlowRunId, mut each: impl FnMut(Log)) -> Result<()> {
    let sql = "SELECT o.id, o.created, o.name, o.level, o.message, o.timestamp, o.flow_run_id, o.task_run_id \
               FROM log o WHERE o.flow_run_id = $1 ORDER BY o.timestamp, o.id";
    let lines = query(sql).bind(run);
    lines
        .for_each(conn, |row| {
            each(Log::from_row(row)?);
            Ok(())
        })
        .await
}

/// Returns the lines of a page.
pub async fn list(
    conn: &mut Conn,
    filter: Option<&LogFilter>,
    sort: LogSort,
    limit: i64,
    offset: i64,
) -> Result<Vec<Log>> {
    let found = compile_logs(filter, conn.dialect());
    // Ids are made in order, so they settle what has the same time.
    let order = match sort {
        LogSort::TimestampAsc => "o.timestamp, o.id",
        LogSort::TimestampDesc => "o.timestamp DESC, o.id DESC",
        LogSort::LevelAsc => "o.level, o.id",
        LogSort::LevelDesc => "o.level DESC, o.id DESC",
        LogSort::FlowRunIdAsc => "o.flow_run_id, o.id",
        LogSort::FlowRunIdDesc => "o.flow_run_id DESC, o.id DESC",
        LogSort::TaskRunIdAsc => "o.task_run_id, o.id",
        LogSort::TaskRunIdDesc => "o.task_run_id DESC, o.id DESC",
    };
    let select = "SELECT o.id, o.created, o.name, o.level, o.message, o.timestamp, o.flow_run_id, o.task_run_id FROM log o";
    page(conn, select, found, order, limit, offset).await
}

//! Histories: how many runs of which state in each interval.
//!
//! The rows come from one index that holds all that is counted, and are counted here: an
//! expression per row would cost SQLite more than the rows themselves.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::filters::{Listed, compile};
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::filters::Filters;
use crate::schemas::flow_runs::estimated_start_time_delta;
use crate::schemas::responses::{HistoryResponse, HistoryResponseState};
use crate::schemas::{StateType, time};

/// Intervals a history has at most; more would be a picture of nothing.
const MOST_INTERVALS: usize = 500;

/// Which runs are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Flow runs.
    FlowRuns,
    /// Task runs.
    TaskRuns,
}

/// The range of a history.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// Where it begins.
    pub start: DateTime<Utc>,
    /// Where it ends; the last interval may reach beyond.
    pub end: DateTime<Utc>,
    /// The length of an interval.
    pub interval: TimeDelta,
}

struct Counted {
    expected_start_time: DateTime<Utc>,
    state_type: Option<StateType>,
    state_name: Option<String>,
    start_time: Option<DateTime<Utc>>,
    total_run_time: f64,
    state_timestamp: Option<DateTime<Utc>>,
}

impl FromRow for Counted {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            expected_start_time: row.take()?,
            state_type: row.take()?,
            state_name: row.take()?,
            start_time: row.take()?,
            total_run_time: row.take()?,
            state_timestamp: row.take()?,
        })
    }
}

/// Counts the runs whose expected start lies in the range.
pub async fn read(
    conn: &mut Conn,
    of: Of,
    range: Range,
    filters: &Filters,
    now: DateTime<Utc>,
) -> Result<Vec<HistoryResponse>> {
    let (table, listed) = match of {
        Of::FlowRuns => ("flow_run", Listed::FlowRuns),
        Of::TaskRuns => ("task_run", Listed::TaskRuns),
    };
    let mut intervals = Vec::new();
    let mut at = range.start;
    // One interval at least, and no more than a picture can show.
    while intervals.is_empty() || at < range.end && intervals.len() < MOST_INTERVALS {
        intervals.push(BTreeMap::<(&str, String), HistoryResponseState>::new());
        at += range.interval;
    }
    let (condition, values) = compile(listed, filters, conn.dialect());
    let n = values.len();
    let sql = format!(
        "SELECT o.expected_start_time, o.state_type, o.state_name, o.start_time, o.total_run_time, o.state_timestamp \
         FROM {table} o WHERE o.expected_start_time >= ${} AND o.expected_start_time < ${} AND {condition}",
        n + 1,
        n + 2
    );
    let rows: Vec<Counted> = query(sql)
        .bind_all(values)
        .bind(range.start)
        .bind(at)
        .fetch_all(conn)
        .await?;
    let length = range.interval.num_microseconds().unwrap_or(i64::MAX).max(1);
    for row in rows {
        let offset = (row.expected_start_time - range.start)
            .num_microseconds()
            .unwrap_or(0);
        let Some(interval) = intervals.get_mut((offset / length) as usize) else {
            continue;
        };
        let (Some(state_type), Some(state_name)) = (row.state_type, row.state_name) else {
            continue;
        };
        let state = interval
            .entry((state_type.as_str(), state_name.clone()))
            .or_insert(HistoryResponseState {
                state_type,
                state_name,
                count_runs: 0,
                sum_estimated_run_time: 0.0,
                sum_estimated_lateness: 0.0,
            });
        state.count_runs += 1;
        state.sum_estimated_run_time += row.total_run_time;
        if let (StateType::Running, Some(since)) = (state_type, row.state_timestamp) {
            state.sum_estimated_run_time += time::seconds(now - since).max(0.0);
        }
        state.sum_estimated_lateness += estimated_start_time_delta(
            Some(row.expected_start_time),
            row.start_time,
            Some(state_type),
            now,
        );
    }
    let place = |(n, states): (usize, BTreeMap<_, HistoryResponseState>)| {
        let interval_start = range.start + range.interval * n as i32;
        HistoryResponse {
            interval_start,
            interval_end: interval_start + range.interval,
            states: states.into_values().collect(),
        }
    };
    Ok(intervals.into_iter().enumerate().map(place).collect())
}

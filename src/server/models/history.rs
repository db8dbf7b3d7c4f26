//! Histories: how many runs of which state in each interval.
//!
//! The rows come from one index that holds all that is counted, and are counted here: an
//! expression per row would cost SQLite more than the rows themselves.

use chrono::{DateTime, TimeDelta, Utc};

use super::filters::{Listed, compile};
use crate::db::{Conn, Error, Result, Row, query};
use crate::schemas::StateType;
use crate::schemas::filters::Filters;
use crate::schemas::responses::{HistoryResponse, HistoryResponseState};

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
    let mut intervals = Intervals::of(range, now);
    let (condition, values) = compile(listed, filters, conn.dialect());
    let n = values.len();
    let from = format!(
        "FROM {table} o WHERE o.expected_start_time >= ${} AND o.expected_start_time < ${} AND {condition}",
        n + 1,
        n + 2
    );
    let counted =
        "o.expected_start_time, o.state_type, o.state_name, o.start_time, o.total_run_time";
    query(format!("SELECT {counted} {from}"))
        .bind_all(values.clone())
        .bind(range.start)
        .bind(intervals.end())
        .for_each(conn, |row| intervals.count(row))
        .await?;
    // Few runs are running, so for all others the index need not hold since when.
    query(format!(
        "SELECT o.expected_start_time, o.state_name, o.state_timestamp {from} AND o.state_type = 'RUNNING'"
    ))
    .bind_all(values)
    .bind(range.start)
    .bind(intervals.end())
    .for_each(conn, |row| intervals.add_running(row))
    .await?;
    Ok(intervals.into_responses())
}

/// The intervals of a history, each with the states counted so far.
///
/// All times are microseconds since 1970: a history of a busy day is tens of thousands of rows.
struct Intervals {
    range: Range,
    start: i64,
    now: i64,
    /// An interval's length.
    length: i64,
    /// A handful of states each, so looking through them is faster than any order.
    states: Vec<Vec<HistoryResponseState>>,
}

impl Intervals {
    fn of(range: Range, now: DateTime<Utc>) -> Self {
        let mut states = Vec::new();
        let mut at = range.start;
        // One interval at least, and no more than a picture can show.
        while states.is_empty() || at < range.end && states.len() < MOST_INTERVALS {
            states.push(Vec::new());
            at += range.interval;
        }
        Self {
            range,
            start: range.start.timestamp_micros(),
            now: now.timestamp_micros(),
            length: range.interval.num_microseconds().unwrap_or(i64::MAX).max(1),
            states,
        }
    }

    fn end(&self) -> DateTime<Utc> {
        self.range.start + self.range.interval * self.states.len() as i32
    }

    /// Counts a run.
    fn count(&mut self, row: &mut Row<'_>) -> Result<()> {
        let (Some(expected), Some(state_type), Some(name)) =
            (row.micros()?, row.text()?, row.text()?)
        else {
            return Ok(());
        };
        let (start, run_time) = (row.micros()?, row.take::<f64>()?);
        let now = self.now;
        if let Some(state) = self.state(expected, state_type, name)? {
            let late = match start {
                Some(start) => start - expected,
                None if state.state_type.is_terminal() => 0,
                None => now - expected,
            };
            state.count_runs += 1;
            state.sum_estimated_run_time += run_time;
            state.sum_estimated_lateness += seconds(late);
        }
        Ok(())
    }

    /// Adds the time that a running run has run since it entered its state.
    fn add_running(&mut self, row: &mut Row<'_>) -> Result<()> {
        let (Some(expected), Some(name), Some(since)) = (row.micros()?, row.text()?, row.micros()?)
        else {
            return Ok(());
        };
        let now = self.now;
        if let Some(state) = self.state(expected, StateType::Running.as_str(), name)? {
            state.sum_estimated_run_time += seconds(now - since);
        }
        Ok(())
    }

    /// Returns where runs of a state are summed up; none beyond the last interval.
    fn state(
        &mut self,
        expected: i64,
        state_type: &str,
        name: &str,
    ) -> Result<Option<&mut HistoryResponseState>> {
        let at = (expected - self.start) / self.length;
        let Some(states) = self.states.get_mut(at as usize) else {
            return Ok(None);
        };
        let known = states
            .iter()
            .position(|state| state.state_name == name && state.state_type.as_str() == state_type);
        let at = match known {
            Some(at) => at,
            None => {
                states.push(HistoryResponseState {
                    state_type: state_type.parse().map_err(Error::Decode)?,
                    state_name: name.to_owned(),
                    count_runs: 0,
                    sum_estimated_run_time: 0.0,
                    sum_estimated_lateness: 0.0,
                });
                states.len() - 1
            }
        };
        Ok(states.get_mut(at))
    }

    fn into_responses(self) -> Vec<HistoryResponse> {
        let Range {
            start, interval, ..
        } = self.range;
        let place = |(n, mut states): (usize, Vec<HistoryResponseState>)| {
            states.sort_by(|a, b| order(a).cmp(&order(b)));
            let interval_start = start + interval * n as i32;
            HistoryResponse {
                interval_start,
                interval_end: interval_start + interval,
                states,
            }
        };
        self.states.into_iter().enumerate().map(place).collect()
    }
}

/// Returns microseconds as seconds, none below zero.
fn seconds(micros: i64) -> f64 {
    micros.max(0) as f64 / 1e6
}

fn order(state: &HistoryResponseState) -> (&str, &str) {
    (state.state_type.as_str(), &state.state_name)
}

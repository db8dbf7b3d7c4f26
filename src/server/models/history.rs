//! Histories: how many runs of which state in each interval.
//!
//! SQLite sums up each interval and state along one index that holds all that is summed up, which costs
//! it a third of handing over the rows. PostgreSQL, where each question is a way over a network, is
//! asked once for the rows. So is SQLite where only some runs are asked for, since each question might look
//! through all of them, and where there are too many states to ask for each.

use chrono::{DateTime, TimeDelta, Utc};

use super::filters::{Listed, compile};
use crate::db::{Conn, Dialect, Error, Query, Result, Row, Value, query};
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

/// Names of states that are asked for one by one; with more of them the rows are read.
const MOST_STATES: usize = 64;

/// Counts the runs whose expected start lies in the range.
pub async fn read(
    conn: &mut Conn,
    of: Of,
    range: Range,
    filters: &Filters,
    now: DateTime<Utc>,
) -> Result<Vec<HistoryResponse>> {
    let mut intervals = Intervals::of(range, now);
    let (condition, values) = compile(of.listed(), filters, conn.dialect());
    let asked = Asked {
        table: of.table(),
        condition,
        values,
    };
    let states = match conn.dialect() {
        Dialect::Sqlite if asked.is_everything() => states(conn, asked.table).await?,
        Dialect::Sqlite | Dialect::Postgres => None,
    };
    match states {
        Some(states) => sum_up(conn, asked.table, &states, &mut intervals).await?,
        None => asked.read_rows(conn, &mut intervals).await?,
    }
    asked.add_running(conn, &mut intervals).await?;
    Ok(intervals.into_responses())
}

impl Of {
    fn table(self) -> &'static str {
        match self {
            Self::FlowRuns => "flow_run",
            Self::TaskRuns => "task_run",
        }
    }

    fn listed(self) -> Listed {
        match self {
            Self::FlowRuns => Listed::FlowRuns,
            Self::TaskRuns => Listed::TaskRuns,
        }
    }
}

/// Returns the states that runs are in, as types and names; `None` if they are too many.
///
/// Each is found behind the one before it, by two questions of one bound: SQLite finds the place of a pair
/// by its first half, and would walk through all runs of that type to the second.
async fn states(conn: &mut Conn, table: &str) -> Result<Option<Vec<(String, String)>>> {
    let [next_name, next_type] = next_state(table);
    let mut states: Vec<(String, String)> = Vec::new();
    loop {
        let (state_type, name) = states.last().cloned().unwrap_or_default();
        let of_this_type = query(next_name.clone()).bind(&state_type).bind(name);
        let next = match of_this_type.fetch_optional(conn).await? {
            Some(state) => Some(state),
            None => {
                let of_another = query(next_type.clone()).bind(state_type);
                of_another.fetch_optional(conn).await?
            }
        };
        match next {
            None => return Ok(Some(states)),
            Some(_) if states.len() == MOST_STATES => return Ok(None),
            Some(state) => states.push(state),
        }
    }
}

/// Returns what asks for the next name of a type, and for the next type.
fn next_state(table: &str) -> [String; 2] {
    ["state_type = $1 AND state_name > $2", "state_type > $1"].map(|behind| {
        format!(
            "SELECT state_type, state_name FROM {table} WHERE {behind} ORDER BY state_type, state_name LIMIT 1"
        )
    })
}

/// Asks for the sums of each interval and state.
async fn sum_up(
    conn: &mut Conn,
    table: &str,
    states: &[(String, String)],
    intervals: &mut Intervals,
) -> Result<()> {
    let started = lateness("o.start_time", "o.expected_start_time");
    let waiting = lateness("$5", "o.expected_start_time");
    let sums = |late: &str| {
        format!(
            "SELECT COUNT(*), COALESCE(SUM(o.total_run_time), 0.0), COALESCE(SUM({late}), 0) FROM {table} o \
             WHERE o.state_type = $1 AND o.state_name = $2 AND o.expected_start_time >= $3 AND o.expected_start_time < $4"
        )
    };
    let (ended, open) = (
        sums(&started),
        // What has not started is late so far.
        sums(&format!("COALESCE({started}, {waiting})")),
    );
    for (state_type, name) in states {
        let state_type: StateType = state_type.parse().map_err(Error::Decode)?;
        for n in 0..intervals.states.len() {
            let is_ended = state_type.is_terminal();
            let sums = query(if is_ended { &ended } else { &open }.clone())
                .bind(state_type)
                .bind(name)
                .bind(intervals.begin(n))
                .bind(intervals.begin(n + 1))
                .bind_all((!is_ended).then(|| intervals.at.into()));
            let (count_runs, run_time, late): (i64, f64, i64) = sums.fetch_one(conn).await?;
            if count_runs > 0 {
                intervals.states[n].push(HistoryResponseState {
                    state_type,
                    state_name: name.clone(),
                    count_runs,
                    sum_estimated_run_time: run_time,
                    sum_estimated_lateness: seconds(late),
                });
            }
        }
    }
    Ok(())
}

/// Which runs are asked for.
struct Asked {
    table: &'static str,
    condition: String,
    values: Vec<Value>,
}

impl Asked {
    /// Starts a statement whose condition is followed by `$1` and so on of its own.
    fn query(&self, columns: &str, and: impl Fn(usize) -> String) -> Query {
        let Self {
            table, condition, ..
        } = self;
        let and = and(self.values.len() + 1);
        query(format!(
            "SELECT {columns} FROM {table} o WHERE {and} AND {condition}"
        ))
        .bind_all(self.values.iter().cloned())
    }

    fn is_everything(&self) -> bool {
        self.condition == "TRUE"
    }

    /// Asks for every run, and counts it.
    async fn read_rows(&self, conn: &mut Conn, intervals: &mut Intervals) -> Result<()> {
        let columns =
            "o.expected_start_time, o.state_type, o.state_name, o.start_time, o.total_run_time";
        self.query(columns, in_range)
            .bind(intervals.begin(0))
            .bind(intervals.end())
            .for_each(conn, |row| intervals.count(row))
            .await
    }

    /// Adds how long running runs have run so far; they are few, so no index holds since when.
    async fn add_running(&self, conn: &mut Conn, intervals: &mut Intervals) -> Result<()> {
        let columns = "o.expected_start_time, o.state_name, o.state_timestamp";
        self.query(columns, |first| {
            format!("{} AND o.state_type = 'RUNNING'", in_range(first))
        })
        .bind(intervals.begin(0))
        .bind(intervals.end())
        .for_each(conn, |row| intervals.add_running(row))
        .await
    }
}

fn in_range(first: usize) -> String {
    format!(
        "o.expected_start_time >= ${first} AND o.expected_start_time < ${}",
        first + 1
    )
}

/// Returns the microseconds by which one instant is after another, none below zero, in the words of the
/// index that holds them: SQLite's own functions know no more than milliseconds, and it sums up whole
/// numbers faster than others.
fn lateness(instant: &str, after: &str) -> String {
    format!(
        "max(0, (unixepoch(substr({instant}, 1, 19)) - unixepoch(substr({after}, 1, 19))) * 1000000 \
         + substr({instant}, 21) - substr({after}, 21))"
    )
}

/// The intervals of a history, each with the states counted so far.
///
/// All times are microseconds since 1970: a history of a busy day is tens of thousands of rows.
struct Intervals {
    range: Range,
    start: i64,
    /// When it is read.
    at: DateTime<Utc>,
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
            at: now,
            now: now.timestamp_micros(),
            length: range.interval.num_microseconds().unwrap_or(i64::MAX).max(1),
            states,
        }
    }

    /// Returns where an interval begins, and the one before it ends.
    fn begin(&self, n: usize) -> DateTime<Utc> {
        self.range.start + self.range.interval * n as i32
    }

    fn end(&self) -> DateTime<Utc> {
        self.begin(self.states.len())
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

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use serde_json::json;

    use super::*;
    use crate::db::Db;
    use crate::settings::{DatabaseUrl, Synchronous};

    const STATES: [(&str, &str); 7] = [
        ("SCHEDULED", "Scheduled"),
        ("SCHEDULED", "Late"),
        ("PENDING", "Pending"),
        ("RUNNING", "Running"),
        ("COMPLETED", "Completed"),
        ("COMPLETED", "Cached"),
        ("CRASHED", "Crashed"),
    ];

    /// Puts runs into an hour, some of them never started and some before they were expected.
    async fn fill(conn: &mut Conn, start: DateTime<Utc>, random: &mut StdRng) -> Result<()> {
        query("INSERT INTO flow (id, created, updated, name) VALUES ('f', $1, $1, 'f')")
            .bind(start)
            .execute(conn)
            .await?;
        for n in 0..300i64 {
            let (state_type, name) = STATES[random.random_range(0..STATES.len())];
            let mut within =
                |from: i64, to: i64| start + TimeDelta::microseconds(random.random_range(from..to));
            let (expected, started) = (within(0, 3_600_000_000), within(0, 3_600_000_000));
            let since = within(0, 3_600_000_000);
            let started = random.random_bool(0.7).then_some(started);
            query(
                "INSERT INTO flow_run (id, created, updated, name, flow_id, state_type, state_name, \
                 state_timestamp, expected_start_time, start_time, total_run_time) \
                 VALUES ($1, $2, $2, 'run', 'f', $3, $4, $5, $6, $7, $8)",
            )
            .bind(format!("run-{n}"))
            .bind(start)
            .bind(state_type)
            .bind(name)
            .bind(since)
            .bind(expected)
            .bind(started)
            .bind(random.random_range(0.0..90.0))
            .execute(conn)
            .await?;
        }
        Ok(())
    }

    /// Returns what is summed up, the same counted row by row, and what `read` makes of a filter.
    async fn all_ways(
        conn: &mut Conn,
        range: Range,
        some: &Filters,
        now: DateTime<Utc>,
    ) -> Result<[Vec<HistoryResponse>; 3]> {
        let everything = Asked {
            table: "flow_run",
            condition: "TRUE".to_owned(),
            values: Vec::new(),
        };
        let mut counted = Intervals::of(range, now);
        everything.read_rows(conn, &mut counted).await?;
        everything.add_running(conn, &mut counted).await?;
        assert!(states(conn, "flow_run").await?.is_some(), "few states");
        let summed = read(conn, Of::FlowRuns, range, &Filters::default(), now).await?;
        let filtered = read(conn, Of::FlowRuns, range, some, now).await?;
        Ok([summed, counted.into_responses(), filtered])
    }

    fn assert_near(left: &[HistoryResponse], right: &[HistoryResponse]) {
        assert_eq!(left.len(), right.len());
        for (left, right) in left.iter().zip(right) {
            assert_eq!(left.interval_start, right.interval_start);
            assert_eq!(left.states.len(), right.states.len());
            for (left, right) in left.states.iter().zip(&right.states) {
                assert_eq!(order(left), order(right));
                assert_eq!(left.count_runs, right.count_runs);
                let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
                let (a, b) = (left.sum_estimated_run_time, right.sum_estimated_run_time);
                assert!(near(a, b), "{left:?} {right:?}");
                let (a, b) = (left.sum_estimated_lateness, right.sum_estimated_lateness);
                assert!(near(a, b), "{left:?} {right:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_summed_up_is_what_the_rows_say() {
        let home = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(home.path().join("orion.db"));
        let db = Db::open(&url, Synchronous::Normal).await.unwrap();
        let start = Utc.with_ymd_and_hms(2026, 11, 28, 23, 30, 0).unwrap();
        db.write(async move |conn| fill(conn, start, &mut StdRng::seed_from_u64(7)).await)
            .await
            .unwrap();
        let range = Range {
            start: start + TimeDelta::microseconds(61_000_001),
            end: start + TimeDelta::minutes(50),
            interval: TimeDelta::microseconds(420_000_003),
        };
        let now = start + TimeDelta::microseconds(1_800_000_005);
        let some = json!({"flow_runs": {"state": {"type": {"any_": ["COMPLETED", "RUNNING"]}}}});
        let some: Filters = serde_json::from_value(some).unwrap();
        let [mut summed, counted, filtered] = db
            .read(async move |conn| all_ways(conn, range, &some, now).await)
            .await
            .unwrap();
        assert!(summed.iter().any(|interval| interval.states.len() > 4));
        assert_near(&summed, &counted);
        for interval in &mut summed {
            let is_asked = |state: &HistoryResponseState| {
                matches!(state.state_type, StateType::Completed | StateType::Running)
            };
            interval.states.retain(is_asked);
        }
        assert_near(&summed, &filtered);
    }

    #[tokio::test]
    async fn states_are_found_without_walking_through_the_runs() {
        let home = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(home.path().join("orion.db"));
        let db = Db::open(&url, Synchronous::Normal).await.unwrap();
        for table in ["flow_run", "task_run"] {
            let bounds = ["(state_type=? AND state_name>?)", "(state_type>?)"];
            for (sql, bound) in next_state(table).into_iter().zip(bounds) {
                let values = ["A", "B"].into_iter().take(sql.matches('$').count());
                let plan =
                    query(format!("EXPLAIN QUERY PLAN {sql}")).bind_all(values.map(Value::from));
                let read = async move |conn: &mut Conn| plan.fetch_all(conn).await;
                let steps: Vec<(i64, i64, i64, String)> = db.read(read).await.unwrap();
                let plan: Vec<String> = steps.into_iter().map(|step| step.3).collect();
                assert!(
                    matches!(&plan[..], [step] if step.ends_with(bound)),
                    "{plan:?}"
                );
            }
        }
    }
}

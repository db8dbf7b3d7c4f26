//! The first page: history, counts and the flows with their sparks, in one pass over the window.
//!
//! The runs of the window are grouped by flow, interval and state; everything that the page counts is
//! summed from these groups, so the bars, the cards and the lists cannot disagree. PostgreSQL groups them
//! itself. SQLite hands over its rows, which costs it a third of sorting them into groups.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::filters::{Ask, Where};
use super::states::StateCount;
use super::{deployments, row};
use crate::db::{Conn, Dialect, Result, Row, query};
use crate::schemas::{StateType, Tags};
use crate::server::models::explain::{self, Reason};

/// More bars than this cannot be told apart.
const MOST_BUCKETS: usize = 120;

row! {
    /// The runs of one flow in one interval and state.
    Cell { flow_id: Uuid, bucket: i64, #[schema(value_type = StateType)] state_type: String, state_name: String, runs: i64, run_time: f64, lateness: f64, started: Option<DateTime<Utc>> }
}

row! {
    /// The newest run of a flow.
    LastRun { flow_id: Uuid, id: Uuid, name: String, #[schema(value_type = Option<StateType>)] state_type: Option<String>, state_name: Option<String>, at: DateTime<Utc> }
}

row! { FlowBase { id: Uuid, name: String, tags: Tags, created: DateTime<Utc>, deployments: i64 } }

/// A flow as the list shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FlowRow {
    #[serde(flatten)]
    base: FlowBase,
    flow_runs: i64,
    task_runs: i64,
    /// Interval, type and name of the state, how many.
    #[schema(value_type = Vec<(i64, StateType, String, i64)>)]
    buckets: Vec<(i64, String, String, i64)>,
    last_run: Option<LastRun>,
}

/// One state in one interval, as the API's history has it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct HistoryState {
    #[schema(value_type = StateType)]
    state_type: String,
    state_name: String,
    count_runs: i64,
    sum_estimated_run_time: f64,
    sum_estimated_lateness: f64,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct HistoryBucket {
    interval_start: DateTime<Utc>,
    interval_end: DateTime<Utc>,
    states: Vec<HistoryState>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Counts {
    flows: i64,
    deployments: i64,
    flow_runs: i64,
    task_runs: i64,
}

/// Everything that the first page shows.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Overview {
    now: DateTime<Utc>,
    first_run: bool,
    history: Vec<HistoryBucket>,
    states: Vec<StateCount>,
    counts: Counts,
    attention: Vec<Reason>,
    flows: Vec<FlowRow>,
}

/// Reads the first page.
pub(crate) async fn read(conn: &mut Conn, ask: Ask, now: DateTime<Utc>) -> Result<Overview> {
    let edges = edges(&ask, now);
    let (cells, tasks) = match conn.dialect() {
        Dialect::Sqlite => counted(conn, &ask, &edges, now).await?,
        Dialect::Postgres => (
            grouped(conn, &ask, &edges, now).await?,
            task_counts(conn, &ask).await?,
        ),
    };
    let shown = shown(&ask, &cells);
    let total: i64 = query("SELECT COUNT(*) FROM flow").fetch_one(conn).await?;
    let (flows, flow_count) = flows(conn, &ask, &cells, &shown, &tasks).await?;
    let deployments = deployments::count(conn, &ask).await?;
    let counts = Counts {
        flows: flow_count,
        deployments,
        flow_runs: shown.iter().map(|c| c.runs).sum(),
        task_runs: tasks.values().sum(),
    };
    Ok(Overview {
        now,
        first_run: total == 0,
        history: history(&edges, &cells),
        states: states(&cells),
        counts,
        attention: explain::attention(conn, now).await?,
        flows,
    })
}

fn edges(ask: &Ask, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let start = ask.start.unwrap_or(now - Duration::days(1));
    let end = ask
        .end
        .filter(|e| *e > start)
        .unwrap_or(start + Duration::days(2));
    let span = (end - start).as_seconds_f64();
    let step = ask
        .interval_seconds
        .filter(|s| *s > 0.0)
        .unwrap_or(span / 30.0);
    let count = ((span / step).round() as usize).clamp(1, MOST_BUCKETS);
    let micros = (span / count as f64 * 1e6) as i64;
    (0..=count as i64)
        .map(|i| start + Duration::microseconds(micros * i))
        .collect()
}

/// Reads every run and counts it here.
async fn counted(
    conn: &mut Conn,
    ask: &Ask,
    edges: &[DateTime<Utc>],
    now: DateTime<Utc>,
) -> Result<(Vec<Cell>, HashMap<Uuid, i64>)> {
    let found = Where::runs(conn.dialect(), ask);
    // Where nothing has ever called a task, not each run is asked for its tasks.
    let sql = format!(
        "SELECT r.flow_id, r.expected_start_time, r.state_type, COALESCE(r.state_name, r.state_type), \
           r.total_run_time, r.start_time, CASE WHEN r.state_type = 'RUNNING' THEN r.state_timestamp END, \
           CASE WHEN EXISTS (SELECT 1 FROM task_run) \
             THEN (SELECT COUNT(*) FROM task_run t WHERE t.flow_run_id = r.id) ELSE 0 END \
         FROM {} WHERE {} AND r.state_type IS NOT NULL",
        ask.run_tables(),
        found.sql()
    );
    let mut counter = Counter {
        ask,
        start: edges[0].timestamp_micros(),
        step: (edges[1] - edges[0])
            .num_microseconds()
            .unwrap_or(i64::MAX)
            .max(1),
        last: edges.len() as i64 - 2,
        now: now.timestamp_micros(),
        cells: HashMap::new(),
        tasks: HashMap::new(),
    };
    found
        .query(sql)
        .for_each(conn, |row| counter.count(row))
        .await?;
    let cells = counter.cells.into_values().flatten().collect();
    Ok((cells, counter.tasks))
}

/// The cells of the runs that were counted so far. Instants are microseconds since 1970.
struct Counter<'a> {
    ask: &'a Ask,
    start: i64,
    /// An interval's length.
    step: i64,
    /// The last interval.
    last: i64,
    now: i64,
    /// By flow and interval; a handful of states each, so looking through them is faster than any order.
    cells: HashMap<(Uuid, i64), Vec<Cell>>,
    /// Task runs of the runs that are shown, by flow.
    tasks: HashMap<Uuid, i64>,
}

impl Counter<'_> {
    fn count(&mut self, row: &mut Row<'_>) -> Result<()> {
        let flow_id: Uuid = row.take()?;
        let (Some(expected), Some(state_type), Some(name)) =
            (row.micros()?, row.text()?, row.text()?)
        else {
            return Ok(());
        };
        let run_time: f64 = row.take()?;
        let (start, since) = (row.micros()?, row.micros()?);
        let tasks: i64 = row.take()?;
        let bucket = ((expected - self.start) / self.step).clamp(0, self.last);
        let late = match start {
            Some(start) => start - expected,
            None if matches!(state_type, "SCHEDULED" | "PENDING") => self.now - expected,
            None => 0,
        };
        let cells = self.cells.entry((flow_id, bucket)).or_default();
        let known = cells
            .iter()
            .position(|cell| cell.state_name == name && cell.state_type == state_type);
        let at = known.unwrap_or_else(|| {
            cells.push(Cell::empty(flow_id, bucket, state_type, name));
            cells.len() - 1
        });
        let cell = &mut cells[at];
        cell.runs += 1;
        cell.run_time += run_time + since.map_or(0.0, |since| in_seconds(self.now - since));
        cell.lateness += in_seconds(late.max(0));
        cell.started = cell
            .started
            .max(start.and_then(DateTime::from_timestamp_micros));
        let state = self.ask.state.as_ref();
        if tasks > 0 && state.is_none_or(|state| state.allows(state_type, name)) {
            *self.tasks.entry(flow_id).or_default() += tasks;
        }
        Ok(())
    }
}

impl Cell {
    fn empty(flow_id: Uuid, bucket: i64, state_type: &str, state_name: &str) -> Self {
        Self {
            flow_id,
            bucket,
            state_type: state_type.to_owned(),
            state_name: state_name.to_owned(),
            runs: 0,
            run_time: 0.0,
            lateness: 0.0,
            started: None,
        }
    }
}

fn in_seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// Asks PostgreSQL for the cells.
async fn grouped(
    conn: &mut Conn,
    ask: &Ask,
    edges: &[DateTime<Utc>],
    now: DateTime<Utc>,
) -> Result<Vec<Cell>> {
    let mut found = Where::runs(conn.dialect(), ask);
    let mut case = String::from("CASE");
    for (i, edge) in edges[1..edges.len() - 1].iter().enumerate() {
        let n = found.bind((*edge).into());
        case.push_str(&format!(" WHEN r.expected_start_time < ${n} THEN {i}"));
    }
    case.push_str(&format!(" ELSE {} END", edges.len() - 2));
    let n = found.bind(now.into());
    let running = seconds(&format!("${n}"), "r.state_timestamp");
    let started = seconds("r.start_time", "r.expected_start_time");
    let waiting = seconds(&format!("${n}"), "r.expected_start_time");
    let sql = format!(
        "SELECT flow_id, bucket, state_type, state_name, COUNT(*), SUM(run_time), SUM(lateness), MAX(start_time) FROM ( \
           SELECT r.flow_id, CAST({case} AS BIGINT) AS bucket, r.state_type, \
             COALESCE(r.state_name, r.state_type) AS state_name, \
             r.total_run_time + CASE WHEN r.state_type = 'RUNNING' THEN {running} ELSE 0.0 END AS run_time, \
             CASE WHEN r.start_time > r.expected_start_time THEN {started} \
                  WHEN r.start_time IS NULL AND r.expected_start_time < ${n} \
                    AND r.state_type IN ('SCHEDULED', 'PENDING') THEN {waiting} \
                  ELSE 0.0 END AS lateness, r.start_time \
           FROM {} WHERE {} AND r.state_type IS NOT NULL) AS runs \
         GROUP BY flow_id, bucket, state_type, state_name",
        ask.run_tables(),
        found.sql()
    );
    found.query(sql).fetch_all(conn).await
}

/// The seconds from `from` to `to`.
fn seconds(to: &str, from: &str) -> String {
    format!("CAST(EXTRACT(EPOCH FROM {to}::timestamptz - {from}) AS DOUBLE PRECISION)")
}

/// The cells that the state chips leave; the cards keep counting all of them.
fn shown(ask: &Ask, cells: &[Cell]) -> Vec<Cell> {
    let is_shown = |cell: &&Cell| {
        ask.state
            .as_ref()
            .is_none_or(|state| state.allows(&cell.state_type, &cell.state_name))
    };
    cells.iter().filter(is_shown).cloned().collect()
}

fn history(edges: &[DateTime<Utc>], cells: &[Cell]) -> Vec<HistoryBucket> {
    let mut buckets: Vec<_> = edges
        .windows(2)
        .map(|pair| HistoryBucket {
            interval_start: pair[0],
            interval_end: pair[1],
            states: Vec::new(),
        })
        .collect();
    for cell in cells {
        let Some(bucket) = buckets.get_mut(cell.bucket as usize) else {
            continue;
        };
        let known = bucket
            .states
            .iter_mut()
            .find(|s| s.state_type == cell.state_type && s.state_name == cell.state_name);
        match known {
            Some(state) => {
                state.count_runs += cell.runs;
                state.sum_estimated_run_time += cell.run_time;
                state.sum_estimated_lateness += cell.lateness;
            }
            None => bucket.states.push(HistoryState {
                state_type: cell.state_type.clone(),
                state_name: cell.state_name.clone(),
                count_runs: cell.runs,
                sum_estimated_run_time: cell.run_time,
                sum_estimated_lateness: cell.lateness,
            }),
        }
    }
    buckets
}

fn states(cells: &[Cell]) -> Vec<StateCount> {
    let mut out: Vec<StateCount> = Vec::new();
    for cell in cells {
        let known = out
            .iter_mut()
            .find(|s| s.state_type == cell.state_type && s.state_name == cell.state_name);
        match known {
            Some(state) => state.count += cell.runs,
            None => out.push(StateCount {
                state_type: cell.state_type.clone(),
                state_name: cell.state_name.clone(),
                count: cell.runs,
            }),
        }
    }
    out
}

/// Asks PostgreSQL for the task runs of the runs that are shown, by flow.
async fn task_counts(conn: &mut Conn, ask: &Ask) -> Result<HashMap<Uuid, i64>> {
    let mut found = Where::runs(conn.dialect(), ask);
    found.state("r", ask.state.as_ref());
    let sql = format!(
        "SELECT r.flow_id, COUNT(*) FROM {} JOIN task_run t ON t.flow_run_id = r.id \
         WHERE {} GROUP BY r.flow_id",
        ask.run_tables(),
        found.sql()
    );
    let rows: Vec<(Uuid, i64)> = found.query(sql).fetch_all(conn).await?;
    Ok(rows.into_iter().collect())
}

async fn flows(
    conn: &mut Conn,
    ask: &Ask,
    all: &[Cell],
    cells: &[Cell],
    tasks: &HashMap<Uuid, i64>,
) -> Result<(Vec<FlowRow>, i64)> {
    let mut found = Where::all(conn.dialect());
    found.add("f", ask.flows.as_ref(), false);
    if ask.narrows() {
        let mut ids: Vec<_> = cells.iter().map(|c| c.flow_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let n = found.bind(crate::db::Value::Uuids(ids));
        found.and(format!("f.id = ANY(${n})"));
    }
    let count = found
        .clone()
        .query(format!("SELECT COUNT(*) FROM flow f WHERE {}", found.sql()))
        .fetch_one(conn)
        .await?;
    let sql = format!(
        "SELECT f.id, f.name, f.tags, f.created, \
           (SELECT COUNT(*) FROM deployment d WHERE d.flow_id = f.id) \
         FROM flow f WHERE {} ORDER BY LOWER(f.name), f.id LIMIT {} OFFSET {}",
        found.sql(),
        ask.limit(),
        ask.offset()
    );
    let bases: Vec<FlowBase> = found.query(sql).fetch_all(conn).await?;
    let mut last = last_runs(conn, all, bases.iter().map(|f| f.id)).await?;
    let mut by_flow: HashMap<Uuid, Vec<&Cell>> = HashMap::new();
    for cell in cells {
        by_flow.entry(cell.flow_id).or_default().push(cell);
    }
    let rows = bases.into_iter().map(|base| {
        let mine = by_flow.remove(&base.id).unwrap_or_default();
        FlowRow {
            flow_runs: mine.iter().map(|c| c.runs).sum(),
            task_runs: tasks.get(&base.id).copied().unwrap_or_default(),
            buckets: mine
                .iter()
                .map(|c| (c.bucket, c.state_type.clone(), c.state_name.clone(), c.runs))
                .collect(),
            last_run: last.remove(&base.id),
            base,
        }
    });
    Ok((rows.collect(), count))
}

/// The newest run of each flow, whatever states are asked for. When it began is known from the cells, so
/// that only these few runs are read, by the index of their starts.
async fn last_runs(
    conn: &mut Conn,
    cells: &[Cell],
    flows: impl Iterator<Item = Uuid>,
) -> Result<HashMap<Uuid, LastRun>> {
    let newest = |flow: Uuid| {
        let mine = cells.iter().filter(|cell| cell.flow_id == flow);
        Some((flow, mine.filter_map(|cell| cell.started).max()?))
    };
    let mut found = Where::all(conn.dialect());
    let pairs: Vec<_> = flows
        .filter_map(newest)
        .map(|(flow, start)| {
            let (flow, start) = (found.bind(flow.into()), found.bind(start.into()));
            format!("(r.start_time = ${start} AND r.flow_id = ${flow})")
        })
        .collect();
    if pairs.is_empty() {
        return Ok(HashMap::new());
    }
    found.and(format!("({})", pairs.join(" OR ")));
    let sql = format!(
        "SELECT r.flow_id, r.id, r.name, r.state_type, r.state_name, r.start_time FROM flow_run r WHERE {}",
        found.sql()
    );
    let rows: Vec<LastRun> = found.query(sql).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|run| (run.flow_id, run)).collect())
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;
    use crate::db::Db;
    use crate::settings::{DatabaseUrl, Synchronous};

    fn at(seconds: i64) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 28, 23, 0, 0).unwrap() + Duration::seconds(seconds)
    }

    /// A run of a flow: its state, and when it was expected, started and came into its state.
    async fn run(
        conn: &mut Conn,
        n: u128,
        flow: u128,
        state: (&str, &str),
        [expected, started, since]: [Option<i64>; 3],
    ) -> Result<()> {
        query(
            "INSERT INTO flow_run (id, created, updated, name, flow_id, state_type, state_name, \
             state_timestamp, expected_start_time, start_time, total_run_time) \
             VALUES ($1, $2, $2, 'run', $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(Uuid::from_u128(n))
        .bind(at(0))
        .bind(Uuid::from_u128(flow))
        .bind(state.0)
        .bind(state.1)
        .bind(since.map(at))
        .bind(expected.map(at))
        .bind(started.map(at))
        .bind(if since.is_some() { 0.0 } else { 2.5 })
        .execute(conn)
        .await?;
        Ok(())
    }

    async fn fill(conn: &mut Conn) -> Result<()> {
        for flow in [1, 2] {
            query("INSERT INTO flow (id, created, updated, name) VALUES ($1, $2, $2, $3)")
                .bind(Uuid::from_u128(flow))
                .bind(at(0))
                .bind(format!("flow {flow}"))
                .execute(conn)
                .await?;
        }
        let completed = ("COMPLETED", "Completed");
        // Before the window, at its first moment, in it, and at its end.
        run(conn, 10, 1, completed, [Some(-1), Some(-1), None]).await?;
        run(conn, 11, 1, completed, [Some(0), Some(7), None]).await?;
        run(conn, 12, 1, completed, [Some(599), Some(500), None]).await?;
        run(conn, 13, 1, completed, [Some(600), Some(601), None]).await?;
        run(conn, 14, 1, completed, [Some(3600), Some(3600), None]).await?;
        let late = ("SCHEDULED", "Late");
        run(conn, 20, 2, late, [Some(1000), None, None]).await?;
        let scheduled = ("SCHEDULED", "Scheduled");
        run(conn, 21, 2, scheduled, [Some(3500), None, None]).await?;
        let running = ("RUNNING", "Running");
        run(conn, 22, 2, running, [Some(1100), Some(1150), Some(1700)]).await?;
        for (n, of) in [(30, 11), (31, 11), (32, 22), (33, 10)] {
            query(
                "INSERT INTO task_run (id, created, updated, name, flow_run_id, task_key, dynamic_key) \
                 VALUES ($1, $2, $2, 'task', $3, 'task', $4)",
            )
            .bind(Uuid::from_u128(n))
            .bind(at(0))
            .bind(Uuid::from_u128(of))
            .bind(n.to_string())
            .execute(conn)
            .await?;
        }
        Ok(())
    }

    fn said(cells: &[Cell]) -> String {
        let mut lines: Vec<_> = cells
            .iter()
            .map(|c| {
                let started = c.started.map_or(-1, |start| (start - at(0)).num_seconds());
                format!(
                    "flow {} interval {} {}: {} runs, {} s, {} s late, started at {started}",
                    c.flow_id.as_u128(),
                    c.bucket,
                    c.state_name,
                    c.runs,
                    c.run_time,
                    c.lateness
                )
            })
            .collect();
        lines.sort();
        lines.join("\n")
    }

    #[tokio::test]
    async fn each_run_of_the_window_is_counted_once_where_it_was_expected() {
        let home = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(home.path().join("orion.db"));
        let db = Db::open(&url, Synchronous::Normal).await.unwrap();
        db.write(async move |conn| fill(conn).await).await.unwrap();
        let ask: Ask = serde_json::from_value(serde_json::json!({
            "start": at(0), "end": at(3600), "interval_seconds": 600.0,
            "flow_runs": {"expected_start_time": {"after_": at(0), "before_": at(3600)}},
            "state": {"name": {"any_": ["Completed"]}},
        }))
        .unwrap();
        let now = at(1800);
        let (cells, tasks) = db
            .read(async move |conn| {
                let edges = edges(&ask, now);
                counted(conn, &ask, &edges, now).await
            })
            .await
            .unwrap();
        insta::assert_snapshot!(said(&cells), @r"
        flow 1 interval 0 Completed: 2 runs, 5 s, 7 s late, started at 500
        flow 1 interval 1 Completed: 1 runs, 2.5 s, 1 s late, started at 601
        flow 2 interval 1 Late: 1 runs, 2.5 s, 800 s late, started at -1
        flow 2 interval 1 Running: 1 runs, 100 s, 50 s late, started at 1150
        flow 2 interval 5 Scheduled: 1 runs, 2.5 s, 0 s late, started at -1
        ");
        // Of the runs whose state is asked for.
        assert_eq!(tasks, HashMap::from([(Uuid::from_u128(1), 2)]));
    }
}

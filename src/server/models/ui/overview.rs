//! The first page: history, counts and the flows with their sparks, in one pass over the window.
//!
//! One statement groups the runs of the window by flow, interval and state; everything that the
//! page counts is summed from its rows, so the bars, the cards and the lists cannot disagree.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::filters::{Ask, Where};
use super::states::StateCount;
use super::{deployments, row};
use crate::db::{Conn, Dialect, Result, query};
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
    let cells = cells(conn, &ask, &edges, now).await?;
    let shown = shown(&ask, &cells);
    let tasks = task_counts(conn, &ask).await?;
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

async fn cells(
    conn: &mut Conn,
    ask: &Ask,
    edges: &[DateTime<Utc>],
    now: DateTime<Utc>,
) -> Result<Vec<Cell>> {
    let dialect = conn.dialect();
    let mut found = Where::runs(dialect, ask);
    let mut case = String::from("CASE");
    for (i, edge) in edges[1..edges.len() - 1].iter().enumerate() {
        let n = found.bind((*edge).into());
        case.push_str(&format!(" WHEN r.expected_start_time < ${n} THEN {i}"));
    }
    case.push_str(&format!(" ELSE {} END", edges.len() - 2));
    let n = found.bind(now.into());
    let running = seconds(dialect, &format!("${n}"), "r.state_timestamp");
    let started = seconds(dialect, "r.start_time", "r.expected_start_time");
    let waiting = seconds(dialect, &format!("${n}"), "r.expected_start_time");
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
fn seconds(dialect: Dialect, to: &str, from: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("((julianday({to}) - julianday({from})) * 86400.0)"),
        Dialect::Postgres => {
            format!("CAST(EXTRACT(EPOCH FROM {to}::timestamptz - {from}) AS DOUBLE PRECISION)")
        }
    }
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
    let rows = bases.into_iter().map(|base| {
        let mine: Vec<_> = cells.iter().filter(|c| c.flow_id == base.id).collect();
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

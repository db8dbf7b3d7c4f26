//! Runs as rows, and the page of one run.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value as Json;
use uuid::Uuid;

use super::filters::{Ask, RUN_TABLES, Where, pattern};
use super::overview::StateCount;
use super::{Page, row};
use crate::db::{Conn, Dialect, FromRow, Result, Row, Value, query};
use crate::schemas::{Document, StateType, Tags};
use crate::server::models::explain::{self, Reason};

/// No screen shows more dots than this.
const MOST_POINTS: i64 = 2000;
/// No more lines of a log travel at once.
const MOST_LOGS: i64 = 2000;

row! {
    /// A flow run with the names that a row shows.
    RunRow {
        id: Uuid, name: String, flow_id: Uuid, flow_name: String, deployment_id: Option<Uuid>,
        deployment_name: Option<String>, parent_task_run_id: Option<Uuid>, #[schema(value_type = Option<StateType>)] state_type: Option<String>,
        state_name: Option<String>, state_message: Option<String>, expected_start_time: Option<DateTime<Utc>>,
        start_time: Option<DateTime<Utc>>, end_time: Option<DateTime<Utc>>, total_run_time: f64,
        run_count: i64, tags: Tags, auto_scheduled: bool,
    }
}

pub(crate) const RUN_ROW: &str = "r.id, r.name, r.flow_id, f.name, r.deployment_id, d.name, r.parent_task_run_id, \
     r.state_type, r.state_name, (SELECT s.message FROM flow_run_state s WHERE s.id = r.state_id), \
     r.expected_start_time, r.start_time, r.end_time, r.total_run_time, r.run_count, r.tags, r.auto_scheduled";

row! {
    /// A task run with the names that a row shows.
    TaskRunRow {
        id: Uuid, name: String, task_key: String, dynamic_key: String, flow_run_id: Option<Uuid>,
        flow_run_name: Option<String>, flow_name: Option<String>, #[schema(value_type = Option<StateType>)] state_type: Option<String>,
        state_name: Option<String>, state_message: Option<String>, expected_start_time: Option<DateTime<Utc>>,
        start_time: Option<DateTime<Utc>>, end_time: Option<DateTime<Utc>>, total_run_time: f64,
        run_count: i64, tags: Tags,
    }
}

const TASK_RUN_ROW: &str = "t.id, t.name, t.task_key, t.dynamic_key, t.flow_run_id, r.name, f.name, t.state_type, \
     t.state_name, (SELECT s.message FROM task_run_state s WHERE s.id = t.state_id), t.expected_start_time, \
     t.start_time, t.end_time, t.total_run_time, t.run_count, t.tags";

row! { Point { id: Uuid, name: String, at: DateTime<Utc>, end: Option<DateTime<Utc>>, seconds: f64, #[schema(value_type = Option<StateType>)] state_type: Option<String>, state_name: Option<String> } }

/// A page of runs with the dots of the plot.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RunsPage {
    results: Vec<RunRow>,
    count: i64,
    /// How many have started; the dots are drawn of these.
    started: i64,
    points: Vec<Point>,
}

/// How one page of a long list is read.
struct Listing {
    /// The columns and tables of a row.
    row: &'static str,
    tables: &'static str,
    /// The tables that the condition speaks of, and the column of the id in them.
    asked: &'static str,
    id: &'static str,
    /// The order, and the same backwards.
    order: [String; 2],
}

impl Listing {
    /// Reads one page. Only ids are passed over, from whichever end is nearer, so that the last page
    /// comes as soon as the first, and names are looked up for the rows of the page alone.
    async fn page<T: FromRow>(
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

/// Every how many runs one is drawn, told by the ends of their ids, which are as good as thrown by dice:
/// the same dots stay while new ones come.
fn evenly(dialect: Dialect, points: i64, of: i64) -> String {
    if of <= points {
        return String::new();
    }
    let end = match dialect {
        Dialect::Sqlite => "SUBSTR(r.id, -4)",
        Dialect::Postgres => "RIGHT(CAST(r.id AS TEXT), 4)",
    };
    format!(" AND {end} < '{:04x}'", (points << 16) / of)
}

/// The order of runs by when they should start, and the same backwards.
const OLDEST_FIRST: [&str; 2] = [
    "r.expected_start_time ASC, r.id ASC",
    "r.expected_start_time DESC, r.id DESC",
];

/// Lists flow runs.
pub(crate) async fn list(conn: &mut Conn, ask: Ask, now: DateTime<Utc>) -> Result<RunsPage> {
    let found = Where::runs(conn.dialect(), &ask);
    let order = match ask.sort.as_deref() {
        Some("EXPECTED_START_TIME_ASC") => OLDEST_FIRST,
        Some("END_TIME_DESC") => [
            "r.end_time DESC NULLS LAST, r.id DESC",
            "r.end_time ASC NULLS FIRST, r.id ASC",
        ],
        Some("NAME_ASC") => ["r.name, r.id", "r.name DESC, r.id DESC"],
        _ => [OLDEST_FIRST[1], OLDEST_FIRST[0]],
    };
    let asked = ask.run_tables();
    let sql = format!(
        "SELECT COUNT(*), COUNT(r.start_time) FROM {asked} WHERE {}",
        found.sql()
    );
    let (count, started) = found.clone().query(sql).fetch_one(conn).await?;
    let listing = Listing {
        row: RUN_ROW,
        tables: RUN_TABLES,
        asked,
        id: "r.id",
        order: order.map(str::to_owned),
    };
    let results = listing.page(conn, found.clone(), &ask, count).await?;
    let mut points: Vec<Point> = Vec::new();
    if ask.points > 0 {
        let sql = format!(
            "SELECT r.id, r.name, r.start_time, r.end_time, r.total_run_time, r.state_type, r.state_name \
             FROM {asked} WHERE {}{} AND r.start_time IS NOT NULL \
             ORDER BY r.expected_start_time DESC LIMIT {MOST_POINTS}",
            found.sql(),
            evenly(conn.dialect(), ask.points.min(MOST_POINTS), started),
        );
        points = found.query(sql).fetch_all(conn).await?;
        for point in points.iter_mut().filter(|p| p.end.is_none()) {
            point.seconds = (now - point.at).as_seconds_f64().max(point.seconds);
        }
    }
    Ok(RunsPage {
        results,
        count,
        started,
        points,
    })
}

/// Lists task runs.
pub(crate) async fn list_tasks(conn: &mut Conn, ask: Ask) -> Result<Page<TaskRunRow>> {
    let mut found = Where::runs(conn.dialect(), &ask);
    found.add("t", ask.task_runs.as_ref(), true);
    let tables = "task_run t LEFT JOIN flow_run r ON r.id = t.flow_run_id \
         LEFT JOIN flow f ON f.id = r.flow_id LEFT JOIN deployment d ON d.id = r.deployment_id";
    let first = if ask.failures_first {
        "CASE WHEN t.state_type IN ('FAILED', 'CRASHED') THEN 0 ELSE 1 END, "
    } else {
        ""
    };
    let last = if ask.failures_first {
        first.replace("THEN 0 ELSE 1", "THEN 1 ELSE 0")
    } else {
        String::new()
    };
    let [rising, falling] = OLDEST_FIRST.map(|order| order.replace("r.", "t."));
    let order = match ask.sort.as_deref() {
        Some("EXPECTED_START_TIME_ASC") => [format!("{first}{rising}"), format!("{last}{falling}")],
        _ => [format!("{first}{falling}"), format!("{last}{rising}")],
    };
    let is_of_runs = ask.flow_runs.is_some() || ask.work_pools.is_some();
    let asked = if is_of_runs || ask.flows.is_some() || ask.deployments.is_some() {
        tables
    } else {
        "task_run t"
    };
    let count = format!("SELECT COUNT(*) FROM {asked} WHERE {}", found.sql());
    let count = found.clone().query(count).fetch_one(conn).await?;
    let listing = Listing {
        row: TASK_RUN_ROW,
        tables,
        asked,
        id: "t.id",
        order,
    };
    let results = listing.page(conn, found, &ask, count).await?;
    Ok(Page { results, count })
}

row! {
    /// A state as the dashboard shows it; results stay where they are.
    StateRow { id: Uuid, #[serde(rename = "type")] #[schema(value_type = StateType)] kind: String, name: String, timestamp: DateTime<Utc>, message: Option<String>, state_details: Document, decided_by: Option<String> }
}

row! {
    /// A flow run in full.
    RunFull {
        id: Uuid, name: String, flow_id: Uuid, deployment_id: Option<Uuid>, parent_task_run_id: Option<Uuid>,
        #[schema(value_type = Option<StateType>)] state_type: Option<String>, state_name: Option<String>, expected_start_time: Option<DateTime<Utc>>,
        next_scheduled_start_time: Option<DateTime<Utc>>, start_time: Option<DateTime<Utc>>,
        end_time: Option<DateTime<Utc>>, total_run_time: f64, run_count: i64, parameters: Document, tags: Tags,
        auto_scheduled: bool, flow_version: Option<String>, idempotency_key: Option<String>, created: DateTime<Utc>,
    }
}

row! { FlowRef { id: Uuid, name: String, tags: Tags, created: DateTime<Utc> } }
row! { Named { id: Uuid, name: String } }
row! { Parent { flow_run_id: Uuid, flow_run_name: String, flow_name: String } }
row! { Failure { id: Uuid, name: String, state_name: Option<String>, message: Option<String> } }

impl FromRow for StateCount {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            state_type: row.take()?,
            state_name: row.take()?,
            count: row.take()?,
        })
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct WithState<T> {
    #[serde(flatten)]
    run: T,
    state: Option<StateRow>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RunCounts {
    task_runs: i64,
    subflow_runs: i64,
    logs: i64,
}

/// The page of one flow run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RunPage {
    now: DateTime<Utc>,
    run: WithState<RunFull>,
    flow: FlowRef,
    deployment: Option<Named>,
    parent: Option<Parent>,
    states: Vec<StateRow>,
    task_states: Vec<StateCount>,
    task_failures: Vec<Failure>,
    counts: RunCounts,
    subflows: Vec<RunRow>,
}

/// Reads the page of a flow run.
pub(crate) async fn read(conn: &mut Conn, id: Uuid, now: DateTime<Utc>) -> Result<Option<RunPage>> {
    let sql = "SELECT id, name, flow_id, deployment_id, parent_task_run_id, state_type, state_name, \
                 expected_start_time, next_scheduled_start_time, start_time, end_time, total_run_time, run_count, \
                 parameters, tags, auto_scheduled, flow_version, idempotency_key, created \
               FROM flow_run WHERE id = $1";
    let Some(run) = query(sql).bind(id).fetch_optional::<RunFull>(conn).await? else {
        return Ok(None);
    };
    let flow = query("SELECT id, name, tags, created FROM flow WHERE id = $1")
        .bind(run.flow_id)
        .fetch_one(conn)
        .await?;
    let deployment = match run.deployment_id {
        Some(deployment) => {
            let sql = "SELECT id, name FROM deployment WHERE id = $1";
            query(sql).bind(deployment).fetch_optional(conn).await?
        }
        None => None,
    };
    let parent = match run.parent_task_run_id {
        Some(task) => parent(conn, task).await?,
        None => None,
    };
    let sql = "SELECT id, type, name, timestamp, message, state_details, decided_by FROM flow_run_state \
               WHERE flow_run_id = $1 ORDER BY timestamp, id LIMIT 1000";
    let states: Vec<StateRow> = query(sql).bind(id).fetch_all(conn).await?;
    let sql = "SELECT COALESCE(state_type, 'PENDING'), COALESCE(state_name, state_type, 'Pending'), COUNT(*) \
               FROM task_run WHERE flow_run_id = $1 GROUP BY 1, 2";
    let task_states: Vec<StateCount> = query(sql).bind(id).fetch_all(conn).await?;
    let subflows = subflows(conn, id).await?;
    let logs = query("SELECT COUNT(*) FROM log WHERE flow_run_id = $1").bind(id);
    let counts = RunCounts {
        task_runs: task_states.iter().map(|s| s.count).sum(),
        subflow_runs: subflows.len() as i64,
        logs: logs.fetch_one(conn).await?,
    };
    let sql = "SELECT t.id, t.name, t.state_name, s.message FROM task_run t \
               LEFT JOIN task_run_state s ON s.id = t.state_id \
               WHERE t.flow_run_id = $1 AND t.state_type IN ('FAILED', 'CRASHED') \
               ORDER BY t.end_time, t.id LIMIT 50";
    let task_failures = query(sql).bind(id).fetch_all(conn).await?;
    Ok(Some(RunPage {
        now,
        run: WithState {
            run,
            state: states.last().cloned(),
        },
        flow,
        deployment,
        parent,
        states,
        task_states,
        task_failures,
        counts,
        subflows,
    }))
}

async fn parent(conn: &mut Conn, task: Uuid) -> Result<Option<Parent>> {
    let sql = "SELECT r.id, r.name, f.name FROM task_run t JOIN flow_run r ON r.id = t.flow_run_id \
               JOIN flow f ON f.id = r.flow_id WHERE t.id = $1";
    query(sql).bind(task).fetch_optional(conn).await
}

async fn subflows(conn: &mut Conn, id: Uuid) -> Result<Vec<RunRow>> {
    let sql = format!(
        "SELECT {RUN_ROW} FROM {RUN_TABLES} JOIN task_run t ON t.id = r.parent_task_run_id \
         WHERE t.flow_run_id = $1 ORDER BY r.expected_start_time LIMIT 200"
    );
    query(sql).bind(id).fetch_all(conn).await
}

row! {
    /// What a state says of a result; the result itself is where the flow has put it.
    ResultRow {
        /// The task run that made it; none of the flow run's own.
        task_run_id: Option<Uuid>, name: String, state_name: String, timestamp: DateTime<Utc>,
        /// The beginning of the state's data.
        data: String, size: i64,
    }
}

/// Data longer than this is cut: pickled results may be of any size.
const SHOWN_DATA: i64 = 4000;
const MOST_RESULTS: i64 = 500;

/// Lists what the last states of a run and its task runs say of their results.
pub(crate) async fn results(conn: &mut Conn, id: Uuid) -> Result<Option<Vec<ResultRow>>> {
    let data = format!(
        "s.name, s.timestamp, SUBSTR(s.data, 1, {SHOWN_DATA}), CAST(LENGTH(s.data) AS BIGINT)"
    );
    let own = format!(
        "SELECT NULL, r.name, {data} FROM flow_run r JOIN flow_run_state s ON s.id = r.state_id \
         WHERE r.id = $1 AND s.data IS NOT NULL AND s.data <> 'null'"
    );
    let mut results: Vec<ResultRow> = query(own).bind(id).fetch_all(conn).await?;
    let of_tasks = format!(
        "SELECT t.id, t.name, {data} FROM task_run t JOIN task_run_state s ON s.id = t.state_id \
         WHERE t.flow_run_id = $1 AND s.data IS NOT NULL AND s.data <> 'null' \
         ORDER BY s.timestamp, t.id LIMIT {MOST_RESULTS}"
    );
    results.extend(
        query(of_tasks)
            .bind(id)
            .fetch_all::<ResultRow>(conn)
            .await?,
    );
    let is_there = !results.is_empty() || exists(conn, id).await?;
    Ok(is_there.then_some(results))
}

row! {
    NodeRow {
        id: Uuid, name: String, task_key: String, #[schema(value_type = Option<StateType>)] state_type: Option<String>, state_name: Option<String>,
        start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>, inputs: String, child: Option<Uuid>,
    }
}

/// The graph of a run in columns; ten thousand objects with keys would be mostly keys.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub(crate) struct Graph {
    id: Vec<Uuid>,
    name: Vec<String>,
    task_key: Vec<String>,
    #[schema(value_type = Vec<Option<StateType>>)]
    state_type: Vec<Option<String>>,
    state_name: Vec<Option<String>>,
    start: Vec<Option<i64>>,
    end: Vec<Option<i64>>,
    upstream: Vec<Vec<usize>>,
    child: Vec<Option<Uuid>>,
    artifacts: Vec<Flag>,
}

/// An artifact where it was made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Flag {
    id: Uuid,
    key: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The place of its task run in the columns.
    node: Option<usize>,
    at: i64,
}

row! { ArtifactMade { id: Uuid, key: Option<String>, kind: Option<String>, task_run_id: Option<Uuid>, created: DateTime<Utc> } }

/// Artifacts that a graph has room for.
const MOST_FLAGS: i64 = 200;

/// Reads the graph of a flow run: its task runs and which wait for which.
pub(crate) async fn graph(conn: &mut Conn, id: Uuid) -> Result<Option<Graph>> {
    let sql = "SELECT t.id, t.name, t.task_key, t.state_type, t.state_name, t.start_time, t.end_time, \
                 t.task_inputs, (SELECT MIN(CAST(c.id AS TEXT)) FROM flow_run c WHERE c.parent_task_run_id = t.id) \
               FROM task_run t WHERE t.flow_run_id = $1 ORDER BY t.expected_start_time, t.id LIMIT 50000";
    let rows: Vec<NodeText> = query(sql).bind(id).fetch_all(conn).await?;
    if rows.is_empty() && !exists(conn, id).await? {
        return Ok(None);
    }
    let rows: Vec<NodeRow> = rows.into_iter().map(|row| row.0).collect();
    let places: HashMap<Uuid, usize> = rows.iter().enumerate().map(|(i, r)| (r.id, i)).collect();
    let mut graph = Graph::default();
    for row in rows {
        graph.upstream.push(upstream(&row.inputs, &places));
        graph.id.push(row.id);
        graph.name.push(row.name);
        graph.task_key.push(row.task_key);
        graph.state_type.push(row.state_type);
        graph.state_name.push(row.state_name);
        graph.start.push(row.start.map(|t| t.timestamp_millis()));
        graph.end.push(row.end.map(|t| t.timestamp_millis()));
        graph.child.push(row.child);
    }
    let sql = format!(
        "SELECT id, key, type, task_run_id, created FROM artifact \
         WHERE flow_run_id = $1 AND (type IS NULL OR type <> 'result') ORDER BY created, id LIMIT {MOST_FLAGS}"
    );
    let made: Vec<ArtifactMade> = query(sql).bind(id).fetch_all(conn).await?;
    let flag = |made: ArtifactMade| Flag {
        id: made.id,
        key: made.key,
        kind: made.kind,
        node: made.task_run_id.and_then(|id| places.get(&id).copied()),
        at: made.created.timestamp_millis(),
    };
    graph.artifacts = made.into_iter().map(flag).collect();
    Ok(Some(graph))
}

async fn exists(conn: &mut Conn, id: Uuid) -> Result<bool> {
    let found: Option<Uuid> = query("SELECT id FROM flow_run WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    Ok(found.is_some())
}

/// A node whose child comes as text, since a smallest id is a text on both databases.
struct NodeText(NodeRow);

impl FromRow for NodeText {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self(NodeRow {
            id: row.take()?,
            name: row.take()?,
            task_key: row.take()?,
            state_type: row.take()?,
            state_name: row.take()?,
            start: row.take()?,
            end: row.take()?,
            inputs: row.take()?,
            child: row.take::<Option<String>>()?.and_then(|id| id.parse().ok()),
        }))
    }
}

/// The task runs that the inputs name, as places in the list.
fn upstream(inputs: &str, places: &HashMap<Uuid, usize>) -> Vec<usize> {
    if inputs.len() < 8 {
        return Vec::new();
    }
    let Ok(Json::Object(inputs)) = serde_json::from_str(inputs) else {
        return Vec::new();
    };
    let mut out: Vec<usize> = inputs
        .values()
        .flat_map(|list| list.as_array().into_iter().flatten())
        .filter_map(|input| input.get("id")?.as_str()?.parse().ok())
        .filter_map(|id: Uuid| places.get(&id).copied())
        .collect();
    out.sort_unstable();
    out.dedup();
    out
}

row! {
    TaskRunFull {
        id: Uuid, name: String, flow_run_id: Option<Uuid>, task_key: String, dynamic_key: String,
        #[schema(value_type = Option<StateType>)] state_type: Option<String>, state_name: Option<String>, expected_start_time: Option<DateTime<Utc>>,
        next_scheduled_start_time: Option<DateTime<Utc>>,
        start_time: Option<DateTime<Utc>>, end_time: Option<DateTime<Utc>>, total_run_time: f64, run_count: i64,
        cache_key: Option<String>, empirical_policy: Document, task_inputs: Document, tags: Tags,
        created: DateTime<Utc>,
    }
}

/// The page of one task run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TaskRunPage {
    task_run: WithState<TaskRunFull>,
    flow_run: Option<Parents>,
    states: Vec<StateRow>,
    counts: LogCount,
    /// Why it does not run, while it waits.
    reasons: Vec<Reason>,
}

row! { Parents { id: Uuid, name: String, flow_name: String } }
row! { LogCount { logs: i64 } }

/// Reads the page of a task run.
pub(crate) async fn read_task(
    conn: &mut Conn,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<TaskRunPage>> {
    let sql = "SELECT id, name, flow_run_id, task_key, dynamic_key, state_type, state_name, expected_start_time, \
                 next_scheduled_start_time, start_time, end_time, total_run_time, run_count, cache_key, empirical_policy, task_inputs, tags, created \
               FROM task_run WHERE id = $1";
    let Some(run) = query(sql)
        .bind(id)
        .fetch_optional::<TaskRunFull>(conn)
        .await?
    else {
        return Ok(None);
    };
    let sql = "SELECT id, type, name, timestamp, message, state_details, decided_by FROM task_run_state \
               WHERE task_run_id = $1 ORDER BY timestamp, id LIMIT 1000";
    let states: Vec<StateRow> = query(sql).bind(id).fetch_all(conn).await?;
    let sql = "SELECT r.id, r.name, f.name FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE r.id = $1";
    let flow_run = query(sql)
        .bind(run.flow_run_id)
        .fetch_optional(conn)
        .await?;
    let counts = query("SELECT COUNT(*) FROM log WHERE task_run_id = $1")
        .bind(id)
        .fetch_one(conn)
        .await?;
    let reasons = explain::task_run(conn, &run, now).await?;
    let task_run = WithState {
        run,
        state: states.last().cloned(),
    };
    Ok(Some(TaskRunPage {
        task_run,
        flow_run,
        states,
        counts,
        reasons,
    }))
}

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
pub(crate) async fn logs(conn: &mut Conn, ask: LogAsk) -> Result<Page<LogRow>> {
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
        let n = found.bind(Value::from(pattern(&text)));
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

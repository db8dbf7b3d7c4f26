//! Flow runs as rows, the page of one of them, and what it says of results.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::filters::{Ask, RUN_TABLES, Where};
use super::flows::FlowRef;
use super::listing::{Listing, OLDEST_FIRST};
use super::states::{self, StateCount, StateRow, WithState};
use super::{row, run_columns, run_row};
use crate::db::{Conn, Dialect, Result, query};
use crate::schemas::{Document, StateType, Tags};

/// No screen shows more dots than this.
const MOST_POINTS: i64 = 2000;

run_row! {
    /// A flow run with the names that a row shows.
    RunRow {
        flow_id: Uuid, flow_name: String, deployment_id: Option<Uuid>, deployment_name: Option<String>,
        parent_task_run_id: Option<Uuid>, auto_scheduled: bool,
    }
}

pub(crate) const RUN_ROW: &str = run_columns!(
    "r.flow_id, f.name, r.deployment_id, d.name, r.parent_task_run_id, r.auto_scheduled",
    "r",
    "flow_run"
);

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

row! {
    /// A flow run in full.
    RunFull {
        id: Uuid, name: String, flow_id: Uuid, deployment_id: Option<Uuid>, parent_task_run_id: Option<Uuid>,
        #[schema(value_type = Option<StateType>)] state_type: Option<String>, state_name: Option<String>, expected_start_time: Option<DateTime<Utc>>,
        next_scheduled_start_time: Option<DateTime<Utc>>, start_time: Option<DateTime<Utc>>,
        end_time: Option<DateTime<Utc>>, total_run_time: f64, run_count: i64, parameters: Document, tags: Tags,
        auto_scheduled: bool, flow_version: Option<String>, idempotency_key: Option<String>, created: DateTime<Utc>,
        /// What of its pool's job template it sets itself.
        job_variables: Document, infrastructure_pid: Option<String>, deployment_version: Option<String>, created_by: Option<Document>,
        #[serde(skip)] #[schema(ignore)] work_queue_id: Option<Uuid>,
    }
}

row! {
    /// The queue that a run was put into, and the pool of that.
    RunPlace { queue_id: Uuid, queue: String, pool: Option<String> }
}

row! { Named { id: Uuid, name: String } }
row! { Parent { flow_run_id: Uuid, flow_run_name: String, flow_name: String } }
row! { Failure { id: Uuid, name: String, state_name: Option<String>, message: Option<String> } }

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
    place: Option<RunPlace>,
    parent: Option<Parent>,
    states: Vec<StateRow>,
    task_states: Vec<StateCount>,
    task_failures: Vec<Failure>,
    counts: RunCounts,
}

/// Reads the page of a flow run.
pub(crate) async fn read(conn: &mut Conn, id: Uuid, now: DateTime<Utc>) -> Result<Option<RunPage>> {
    let sql = "SELECT id, name, flow_id, deployment_id, parent_task_run_id, state_type, state_name, \
                 expected_start_time, next_scheduled_start_time, start_time, end_time, total_run_time, run_count, \
                 parameters, tags, auto_scheduled, flow_version, idempotency_key, created, \
                 CASE job_variables WHEN 'null' THEN '{}' ELSE job_variables END AS job_variables, \
                 infrastructure_pid, deployment_version, created_by, work_queue_id \
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
    let place = match run.work_queue_id {
        Some(queue) => {
            let sql = "SELECT q.id, q.name, p.name FROM work_queue q LEFT JOIN work_pool p ON p.id = q.work_pool_id \
                       WHERE q.id = $1";
            query(sql).bind(queue).fetch_optional(conn).await?
        }
        None => None,
    };
    let parent = match run.parent_task_run_id {
        Some(task) => parent(conn, task).await?,
        None => None,
    };
    let states = states::of_run(conn, "flow_run", id).await?;
    let sql = "SELECT COALESCE(state_type, 'PENDING'), COALESCE(state_name, state_type, 'Pending'), COUNT(*) \
               FROM task_run WHERE flow_run_id = $1 GROUP BY 1, 2";
    let task_states: Vec<StateCount> = query(sql).bind(id).fetch_all(conn).await?;
    let subflows = "SELECT COUNT(*) FROM flow_run r JOIN task_run t ON t.id = r.parent_task_run_id \
                    WHERE t.flow_run_id = $1";
    let logs = "SELECT COUNT(*) FROM log WHERE flow_run_id = $1";
    let counts = RunCounts {
        task_runs: task_states.iter().map(|s| s.count).sum(),
        subflow_runs: query(subflows).bind(id).fetch_one(conn).await?,
        logs: query(logs).bind(id).fetch_one(conn).await?,
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
        place,
        parent,
        states,
        task_states,
        task_failures,
        counts,
    }))
}

async fn parent(conn: &mut Conn, task: Uuid) -> Result<Option<Parent>> {
    let sql = "SELECT r.id, r.name, f.name FROM task_run t JOIN flow_run r ON r.id = t.flow_run_id \
               JOIN flow f ON f.id = r.flow_id WHERE t.id = $1";
    query(sql).bind(task).fetch_optional(conn).await
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

/// Whether there is such a flow run.
pub(super) async fn exists(conn: &mut Conn, id: Uuid) -> Result<bool> {
    let found: Option<Uuid> = query("SELECT id FROM flow_run WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    Ok(found.is_some())
}

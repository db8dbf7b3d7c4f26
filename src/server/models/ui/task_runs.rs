//! Task runs as rows, and the page of one of them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::filters::{Ask, Where};
use super::listing::{Listing, OLDEST_FIRST};
use super::states::{self, StateRow, WithState};
use super::{Page, row, run_columns, run_row};
use crate::db::{Conn, Result, query};
use crate::schemas::{Document, StateType, Tags};
use crate::server::models::explain::{self, Reason};

run_row! {
    /// A task run with the names that a row shows.
    TaskRunRow {
        task_key: String, dynamic_key: String, flow_run_id: Option<Uuid>, flow_run_name: Option<String>,
        flow_name: Option<String>,
    }
}

const TASK_RUN_ROW: &str = run_columns!(
    "t.task_key, t.dynamic_key, t.flow_run_id, r.name, f.name",
    "t",
    "task_run"
);

/// Lists task runs.
pub(crate) async fn list(conn: &mut Conn, ask: Ask) -> Result<Page<TaskRunRow>> {
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
pub(crate) async fn read(
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
    let states = states::of_run(conn, "task_run", id).await?;
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

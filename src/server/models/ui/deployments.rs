//! Deployments as rows, and the page of one of them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::filters::{Ask, RUN_TABLES, Where};
use super::flow_runs::{RUN_ROW, RunRow};
use super::flows::FlowRef;
use super::{Page, row};
use crate::db::{Conn, Result, Value, query};
use crate::schemas::patience::Patience;
use crate::schemas::schedules::Schedule;
use crate::schemas::{Document, StateType, Tags};
use crate::server::models::due_runs;
use crate::server::models::explain::{self, Waiting};

/// How many finished runs a deployment's row shows.
const RECENT: i64 = 12;
/// How many runs of a kind its page shows.
const PAGED: i64 = 20;

row! {
    DeploymentBase {
        id: Uuid, name: String, flow_id: Uuid, flow_name: String, tags: Tags, #[schema(value_type = Option<Schedule>)] schedule: Option<Document>,
        schedule_count: i64, is_schedule_active: bool, created: DateTime<Utc>, next_run: Option<DateTime<Utc>>, late: i64,
        work_pool_name: Option<String>,
    }
}

row! { Recent { #[serde(skip)] #[schema(ignore)] deployment_id: Uuid, id: Uuid, name: String, #[schema(value_type = Option<StateType>)] state_type: Option<String>, state_name: Option<String> } }

/// A deployment as lists show it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DeploymentRow {
    #[serde(flatten)]
    base: DeploymentBase,
    recent: Vec<Recent>,
}

const DEPLOYMENT_TABLES: &str = "deployment d JOIN flow f ON f.id = d.flow_id";

fn asked(conn: &Conn, ask: &Ask) -> Where {
    let mut found = Where::all(conn.dialect());
    found.add("f", ask.flows.as_ref(), false);
    found.add("d", ask.deployments.as_ref(), false);
    found
}

/// Counts the deployments that a list of them has.
pub(crate) async fn count(conn: &mut Conn, ask: &Ask) -> Result<i64> {
    let found = asked(conn, ask);
    let sql = format!(
        "SELECT COUNT(*) FROM {DEPLOYMENT_TABLES} WHERE {}",
        found.sql()
    );
    found.query(sql).fetch_one(conn).await
}

/// Lists deployments.
pub(crate) async fn list(
    conn: &mut Conn,
    ask: Ask,
    now: DateTime<Utc>,
) -> Result<Page<DeploymentRow>> {
    let count = count(conn, &ask).await?;
    let mut found = asked(conn, &ask);
    let n = found.bind(now.into());
    let sql = format!(
        "SELECT d.id, d.name, d.flow_id, f.name, d.tags, (SELECT s.schedule FROM deployment_schedule s WHERE s.deployment_id = d.id ORDER BY s.updated DESC, s.created DESC, s.id LIMIT 1), \
           (SELECT COUNT(*) FROM deployment_schedule s WHERE s.deployment_id = d.id), d.is_schedule_active, d.created, \
           (SELECT MIN(r.next_scheduled_start_time) FROM flow_run r WHERE r.deployment_id = d.id \
             AND r.state_type = 'SCHEDULED' AND r.next_scheduled_start_time > ${n}), \
           (SELECT COUNT(*) FROM flow_run r WHERE r.deployment_id = d.id \
             AND r.state_type = 'SCHEDULED' AND r.state_name = 'Late'), \
           (SELECT p.name FROM work_queue q JOIN work_pool p ON p.id = q.work_pool_id WHERE q.id = d.work_queue_id) \
         FROM {DEPLOYMENT_TABLES} WHERE {} ORDER BY LOWER(d.name), d.id LIMIT {} OFFSET {}",
        found.sql(),
        ask.limit(),
        ask.offset()
    );
    let bases: Vec<DeploymentBase> = found.query(sql).fetch_all(conn).await?;
    let mut recent = recent(conn, bases.iter().map(|d| d.id).collect()).await?;
    let results = bases
        .into_iter()
        .map(|base| DeploymentRow {
            recent: recent.remove(&base.id).unwrap_or_default(),
            base,
        })
        .collect();
    Ok(Page { results, count })
}

/// The ids of the newest runs of a deployment that have started, so many of each type of state: in the index of a
/// deployment's runs those of one type that are past being scheduled lie in order of their starts, so that however
/// many runs there are, only these are read.
fn newest(deployment: &str, most: i64) -> String {
    let of = |state: StateType| {
        // What is scheduled again after a try is little. PostgreSQL sees the order of the index only where all of
        // its columns are named.
        let (past, order) = match state {
            StateType::Scheduled => ("", "x.start_time DESC"),
            _ => (
                "AND x.next_scheduled_start_time IS NULL",
                "x.next_scheduled_start_time DESC, x.start_time DESC",
            ),
        };
        format!(
            "SELECT id FROM (SELECT x.id FROM flow_run x WHERE x.deployment_id = {deployment} AND x.state_type = '{state}' \
               {past} AND x.start_time IS NOT NULL ORDER BY {order} LIMIT {most}) AS newest_{state}",
            state = state.as_str()
        )
    };
    StateType::ALL.map(of).join(" UNION ALL ")
}

async fn recent(conn: &mut Conn, deployments: Vec<Uuid>) -> Result<HashMap<Uuid, Vec<Recent>>> {
    let sql = format!(
        "SELECT r.deployment_id, r.id, r.name, r.state_type, r.state_name FROM deployment d CROSS JOIN flow_run r \
         WHERE d.id = ANY($1) AND r.id IN ({}) ORDER BY r.start_time DESC, r.id DESC",
        newest("d.id", RECENT)
    );
    let rows: Vec<Recent> = query(sql)
        .bind_all([Value::Uuids(deployments)])
        .fetch_all(conn)
        .await?;
    let mut out: HashMap<Uuid, Vec<Recent>> = HashMap::new();
    for row in rows {
        let mine = out.entry(row.deployment_id).or_default();
        if mine.len() < RECENT as usize {
            mine.push(row);
        }
    }
    // A row shows them from left to right.
    out.values_mut().for_each(|mine| mine.reverse());
    Ok(out)
}

row! {
    /// A schedule with when it next makes a run, by its own rule.
    ScheduleStored {
        id: Uuid, #[serde(skip)] #[schema(ignore)] stored: Document, active: bool, max_scheduled_runs: Option<i64>,
        parameters: Document, slug: Option<String>, updated: DateTime<Utc>,
    }
}

/// A schedule of a deployment, with when it comes next by its own rule.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ScheduleShown {
    #[serde(flatten)]
    stored: ScheduleStored,
    #[schema(value_type = Schedule)]
    schedule: Document,
    next: Option<DateTime<Utc>>,
}

impl ScheduleShown {
    fn new(stored: ScheduleStored, now: DateTime<Utc>) -> Self {
        let schedule = stored.stored.clone();
        let next = schedule.read::<Schedule>().ok();
        let next = next.and_then(|s| s.dates(now, 1, None).first().map(|at| at.to_utc()));
        Self {
            stored,
            schedule,
            next,
        }
    }
}

row! {
    /// Where the runs of a deployment wait for a worker.
    PlaceRef {
        pool: String, #[serde(rename = "type")] kind: String, queue: String, pool_is_paused: bool, queue_is_paused: bool,
        last_polled: Option<DateTime<Utc>>, is_served: bool,
    }
}

row! {
    DeploymentFull {
        id: Uuid, name: String, flow_id: Uuid, tags: Tags, parameters: Document,
        is_schedule_active: bool, #[serde(skip)] #[schema(ignore)] flow_runner_type: Option<String>,
        #[serde(skip)] #[schema(ignore)] flow_runner_config: Option<Document>, created: DateTime<Utc>, updated: DateTime<Utc>,
        version: Option<String>, description: Option<String>, path: Option<String>, entrypoint: Option<String>,
        pull_steps: Option<Document>, parameter_openapi_schema: Option<Document>, enforce_parameter_schema: bool,
        job_variables: Document, concurrency_limit: Option<i64>, last_polled: Option<DateTime<Utc>>, is_polled: bool,
    }
}

/// How an agent runs it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RunnerRef {
    #[serde(rename = "type")]
    kind: Option<String>,
    config: Option<Document>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DeploymentShown {
    #[serde(flatten)]
    full: DeploymentFull,
    flow_runner: RunnerRef,
    schedules: Vec<ScheduleShown>,
    place: Option<PlaceRef>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct QueueRef {
    id: Uuid,
    name: String,
    is_paused: bool,
    last_polled: Option<DateTime<Utc>>,
    is_polled: bool,
}

/// The page of a deployment.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DeploymentPage {
    deployment: DeploymentShown,
    flow: FlowRef,
    /// The next of them.
    upcoming: Vec<RunRow>,
    upcoming_count: i64,
    recent: Vec<RunRow>,
    queues: Vec<QueueRef>,
}

/// Reads the page of a deployment.
pub(crate) async fn read(
    conn: &mut Conn,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<DeploymentPage>> {
    let sql = "SELECT id, name, flow_id, tags, parameters, is_schedule_active, flow_runner_type, \
                 flow_runner_config, created, updated, version, description, path, entrypoint, pull_steps, \
                 parameter_openapi_schema, enforce_parameter_schema, job_variables, \
                 (SELECT l.\"limit\" FROM concurrency_limit_v2 l WHERE l.id = deployment.concurrency_limit_id), last_polled, \
                 COALESCE(last_polled > $2, FALSE) \
               FROM deployment WHERE id = $1";
    let since = now - Patience::chosen().deployment;
    let Some(full) = query(sql)
        .bind(id)
        .bind(since)
        .fetch_optional::<DeploymentFull>(conn)
        .await?
    else {
        return Ok(None);
    };
    let flow = query("SELECT id, name, tags, created FROM flow WHERE id = $1")
        .bind(full.flow_id)
        .fetch_one(conn)
        .await?;
    let upcoming = format!(
        "SELECT {RUN_ROW} FROM {RUN_TABLES} WHERE r.deployment_id = $1 AND r.state_type = 'SCHEDULED' \
         ORDER BY r.expected_start_time LIMIT {PAGED}"
    );
    let upcoming = query(upcoming).bind(id).fetch_all(conn).await?;
    let sql = "SELECT COUNT(*) FROM flow_run WHERE deployment_id = $1 AND state_type = 'SCHEDULED'";
    let upcoming_count = query(sql).bind(id).fetch_one(conn).await?;
    // Those that ended without having started are few.
    let unstarted = StateType::ALL.map(|state| {
        format!(
            "SELECT id FROM (SELECT x.id FROM flow_run x WHERE x.deployment_id = $1 AND x.state_type = '{state}' \
               AND x.next_scheduled_start_time IS NULL AND x.start_time IS NULL \
             ORDER BY x.id DESC LIMIT {PAGED}) AS unstarted_{state}",
            state = state.as_str()
        )
    });
    let recent = format!(
        "SELECT {RUN_ROW} FROM {RUN_TABLES} WHERE r.id IN ({} UNION ALL {}) AND r.state_type <> 'SCHEDULED' \
         ORDER BY COALESCE(r.start_time, r.expected_start_time) DESC, r.id DESC LIMIT {PAGED}",
        newest("$1", PAGED),
        unstarted.join(" UNION ALL ")
    );
    let recent = query(recent).bind(id).fetch_all(conn).await?;
    // A queue takes the deployment's runs when it would take one with just the deployment's tags.
    let sample = Waiting {
        id,
        name: String::new(),
        state_type: None,
        state_name: None,
        due: None,
        deployment_id: Some(id),
        tags: full.tags.clone(),
        flow_runner_type: full.flow_runner_type.clone(),
        work_queue_id: None,
        is_of_agents: due_runs::is_deployment_of_agents(conn, id).await?,
        state_timestamp: None,
    };
    let sql = "SELECT id, schedule, active, max_scheduled_runs, parameters, slug, updated \
               FROM deployment_schedule WHERE deployment_id = $1 ORDER BY created, id";
    let schedules: Vec<ScheduleStored> = query(sql).bind(id).fetch_all(conn).await?;
    let schedules = schedules.into_iter().map(|s| ScheduleShown::new(s, now));
    let sql = "SELECT p.name, p.type, q.name, p.is_paused, q.is_paused, q.last_polled, \
                 COALESCE(p.served_until > $2, FALSE) OR COALESCE(q.last_polled > $3, FALSE) \
               FROM deployment d JOIN work_queue q ON q.id = d.work_queue_id JOIN work_pool p ON p.id = q.work_pool_id \
               WHERE d.id = $1";
    let place = query(sql)
        .bind(id)
        .bind(now)
        .bind(since)
        .fetch_optional(conn)
        .await?;
    let queues = explain::queues(conn).await?;
    let queues = queues
        .into_iter()
        .filter(|q| q.filter.takes(&sample))
        .map(|q| QueueRef {
            id: q.row.id,
            name: q.row.name,
            is_paused: q.row.is_paused,
            last_polled: q.row.last_polled,
            is_polled: q.row.last_polled.is_some_and(|at| at > since),
        });
    let flow_runner = RunnerRef {
        kind: full.flow_runner_type.clone(),
        config: full.flow_runner_config.clone(),
    };
    let deployment = DeploymentShown {
        full,
        flow_runner,
        schedules: schedules.collect(),
        place,
    };
    Ok(Some(DeploymentPage {
        deployment,
        flow,
        upcoming,
        upcoming_count,
        recent,
        queues: queues.collect(),
    }))
}

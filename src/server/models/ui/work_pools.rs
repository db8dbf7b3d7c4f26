//! Work pools with their queues, what is due in each, and who polls.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::filters::RUN_TABLES;
use super::flow_runs::{RUN_ROW, RunRow};
use super::row;
use crate::db::{Conn, Result, Value, query};
use crate::schemas::Document;
use crate::schemas::patience::Patience;

/// Runs of each kind that a pool's page shows.
const SHOWN: i64 = 50;
const MOST_POOLS: i64 = 500;
const MOST_DEPLOYMENTS: i64 = 200;

row! {
    PoolBase {
        id: Uuid, name: String, #[serde(rename = "type")] kind: String, description: Option<String>, is_paused: bool,
        concurrency_limit: Option<i64>, default_queue_id: Option<Uuid>, created: DateTime<Utc>,
    }
}

row! {
    /// A worker of a pool, and whether it was heard of lately enough.
    WorkerBase {
        #[serde(skip)] #[schema(ignore)] work_pool_id: Uuid, id: Uuid, name: String,
        last_heartbeat_time: DateTime<Utc>, heartbeat_interval_seconds: i64,
    }
}

/// A worker as a page shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct WorkerRow {
    #[serde(flatten)]
    base: WorkerBase,
    is_online: bool,
}

row! {
    PoolQueueBase {
        id: Uuid, #[serde(skip)] #[schema(ignore)] work_pool_id: Uuid, name: String, description: String, is_paused: bool,
        concurrency_limit: Option<i64>, priority: i64, last_polled: Option<DateTime<Utc>>,
    }
}

/// What waits and runs in a queue or a pool.
#[derive(Debug, Clone, Copy, Default, Serialize, utoipa::ToSchema)]
pub(crate) struct Load {
    due: i64,
    late: i64,
    upcoming: i64,
    active: i64,
}

impl std::iter::Sum for Load {
    fn sum<I: Iterator<Item = Self>>(loads: I) -> Self {
        loads.fold(Self::default(), |a, b| Self {
            due: a.due + b.due,
            late: a.late + b.late,
            upcoming: a.upcoming + b.upcoming,
            active: a.active + b.active,
        })
    }
}

/// A queue of a pool.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct PoolQueueRow {
    #[serde(flatten)]
    base: PoolQueueBase,
    /// Whether somebody asked lately enough.
    is_polled: bool,
    #[serde(flatten)]
    load: Load,
}

/// A work pool as the list shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PoolRow {
    #[serde(flatten)]
    base: PoolBase,
    #[serde(flatten)]
    load: Load,
    /// Workers that were heard of lately enough.
    workers_online: i64,
    queues: i64,
    /// When anybody last asked one of its queues.
    last_polled: Option<DateTime<Utc>>,
    /// Whether a worker is online or somebody asked lately enough.
    is_served: bool,
}

row! { Template { base_job_template: Document } }
row! { PoolDeployment { id: Uuid, name: String, flow_name: String, is_schedule_active: bool, work_queue_name: Option<String> } }

/// The page of a work pool.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PoolPage {
    pool: PoolRow,
    base_job_template: Document,
    queues: Vec<PoolQueueRow>,
    workers: Vec<WorkerRow>,
    runs: Vec<RunRow>,
    running: Vec<RunRow>,
    /// The first of them.
    deployments: Vec<PoolDeployment>,
    deployment_count: i64,
}

/// What belongs to pools, all of it or one pool's.
struct Parts {
    queues: Vec<PoolQueueRow>,
    workers: Vec<WorkerRow>,
}

impl Parts {
    fn row(&self, base: PoolBase) -> PoolRow {
        let queues = self
            .queues
            .iter()
            .filter(|q| q.base.work_pool_id == base.id);
        let workers = self.workers.iter();
        let mine = workers.filter(|w| w.base.work_pool_id == base.id && w.is_online);
        let workers_online = mine.count() as i64;
        PoolRow {
            load: queues.clone().map(|q| q.load).sum(),
            workers_online,
            queues: queues.clone().count() as i64,
            is_served: workers_online > 0 || queues.clone().any(|q| q.is_polled),
            last_polled: queues.filter_map(|q| q.base.last_polled).max(),
            base,
        }
    }
}

const POOL: &str = "SELECT id, name, type, description, is_paused, concurrency_limit, \
     default_queue_id, created FROM work_pool";

/// Lists the work pools.
pub(crate) async fn list(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<PoolRow>> {
    let sql = format!("{POOL} ORDER BY name LIMIT {MOST_POOLS}");
    let pools: Vec<PoolBase> = query(sql).fetch_all(conn).await?;
    let ids = pools.iter().map(|pool| pool.id).collect();
    let parts = parts(conn, ids, now).await?;
    Ok(pools.into_iter().map(|pool| parts.row(pool)).collect())
}

async fn parts(conn: &mut Conn, pools: Vec<Uuid>, now: DateTime<Utc>) -> Result<Parts> {
    let pools = Value::Uuids(pools);
    let sql = "SELECT id, work_pool_id, name, description, is_paused, concurrency_limit, priority, last_polled \
               FROM work_queue WHERE work_pool_id = ANY($1) ORDER BY priority, name";
    let queues: Vec<PoolQueueBase> = query(sql).bind_all([pools.clone()]).fetch_all(conn).await?;
    let loads = loads(conn, queues.iter().map(|q| q.id).collect(), now).await?;
    let queues = queues.into_iter().map(|base| PoolQueueRow {
        load: loads.get(&base.id).copied().unwrap_or_default(),
        is_polled: base
            .last_polled
            .is_some_and(|at| Patience::chosen().is_queue_served(at, now)),
        base,
    });
    let sql = "SELECT work_pool_id, id, name, last_heartbeat_time, heartbeat_interval_seconds \
               FROM worker WHERE work_pool_id = ANY($1) ORDER BY last_heartbeat_time DESC, id LIMIT 1000";
    let workers: Vec<WorkerBase> = query(sql).bind_all([pools]).fetch_all(conn).await?;
    let workers = workers.into_iter().map(|base| WorkerRow {
        is_online: now
            <= Patience::chosen()
                .alive_until(base.last_heartbeat_time, base.heartbeat_interval_seconds),
        base,
    });
    Ok(Parts {
        queues: queues.collect(),
        workers: workers.collect(),
    })
}

row! { QueueLoad { work_queue_id: Uuid, due: i64, late: i64, scheduled: i64, active: i64 } }

/// What waits and runs in each of these queues.
async fn loads(
    conn: &mut Conn,
    queues: Vec<Uuid>,
    now: DateTime<Utc>,
) -> Result<HashMap<Uuid, Load>> {
    let sql = "SELECT work_queue_id, \
                 COUNT(CASE WHEN state_type = 'SCHEDULED' AND next_scheduled_start_time <= $2 THEN 1 END), \
                 COUNT(CASE WHEN state_type = 'SCHEDULED' AND state_name = 'Late' THEN 1 END), \
                 COUNT(CASE WHEN state_type = 'SCHEDULED' THEN 1 END), \
                 COUNT(CASE WHEN state_type <> 'SCHEDULED' THEN 1 END) \
               FROM flow_run WHERE work_queue_id = ANY($1) \
                 AND state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'CANCELLING') GROUP BY work_queue_id";
    let rows: Vec<QueueLoad> = query(sql)
        .bind_all([Value::Uuids(queues), now.into()])
        .fetch_all(conn)
        .await?;
    let load = |row: QueueLoad| Load {
        due: row.due,
        late: row.late,
        upcoming: row.scheduled - row.due,
        active: row.active,
    };
    Ok(rows
        .into_iter()
        .map(|row| (row.work_queue_id, load(row)))
        .collect())
}

/// Reads the page of the pool of a name.
pub(crate) async fn read(
    conn: &mut Conn,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Option<PoolPage>> {
    let sql = format!("{POOL} WHERE name = $1");
    let Some(base) = query(sql)
        .bind(name)
        .fetch_optional::<PoolBase>(conn)
        .await?
    else {
        return Ok(None);
    };
    let id = base.id;
    let template: Template = query("SELECT base_job_template FROM work_pool WHERE id = $1")
        .bind(id)
        .fetch_one(conn)
        .await?;
    let parts = parts(conn, vec![id], now).await?;
    let runs = |condition: &str| {
        let sql = format!(
            "SELECT {RUN_ROW} FROM {RUN_TABLES} WHERE r.work_queue_id IN (SELECT q.id FROM work_queue q WHERE q.work_pool_id = $1) \
             AND {condition} ORDER BY r.expected_start_time, r.id LIMIT {SHOWN}"
        );
        query(sql).bind(id)
    };
    let waiting = runs("r.state_type = 'SCHEDULED'").fetch_all(conn).await?;
    let running = runs("r.state_type IN ('PENDING', 'RUNNING', 'CANCELLING')")
        .fetch_all(conn)
        .await?;
    let sql = format!(
        "SELECT d.id, d.name, f.name, d.is_schedule_active, q.name FROM deployment d \
         JOIN flow f ON f.id = d.flow_id JOIN work_queue q ON q.id = d.work_queue_id \
         WHERE q.work_pool_id = $1 ORDER BY f.name, d.name, d.id LIMIT {MOST_DEPLOYMENTS}"
    );
    let deployments = query(sql).bind(id).fetch_all(conn).await?;
    let sql = "SELECT COUNT(*) FROM deployment d JOIN work_queue q ON q.id = d.work_queue_id WHERE q.work_pool_id = $1";
    let deployment_count = query(sql).bind(id).fetch_one(conn).await?;
    Ok(Some(PoolPage {
        pool: parts.row(base),
        base_job_template: template.base_job_template,
        queues: parts.queues,
        workers: parts.workers,
        runs: waiting,
        running,
        deployments,
        deployment_count,
    }))
}

//! Work queues with what waits in them and who polls them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::filters::RUN_TABLES;
use super::flow_runs::{RUN_ROW, RunRow};
use super::row;
use crate::db::{Conn, Result, Value, query};
use crate::schemas::patience::Patience;
use crate::server::models::explain::{self, Queue, QueueFilter, Waiting};

/// No queue page looks further ahead than this many runs.
const MOST_SCHEDULED: i64 = 20_000;
const SHOWN: usize = 50;

row! {
    /// Who asks a queue for runs.
    Agent { #[serde(skip)] #[schema(ignore)] work_queue_id: Uuid, name: String, last_polled: DateTime<Utc> }
}

/// Who asks a queue, and whether it did so lately enough.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct AgentRow {
    #[serde(flatten)]
    base: Agent,
    is_polling: bool,
}

fn is_fresh(polled: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    Patience::chosen().is_queue_served(polled, now)
}

async fn agents(conn: &mut Conn) -> Result<Vec<Agent>> {
    let sql = "SELECT work_queue_id, agent, last_polled FROM work_queue_poll ORDER BY last_polled DESC LIMIT 10000";
    query(sql).fetch_all(conn).await
}

/// A work queue as the list shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct QueueRow {
    id: Uuid,
    name: String,
    description: String,
    is_paused: bool,
    concurrency_limit: Option<i64>,
    filter: QueueFilter,
    last_polled: Option<DateTime<Utc>>,
    /// Whether somebody asked lately enough.
    is_polled: bool,
    agents: Vec<AgentRow>,
    due: i64,
    upcoming: i64,
    active: i64,
    late: i64,
}

/// A work queue with its runs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct QueuePage {
    #[serde(flatten)]
    row: QueueRow,
    runs: Vec<RunRow>,
    running: Vec<RunRow>,
}

async fn scheduled(conn: &mut Conn) -> Result<Vec<Waiting>> {
    let sql = format!(
        "{} WHERE o.state_type = 'SCHEDULED' AND o.deployment_id IS NOT NULL \
         AND o.next_scheduled_start_time IS NOT NULL ORDER BY o.next_scheduled_start_time LIMIT {MOST_SCHEDULED}",
        explain::waiting()
    );
    query(sql).fetch_all(conn).await
}

fn summary(
    queue: &Queue,
    scheduled: &[&Waiting],
    active: &[&Waiting],
    agents: &[Agent],
    now: DateTime<Utc>,
) -> QueueRow {
    let due = scheduled
        .iter()
        .filter(|r| r.due.is_some_and(|at| at <= now))
        .count() as i64;
    let late = scheduled
        .iter()
        .filter(|r| r.state_name.as_deref() == Some("Late"))
        .count();
    QueueRow {
        id: queue.row.id,
        name: queue.row.name.clone(),
        description: queue.row.description.clone(),
        is_paused: queue.row.is_paused,
        concurrency_limit: queue.row.concurrency_limit,
        filter: queue.filter.clone(),
        last_polled: queue.row.last_polled,
        is_polled: queue.row.last_polled.is_some_and(|at| is_fresh(at, now)),
        agents: agents
            .iter()
            .filter(|a| a.work_queue_id == queue.row.id)
            .map(|agent| AgentRow {
                base: agent.clone(),
                is_polling: is_fresh(agent.last_polled, now),
            })
            .collect(),
        due,
        upcoming: scheduled.len() as i64 - due,
        active: active.len() as i64,
        late: late as i64,
    }
}

/// Lists the work queues.
pub(crate) async fn list(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<QueueRow>> {
    let queues = explain::queues(conn).await?;
    let scheduled = scheduled(conn).await?;
    let active = explain::active(conn).await?;
    let agents = agents(conn).await?;
    let row = |queue: &Queue| {
        let mine = |runs| {
            Vec::from_iter(Iterator::filter(<[Waiting]>::iter(runs), |r| {
                queue.filter.takes(r)
            }))
        };
        summary(queue, &mine(&scheduled), &mine(&active), &agents, now)
    };
    Ok(queues.iter().map(row).collect())
}

/// Reads one work queue with what waits and runs.
pub(crate) async fn read(
    conn: &mut Conn,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<QueuePage>> {
    let queues = explain::queues(conn).await?;
    let Some(queue) = queues.into_iter().find(|q| q.row.id == id) else {
        return Ok(None);
    };
    let scheduled = scheduled(conn).await?;
    let active = explain::active(conn).await?;
    let agents = agents(conn).await?;
    let waiting: Vec<_> = scheduled.iter().filter(|r| queue.filter.takes(r)).collect();
    let holding: Vec<_> = active.iter().filter(|r| queue.filter.takes(r)).collect();
    let ids = |runs: &[&Waiting]| runs.iter().take(SHOWN).map(|r| r.id).collect();
    Ok(Some(QueuePage {
        row: summary(&queue, &waiting, &holding, &agents, now),
        runs: rows(conn, ids(&waiting)).await?,
        running: rows(conn, ids(&holding)).await?,
    }))
}

async fn rows(conn: &mut Conn, ids: Vec<Uuid>) -> Result<Vec<RunRow>> {
    let sql = format!(
        "SELECT {RUN_ROW} FROM {RUN_TABLES} WHERE r.id = ANY($1) ORDER BY r.expected_start_time, r.id"
    );
    query(sql)
        .bind_all([Value::Uuids(ids)])
        .fetch_all(conn)
        .await
}

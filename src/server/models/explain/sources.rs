//! The sources that hand runs out: queues that match by tags, queues of work pools, and programs that serve a
//! deployment.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::db::{Conn, Result, query};
use crate::schemas::Tags;
use crate::server::models::due_runs;
use crate::server::models::ui::row;

/// Which runs a queue hands out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
#[schema(as = QueueTakes)]
pub(crate) struct QueueFilter {
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) deployment_ids: Option<Vec<Uuid>>,
    pub(crate) flow_runner_types: Option<Vec<String>>,
}

impl QueueFilter {
    /// Whether a run is one of the queue's; an empty list asks for nothing.
    pub(crate) fn takes(&self, run: &Waiting) -> bool {
        let Some(deployment) = run.deployment_id.filter(|_| run.is_of_agents) else {
            return false;
        };
        let tags = self.tags.as_deref().unwrap_or_default();
        let deployments = self.deployment_ids.as_deref().unwrap_or_default();
        let runners = self.flow_runner_types.as_deref().unwrap_or_default();
        let runner = run.flow_runner_type.as_ref();
        tags.iter().all(|tag| run.tags.0.contains(tag))
            && (deployments.is_empty() || deployments.contains(&deployment))
            && (runners.is_empty() || runner.is_some_and(|kind| runners.contains(kind)))
    }
}

row! {
    /// A run with what decides whether a queue takes it.
    Waiting {
        id: Uuid, name: String, state_type: Option<String>, state_name: Option<String>,
        due: Option<DateTime<Utc>>, deployment_id: Option<Uuid>, tags: Tags, flow_runner_type: Option<String>,
        work_queue_id: Option<Uuid>, is_of_agents: bool, state_timestamp: Option<DateTime<Utc>>,
    }
}

row! {
    /// Late runs that wait for the same, and since when the oldest of them does.
    LateRuns {
        count: i64, since: Option<DateTime<Utc>>, deployment_id: Option<Uuid>, tags: Tags,
        flow_runner_type: Option<String>, work_queue_id: Option<Uuid>, is_of_agents: bool,
    }
}

impl LateRuns {
    /// Counts them all: there may be as many as there are runs, and none may be left out of the sum.
    pub(super) async fn read(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<Self>> {
        let is_of_agents = due_runs::of_agents("o.work_queue_id", "o.deployment_id");
        let due = "COALESCE(next_scheduled_start_time, expected_start_time)";
        let sql = format!(
            "SELECT o.runs, o.since, o.deployment_id, o.tags, o.flow_runner_type, o.work_queue_id, {is_of_agents} \
             FROM (SELECT COUNT(*) AS runs, MIN({due}) AS since, deployment_id, tags, flow_runner_type, work_queue_id \
               FROM flow_run WHERE state_type = 'SCHEDULED' AND state_name = 'Late' AND {due} <= $1 \
               GROUP BY deployment_id, tags, flow_runner_type, work_queue_id) o"
        );
        query(sql).bind(now).fetch_all(conn).await
    }

    /// One that stands for all of them.
    pub(super) fn example(&self) -> Waiting {
        Waiting {
            id: Uuid::nil(),
            name: String::new(),
            state_type: Some("SCHEDULED".to_owned()),
            state_name: Some("Late".to_owned()),
            due: self.since,
            deployment_id: self.deployment_id,
            tags: self.tags.clone(),
            flow_runner_type: self.flow_runner_type.clone(),
            work_queue_id: self.work_queue_id,
            is_of_agents: self.is_of_agents,
            state_timestamp: None,
        }
    }
}

/// Selects runs as [`Waiting`]; what follows names the table `o`.
pub(crate) fn waiting() -> String {
    let is_of_agents = due_runs::of_agents("o.work_queue_id", "o.deployment_id");
    format!(
        "SELECT o.id, o.name, o.state_type, o.state_name, COALESCE(o.next_scheduled_start_time, o.expected_start_time), \
           o.deployment_id, o.tags, o.flow_runner_type, o.work_queue_id, {is_of_agents}, o.state_timestamp FROM flow_run o"
    )
}

row! {
    QueueText {
        id: Uuid, name: String, description: String, is_paused: bool, concurrency_limit: Option<i64>,
        filter: String, last_polled: Option<DateTime<Utc>>,
    }
}

/// A work queue with its filter read.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) row: QueueText,
    pub(crate) filter: QueueFilter,
}

/// Reads every queue.
pub(crate) async fn queues(conn: &mut Conn) -> Result<Vec<Queue>> {
    let sql = "SELECT id, name, description, is_paused, concurrency_limit, filter, last_polled \
               FROM work_queue WHERE filter IS NOT NULL ORDER BY name";
    let rows: Vec<QueueText> = query(sql).fetch_all(conn).await?;
    let read = |row: QueueText| Queue {
        filter: serde_json::from_str(&row.filter).unwrap_or_default(),
        row,
    };
    Ok(rows.into_iter().map(read).collect())
}

row! {
    /// A queue of a work pool, with what its pool says.
    PoolQueue {
        id: Uuid, name: String, is_paused: bool, concurrency_limit: Option<i64>, last_polled: Option<DateTime<Utc>>,
        pool_id: Uuid, pool: String, pool_type: String, pool_is_paused: bool, pool_limit: Option<i64>, served_until: Option<DateTime<Utc>>,
    }
}

row! {
    /// A deployment that is served by a program of its own, without any queue.
    Served { id: Uuid, name: String, last_polled: Option<DateTime<Utc>> }
}

/// Everything that may hand a run to somebody who runs it, and what occupies their limits.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) queues: Vec<Queue>,
    pub(super) pool_queues: Vec<PoolQueue>,
    pub(super) served: Vec<Served>,
    /// Runs that occupy a place in a limit.
    pub(super) active: Vec<Waiting>,
}

impl Sources {
    /// Reads them all.
    pub(super) async fn read(conn: &mut Conn) -> Result<Self> {
        let sql = "SELECT q.id, q.name, q.is_paused, q.concurrency_limit, q.last_polled, \
                     p.id, p.name, p.type, p.is_paused, p.concurrency_limit, p.served_until \
                   FROM work_queue q JOIN work_pool p ON p.id = q.work_pool_id";
        let pool_queues = query(sql).fetch_all(conn).await?;
        let sql = "SELECT id, name, last_polled FROM deployment \
                   WHERE work_queue_id IS NULL AND last_polled IS NOT NULL AND flow_data IS NULL ORDER BY last_polled DESC LIMIT 10000";
        let served = query(sql).fetch_all(conn).await?;
        Ok(Sources {
            queues: queues(conn).await?,
            pool_queues,
            served,
            active: active(conn).await?,
        })
    }

    /// Returns the active runs of a queue.
    pub(super) fn active_in_queue(&self, queue: Uuid) -> impl Iterator<Item = &Waiting> {
        let active = self.active.iter();
        active.filter(move |run| run.work_queue_id == Some(queue))
    }

    /// Returns the active runs of all queues of a work pool.
    pub(super) fn active_in_pool(&self, pool: Uuid) -> impl Iterator<Item = &Waiting> {
        let pool_queues = self.pool_queues.iter();
        let queues = pool_queues.filter(move |queue| queue.pool_id == pool);
        queues.flat_map(|queue| self.active_in_queue(queue.id))
    }
}

/// Reads the runs of deployments that occupy a place in a limit.
pub(crate) async fn active(conn: &mut Conn) -> Result<Vec<Waiting>> {
    let sql = format!(
        "{} WHERE o.state_type IN ('PENDING', 'RUNNING') AND o.deployment_id IS NOT NULL LIMIT 10000",
        waiting()
    );
    query(sql).fetch_all(conn).await
}

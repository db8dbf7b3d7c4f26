//! The runs that are due, as queues and the programs that serve a deployment are given them, and
//! whether one of them may be claimed.

use chrono::{DateTime, Utc};

use super::flow_runs::SELECT;
use super::work_pools::Due;
use crate::db::{Conn, Dialect, Result, Value, query};
use crate::schemas::flow_runs::FlowRun;
use crate::schemas::work_pools::DEFAULT_AGENT_POOL;
use crate::schemas::work_queues::WorkQueue;
use crate::schemas::{DeploymentId, Dialect as Generation, FlowRunId, WorkPoolId, WorkQueueId};
use crate::server::orchestration::RetryType;

/// Returns the condition that nobody has a run: one that has failed and has tries left is tried again by the process
/// that has it; one that somebody retries after its end is anybody's.
fn unclaimed(dialect: Dialect) -> String {
    let retry_type = dialect.label("o.empirical_policy", "'retry_type'");
    let in_process = RetryType::InProcess.as_str();
    format!(
        "NOT (o.state_name = 'AwaitingRetry' AND o.run_count > 0 AND COALESCE({retry_type}, '') = '{in_process}')"
    )
}

/// Returns the runs that a work queue gives before an instant, the earliest first.
///
/// A queue with a concurrency limit gives no more than what is left of it; the count is of one
/// moment, so it is counted again when a run is claimed, see [`why_not_claimed`].
///
/// A queue with a filter crosses generations, whose agents find code in different ways: each is given
/// what it can run, by what `asker` speaks.
pub async fn of_work_queue(
    conn: &mut Conn,
    queue: &WorkQueue,
    asker: Generation,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<FlowRun>> {
    if queue.is_paused {
        return Ok(Vec::new());
    }
    let (condition, values) = taken_by(queue, conn.dialect());
    let mut limit = limit;
    if let Some(most) = queue.concurrency_limit {
        let busy = busy(conn, &condition, values.clone()).await?;
        limit = limit.min((most - busy).max(0));
    }
    let n = values.len();
    let runnable = match queue.filter {
        Some(_) => runnable_by(asker),
        None => "",
    };
    let sql = format!(
        "{SELECT} WHERE o.state_type = 'SCHEDULED' AND o.next_scheduled_start_time <= ${} AND {condition} \
         AND {}{runnable} \
         ORDER BY o.next_scheduled_start_time, o.id LIMIT ${}",
        n + 1,
        unclaimed(conn.dialect()),
        n + 2
    );
    query(sql)
        .bind_all(values)
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await
}

/// Returns the condition that agents of a generation can find the code of a run.
fn runnable_by(asker: Generation) -> &'static str {
    match asker {
        Generation::B => {
            " AND EXISTS (SELECT 1 FROM deployment d WHERE d.id = o.deployment_id AND d.flow_data IS NOT NULL)"
        }
        Generation::Two => {
            " AND EXISTS (SELECT 1 FROM deployment d WHERE d.id = o.deployment_id AND d.entrypoint IS NOT NULL)"
        }
        // Only our own agents ask so, which run all of them.
        Generation::Three => "",
    }
}

async fn busy(conn: &mut Conn, condition: &str, values: Vec<Value>) -> Result<i64> {
    let sql = format!(
        "SELECT COUNT(*) FROM flow_run o WHERE o.state_type IN ('PENDING', 'RUNNING') AND {condition}"
    );
    query(sql).bind_all(values).fetch_one(conn).await
}

/// Says why an agent may not claim a run through a queue now; nothing if it may.
///
/// Agents hold runs ahead of their time, and several are given the same slot at once; of their
/// claims only as many succeed as there are slots. On PostgreSQL the queue is locked meanwhile.
pub async fn why_not_claimed(
    conn: &mut Conn,
    queue: WorkQueueId,
    id: FlowRunId,
) -> Result<Option<String>> {
    let Some(queue) = super::work_queues::read_locked(conn, queue).await? else {
        return Ok(Some("The work queue is gone.".to_owned()));
    };
    if queue.is_paused {
        return Ok(Some(format!("Work queue '{}' is paused.", queue.name)));
    }
    if let Some(pool) = queue.work_pool_id
        && let Some(reason) = why_not_of_pool(conn, pool, id).await?
    {
        return Ok(Some(reason));
    }
    let Some(most) = queue.concurrency_limit else {
        return Ok(None);
    };
    let (mut condition, mut values) = taken_by(&queue, conn.dialect());
    values.push(id.into());
    // One that is claimed already is judged by the policy.
    condition.push_str(&format!(" AND o.id <> ${}", values.len()));
    let busy = busy(conn, &condition, values).await?;
    Ok((busy >= most).then(|| {
        format!(
            "The limit of work queue '{}', {most} runs at once, is reached.",
            queue.name
        )
    }))
}

/// Says why a run of a pool may not be claimed now, whatever its queue says.
async fn why_not_of_pool(
    conn: &mut Conn,
    pool: WorkPoolId,
    id: FlowRunId,
) -> Result<Option<String>> {
    let lock = conn.dialect().for_update("work_pool");
    let sql = format!(
        "SELECT work_pool.name, work_pool.is_paused, work_pool.concurrency_limit FROM work_pool \
         WHERE work_pool.id = $1 AND (work_pool.is_paused OR work_pool.concurrency_limit IS NOT NULL){lock}"
    );
    let bounded: Option<(String, bool, Option<i64>)> =
        query(sql).bind(pool).fetch_optional(conn).await?;
    let Some((name, is_paused, limit)) = bounded else {
        return Ok(None);
    };
    if is_paused {
        return Ok(Some(format!("Work pool '{name}' is paused.")));
    }
    let Some(most) = limit else {
        return Ok(None);
    };
    let sql = "SELECT COUNT(*) FROM flow_run r JOIN work_queue q ON q.id = r.work_queue_id \
               WHERE q.work_pool_id = $1 AND r.id <> $2 \
               AND r.state_type IN ('PENDING', 'RUNNING', 'CANCELLING')";
    let busy: i64 = query(sql).bind(pool).bind(id).fetch_one(conn).await?;
    Ok((busy >= most)
        .then(|| format!("The limit of work pool '{name}', {most} runs at once, is reached.")))
}

/// Returns the condition that a queue with a filter may take a run, or the runs of a deployment.
///
/// What waits in another work pool is for the pool's workers, which may run it elsewhere; what a
/// program serves, that program alone can run. Genuine servers hand both to whoever asks first.
pub(super) fn of_agents(work_queue_id: &str, deployment_id: &str) -> String {
    format!(
        "CASE WHEN {work_queue_id} IS NULL \
         THEN NOT EXISTS (SELECT 1 FROM deployment served WHERE served.id = {deployment_id} \
           AND served.last_polled IS NOT NULL AND served.flow_data IS NULL) \
         ELSE NOT EXISTS (SELECT 1 FROM work_queue inner_queue JOIN work_pool pool ON pool.id = inner_queue.work_pool_id \
           WHERE inner_queue.id = {work_queue_id} AND pool.name <> '{DEFAULT_AGENT_POOL}') END"
    )
}

/// Whether queues with a filter may take the runs of a deployment.
pub(super) async fn is_deployment_of_agents(conn: &mut Conn, id: uuid::Uuid) -> Result<bool> {
    let condition = of_agents("o.work_queue_id", "o.id");
    let sql = format!("SELECT {condition} FROM deployment o WHERE o.id = $1");
    query(sql).bind(id).fetch_one(conn).await
}

/// Returns the condition that runs of a queue meet, with the values it binds.
fn taken_by(queue: &WorkQueue, dialect: Dialect) -> (String, Vec<Value>) {
    let Some(filter) = &queue.filter else {
        return ("o.work_queue_id = $1".to_owned(), vec![queue.id.into()]);
    };
    let mut conditions = vec![
        "o.deployment_id IS NOT NULL".to_owned(),
        of_agents("o.work_queue_id", "o.deployment_id"),
    ];
    let mut values = Vec::new();
    if let Some(tags) = filter.tags.as_ref().filter(|tags| !tags.is_empty()) {
        values.push(Value::from(tags.clone()));
        conditions.push(dialect.list_contains_all("o.tags", values.len()));
    }
    if let Some(ids) = filter.deployment_ids.as_ref().filter(|ids| !ids.is_empty()) {
        values.push(Value::Uuids(ids.iter().map(|id| id.0).collect()));
        conditions.push(format!("o.deployment_id = ANY(${})", values.len()));
    }
    if let Some(types) = filter
        .flow_runner_types
        .as_ref()
        .filter(|types| !types.is_empty())
    {
        values.push(Value::from(types.clone()));
        conditions.push(format!("o.flow_runner_type = ANY(${})", values.len()));
    }
    (conditions.join(" AND "), values)
}

/// Returns the due runs that name a queue, the earliest first.
pub async fn of_queue_in_pool(
    conn: &mut Conn,
    queue: WorkQueueId,
    due: Due,
    limit: i64,
) -> Result<Vec<FlowRun>> {
    of(conn, "o.work_queue_id = $1", queue.into(), due, limit).await
}

/// Returns the due runs of deployments, the earliest first.
pub async fn of_deployments(
    conn: &mut Conn,
    ids: &[DeploymentId],
    due: Due,
) -> Result<Vec<FlowRun>> {
    let ids = Value::Uuids(ids.iter().map(|id| id.0).collect());
    of(conn, "o.deployment_id = ANY($1)", ids, due, due.limit).await
}

async fn of(
    conn: &mut Conn,
    condition: &str,
    value: Value,
    due: Due,
    limit: i64,
) -> Result<Vec<FlowRun>> {
    let mut values = vec![value, due.before.into(), limit.into()];
    let mut after = "";
    if let Some(at) = due.after {
        values.push(at.into());
        after = " AND o.next_scheduled_start_time > $4";
    }
    let unclaimed = unclaimed(conn.dialect());
    let sql = format!(
        "{SELECT} WHERE {condition} AND o.state_type = 'SCHEDULED' \
         AND o.next_scheduled_start_time <= $2{after} AND {unclaimed} \
         ORDER BY o.next_scheduled_start_time, o.id LIMIT $3"
    );
    query(sql).bind_all(values).fetch_all(conn).await
}

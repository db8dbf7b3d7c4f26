//! Taking slots of concurrency limits and giving them back.
//!
//! There is one store for all who do: task runs whose tags are limited, clients with leases, and
//! clients that only count. Who takes slots for a while holds a lease; one without an end belongs to
//! a run that the server itself moves, and is given back when the run leaves its state.
//!
//! Limits are locked before leases and in the order of their names, everywhere. Whoever deletes
//! the row of a lease gives its slots back, so that they come back once whatever races.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{global_concurrency_limits as limits, states};
use crate::db::{Conn, Result, Value, query};
use crate::schemas::global_concurrency_limits::{GlobalConcurrencyLimit, Holder, HolderType, Mode};
use crate::schemas::{ConcurrencyLimitId, FlowRunId};

/// What somebody wants.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The names of the limits; those without a limit do not count.
    pub names: Vec<String>,
    /// How many slots of each.
    pub slots: i64,
    /// How they are given back.
    pub mode: Mode,
    /// The lease to hold them by.
    pub lease: Option<Term>,
}

/// How long slots are held, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Term {
    /// Until when, unless renewed; none holds them until they are given back.
    pub expires: Option<DateTime<Utc>>,
    /// Who holds them.
    pub holder: Option<Holder>,
}

/// What came of a claim.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The slots are taken.
    Taken {
        /// The lease, where one was asked for.
        lease: Option<Uuid>,
        /// The limits that count.
        limits: Vec<GlobalConcurrencyLimit>,
    },
    /// Not now; ask again after so many seconds.
    Full {
        /// How long to wait.
        retry_after_seconds: f64,
    },
    /// More than there ever are.
    TooMany,
    /// These limits have no decay, so nobody would give the slots back.
    NoDecay(Vec<String>),
}

/// Takes slots of all the limits, or of none.
pub async fn take(conn: &mut Conn, claim: Claim, now: DateTime<Utc>) -> Result<Answer> {
    let names: BTreeSet<String> = claim.names.into_iter().collect();
    let found = limits::lock_by_names(conn, names.into_iter().collect()).await?;
    let mut counting: Vec<_> = found.iter().filter(|limit| limit.active).cloned().collect();
    for limit in &mut counting {
        limit.settle(now);
    }
    if counting.iter().any(|limit| claim.slots > limit.limit) {
        return Ok(Answer::TooMany);
    }
    if claim.mode == Mode::RateLimit {
        let steady = counting
            .iter()
            .filter(|limit| limit.slot_decay_per_second <= 0.0);
        let steady: Vec<String> = steady.map(|limit| limit.name.clone()).collect();
        if !steady.is_empty() {
            return Ok(Answer::NoDecay(steady));
        }
    }
    if counting.iter().any(|limit| !limit.has_room(claim.slots)) {
        return refuse(conn, counting, claim.slots, now).await;
    }
    for limit in &mut counting {
        limit.take(claim.slots);
        limits::save(conn, limit, now).await?;
    }
    let lease = match claim.lease {
        // What time gives back is not given back a second time when the lease ends.
        Some(term) => {
            let held: &[_] = match claim.mode {
                Mode::Concurrency => &counting,
                Mode::RateLimit => &[],
            };
            Some(lease(conn, held, claim.slots, term, now).await?)
        }
        None => None,
    };
    Ok(Answer::Taken {
        lease,
        limits: found,
    })
}

/// Notes that slots were refused, so that whoever comes later waits longer.
async fn refuse(
    conn: &mut Conn,
    full: Vec<GlobalConcurrencyLimit>,
    slots: i64,
    now: DateTime<Utc>,
) -> Result<Answer> {
    let mut retry_after_seconds: f64 = 0.0;
    for mut limit in full.into_iter().filter(|limit| !limit.has_room(slots)) {
        retry_after_seconds = retry_after_seconds.max(limit.wait_seconds(slots));
        limit.denied_slots += slots as f64;
        limits::save(conn, &limit, now).await?;
    }
    Ok(Answer::Full {
        retry_after_seconds,
    })
}

async fn lease(
    conn: &mut Conn,
    held: &[GlobalConcurrencyLimit],
    slots: i64,
    term: Term,
    now: DateTime<Utc>,
) -> Result<Uuid> {
    let id = Uuid::now_v7();
    lease_as(conn, id, held, slots, term, now).await?;
    Ok(id)
}

async fn lease_as(
    conn: &mut Conn,
    id: Uuid,
    held: &[GlobalConcurrencyLimit],
    slots: i64,
    term: Term,
    now: DateTime<Utc>,
) -> Result<()> {
    let sql = "INSERT INTO concurrency_lease (id, created, expires, slots, holder_type, holder_id) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    query(sql)
        .bind(id)
        .bind(now)
        .bind(term.expires)
        .bind(slots)
        .bind(
            term.holder
                .map(|holder| holder.holder_type.as_str().to_owned()),
        )
        .bind(term.holder.map(|holder| holder.id))
        .execute(conn)
        .await?;
    for limit in held {
        let sql = "INSERT INTO concurrency_lease_limit (lease_id, limit_id) VALUES ($1, $2)";
        query(sql).bind(id).bind(limit.id).execute(conn).await?;
    }
    Ok(())
}

/// Gives a flow run a slot of a limit, which is locked, under a lease of this id.
pub async fn hold_for_flow_run(
    conn: &mut Conn,
    run: FlowRunId,
    lease: Uuid,
    mut limit: GlobalConcurrencyLimit,
    expires: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<()> {
    limit.settle(now);
    limit.take(1);
    limits::save(conn, &limit, now).await?;
    let holder = Holder {
        holder_type: HolderType::FlowRun,
        id: run.0,
    };
    let term = Term {
        expires,
        holder: Some(holder),
    };
    lease_as(conn, lease, &[limit], 1, term, now).await
}

/// Sets when a lease ends; none is when it is given back.
pub async fn extend(conn: &mut Conn, lease: Uuid, expires: Option<DateTime<Utc>>) -> Result<()> {
    query("UPDATE concurrency_lease SET expires = $2 WHERE id = $1")
        .bind(lease)
        .bind(expires)
        .execute(conn)
        .await
        .map(drop)
}

/// Tells whether there is a lease, and keeps it from ending meanwhile.
pub async fn is_held(conn: &mut Conn, lease: Uuid) -> Result<bool> {
    let lock = conn.dialect().for_update("concurrency_lease");
    let sql = format!("SELECT id FROM concurrency_lease WHERE id = $1{lock}");
    let found: Option<Uuid> = query(sql).bind(lease).fetch_optional(conn).await?;
    Ok(found.is_some())
}

/// Gives slots back that are held by no lease.
pub async fn give_back(
    conn: &mut Conn,
    names: Vec<String>,
    slots: i64,
    held_seconds: Option<f64>,
    now: DateTime<Utc>,
) -> Result<Vec<GlobalConcurrencyLimit>> {
    let names: BTreeSet<String> = names.into_iter().collect();
    let found = limits::lock_by_names(conn, names.into_iter().collect()).await?;
    for limit in found.iter().filter(|limit| limit.active) {
        let mut limit = limit.clone();
        limit.settle(now);
        limit.give_back(slots, held_seconds);
        limits::save(conn, &limit, now).await?;
    }
    Ok(found)
}

/// Makes a lease end later; tells whether it is still there.
pub async fn renew(conn: &mut Conn, lease: Uuid, expires: DateTime<Utc>) -> Result<bool> {
    let sql = "UPDATE concurrency_lease SET expires = $2 WHERE id = $1 AND expires IS NOT NULL";
    Ok(query(sql).bind(lease).bind(expires).execute(conn).await? == 1)
}

/// Ends a lease and gives its slots back; none if there is no such lease, else the limits.
pub async fn end(
    conn: &mut Conn,
    lease: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Vec<ConcurrencyLimitId>>> {
    end_if(conn, lease, None, now).await
}

/// Ends a lease that has run out; a renewal that came first keeps it.
pub async fn repossess(
    conn: &mut Conn,
    lease: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Vec<ConcurrencyLimitId>>> {
    end_if(conn, lease, Some(now), now).await
}

async fn end_if(
    conn: &mut Conn,
    lease: Uuid,
    expired_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Option<Vec<ConcurrencyLimitId>>> {
    let of_lease = "SELECT limit_id FROM concurrency_lease_limit WHERE lease_id = $1";
    let ids: Vec<Uuid> = query(of_lease).bind(lease).fetch_all(conn).await?;
    let locked = limits::lock_by_ids(conn, ids).await?;
    // What another server has given back meanwhile is not in the list any more.
    let still: Vec<Uuid> = query(of_lease).bind(lease).fetch_all(conn).await?;
    let sql = "DELETE FROM concurrency_lease WHERE id = $1 AND ($2 IS NULL OR expires <= $2) \
               RETURNING slots, created";
    let ended: Option<(i64, DateTime<Utc>)> = query(sql)
        .bind(lease)
        .bind(expired_at)
        .fetch_optional(conn)
        .await?;
    let Some((slots, since)) = ended else {
        return Ok(None);
    };
    let mut freed = Vec::with_capacity(locked.len());
    for limit in locked
        .into_iter()
        .filter(|limit| still.contains(&limit.id.0))
    {
        freed.push(limit.id);
        free(conn, limit, slots, since, now).await?;
    }
    Ok(Some(freed))
}

async fn free(
    conn: &mut Conn,
    mut limit: GlobalConcurrencyLimit,
    slots: i64,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    limit.settle(now);
    let held = (now - since).max(TimeDelta::zero()).as_seconds_f64();
    limit.give_back(slots, Some(held));
    limits::save(conn, &limit, now).await
}

/// Returns leases that have run out, the oldest first.
pub async fn list_expired(conn: &mut Conn, now: DateTime<Utc>, most: i64) -> Result<Vec<Uuid>> {
    let sql = "SELECT id FROM concurrency_lease WHERE expires <= $1 ORDER BY expires LIMIT $2";
    query(sql).bind(now).bind(most).fetch_all(conn).await
}

/// Returns when the next lease runs out.
pub async fn next_expiry(conn: &mut Conn) -> Result<Option<DateTime<Utc>>> {
    let sql =
        "SELECT expires FROM concurrency_lease WHERE expires IS NOT NULL ORDER BY expires LIMIT 1";
    query(sql).fetch_optional(conn).await
}

/// Returns which of the limits a task run holds a slot of.
pub async fn held_by_task_run(conn: &mut Conn, run: Uuid) -> Result<Vec<ConcurrencyLimitId>> {
    let sql = "SELECT h.limit_id FROM concurrency_lease c JOIN concurrency_lease_limit h ON h.lease_id = c.id \
               WHERE c.holder_id = $1 AND c.holder_type = 'task_run'";
    let ids: Vec<Uuid> = query(sql).bind(run).fetch_all(conn).await?;
    Ok(ids.into_iter().map(ConcurrencyLimitId).collect())
}

/// Gives a task run one slot of each limit, as long as it does not give them back; the limits are
/// locked, and it holds none of them.
pub async fn hold(
    conn: &mut Conn,
    run: Uuid,
    locked: Vec<GlobalConcurrencyLimit>,
    now: DateTime<Utc>,
) -> Result<()> {
    if locked.is_empty() {
        return Ok(());
    }
    for limit in &locked {
        let mut limit = limit.clone();
        limit.settle(now);
        limit.take(1);
        limits::save(conn, &limit, now).await?;
    }
    let holder = Holder {
        holder_type: HolderType::TaskRun,
        id: run,
    };
    let term = Term {
        expires: None,
        holder: Some(holder),
    };
    lease(conn, &locked, 1, term, now).await.map(drop)
}

/// Ends every lease of a task run and returns the limits that have more room now.
pub async fn end_all_of_task_run(
    conn: &mut Conn,
    run: Uuid,
    now: DateTime<Utc>,
) -> Result<Vec<ConcurrencyLimitId>> {
    let sql = "SELECT id FROM concurrency_lease WHERE holder_id = $1 AND holder_type = 'task_run' ORDER BY id";
    let leases: Vec<Uuid> = query(sql).bind(run).fetch_all(conn).await?;
    let mut freed = Vec::new();
    for lease in leases {
        freed.extend(end(conn, lease, now).await?.unwrap_or_default());
    }
    Ok(freed)
}

/// Gives back all that runs hold which are about to be deleted: these flow runs and their task runs.
///
/// Nobody could afterwards, since a lease without an end is given back by its run alone. The runs are
/// locked first, so that none of them takes a slot meanwhile.
pub async fn end_all_of_deleted(
    conn: &mut Conn,
    flow_runs: &[Uuid],
    now: DateTime<Utc>,
) -> Result<()> {
    let runs = || Value::Uuids(flow_runs.to_vec());
    for (table, column) in [("flow_run", "id"), ("task_run", "flow_run_id")] {
        states::lock_all(conn, table, column, runs()).await?;
    }
    // From the leases, which are few, to their runs, which may be very many.
    let sql = "SELECT c.id FROM concurrency_lease c \
               LEFT JOIN task_run t ON t.id = c.holder_id AND c.holder_type = 'task_run' \
               WHERE (c.holder_type = 'flow_run' AND c.holder_id = ANY($1)) OR t.flow_run_id = ANY($1) \
               ORDER BY c.id";
    let leases: Vec<Uuid> = query(sql).bind_all([runs()]).fetch_all(conn).await?;
    for lease in leases {
        end(conn, lease, now).await?;
    }
    Ok(())
}

/// Takes the slots of some limits, which are locked, back from a task run.
pub async fn leave(
    conn: &mut Conn,
    run: Uuid,
    locked: Vec<GlobalConcurrencyLimit>,
    now: DateTime<Utc>,
) -> Result<()> {
    let sql = "SELECT c.id, c.slots, c.created FROM concurrency_lease c \
               JOIN concurrency_lease_limit h ON h.lease_id = c.id \
               WHERE c.holder_id = $1 AND c.holder_type = 'task_run' AND h.limit_id = $2";
    for limit in locked {
        let held: Vec<(Uuid, i64, DateTime<Utc>)> =
            query(sql).bind(run).bind(limit.id).fetch_all(conn).await?;
        for (lease, slots, since) in held {
            let sql = "DELETE FROM concurrency_lease_limit WHERE lease_id = $1 AND limit_id = $2";
            query(sql).bind(lease).bind(limit.id).execute(conn).await?;
            free(conn, limit.clone(), slots, since, now).await?;
        }
    }
    forget_empty(conn, run).await
}

/// Deletes what a task run holds without an end and without a limit.
async fn forget_empty(conn: &mut Conn, run: Uuid) -> Result<()> {
    let sql = "DELETE FROM concurrency_lease WHERE holder_id = $1 AND expires IS NULL \
               AND NOT EXISTS (SELECT 1 FROM concurrency_lease_limit h WHERE h.lease_id = concurrency_lease.id)";
    query(sql).bind(run).execute(conn).await.map(drop)
}

/// Replaces everybody who holds slots of a limit, which is locked, by these task runs.
pub async fn replace(
    conn: &mut Conn,
    mut limit: GlobalConcurrencyLimit,
    runs: &[Uuid],
    now: DateTime<Utc>,
) -> Result<()> {
    let before = holders(conn, &[limit.id]).await?;
    query("DELETE FROM concurrency_lease_limit WHERE limit_id = $1")
        .bind(limit.id)
        .execute(conn)
        .await?;
    for (_, run) in before {
        forget_empty(conn, run).await?;
    }
    limit.settle(now);
    limit.active_slots = 0.0;
    limits::save(conn, &limit, now).await?;
    let runs: BTreeSet<Uuid> = runs.iter().copied().collect();
    for run in runs {
        let held = limits::lock_by_ids(conn, vec![limit.id.0]).await?;
        hold(conn, run, held, now).await?;
    }
    Ok(())
}

/// Returns the task runs that hold slots of limits, in the order in which they took them.
pub async fn holders(conn: &mut Conn, ids: &[ConcurrencyLimitId]) -> Result<Vec<(Uuid, Uuid)>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT h.limit_id, c.holder_id FROM concurrency_lease_limit h \
               JOIN concurrency_lease c ON c.id = h.lease_id \
               WHERE h.limit_id = ANY($1) AND c.holder_type = 'task_run' AND c.holder_id IS NOT NULL \
               ORDER BY c.created, c.id";
    query(sql)
        .bind_all([Value::Uuids(ids.iter().map(|id| id.0).collect())])
        .fetch_all(conn)
        .await
}

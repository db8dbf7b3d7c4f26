//! The limits of deployments on their runs, and the slots that runs hold of them.
//!
//! A run's row is locked before its deployment's limit, and that before a lease, as everywhere.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::global_concurrency_limits::{self as limits, Which};
use super::slots;
use crate::db::{Conn, Result, query};
use crate::schemas::deployment_limits::{CollisionStrategy, ConcurrencyOptions, own_name};
use crate::schemas::global_concurrency_limits::{LimitCreate, LimitUpdate};
use crate::schemas::{ConcurrencyLimitId, DeploymentId, Document, FlowRunId, State, StateType};
use crate::server::orchestration::DeploymentLimit;
use crate::server::orchestration::policy::Policy;

/// How slots of deployments' limits are given to the runs of a client.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long a lease lasts whose deployment says nothing.
    pub lease: TimeDelta,
    /// After how long a run that found no slot looks again.
    pub wait: TimeDelta,
    /// Whether the client renews the leases of its runs.
    pub client_renews: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lease: TimeDelta::seconds(300),
            wait: TimeDelta::seconds(30),
            client_renews: false,
        }
    }
}

type Limited = (ConcurrencyLimitId, Option<Document>);

/// Tells whether a transition needs a slot or could lose one.
fn concerns(policy: Policy, from: Option<&State>, to: StateType) -> bool {
    use StateType::{Cancelling, Pending, Running, Scheduled};
    let from = from.map(|state| state.state_type);
    match (policy, to) {
        (Policy::Minimal, _) => false,
        (Policy::MarkLate, to) => to == Scheduled,
        (Policy::Core(_), Pending) => !matches!(from, Some(Pending | Running | Cancelling)),
        (Policy::Core(_), Running) => from == Some(Pending),
        (Policy::Core(_), _) => false,
    }
}

/// Returns what rules ask about the limit of a run's deployment, which is held until the write ends;
/// none where the deployment has none or the transition needs none.
pub async fn fact(
    conn: &mut Conn,
    deployment: Option<DeploymentId>,
    current: Option<&State>,
    to: StateType,
    policy: Policy,
    terms: &Terms,
    now: DateTime<Utc>,
) -> Result<Option<DeploymentLimit>> {
    let lease = current.and_then(|state| state.state_details.deployment_concurrency_lease_id);
    let needs_lease = to == StateType::Running;
    let Some(deployment) = deployment.filter(|_| concerns(policy, current, to)) else {
        return Ok(None);
    };
    if needs_lease && lease.is_none() {
        return Ok(None);
    }
    let Some((id, options)) = limited(conn, deployment).await? else {
        return Ok(None);
    };
    let which = Which::Id(id);
    // Marking takes no slot, and one write marks runs of many deployments.
    let limit = match policy {
        Policy::MarkLate => limits::read(conn, &which).await?,
        Policy::Core(_) | Policy::Minimal => limits::lock(conn, &which).await?,
    };
    let Some(mut limit) = limit else {
        return Ok(None);
    };
    // A limit that is switched off bounds nobody.
    if !limit.active {
        return Ok(None);
    }
    limit.settle(now);
    let options: ConcurrencyOptions = options
        .and_then(|options| options.read().ok())
        .unwrap_or_default();
    let is_held = match lease {
        Some(lease) if needs_lease => slots::is_held(conn, lease).await?,
        _ => false,
    };
    let grace = options.grace_period_seconds.map(TimeDelta::seconds);
    Ok(Some(DeploymentLimit {
        limit: limit.limit,
        has_room: limit.has_room(1),
        is_held,
        cancels_new: options.collision_strategy == CollisionStrategy::CancelNew,
        retry_at: now + terms.wait,
        next_lease: Uuid::now_v7(),
        lease_until: now + grace.unwrap_or(terms.lease),
        client_renews: terms.client_renews,
    }))
}

async fn limited(conn: &mut Conn, deployment: DeploymentId) -> Result<Option<Limited>> {
    let sql = "SELECT concurrency_limit_id, concurrency_options FROM deployment \
               WHERE id = $1 AND concurrency_limit_id IS NOT NULL";
    query(sql).bind(deployment).fetch_optional(conn).await
}

/// Gives a flow run a slot of its deployment's limit, in place of one that it may still have.
pub async fn take(
    conn: &mut Conn,
    run: FlowRunId,
    before: Option<&State>,
    lease: Uuid,
    until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<()> {
    if let Some(old) = before.and_then(|state| state.state_details.deployment_concurrency_lease_id)
    {
        slots::end(conn, old, now).await?;
    }
    let sql = "SELECT d.concurrency_limit_id FROM flow_run o JOIN deployment d ON d.id = o.deployment_id \
               WHERE o.id = $1";
    let id = ConcurrencyLimitId(query(sql).bind(run).fetch_one(conn).await?);
    if let Some(limit) = limits::lock(conn, &Which::Id(id)).await? {
        slots::hold_for_flow_run(conn, run, lease, limit, until, now).await?;
    }
    Ok(())
}

/// What a client says of a deployment's limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// How many runs at once; none within takes the limit away.
    pub limit: Option<Option<i64>>,
    /// The global limit that the deployment shares; none within leaves it.
    pub shared: Option<Option<ConcurrencyLimitId>>,
}

/// Gives a deployment the limit that a client wants; one that it is to share must be there.
pub async fn set(
    conn: &mut Conn,
    deployment: DeploymentId,
    wanted: Wanted,
    now: DateTime<Utc>,
) -> Result<()> {
    if let Some(shared) = wanted.shared {
        refer(conn, deployment, shared).await?;
        if shared.is_some() {
            forget_own(conn, deployment).await?;
        }
    }
    let Some(most) = wanted.limit else {
        return Ok(());
    };
    let known = limited(conn, deployment).await?.map(|known| known.0);
    match (most, known) {
        (None, _) => {
            refer(conn, deployment, None).await?;
            forget_own(conn, deployment).await?;
        }
        (Some(most), Some(id)) => {
            let change = LimitUpdate {
                limit: Some(most),
                ..LimitUpdate::default()
            };
            limits::update(conn, &Which::Id(id), change, now).await?;
        }
        (Some(most), None) => {
            let create = LimitCreate {
                active: true,
                name: own_name(deployment),
                limit: most,
                active_slots: 0,
                denied_slots: 0,
                slot_decay_per_second: 0.0,
            };
            // Its name may be left over from a limit that the deployment does not refer to.
            forget_own(conn, deployment).await?;
            let limit = limits::create(conn, &create, now).await?;
            refer(conn, deployment, Some(limit.id)).await?;
        }
    }
    Ok(())
}

async fn refer(
    conn: &mut Conn,
    deployment: DeploymentId,
    limit: Option<ConcurrencyLimitId>,
) -> Result<()> {
    query("UPDATE deployment SET concurrency_limit_id = $2 WHERE id = $1")
        .bind(deployment)
        .bind(limit)
        .execute(conn)
        .await
        .map(drop)
}

/// Deletes the limit that belongs to a deployment alone; one that it shares stays.
pub async fn forget_own(conn: &mut Conn, deployment: DeploymentId) -> Result<()> {
    limits::delete(conn, &Which::Name(own_name(deployment)))
        .await
        .map(drop)
}

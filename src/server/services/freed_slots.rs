//! Brings runs forward that wait for a slot of their deployment's limit, once one is free.
//!
//! A claim that finds no slot puts its run off by half a minute, and the genuine server leaves it
//! there while the slot lies idle. Whoever claims a run that was brought forward still needs the slot,
//! so nothing is given away here. Reasons to wake: a run of a deployment is not under way any more,
//! or a limit has changed. What is missed comes at its time.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tracing::debug;

use super::Service;
use crate::db::{self, Conn};
use crate::schemas::actions::StateCreate;
use crate::schemas::{ConcurrencyLimitId, StateType};
use crate::server::AppState;
use crate::server::changes::{Change, Kind};
use crate::server::models::global_concurrency_limits::{self as limits, Which};
use crate::server::models::stale_runs::{self, Stale};
use crate::server::orchestration::policy::Policy;

/// Waiting runs that one pass looks at.
const MOST: i64 = 200;

/// Waits longer than this are no times that a database has.
const LONGEST: TimeDelta = TimeDelta::days(3650);

/// The service; see the module.
#[derive(Debug, Clone, Copy)]
pub struct FreedSlots;

impl Service for FreedSlots {
    fn name(&self) -> &'static str {
        "freed slots"
    }

    fn longest_sleep(&self, _: &AppState) -> Duration {
        Duration::from_secs(60)
    }

    fn concerns(change: &Change) -> bool {
        let gives_back = |state: StateType| state.is_terminal() || state == StateType::Paused;
        match change.kind {
            Kind::FlowRun => {
                change.deployment_id.is_some() && change.state_type.is_none_or(gives_back)
            }
            Kind::ConcurrencyLimit | Kind::Deployment => true,
            _ => false,
        }
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        let now = app.now();
        // Those that wait longer are told so by a setting that has changed since.
        let wait = TimeDelta::from_std(app.settings.deployment_concurrency_slot_wait_seconds);
        let latest = now + wait.map_or(LONGEST, |wait| wait.min(LONGEST));
        let read = async move |conn: &mut Conn| next_ones(conn, now, latest).await;
        for run in app.db.read(read).await? {
            bring_forward(app, run, now).await?;
        }
        Ok(None)
    }
}

/// Returns those of the waiting runs for which there are slots, those that came first ahead.
async fn next_ones(
    conn: &mut Conn,
    now: DateTime<Utc>,
    latest: DateTime<Utc>,
) -> db::Result<Vec<Stale>> {
    let mut room: HashMap<ConcurrencyLimitId, i64> = HashMap::new();
    let mut next = Vec::new();
    let mut waiting = stale_runs::list_awaiting_slots(conn, latest, MOST).await?;
    // Those that may be claimed already will take the first slots.
    let is_due = |run: &Stale| run.details.scheduled_time.is_some_and(|at| at.0 <= now);
    waiting.sort_by_key(|(run, _)| !is_due(run));
    for (run, limit) in waiting {
        let may_go = !is_due(&run);
        let Some(limit) = limit else {
            next.extend(may_go.then_some(run));
            continue;
        };
        let left = match room.get(&limit) {
            Some(left) => *left,
            None => match limits::read(conn, &Which::Id(limit)).await? {
                Some(mut known) if known.active => {
                    known.settle(now);
                    known.limit - known.taken()
                }
                // One that is switched off bounds nobody.
                Some(_) | None => i64::MAX,
            },
        };
        if left > 0 && may_go {
            next.push(run);
        }
        room.insert(limit, left.saturating_sub(1).max(0));
    }
    Ok(next)
}

async fn bring_forward(app: &AppState, run: Stale, now: DateTime<Utc>) -> db::Result<()> {
    let state: StateCreate = serde_json::from_value(json!({
        "type": "SCHEDULED",
        "name": "AwaitingConcurrencySlot",
        "message": "A slot of the deployment's concurrency limit is free.",
        "state_details": {"scheduled_time": now},
    }))
    .expect("a state of ours is a state");
    let (id, deployment_id) = (run.id, run.deployment_id);
    let write =
        async move |conn: &mut Conn| stale_runs::end(conn, &run, state, Policy::Minimal, now).await;
    if let Some(state) = app.db.write(write).await? {
        debug!(flow_run.id = %id, "flow run {id} need not wait any longer");
        // Agents and workers are woken by it.
        let change = Change::of_flow_run(id, Some(&state), deployment_id);
        app.changes.tell(change);
    }
    Ok(())
}

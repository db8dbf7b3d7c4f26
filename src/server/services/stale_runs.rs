//! Ends flow runs that nobody else will bring to an end.
//!
//! Three services of one kind. [`PauseExpirations`] fails runs that were paused and not resumed in
//! time. [`CancellationCleanup`] cancels runs that were to be cancelled and that nobody has
//! confirmed, and passes a cancellation on to subflow runs that have a process of their own.
//! [`CrashedRuns`] notices that a run's process is gone: its heartbeats have stopped and
//! nothing else was heard of it either. They come from its engine, from the agent that runs it, or
//! from both. A lease of a slot that nobody renews is evidence too, and makes one that is missed enough.
//!
//! Each judges from what it reads and ends a run only if that is still in the state which was
//! judged, so a run that goes on or ends at the same moment is left alone. Reasons to wake: a flow
//! run has changed its state, or the next one is due.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use tracing::info;

use super::Service;
use crate::db::{self, Conn};
use crate::schemas::actions::StateCreate;
use crate::schemas::{Dialect, StateType, time};
use crate::server::AppState;
use crate::server::changes::{Change, Kind};
use crate::server::models::stale_runs::{self, Heard, Stale};
use crate::server::orchestration::policy::Policy;

/// Subflow runs that one pass looks at.
const ORPHANS: i64 = 200;

/// Fails runs that were paused and not resumed in time; see the module.
#[derive(Debug, Clone, Copy)]
pub struct PauseExpirations;

impl Service for PauseExpirations {
    fn name(&self) -> &'static str {
        "pause expirations"
    }

    fn longest_sleep(&self, _: &AppState) -> Duration {
        Duration::from_secs(60)
    }

    fn concerns(change: &Change) -> bool {
        is_now(change, StateType::Paused)
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        let paused = app
            .db
            .read(async |conn: &mut Conn| stale_runs::list(conn, StateType::Paused).await)
            .await?;
        let mut next = None;
        for run in paused {
            let Some(until) = run.details.pause_timeout.map(|until| until.0) else {
                continue;
            };
            if until > app.now() {
                next = earliest(next, until);
                continue;
            }
            let state =
                json!({"type": "FAILED", "message": "The flow was paused and never resumed."});
            end(app, run, state, Policy::Minimal).await?;
        }
        Ok(next)
    }
}

/// Cancels runs whose cancelling nobody has confirmed; see the module.
#[derive(Debug, Clone, Copy)]
pub struct CancellationCleanup;

impl Service for CancellationCleanup {
    fn name(&self) -> &'static str {
        "cancellation cleanup"
    }

    fn longest_sleep(&self, app: &AppState) -> Duration {
        app.settings.cancellation_cleanup_loop_seconds
    }

    fn concerns(change: &Change) -> bool {
        is_now(change, StateType::Cancelling) || is_now(change, StateType::Cancelled)
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        let read = async |conn: &mut Conn| stale_runs::list(conn, StateType::Cancelling).await;
        let patience = time::span(app.settings.cancellation_cleanup_cancelling_timeout_seconds);
        let mut next = None;
        for run in app.db.read(read).await? {
            let until = run.since + patience;
            if until > app.now() {
                next = earliest(next, until);
                continue;
            }
            let message = "Nobody has confirmed that the run's process was ended.";
            end(
                app,
                run,
                json!({"type": "CANCELLED", "message": message}),
                Policy::Minimal,
            )
            .await?;
        }
        let read = async |conn: &mut Conn| stale_runs::list_orphans(conn, ORPHANS).await;
        for run in app.db.read(read).await? {
            // What has no process is cancelled at once; a process is ended by whoever runs it.
            let state =
                json!({"type": "CANCELLING", "message": "The parent flow run was cancelled."});
            end(app, run, state, Policy::Core(Dialect::Three)).await?;
        }
        Ok(next)
    }
}

/// Notices that a run's process is gone; see the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct CrashedRuns {
    /// Since when this server would have heard of a run.
    listening: Option<DateTime<Utc>>,
}

impl Service for CrashedRuns {
    fn name(&self) -> &'static str {
        "crashed runs"
    }

    fn longest_sleep(&self, _: &AppState) -> Duration {
        Duration::from_secs(60)
    }

    fn concerns(_: &Change) -> bool {
        false
    }

    async fn pass(&mut self, app: &AppState) -> db::Result<Option<DateTime<Utc>>> {
        let now = app.now();
        let listening = *self.listening.get_or_insert(now);
        let read = async |conn: &mut Conn| {
            // An agent beats from its claim on, so that one that is lost before RUNNING is noticed.
            let claimed = stale_runs::list(conn, StateType::Pending).await?;
            let running = stale_runs::list(conn, StateType::Running).await?;
            let retrying = stale_runs::list_retrying(conn).await?;
            let is_claimed = std::iter::repeat_n(true, claimed.len());
            let all = claimed.into_iter().chain(running).chain(retrying);
            Ok(all
                .zip(is_claimed.chain(std::iter::repeat(false)))
                .collect::<Vec<_>>())
        };
        let mut next = None;
        for (run, is_claimed) in app.db.read(read).await? {
            let of = run.clone();
            let read = async move |conn: &mut Conn| {
                let heartbeats = stale_runs::heartbeats(conn, of.id).await?;
                let heard = Heard::of(&heartbeats, stale_runs::last_word(conn, of.id).await?);
                let has_lost_its_slot = stale_runs::has_lost_its_slot(conn, &of).await?;
                let heard = heard.map(|heard| heard.without_slot(has_lost_its_slot));
                Ok((heartbeats.first().map(|(last, _)| *last), heard))
            };
            let (beat, heard) = app.db.read(read).await?;
            // What was heard before a claim tells nothing of whoever has claimed the run.
            if is_claimed && beat.is_none_or(|last| last < run.since) {
                continue;
            }
            let Some(heard) = heard else {
                continue;
            };
            // While the server was away, nothing could be heard.
            let until = heard.or_later(run.since.max(listening)).given_up_at();
            if until > now {
                next = earliest(next, until);
                continue;
            }
            let message = "The run's process is gone: its heartbeats have stopped.";
            end(
                app,
                run,
                json!({"type": "CRASHED", "message": message}),
                Policy::Core(Dialect::Three),
            )
            .await?;
        }
        Ok(next)
    }
}

fn is_now(change: &Change, state_type: StateType) -> bool {
    change.kind == Kind::FlowRun && change.state_type == Some(state_type)
}

fn earliest(known: Option<DateTime<Utc>>, other: DateTime<Utc>) -> Option<DateTime<Utc>> {
    Some(known.map_or(other, |known| known.min(other)))
}

async fn end(
    app: &AppState,
    run: Stale,
    state: serde_json::Value,
    policy: Policy,
) -> db::Result<()> {
    let create: StateCreate = serde_json::from_value(state).expect("a state of ours is a state");
    let (now, id, deployment_id) = (app.now(), run.id, run.deployment_id);
    let write = async move |conn: &mut Conn| stale_runs::end(conn, &run, create, policy, now).await;
    if let Some(state) = app.db.write(write).await? {
        info!(flow_run.id = %id, "flow run {id} is {} now", state.name);
        let change = Change::of_flow_run(id, Some(&state), deployment_id);
        app.changes.tell(change);
    }
    Ok(())
}

//! Flow runs that nobody will bring to an end: paused and forgotten, cancelled by nobody, without a
//! process.

use chrono::{DateTime, TimeDelta, Utc};

use super::flow_runs;
use super::transitions::{self, Proposal};
use crate::db::{Conn, FromRow, Result, query};
use crate::schemas::actions::StateCreate;
use crate::schemas::{
    ConcurrencyLimitId, DeploymentId, FlowRunId, State, StateDetails, StateId, StateType,
};
use crate::server::orchestration::policy::Policy;

/// A flow run as it was when it was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Stale {
    /// Which run.
    pub id: FlowRunId,
    /// The deployment that it was made from.
    pub deployment_id: Option<DeploymentId>,
    /// Its state.
    pub state_id: StateId,
    /// When it came into that.
    pub since: DateTime<Utc>,
    /// What that says beyond its type.
    pub details: StateDetails,
}

impl FromRow for Stale {
    fn from_row(row: &mut crate::db::Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            deployment_id: row.take()?,
            state_id: row.take()?,
            since: row.take()?,
            details: row.take()?,
        })
    }
}

/// Returns the flow runs of a state's type, those that came into it first ahead.
pub async fn list(conn: &mut Conn, state_type: StateType) -> Result<Vec<Stale>> {
    let sql = "SELECT o.id, o.deployment_id, s.id, s.timestamp, s.state_details FROM flow_run o \
               JOIN flow_run_state s ON s.id = o.state_id WHERE o.state_type = $1 ORDER BY s.timestamp, o.id";
    query(sql).bind(state_type).fetch_all(conn).await
}

/// Returns the flow runs whose engines wait for their next attempt; not those that were ended and are to be begun again, for
/// which nobody need be there.
pub async fn list_retrying(conn: &mut Conn) -> Result<Vec<Stale>> {
    let sql = "SELECT o.id, o.deployment_id, s.id, s.timestamp, s.state_details FROM flow_run o \
               JOIN flow_run_state s ON s.id = o.state_id WHERE o.state_type = 'SCHEDULED' AND o.state_name = 'AwaitingRetry' \
               AND (SELECT p.type FROM flow_run_state p WHERE p.flow_run_id = o.id AND p.id <> s.id \
               ORDER BY p.timestamp DESC LIMIT 1) = 'RUNNING' ORDER BY s.timestamp, o.id";
    query(sql).fetch_all(conn).await
}

/// Returns the flow runs that wait for a slot of their deployment's limit until `latest` at most, with the limit where there
/// still is one; those that were to run first come first.
pub async fn list_awaiting_slots(
    conn: &mut Conn,
    latest: DateTime<Utc>,
    most: i64,
) -> Result<Vec<(Stale, Option<ConcurrencyLimitId>)>> {
    let sql = "SELECT o.id, o.deployment_id, s.id, s.timestamp, s.state_details, d.concurrency_limit_id FROM flow_run o \
               JOIN flow_run_state s ON s.id = o.state_id JOIN deployment d ON d.id = o.deployment_id \
               WHERE o.state_type = 'SCHEDULED' AND o.next_scheduled_start_time <= $1 \
               AND o.state_name = 'AwaitingConcurrencySlot' ORDER BY o.expected_start_time, o.id LIMIT $2";
    let rows: Vec<Awaiting> = query(sql).bind(latest).bind(most).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|row| (row.0, row.1)).collect())
}

/// A run and the limit that it waits for.
struct Awaiting(Stale, Option<ConcurrencyLimitId>);

impl FromRow for Awaiting {
    fn from_row(row: &mut crate::db::Row<'_>) -> Result<Self> {
        Ok(Self(Stale::from_row(row)?, row.take()?))
    }
}

/// Returns subflow runs of deployments that go on although the run around them was cancelled.
///
/// Those inside its process were ended with it; these have a process of their own.
pub async fn list_orphans(conn: &mut Conn, limit: i64) -> Result<Vec<Stale>> {
    let sql = "SELECT o.id, o.deployment_id, s.id, s.timestamp, s.state_details FROM flow_run o \
               JOIN flow_run_state s ON s.id = o.state_id JOIN task_run t ON t.id = o.parent_task_run_id \
               JOIN flow_run p ON p.id = t.flow_run_id \
               WHERE o.parent_task_run_id IS NOT NULL AND o.deployment_id IS NOT NULL \
               AND o.state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED') \
               AND p.state_type = 'CANCELLED' ORDER BY o.id LIMIT $1";
    query(sql).bind(limit).fetch_all(conn).await
}

/// A sign of life, and what it says besides, which tells one sender from another.
pub type Heartbeat = (DateTime<Utc>, Option<String>);

/// Returns the last heartbeats of a flow run, the last one first.
pub async fn heartbeats(conn: &mut Conn, id: FlowRunId) -> Result<Vec<Heartbeat>> {
    let sql = "SELECT o.received, o.payload FROM event_resources r JOIN events o ON o.id = r.event_id \
               WHERE r.resource_id = $1 AND r.resource_role = '' AND o.event = 'prefect.flow-run.heartbeat' \
               ORDER BY r.occurred DESC LIMIT 4";
    query(sql)
        .bind(format!("prefect.flow-run.{id}"))
        .fetch_all(conn)
        .await
}

/// Returns when a flow run was last heard of in any way: a state, an event, a log line.
pub async fn last_word(conn: &mut Conn, id: FlowRunId) -> Result<Option<DateTime<Utc>>> {
    let sql = "SELECT o.received FROM event_resources r JOIN events o ON o.id = r.event_id \
               WHERE r.resource_id = $1 ORDER BY r.occurred DESC LIMIT 1";
    let event: Option<DateTime<Utc>> = query(sql)
        .bind(format!("prefect.flow-run.{id}"))
        .fetch_optional(conn)
        .await?;
    let sql =
        "SELECT o.created FROM log o WHERE o.flow_run_id = $1 ORDER BY o.timestamp DESC LIMIT 1";
    let log: Option<DateTime<Utc>> = query(sql).bind(id).fetch_optional(conn).await?;
    let sql = "SELECT s.created FROM flow_run_state s WHERE s.flow_run_id = $1 ORDER BY s.timestamp DESC LIMIT 1";
    let state: Option<DateTime<Utc>> = query(sql).bind(id).fetch_optional(conn).await?;
    Ok(event.max(log).max(state))
}

/// Tells whether a run holds no slot of its deployment's limit any more although it was given one: its lease has run out.
pub async fn has_lost_its_slot(conn: &mut Conn, run: &Stale) -> Result<bool> {
    let Some(lease) = run.details.deployment_concurrency_lease_id else {
        return Ok(false);
    };
    let sql = "SELECT id FROM concurrency_lease WHERE id = $1";
    let held: Option<uuid::Uuid> = query(sql).bind(lease).fetch_optional(conn).await?;
    Ok(held.is_none())
}

/// How far apart the heartbeats of a client are that has sent only one.
const HEARTBEAT: TimeDelta = TimeDelta::seconds(180);

/// So many heartbeats may be missed.
const MISSED: i32 = 3;

/// And so much later may one come.
const SLACK: TimeDelta = TimeDelta::seconds(30);

/// When a run that sends heartbeats was last heard of, and how often it says something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// When it was.
    pub last: DateTime<Utc>,
    /// How far apart its heartbeats are.
    pub apart: TimeDelta,
    /// How many of them make a silence the end.
    missed: i32,
}

impl Heard {
    /// Judges by a run's [`heartbeats`] and its [`last_word`]; nothing, if it sends no heartbeats.
    pub fn of(heartbeats: &[Heartbeat], last_word: Option<DateTime<Utc>>) -> Option<Self> {
        let (last, sender) = heartbeats.first()?;
        let last = *last;
        let apart = interval(sender).unwrap_or_else(|| {
            // How far apart two of one sender are; those of an engine and its agent may come at once.
            let mut before = heartbeats[1..].iter().filter(|(_, other)| other == sender);
            let apart = before
                .next()
                .map_or(HEARTBEAT, |(before, _)| last - *before);
            // The first two come at once when a run is resumed, so a short time apart tells nothing.
            match apart < TimeDelta::seconds(1) {
                true => HEARTBEAT,
                false => apart,
            }
        });
        let last = last.max(last_word.unwrap_or(last));
        Some(Self {
            last,
            apart,
            missed: MISSED,
        })
    }

    /// Counts as heard of at this instant, if it was not later.
    pub fn or_later(self, at: DateTime<Utc>) -> Self {
        Self {
            last: self.last.max(at),
            ..self
        }
    }

    /// Takes into account whether others have its slot by now; one that goes on would be heard of at its next heartbeat.
    pub fn without_slot(self, has_lost_its_slot: bool) -> Self {
        Self {
            missed: if has_lost_its_slot { 1 } else { self.missed },
            ..self
        }
    }

    /// Returns whether a heartbeat is missing.
    pub fn is_silent(self, now: DateTime<Utc>) -> bool {
        now > self.last + self.apart + SLACK
    }

    /// Returns when the run is taken for crashed if it is not heard of any more.
    pub fn given_up_at(self) -> DateTime<Utc> {
        self.last + self.apart * self.missed + SLACK
    }
}

/// Returns how far apart a sender says that its heartbeats come, between a second and an hour.
fn interval(payload: &Option<String>) -> Option<TimeDelta> {
    let payload: serde_json::Value = serde_json::from_str(payload.as_deref()?).ok()?;
    let seconds = payload.get("interval_seconds")?.as_i64()?;
    Some(TimeDelta::seconds(seconds.clamp(1, 3600)))
}

/// Ends a run, or puts it elsewhere, if it is still as it was; tells the state that was written.
pub async fn end(
    conn: &mut Conn,
    stale: &Stale,
    create: StateCreate,
    policy: Policy,
    now: DateTime<Utc>,
) -> Result<Option<State>> {
    let run = flow_runs::read_for_transition(conn, stale.id).await?;
    let is_same = run
        .and_then(|run| run.run.state)
        .is_some_and(|state| state.id == stale.state_id);
    if !is_same {
        return Ok(None);
    }
    let proposal = Proposal::of(create, policy);
    let done = transitions::transition_flow_run(conn, stale.id, proposal, now).await?;
    Ok(done
        .filter(|done| done.is_written)
        .and_then(|done| done.result.state))
}

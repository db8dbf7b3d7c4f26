//! The runs that schedules make, in the database.
//!
//! A run of a schedule is keyed by its deployment and instant, so making it again, after a
//! restart, in a race, or from another server, changes nothing.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::deployment_limits::{self, Terms};
use super::{flow_runs, names, transitions};
use crate::db::{Conn, FromRow, Result, Row, Value, query};
use crate::schemas::schedules::Schedule;
use crate::schemas::{
    DeploymentId, Document, FlowId, FlowRunId, ScheduleId, State, StateId, Tags, WorkQueueId,
};
use crate::server::orchestration::policy::Policy;
use crate::server::orchestration::{self, Facts};

/// Rows of one statement: many enough to save round trips, few enough for any limit on values.
const ROWS: usize = 100;

/// What the scheduler knows of an active schedule and its deployment.
#[derive(Debug, Clone)]
pub struct Scheduled {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// The deployment.
    pub id: DeploymentId,
    /// The flow that it runs.
    pub flow_id: FlowId,
    /// The document of the schedule.
    pub schedule: String,
    /// How many runs it makes ahead at most.
    pub most: Option<i64>,
    tags: Tags,
    parameters: Document,
    flow_runner_type: Option<String>,
    flow_runner_config: Option<Document>,
    work_queue_id: Option<WorkQueueId>,
    work_queue_name: Option<String>,
    version: Option<String>,
    labels: Document,
}

impl FromRow for Scheduled {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let scheduled = Self {
            schedule_id: row.take()?,
            id: row.take()?,
            flow_id: row.take()?,
            schedule: row.take()?,
            most: row.take()?,
            tags: row.take()?,
            parameters: row.take()?,
            flow_runner_type: row.take()?,
            flow_runner_config: row.take()?,
            work_queue_id: row.take()?,
            work_queue_name: row.take()?,
            version: row.take()?,
            labels: row.take()?,
        };
        let own: Document = row.take()?;
        if own == Document::empty_object() {
            return Ok(scheduled);
        }
        Ok(Self {
            parameters: scheduled.parameters.merge(&own),
            ..scheduled
        })
    }
}

const SELECT: &str = "SELECT s.id, d.id, d.flow_id, s.schedule, s.max_scheduled_runs, d.tags, \
    d.parameters, d.flow_runner_type, d.flow_runner_config, d.work_queue_id, d.work_queue_name, \
    d.version, d.labels, s.parameters \
    FROM deployment_schedule s JOIN deployment d ON d.id = s.deployment_id \
    WHERE s.active AND d.is_schedule_active";

/// Returns active schedules, by id, those after `after`.
pub async fn list_active(
    conn: &mut Conn,
    after: Option<ScheduleId>,
    limit: u32,
) -> Result<Vec<Scheduled>> {
    let after = after.unwrap_or(ScheduleId(uuid::Uuid::nil()));
    query(format!("{SELECT} AND s.id > $1 ORDER BY s.id LIMIT $2"))
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await
}

/// Returns the active schedules of some deployments.
pub async fn list_active_of(conn: &mut Conn, ids: &[DeploymentId]) -> Result<Vec<Scheduled>> {
    query(format!("{SELECT} AND d.id = ANY($1) ORDER BY s.id"))
        .bind(Value::Uuids(ids.iter().map(|id| id.0).collect()))
        .fetch_all(conn)
        .await
}

/// Returns the key under which a schedule's run of an instant is found again; the one schedule of
/// an older client has no id of its own in it.
pub fn key(scheduled: &Scheduled, date: &DateTime<Tz>) -> String {
    let (deployment, schedule) = (scheduled.id, scheduled.schedule_id);
    if schedule.0 == deployment.0 {
        return format!("scheduled {deployment} {}", date.to_rfc3339());
    }
    format!("scheduled {deployment} {schedule} {}", date.to_rfc3339())
}

/// Returns those of some dates that a deployment has no run of.
pub async fn missing(
    conn: &mut Conn,
    deployment: &Scheduled,
    dates: Vec<DateTime<Tz>>,
) -> Result<Vec<DateTime<Tz>>> {
    let keys: Vec<String> = dates.iter().map(|date| key(deployment, date)).collect();
    let known: Vec<String> = query(
        "SELECT idempotency_key FROM flow_run WHERE flow_id = $1 AND idempotency_key = ANY($2)",
    )
    .bind(deployment.flow_id)
    .bind(Value::from(keys))
    .fetch_all(conn)
    .await?;
    let is_missing = |date: &DateTime<Tz>| !known.contains(&key(deployment, date));
    Ok(dates.into_iter().filter(is_missing).collect())
}

/// Creates a deployment's runs of some dates and returns those that are new.
///
/// Nothing happens if the deployment has been paused or got another schedule since it was read:
/// its runs have been deleted then, and these would come from the old schedule.
pub async fn create(
    conn: &mut Conn,
    deployment: &Scheduled,
    dates: &[DateTime<Tz>],
    now: DateTime<Utc>,
) -> Result<Vec<FlowRunId>> {
    let lock = conn.dialect().for_update("deployment");
    let unchanged: Option<uuid::Uuid> = query(format!(
        "SELECT deployment.id FROM deployment \
         JOIN deployment_schedule s ON s.deployment_id = deployment.id \
         WHERE s.id = $1 AND s.active AND is_schedule_active AND s.schedule = $2{lock}"
    ))
    .bind(deployment.schedule_id)
    .bind(&deployment.schedule)
    .fetch_optional(conn)
    .await?;
    let mut created = Vec::new();
    if unchanged.is_some() {
        for dates in dates.chunks(ROWS) {
            created.extend(insert(conn, deployment, dates, now).await?);
        }
    }
    Ok(created)
}

async fn insert(
    conn: &mut Conn,
    deployment: &Scheduled,
    dates: &[DateTime<Tz>],
    now: DateTime<Utc>,
) -> Result<Vec<FlowRunId>> {
    let states: Vec<(FlowRunId, State)> = dates
        .iter()
        .map(|date| first_state(date.to_utc(), now))
        .collect();
    let mut tags = vec!["auto-scheduled".to_owned()];
    tags.extend(
        deployment
            .tags
            .0
            .iter()
            .filter(|tag| *tag != "auto-scheduled")
            .cloned(),
    );
    let rows = (0..dates.len()).map(|row| {
        let n = 13 + row * 5;
        format!(
            "($1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'SCHEDULED', 'Scheduled', $1, TRUE, \
             ${n}, ${}, ${}, ${}, ${}, ${})",
            n + 1,
            n + 2,
            n + 3,
            n + 3,
            n + 4,
        )
    });
    let mut statement = query(format!(
        "INSERT INTO flow_run (created, updated, flow_id, deployment_id, parameters, tags, \
         flow_runner_type, flow_runner_config, work_queue_id, work_queue_name, deployment_version, \
         labels, created_by, state_type, state_name, state_timestamp, \
         auto_scheduled, id, name, state_id, expected_start_time, next_scheduled_start_time, \
         idempotency_key) \
         VALUES {} ON CONFLICT (flow_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING id",
        rows.collect::<Vec<_>>().join(", ")
    ))
    .bind(now)
    .bind(deployment.flow_id)
    .bind(deployment.id)
    .bind(deployment.parameters.clone())
    .bind(Tags(tags))
    .bind(deployment.flow_runner_type.clone())
    .bind(deployment.flow_runner_config.clone())
    .bind(deployment.work_queue_id)
    .bind(deployment.work_queue_name.clone())
    .bind(deployment.version.clone())
    .bind(labels(deployment))
    .bind(created_by(deployment));
    for (date, (id, state)) in dates.iter().zip(&states) {
        statement = statement
            .bind(*id)
            .bind(names::generate())
            .bind(state.id)
            .bind(date.to_utc())
            .bind(key(deployment, date));
    }
    let created: Vec<uuid::Uuid> = statement.fetch_all(conn).await?;
    let created: Vec<FlowRunId> = created.into_iter().map(FlowRunId).collect();
    let states: Vec<_> = states
        .into_iter()
        .filter(|(id, _)| created.contains(id))
        .collect();
    insert_states(conn, &states, now).await?;
    Ok(created)
}

fn labels(deployment: &Scheduled) -> Document {
    let own = serde_json::json!({
        "prefect.flow.id": deployment.flow_id,
        "prefect.deployment.id": deployment.id,
    });
    deployment
        .labels
        .merge(&Document::of(&own).expect("ids are JSON"))
}

fn created_by(deployment: &Scheduled) -> Document {
    // What genuine clients call them.
    let kind =
        serde_json::from_str::<Schedule>(&deployment.schedule).map(|schedule| schedule.kind());
    let by = serde_json::json!({
        "id": deployment.schedule_id,
        "type": "SCHEDULE",
        "display_value": kind.ok(),
    });
    Document::of(&by).expect("ids are JSON")
}

fn first_state(at: DateTime<Utc>, now: DateTime<Utc>) -> (FlowRunId, State) {
    let id = FlowRunId::new();
    let mut state = State::scheduled(at, now);
    state.message = Some("Flow run scheduled".to_owned());
    (id, state)
}

async fn insert_states(
    conn: &mut Conn,
    states: &[(FlowRunId, State)],
    now: DateTime<Utc>,
) -> Result<()> {
    if states.is_empty() {
        return Ok(());
    }
    let rows = (0..states.len()).map(|row| {
        let n = 2 + row * 7;
        format!(
            "($1, $1, ${n}, ${}, ${}, ${}, ${}, ${}, ${})",
            n + 1,
            n + 2,
            n + 3,
            n + 4,
            n + 5,
            n + 6
        )
    });
    let mut statement = query(format!(
        "INSERT INTO flow_run_state (created, updated, id, flow_run_id, type, name, timestamp, \
         message, state_details) VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    ))
    .bind(now);
    for (run, state) in states {
        statement = statement
            .bind(state.id)
            .bind(*run)
            .bind(state.state_type)
            .bind(&state.name)
            .bind(state.timestamp)
            .bind(state.message.clone())
            .bind(state.state_details.clone());
    }
    statement.execute(conn).await?;
    Ok(())
}

/// A run that should have started.
#[derive(Debug, Clone, Copy)]
pub struct Overdue {
    /// The run.
    pub id: FlowRunId,
    /// The state that it is in.
    pub state_id: StateId,
    /// When it was due.
    pub due: DateTime<Utc>,
    /// The deployment that it was made from.
    pub deployment_id: Option<DeploymentId>,
}

impl FromRow for Overdue {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            state_id: row.take()?,
            due: row.take()?,
            deployment_id: row.take()?,
        })
    }
}

/// Returns runs that were due at `before` or earlier and are not yet marked.
pub async fn list_overdue(
    conn: &mut Conn,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Overdue>> {
    query(
        "SELECT id, state_id, next_scheduled_start_time, deployment_id FROM flow_run \
         WHERE state_type = 'SCHEDULED' AND state_name = 'Scheduled' \
         AND state_id IS NOT NULL AND next_scheduled_start_time <= $1 \
         ORDER BY next_scheduled_start_time LIMIT $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// Returns when the next run that is not marked late is due.
pub async fn next_due(conn: &mut Conn) -> Result<Option<DateTime<Utc>>> {
    query(
        "SELECT next_scheduled_start_time FROM flow_run \
         WHERE state_type = 'SCHEDULED' AND state_name = 'Scheduled' \
         AND next_scheduled_start_time IS NOT NULL \
         ORDER BY next_scheduled_start_time LIMIT 1",
    )
    .fetch_optional(conn)
    .await
}

/// Proposes the state `Late` for an overdue run and returns the one that it gets; none if the run has
/// moved on meanwhile.
pub async fn mark_late(
    conn: &mut Conn,
    run: &Overdue,
    now: DateTime<Utc>,
) -> Result<Option<State>> {
    let Some(known) = flow_runs::read_for_transition(conn, run.id).await? else {
        return Ok(None);
    };
    let loaded = known.run;
    // On PostgreSQL another server may have marked the run, or an agent have taken it, since it
    // was listed.
    if loaded.state.as_ref().map(|state| state.id) != Some(run.state_id) {
        return Ok(None);
    }
    let late = State::late(run.due, now);
    let facts = Facts {
        deployment_limit: deployment_limits::fact(
            conn,
            known.deployment_id,
            loaded.state.as_ref(),
            late.state_type,
            Policy::MarkLate,
            &Terms::default(),
            now,
        )
        .await?,
        ..Facts::default()
    };
    let walk = orchestration::walk(Policy::MarkLate.flow_rules(), &loaded, late, &facts, now);
    let Some(state) = walk.state else {
        return Ok(None);
    };
    transitions::write(conn, &loaded, state, walk.effects, now)
        .await
        .map(Some)
}

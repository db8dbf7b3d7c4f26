//! Task runs that are recorded from events.
//!
//! Their clients decide the states themselves and tell them afterwards, in any order and perhaps
//! twice. So the outcome must not depend on the order: a run is what its latest event says, every
//! state is kept once, and a batch costs a few statements however large it is.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rows::{self, pieces, placeholders};
use crate::db::{Conn, Result, Value, query};
use crate::schemas::task_runs::RetryPolicy;
use crate::schemas::time::Instant;
use crate::schemas::{Document, FlowRunId, State, Tags, TaskRunId};

/// What an event says of a task run beside its state.
#[derive(Debug, Clone, serde::Deserialize)]
#[expect(missing_docs, reason = "the fields of a task run")]
pub struct Attributes {
    pub name: Option<String>,
    pub task_key: String,
    pub dynamic_key: String,
    #[serde(default)]
    pub run_count: i64,
    #[serde(default)]
    pub flow_run_run_count: i64,
    pub expected_start_time: Option<Instant>,
    pub next_scheduled_start_time: Option<Instant>,
    pub start_time: Option<Instant>,
    pub end_time: Option<Instant>,
    #[serde(default)]
    pub total_run_time: f64,
    pub cache_key: Option<String>,
    pub cache_expiration: Option<Instant>,
    pub task_version: Option<String>,
    #[serde(default)]
    pub empirical_policy: RetryPolicy,
    #[serde(default = "Document::empty_object")]
    pub task_inputs: Document,
    #[serde(default)]
    pub tags: Tags,
    #[serde(default = "Document::empty_object")]
    pub labels: Document,
}

/// One state of a task run, as its client tells it.
#[derive(Debug, Clone)]
pub struct Told {
    /// The task run.
    pub id: TaskRunId,
    /// The flow run that it belongs to, none for a background task.
    pub flow_run_id: Option<FlowRunId>,
    /// What is known of the run at that time.
    pub attributes: Attributes,
    /// The state.
    pub state: State,
}

impl Told {
    /// What tells calls of tasks apart, where there is a flow run.
    fn key(&self) -> Option<(FlowRunId, &str, &str)> {
        let Attributes {
            task_key,
            dynamic_key,
            ..
        } = &self.attributes;
        Some((self.flow_run_id?, task_key, dynamic_key))
    }

    /// States that are told of the same instant are in the order of their ids.
    fn order(&self) -> (DateTime<Utc>, Uuid) {
        (self.state.timestamp, self.state.id.0)
    }
}

/// Records what was told and returns it as far as its flow runs exist.
pub async fn record(conn: &mut Conn, told: Vec<Told>, now: DateTime<Utc>) -> Result<Vec<Told>> {
    let mut told = of_known_flow_runs(conn, told).await?;
    use_known_ids(conn, &mut told).await?;
    let mut latest: HashMap<TaskRunId, &Told> = HashMap::with_capacity(told.len());
    for one in &told {
        let known = latest.entry(one.id).or_insert(one);
        if known.order() < one.order() {
            *known = one;
        }
    }
    let mut latest: Vec<&Told> = latest.into_values().collect();
    // Servers that record the same runs lock them in the same order.
    latest.sort_by_key(|one| one.id);
    upsert(conn, &latest, now).await?;
    insert_states(conn, &told, now).await?;
    Ok(told)
}

/// Leaves out what belongs to flow runs that have been deleted.
async fn of_known_flow_runs(conn: &mut Conn, mut told: Vec<Told>) -> Result<Vec<Told>> {
    let mut asked: Vec<Uuid> = told
        .iter()
        .filter_map(|one| one.flow_run_id.map(|id| id.0))
        .collect();
    asked.sort_unstable();
    asked.dedup();
    if asked.is_empty() {
        return Ok(told);
    }
    let read = query("SELECT id FROM flow_run WHERE id = ANY($1)").bind(Value::Uuids(asked));
    let known: HashSet<Uuid> = read.fetch_all::<Uuid>(conn).await?.into_iter().collect();
    told.retain(|one| one.flow_run_id.is_none_or(|id| known.contains(&id.0)));
    Ok(told)
}

/// Gives each run the id under which its call is known, which may be another than the told one.
async fn use_known_ids(conn: &mut Conn, told: &mut [Told]) -> Result<()> {
    let mut ids: HashMap<(FlowRunId, String, String), TaskRunId> = HashMap::new();
    for one in told.iter() {
        if let Some((flow_run, task, call)) = one.key() {
            let key = (flow_run, task.to_owned(), call.to_owned());
            let id = ids.entry(key).or_insert(one.id);
            // Of several ids in one batch the least is taken, so that the order does not matter.
            *id = (*id).min(one.id);
        }
    }
    let keys: Vec<(FlowRunId, String, String)> = ids.keys().cloned().collect();
    for piece in pieces(&keys) {
        let mut read = query(format!(
            "WITH asked (flow_run_id, task_key, dynamic_key) AS (VALUES {}) \
             SELECT o.flow_run_id, o.task_key, o.dynamic_key, o.id FROM asked JOIN task_run o \
             ON o.flow_run_id = asked.flow_run_id AND o.task_key = asked.task_key \
             AND o.dynamic_key = asked.dynamic_key",
            placeholders(piece.len(), 3)
        ));
        for (flow_run, task, call) in piece {
            read = read.bind(*flow_run).bind(task).bind(call);
        }
        for (flow_run, task, call, id) in read
            .fetch_all::<(FlowRunId, String, String, TaskRunId)>(conn)
            .await?
        {
            ids.insert((flow_run, task, call), id);
        }
    }
    for one in told {
        let known = one.key().and_then(|(flow_run, task, call)| {
            ids.get(&(flow_run, task.to_owned(), call.to_owned()))
                .copied()
        });
        one.id = known.unwrap_or(one.id);
        one.state.state_details.task_run_id = Some(one.id);
    }
    Ok(())
}

async fn upsert(conn: &mut Conn, latest: &[&Told], now: DateTime<Utc>) -> Result<()> {
    let into = "INSERT INTO task_run (id, created, updated, name, flow_run_id, task_key, dynamic_key, state_id, \
         state_type, state_name, state_timestamp, run_count, flow_run_run_count, expected_start_time, \
         next_scheduled_start_time, start_time, end_time, total_run_time, cache_key, cache_expiration, \
         task_version, empirical_policy, task_inputs, tags, labels)";
    let behind = "ON CONFLICT (id) DO UPDATE SET updated = excluded.updated, name = excluded.name, \
         state_id = excluded.state_id, state_type = excluded.state_type, state_name = excluded.state_name, \
         state_timestamp = excluded.state_timestamp, run_count = excluded.run_count, \
         flow_run_run_count = excluded.flow_run_run_count, expected_start_time = excluded.expected_start_time, \
         next_scheduled_start_time = excluded.next_scheduled_start_time, start_time = excluded.start_time, \
         end_time = excluded.end_time, total_run_time = excluded.total_run_time, \
         cache_key = COALESCE(excluded.cache_key, task_run.cache_key), \
         cache_expiration = COALESCE(excluded.cache_expiration, task_run.cache_expiration), \
         task_version = COALESCE(excluded.task_version, task_run.task_version), \
         empirical_policy = excluded.empirical_policy, task_inputs = excluded.task_inputs, \
         tags = excluded.tags, labels = excluded.labels \
         WHERE task_run.state_timestamp IS NULL OR (task_run.state_timestamp, task_run.state_id) \
         < (excluded.state_timestamp, excluded.state_id)";
    let row = |one: &&Told| -> [Value; 25] {
        let (run, state) = (&one.attributes, &one.state);
        let at = |instant: Option<Instant>| instant.map(|at| at.0).into();
        [
            one.id.into(),
            now.into(),
            now.into(),
            run.name.as_deref().unwrap_or(&run.task_key).into(),
            one.flow_run_id.into(),
            (&run.task_key).into(),
            (&run.dynamic_key).into(),
            state.id.into(),
            state.state_type.into(),
            (&state.name).into(),
            state.timestamp.into(),
            run.run_count.into(),
            run.flow_run_run_count.into(),
            at(run.expected_start_time),
            at(run.next_scheduled_start_time),
            at(run.start_time),
            at(run.end_time),
            run.total_run_time.into(),
            run.cache_key.clone().into(),
            at(run.cache_expiration),
            run.task_version.clone().into(),
            run.empirical_policy.clone().into(),
            run.task_inputs.clone().into(),
            run.tags.clone().into(),
            run.labels.clone().into(),
        ]
    };
    rows::insert(conn, into, latest.iter().map(row).collect(), behind).await
}

async fn insert_states(conn: &mut Conn, told: &[Told], now: DateTime<Utc>) -> Result<()> {
    let into = "INSERT INTO task_run_state (id, created, updated, task_run_id, type, name, timestamp, message, \
         state_details, data)";
    let row = |Told { id, state, .. }: &Told| -> [Value; 10] {
        [
            state.id.into(),
            now.into(),
            now.into(),
            (*id).into(),
            state.state_type.into(),
            (&state.name).into(),
            state.timestamp.into(),
            state.message.clone().into(),
            state.state_details.clone().into(),
            state.data.clone().into(),
        ]
    };
    let behind = "ON CONFLICT (id) DO NOTHING";
    rows::insert(conn, into, told.iter().map(row).collect(), behind).await
}

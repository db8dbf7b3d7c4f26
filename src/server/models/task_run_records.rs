//! Task runs that are recorded from what their clients tell, as events or as records.
//!
//! These clients decide the states themselves and tell them afterwards, in any order and perhaps
//! twice. So the outcome must not depend on the order: a run is what its latest state says, every
//! state is kept once, and a batch costs a few statements however large it is. Most runs are told
//! for the first time, so they are inserted first, and only those that are there already are looked
//! for.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rows::{self, pieces, placeholders};
use crate::db::{Conn, Result, Value, query};
use crate::schemas::task_run_records::{RecordedState, TaskRunRecord};
use crate::schemas::task_runs::RetryPolicy;
use crate::schemas::time::Instant;
use crate::schemas::{Document, FlowRunId, State, StateDetails, Tags, TaskRunId};

/// What is told of a task run beside its states.
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

/// A task run in some of its states, as its client tells it.
#[derive(Debug, Clone)]
pub struct Told {
    /// The task run.
    pub id: TaskRunId,
    /// The flow run that it belongs to, none for a background task.
    pub flow_run_id: Option<FlowRunId>,
    /// What is known of the run in the last of the states.
    pub attributes: Attributes,
    /// The states, at least one.
    pub states: Vec<State>,
}

impl From<TaskRunRecord> for Told {
    fn from(record: TaskRunRecord) -> Self {
        let (id, flow_run_id) = (record.id, Some(record.flow_run_id));
        let state = |told: RecordedState| State {
            id: told.id,
            state_type: told.state_type,
            name: told.name.unwrap_or_else(|| told.state_type.default_name()),
            timestamp: told.timestamp.0,
            message: told.message,
            state_details: StateDetails {
                flow_run_id,
                task_run_id: Some(id),
                ..told.state_details
            },
            data: told.data.filter(|data| !data.is_null()),
        };
        Self {
            id,
            flow_run_id,
            states: record.states.into_iter().map(state).collect(),
            attributes: Attributes {
                name: record.name,
                task_key: record.task_key,
                dynamic_key: record.dynamic_key,
                run_count: record.run_count,
                flow_run_run_count: record.flow_run_run_count,
                expected_start_time: record.expected_start_time,
                next_scheduled_start_time: record.next_scheduled_start_time,
                start_time: record.start_time,
                end_time: record.end_time,
                total_run_time: record.total_run_time,
                cache_key: record.cache_key,
                cache_expiration: record.cache_expiration,
                task_version: record.task_version,
                empirical_policy: record.empirical_policy,
                task_inputs: record.task_inputs.unwrap_or_else(Document::empty_object),
                tags: record.tags,
                labels: record.labels.unwrap_or_else(Document::empty_object),
            },
        }
    }
}

impl Told {
    /// What tells calls of tasks apart, where there is a flow run.
    fn key(&self) -> Option<Key<'_>> {
        let Attributes {
            task_key,
            dynamic_key,
            ..
        } = &self.attributes;
        Some((self.flow_run_id?, task_key, dynamic_key))
    }

    /// Returns the latest state; those of the same instant are in the order of their ids.
    pub fn latest(&self) -> &State {
        let latest = self.states.iter().max_by_key(|state| order(state));
        latest.expect("whoever tells of a run tells at least one state")
    }
}

/// Flow run, task and number of a call.
type Key<'a> = (FlowRunId, &'a str, &'a str);

fn order(state: &State) -> (DateTime<Utc>, Uuid) {
    (state.timestamp, state.id.0)
}

/// Whether the states that are told are events themselves, or are told by events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// They have events, which are stored as such.
    OfEvents,
    /// They are what there is of events; see [`super::events::of_states`].
    Events,
}

/// What was told as the rows that it will be; made beforehand, since the one writer has enough to do.
pub struct Rows {
    /// A row for each run, in the order of ids, in which servers that record the same runs lock them.
    runs: Vec<[Value; 25]>,
    /// Which entry each row is made of.
    latest: Vec<usize>,
    states: Vec<[Value; 11]>,
    /// Which entry each state belongs to.
    owners: Vec<usize>,
}

/// The places of a state's columns.
const TASK_RUN_ID: usize = 3;
const STATE_DETAILS: usize = 8;

impl Rows {
    /// Makes the rows of what is told at `now`.
    pub fn of(told: &[Told], told_as: As, now: DateTime<Utc>) -> Self {
        let latest = latest(told.iter().enumerate().map(|(n, one)| (one.id, n)), told);
        let mut states = Vec::with_capacity(told.len() * 3);
        let mut owners = Vec::with_capacity(told.len() * 3);
        for (n, one) in told.iter().enumerate() {
            owners.extend(one.states.iter().map(|_| n));
            states.extend(
                one.states
                    .iter()
                    .map(|state| state_row(one.id, state, told_as, now)),
            );
        }
        Self {
            runs: latest.iter().map(|n| run_row(&told[*n], now)).collect(),
            latest,
            states,
            owners,
        }
    }
}

/// Returns the entry with the latest state of each run, in the order of ids.
fn latest(entries: impl Iterator<Item = (TaskRunId, usize)>, told: &[Told]) -> Vec<usize> {
    let mut latest: HashMap<TaskRunId, usize> = HashMap::with_capacity(told.len());
    for (id, n) in entries {
        let known = latest.entry(id).or_insert(n);
        if order(told[*known].latest()) < order(told[n].latest()) {
            *known = n;
        }
    }
    let mut latest: Vec<(TaskRunId, usize)> = latest.into_iter().collect();
    latest.sort_unstable();
    latest.into_iter().map(|(_, n)| n).collect()
}

/// What was recorded.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Under which id each entry is known; none where its flow run does not exist.
    pub ids: Vec<Option<TaskRunId>>,
    /// The states that had not been told before.
    pub states: HashSet<Uuid>,
}

/// Records what was told, as far as its flow runs exist.
pub async fn record(conn: &mut Conn, told: &[Told], rows: Rows) -> Result<Recorded> {
    let Rows {
        mut runs,
        latest,
        mut states,
        owners,
    } = rows;
    let mut ids = of_known_flow_runs(conn, told).await?;
    let mut latest: Vec<usize> = latest;
    if ids.contains(&None) {
        let is_known = |n: &usize| ids[*n].is_some();
        let mut places = latest.iter();
        runs.retain(|_| places.next().is_some_and(is_known));
        latest.retain(is_known);
        let mut places = owners.iter();
        states.retain(|_| places.next().is_some_and(is_known));
    }
    let owners: Vec<usize> = owners.into_iter().filter(|n| ids[*n].is_some()).collect();
    let into = INTO_TASK_RUN;
    let new = rows::insert_new(conn, into, &runs).await?;
    if new.len() < runs.len() {
        let known = rest(conn, told, &ids, &new).await?;
        for (n, id) in &known {
            ids[*n] = Some(*id);
        }
        upsert(conn, told, (runs, latest), &known).await?;
        for (row, n) in states.iter_mut().zip(&owners) {
            if let Some(id) = ids[*n].filter(|id| *id != told[*n].id) {
                rename(row, id);
            }
        }
    }
    let into = "INSERT INTO task_run_state (id, created, updated, task_run_id, type, name, timestamp, message, \
         state_details, data, is_event)";
    let states = rows::insert_new(conn, into, &states).await?;
    Ok(Recorded { ids, states })
}

/// Returns the ids of what was told, without those whose flow runs have been deleted.
async fn of_known_flow_runs(conn: &mut Conn, told: &[Told]) -> Result<Vec<Option<TaskRunId>>> {
    let mut asked: Vec<Uuid> = told
        .iter()
        .filter_map(|one| one.flow_run_id.map(|id| id.0))
        .collect();
    asked.sort_unstable();
    asked.dedup();
    let mut known = HashSet::new();
    if !asked.is_empty() {
        let read = query("SELECT id FROM flow_run WHERE id = ANY($1)").bind(Value::Uuids(asked));
        known.extend(read.fetch_all::<Uuid>(conn).await?);
    }
    let is_known = |one: &&Told| one.flow_run_id.is_none_or(|id| known.contains(&id.0));
    let ids = told.iter().map(|one| Some(one).filter(is_known));
    Ok(ids.map(|one| one.map(|one| one.id)).collect())
}

/// Returns the places of what was told of runs that are not new, and the ids under which their calls are
/// known, which may be others than the told ones.
async fn rest(
    conn: &mut Conn,
    told: &[Told],
    ids: &[Option<TaskRunId>],
    new: &HashSet<Uuid>,
) -> Result<HashMap<usize, TaskRunId>> {
    let places = (0..told.len()).filter(|n| ids[*n].is_some_and(|id| !new.contains(&id.0)));
    let places: Vec<usize> = places.collect();
    let mut keys: Vec<Key<'_>> = places.iter().filter_map(|n| told[*n].key()).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut found: Vec<(FlowRunId, String, String, TaskRunId)> = Vec::new();
    for piece in pieces(&keys) {
        let mut read = query(format!(
            "WITH asked (flow_run_id, task_key, dynamic_key) AS (VALUES {}) \
             SELECT o.flow_run_id, o.task_key, o.dynamic_key, o.id FROM asked JOIN task_run o \
             ON o.flow_run_id = asked.flow_run_id AND o.task_key = asked.task_key \
             AND o.dynamic_key = asked.dynamic_key",
            placeholders(piece.len(), 3)
        ));
        for (flow_run, task, call) in piece {
            read = read.bind(*flow_run).bind(*task).bind(*call);
        }
        found.extend(
            read.fetch_all::<(FlowRunId, String, String, TaskRunId)>(conn)
                .await?,
        );
    }
    let known = found
        .iter()
        .map(|(run, task, call, id)| ((*run, &**task, &**call), *id));
    let known: HashMap<Key<'_>, TaskRunId> = known.collect();
    let id = |n: usize| {
        let known = told[n].key().and_then(|key| known.get(&key));
        known.copied().unwrap_or(told[n].id)
    };
    Ok(places.into_iter().map(|n| (n, id(n))).collect())
}

/// Brings runs that are there already up to what was told, unless they are further.
async fn upsert(
    conn: &mut Conn,
    told: &[Told],
    (runs, of): (Vec<[Value; 25]>, Vec<usize>),
    known: &HashMap<usize, TaskRunId>,
) -> Result<()> {
    let candidates = of.iter().filter_map(|n| known.get(n).map(|id| (*id, *n)));
    // Several told ids may have turned out to be one run.
    let latest: HashSet<usize> = latest(candidates, told).into_iter().collect();
    let mut rows = Vec::with_capacity(latest.len());
    for (mut row, n) in runs.into_iter().zip(of) {
        if let Some(id) = known.get(&n).filter(|_| latest.contains(&n)) {
            row[0] = (*id).into();
            rows.push(row);
        }
    }
    let behind = BEHIND_TASK_RUN;
    rows::insert(conn, INTO_TASK_RUN, rows, behind).await
}

/// Makes a state one of the run that its call is known as.
fn rename(state: &mut [Value; 11], id: TaskRunId) {
    state[TASK_RUN_ID] = id.into();
    if let Value::Text(details) = &state[STATE_DETAILS]
        && let Ok(details) = serde_json::from_str::<StateDetails>(details)
    {
        let task_run_id = Some(id);
        state[STATE_DETAILS] = StateDetails {
            task_run_id,
            ..details
        }
        .into();
    }
}

const INTO_TASK_RUN: &str = "INSERT INTO task_run (id, created, updated, name, flow_run_id, task_key, dynamic_key, state_id, \
         state_type, state_name, state_timestamp, run_count, flow_run_run_count, expected_start_time, \
         next_scheduled_start_time, start_time, end_time, total_run_time, cache_key, cache_expiration, \
         task_version, empirical_policy, task_inputs, tags, labels)";

const BEHIND_TASK_RUN: &str = "ON CONFLICT (id) DO UPDATE SET updated = excluded.updated, name = excluded.name, \
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

fn run_row(one: &Told, now: DateTime<Utc>) -> [Value; 25] {
    let (run, state) = (&one.attributes, one.latest());
    let at = |instant: Option<Instant>| instant.map(|instant| instant.0).into();
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
}

fn state_row(run: TaskRunId, state: &State, told_as: As, now: DateTime<Utc>) -> [Value; 11] {
    [
        state.id.into(),
        now.into(),
        now.into(),
        run.into(),
        state.state_type.into(),
        (&state.name).into(),
        state.timestamp.into(),
        state.message.clone().into(),
        state.state_details.clone().into(),
        state.data.clone().into(),
        (told_as == As::Events).then_some(true).into(),
    ]
}

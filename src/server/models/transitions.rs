//! How a state changes, in one way: load the run, walk the policy, write what came of it. All three
//! are one write, so that nothing happens between the look and the step.

use chrono::{DateTime, TimeDelta, Utc};

use super::deployment_limits::{self, Terms};
use super::states::{insert_cached, proposed, read_cached};
use super::{concurrency_limits, flow_runs, results, settling, slots, task_runs};
use crate::db::{Conn, Result, Value, query};
use crate::schemas::actions::StateCreate;
use crate::schemas::responses::{OrchestrationResult, Outcome};
use crate::schemas::{DeploymentId, Dialect, FlowRunId, State, StateId, StateType, TaskRunId};
use crate::server::orchestration::policy::Policy;
use crate::server::orchestration::{
    Effect, Facts, Plan, Record, Run, RunId, Walk, bookkeep, sign, walk,
};

/// What became of a proposal, with the state before it.
#[derive(Debug, Clone)]
pub struct Transitioned {
    /// The answer.
    pub result: OrchestrationResult,
    /// Whether a state was written.
    pub is_written: bool,
    /// The policy's rule that decided, where it was not accepted as proposed.
    pub decided_by: Option<&'static str>,
    /// The deployment that a flow run was made from.
    pub deployment_id: Option<DeploymentId>,
}

/// What is proposed for a flow run.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The state.
    pub state: StateCreate,
    /// The rules that judge it.
    pub policy: Policy,
    /// How the run gets a slot of its deployment's limit, where it needs one.
    pub terms: Terms,
}

impl Proposal {
    /// Proposes a state that needs no slot.
    pub fn of(state: StateCreate, policy: Policy) -> Self {
        Self {
            state,
            policy,
            terms: Terms::default(),
        }
    }
}

/// Proposes a state for a flow run; none if there is no such run.
pub async fn transition_flow_run(
    conn: &mut Conn,
    id: FlowRunId,
    proposal: Proposal,
    now: DateTime<Utc>,
) -> Result<Option<Transitioned>> {
    let Some(known) = flow_runs::read_for_transition(conn, id).await? else {
        return Ok(None);
    };
    let Proposal {
        state: create,
        policy,
        terms,
    } = proposal;
    let run = known.run;
    let facts = Facts {
        deployment_limit: deployment_limits::fact(
            conn,
            known.deployment_id,
            run.state.as_ref(),
            create.state_type,
            policy,
            &terms,
            now,
        )
        .await?,
        ..Facts::default()
    };
    let walk = walk(
        policy.flow_rules(),
        &run,
        proposed(create, now),
        &facts,
        now,
    );
    let done = finish(conn, &run, walk, policy, now).await?;
    if let Some(state) = &done.result.state
        && done.is_written
        && settling::is_abandoned(state, policy)
    {
        settling::settle(conn, id, state, now).await?;
    }
    Ok(Some(Transitioned {
        deployment_id: known.deployment_id,
        ..done
    }))
}

/// Refuses a proposal for a flow run without asking a policy; none if there is no such run.
pub async fn abort_flow_run(
    conn: &mut Conn,
    id: FlowRunId,
    reason: String,
) -> Result<Option<Transitioned>> {
    let known = flow_runs::read_for_transition(conn, id).await?;
    Ok(known.map(|known| Transitioned {
        result: OrchestrationResult {
            state: known.run.state,
            outcome: Outcome::Abort { reason },
        },
        is_written: false,
        decided_by: None,
        deployment_id: known.deployment_id,
    }))
}

/// Proposes a state for a task run; none if there is no such run.
pub async fn transition_task_run(
    conn: &mut Conn,
    id: TaskRunId,
    mut create: StateCreate,
    policy: Policy,
    slot_wait_seconds: i64,
    now: DateTime<Utc>,
) -> Result<Option<Transitioned>> {
    let Some(known) = task_runs::read_for_transition(conn, id).await? else {
        return Ok(None);
    };
    let (run, tags) = (known.run, known.tags);
    if let (RunId::Task(_, flow_run), Policy::Core(dialect)) = (run.id, policy) {
        create.defer(dialect, flow_run);
    }
    let proposed = proposed(create, now);
    let mut facts = Facts {
        slot_wait_seconds,
        ..Facts::default()
    };
    if proposed.state_type == StateType::Running {
        facts.flow_run_run_count = known.flow_run_run_count;
        if let RunId::Task(_, Some(flow_run)) = run.id
            && policy != Policy::Minimal
        {
            facts.flow_run = flow_runs::read_stage(conn, flow_run).await?;
        }
        if let Some(key) = &proposed.state_details.cache_key {
            facts.cached = read_cached(conn, key, now).await?;
        }
        facts.limits = concurrency_limits::facts(conn, id, &tags.0, now).await?;
    }
    let walk = walk(policy.task_rules(), &run, proposed, &facts, now);
    finish(conn, &run, walk, policy, now).await.map(Some)
}

async fn finish(
    conn: &mut Conn,
    run: &Run,
    walk: Walk,
    policy: Policy,
    now: DateTime<Utc>,
) -> Result<Transitioned> {
    let Walk {
        state,
        outcome,
        effects,
        decided_by,
    } = walk;
    let current = run.state.as_ref();
    // A rejection in favour of the present state writes nothing.
    let is_current = state.as_ref().map(|state| state.id) == current.map(|state| state.id);
    let state = match state {
        Some(state) if !is_current => {
            let state = write(conn, run, state, effects, now).await?;
            if let Some(rule) = decided_by {
                note_rule(conn, run.id, state.id, rule).await?;
            }
            Some(state)
        }
        // Where nothing is written, 2.0b3 answers without a state, later generations with the present one.
        None if policy != Policy::Core(Dialect::B) => run.state.clone(),
        same => same,
    };
    let is_written = !is_current && matches!(outcome, Outcome::Accept {} | Outcome::Reject { .. });
    Ok(Transitioned {
        result: OrchestrationResult { state, outcome },
        is_written,
        decided_by,
        deployment_id: None,
    })
}

/// Tells whether a run that is over is to run again, so that the process it had says nothing of it any more.
fn is_begun_anew(run: &Run, state: &State) -> bool {
    let was_over = |before: &State| before.state_type.is_terminal();
    run.has_infrastructure
        && run.state.as_ref().is_some_and(was_over)
        && state.state_type == StateType::Scheduled
}

/// Writes a state onto its run, with all that comes with it.
pub async fn write(
    conn: &mut Conn,
    run: &Run,
    mut state: State,
    effects: Vec<Effect>,
    now: DateTime<Utc>,
) -> Result<State> {
    sign(&mut state, run.id);
    // Requests are not written in the order in which they came, and the clock may be set back; the
    // order of a run's states must be that in which they were written.
    if let Some(current) = &run.state
        && state.timestamp < current.timestamp
    {
        state.timestamp = current.timestamp + TimeDelta::microseconds(1);
    }
    let mut before = run.record;
    if effects.contains(&Effect::CountTriesAnew) {
        before.run_count = 0;
    }
    let record = bookkeep(before, run.state.as_ref(), &state);
    let mut plan = Plan {
        is_resuming: record.is_resuming,
        ..run.plan.clone()
    };
    let result = results::take_apart(&mut state);
    insert(conn, run.id, &state, now).await?;
    results::keep(conn, run.id, result.artifact, now).await?;
    update_run(conn, run, &state, &record, now).await?;
    if let RunId::Flow(id, _) = run.id
        && is_begun_anew(run, &state)
    {
        flow_runs::forget_infrastructure(conn, id).await?;
    }
    for effect in effects {
        plan = plan.after(&effect);
        match effect {
            Effect::TakeSlots(tags) => {
                let id = TaskRunId(run_uuid(run.id));
                concurrency_limits::take(conn, id, &tags, now)
                    .await
                    .map(drop)?
            }
            Effect::ReleaseSlots => {
                let id = TaskRunId(run_uuid(run.id));
                concurrency_limits::release(conn, id, now).await?
            }
            Effect::TakeDeploymentSlot { lease, until } => {
                let id = FlowRunId(run_uuid(run.id));
                deployment_limits::take(conn, id, run.state.as_ref(), lease, until, now).await?
            }
            Effect::KeepDeploymentSlot { lease, until } => {
                slots::extend(conn, lease, until).await?
            }
            Effect::ReleaseDeploymentSlot(lease) => slots::end(conn, lease, now).await.map(drop)?,
            Effect::InsertCache => insert_cached(conn, &state, now).await?,
            Effect::NoteTryOfFlow => note_try_of_flow(conn, run.id).await?,
            // What these change is in the record and the plan.
            Effect::CountTriesAnew
            | Effect::BeginAnew(_)
            | Effect::NotePause(_)
            | Effect::NoteResumption
            | Effect::EndRetries => {}
        }
    }
    if let RunId::Flow(id, _) = run.id
        && plan != run.plan
    {
        flow_runs::set_plan(conn, id, &plan).await?;
    }
    if let RunId::Flow(id, Some(parent)) = run.id {
        mirror_on_parent(conn, id, parent, &state, now).await?;
    }
    if result.unpersisted.is_some() {
        state.data = result.unpersisted;
    }
    Ok(state)
}

/// Returns a run's first state and what its row says of it; [`write_first`] follows the row.
pub fn first(id: RunId, mut state: State) -> (State, Record) {
    sign(&mut state, id);
    let record = bookkeep(Record::default(), None, &state);
    (state, record)
}

/// Writes the first state of a run whose row has been written with it.
pub async fn write_first(
    conn: &mut Conn,
    id: RunId,
    state: &mut State,
    now: DateTime<Utc>,
) -> Result<()> {
    let result = results::take_apart(state);
    insert(conn, id, state, now).await?;
    results::keep(conn, id, result.artifact, now).await?;
    if let RunId::Flow(id, Some(parent)) = id {
        mirror_on_parent(conn, id, parent, state, now).await?;
    }
    Ok(())
}

fn run_uuid(id: RunId) -> uuid::Uuid {
    match id {
        RunId::Flow(id, _) => id.0,
        RunId::Task(id, _) => id.0,
    }
}

async fn insert(conn: &mut Conn, run: RunId, state: &State, now: DateTime<Utc>) -> Result<()> {
    let sql = match run {
        RunId::Flow(..) => {
            "INSERT INTO flow_run_state \
             (id, created, updated, flow_run_id, type, name, timestamp, message, state_details, data) \
             VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9)"
        }
        RunId::Task(..) => {
            "INSERT INTO task_run_state \
             (id, created, updated, task_run_id, type, name, timestamp, message, state_details, data) \
             VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9)"
        }
    };
    let insert = query(sql)
        .bind(state.id)
        .bind(now)
        .bind(run_uuid(run))
        .bind(state.state_type)
        .bind(&state.name);
    let insert = insert
        .bind(state.timestamp)
        .bind(state.message.clone())
        .bind(state.state_details.clone());
    insert.bind(state.data.clone()).execute(conn).await?;
    Ok(())
}

/// Notes which rule put a state in place of what was proposed, for whoever wonders later.
async fn note_rule(conn: &mut Conn, run: RunId, state: StateId, rule: &str) -> Result<()> {
    let sql = match run {
        RunId::Flow(..) => "UPDATE flow_run_state SET decided_by = $2 WHERE id = $1",
        RunId::Task(..) => "UPDATE task_run_state SET decided_by = $2 WHERE id = $1",
    };
    query(sql).bind(state).bind(rule).execute(conn).await?;
    Ok(())
}

/// Notes in which try of its flow run a task run runs.
async fn note_try_of_flow(conn: &mut Conn, run: RunId) -> Result<()> {
    let sql = "UPDATE task_run SET flow_run_run_count = (SELECT f.run_count FROM flow_run f \
               WHERE f.id = task_run.flow_run_id) WHERE id = $1";
    query(sql).bind(run_uuid(run)).execute(conn).await.map(drop)
}

async fn update_run(
    conn: &mut Conn,
    run: &Run,
    state: &State,
    record: &Record,
    now: DateTime<Utc>,
) -> Result<()> {
    let table = match run.id {
        RunId::Flow(..) => "flow_run",
        RunId::Task(..) => "task_run",
    };
    let mut sql = format!(
        "UPDATE {table} SET updated = $2, state_id = $3, state_type = $4, state_name = $5, state_timestamp = $6"
    );
    let mut values: Vec<Value> = vec![
        run_uuid(run.id).into(),
        now.into(),
        state.id.into(),
        state.state_type.into(),
        (&state.name).into(),
        state.timestamp.into(),
    ];
    // A column that is named is taken out of its indexes and put in again, even when it stays.
    for (column, value) in changed(&run.record, record) {
        values.push(value);
        sql.push_str(&format!(", {column} = ${}", values.len()));
    }
    sql.push_str(" WHERE id = $1");
    query(sql).bind_all(values).execute(conn).await?;
    Ok(())
}

/// Returns the columns in which two records differ.
fn changed(from: &Record, to: &Record) -> impl Iterator<Item = (&'static str, Value)> {
    let time = |name, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>| {
        (from != to).then(|| (name, Value::from(to)))
    };
    [
        (from.run_count != to.run_count).then(|| ("run_count", to.run_count.into())),
        (from.total_run_time != to.total_run_time)
            .then(|| ("total_run_time", to.total_run_time.into())),
        time("start_time", from.start_time, to.start_time),
        time("end_time", from.end_time, to.end_time),
        time(
            "expected_start_time",
            from.expected_start_time,
            to.expected_start_time,
        ),
        time(
            "next_scheduled_start_time",
            from.next_scheduled_start_time,
            to.next_scheduled_start_time,
        ),
    ]
    .into_iter()
    .flatten()
}

/// Copies a subflow's state onto the task run that stands for it, by force.
async fn mirror_on_parent(
    conn: &mut Conn,
    child: FlowRunId,
    parent: TaskRunId,
    state: &State,
    now: DateTime<Utc>,
) -> Result<()> {
    let Some(known) = task_runs::read_for_transition(conn, parent).await? else {
        return Ok(());
    };
    let run = known.run;
    let mut copy = State {
        id: StateId::new(),
        ..state.clone()
    };
    copy.state_details.child_flow_run_id = Some(child);
    let walk = walk(
        Policy::Minimal.task_rules(),
        &run,
        copy,
        &Facts::default(),
        now,
    );
    if let Some(state) = walk.state {
        // A task run has no parent of this kind, so this goes one level up and no further.
        Box::pin(write(conn, &run, state, walk.effects, now)).await?;
    }
    Ok(())
}

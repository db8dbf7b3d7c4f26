//! Settles what a flow run leaves open when it ends without its engine.
//!
//! An engine that reports how its flow ended is alive: it also reports the task runs that are
//! still under way, and nothing is done for it here. But a run that crashed, was cancelled, or
//! was ended by force has nobody left who would. Its open task runs would be RUNNING for ever and
//! hold their slots. So they end with it, in the same write, and so do its subflow runs, as far as
//! those run inside it; a subflow run of a deployment has a process of its own.
//!
//! The judgement may be wrong: the process of a run that somebody cancelled may still be at work
//! and report a task run later. A settled state therefore remembers the state that it replaced,
//! and the rules judge what comes later as if that were still the state. A task run that is
//! `NotReady` is left as it is, since that is how its engine has ended it.

use chrono::{DateTime, Utc};

use super::{concurrency_limits, flow_runs, task_runs, transitions};
use crate::db::{Conn, Result, query};
use crate::schemas::{FlowRunId, State, StateType, TaskRunId};
use crate::server::orchestration::Run;
use crate::server::orchestration::policy::Policy;

/// Tells whether a state that was written by `policy` leaves nobody who reports the rest.
pub fn is_abandoned(state: &State, policy: Policy) -> bool {
    let is_lost = matches!(state.state_type, StateType::Crashed | StateType::Cancelled)
        // 2.0b3 has no type for it.
        || state.name == "Crashed";
    state.state_type.is_terminal() && (is_lost || policy == Policy::Minimal)
}

/// Ends what is open in a flow run that ended in `last`.
pub async fn settle(
    conn: &mut Conn,
    flow_run: FlowRunId,
    last: &State,
    now: DateTime<Utc>,
) -> Result<()> {
    let mut freed = Vec::new();
    let mut waiting = vec![flow_run];
    while let Some(flow_run) = waiting.pop() {
        for id in open_subflow_runs(conn, flow_run).await? {
            if let Some(known) = flow_runs::read_for_transition(conn, id).await? {
                let run = known.run;
                transitions::write(conn, &run, settled(&run, last, now), Vec::new(), now).await?;
                waiting.push(id);
            }
        }
        for id in open_task_runs(conn, flow_run).await? {
            if let Some(known) = task_runs::read_for_transition(conn, id).await? {
                let run = known.run;
                transitions::write(conn, &run, settled(&run, last, now), Vec::new(), now).await?;
                keep_its_time(conn, id, &run).await?;
                freed.push(id);
            }
        }
    }
    // Last, since others lock a task run before the limits: the other way round would deadlock.
    for id in freed {
        concurrency_limits::release(conn, id, now).await?;
    }
    Ok(())
}

fn settled(run: &Run, last: &State, now: DateTime<Utc>) -> State {
    let from = run.state.as_ref().map(|state| state.state_type);
    let was_running = from == Some(StateType::Running);
    let is_crash = last.name == "Crashed" || last.state_type == StateType::Crashed;
    // What had not begun did not crash.
    let state_type = if is_crash && was_running {
        StateType::Crashed
    } else {
        StateType::Cancelled
    };
    let mut state = State {
        message: Some(format!(
            "Its flow run ended as {} before it did.",
            last.name
        )),
        ..State::new(state_type, now)
    };
    state.state_details.settled_from = from;
    state
}

async fn open_subflow_runs(conn: &mut Conn, flow_run: FlowRunId) -> Result<Vec<FlowRunId>> {
    let sql = "SELECT sub.id FROM task_run t JOIN flow_run sub ON sub.parent_task_run_id = t.id \
               WHERE t.flow_run_id = $1 AND sub.deployment_id IS NULL \
               AND sub.state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING') \
               ORDER BY sub.id";
    let ids: Vec<uuid::Uuid> = query(sql).bind(flow_run).fetch_all(conn).await?;
    Ok(ids.into_iter().map(FlowRunId).collect())
}

async fn open_task_runs(conn: &mut Conn, flow_run: FlowRunId) -> Result<Vec<TaskRunId>> {
    let sql = "SELECT t.id FROM task_run t WHERE t.flow_run_id = $1 \
               AND t.state_type IN ('SCHEDULED', 'PENDING', 'RUNNING', 'PAUSED', 'CANCELLING') \
               AND t.state_name <> 'NotReady' \
               AND NOT EXISTS (SELECT 1 FROM flow_run sub WHERE sub.parent_task_run_id = t.id \
               AND sub.deployment_id IS NOT NULL) ORDER BY t.id";
    let ids: Vec<uuid::Uuid> = query(sql).bind(flow_run).fetch_all(conn).await?;
    Ok(ids.into_iter().map(TaskRunId).collect())
}

/// Leaves a task run's place in time where it was.
///
/// Task runs of 3.x clients are recorded from events, and only what is later than that place moves
/// them. What a client said of one before the end may come in after it, and is truer than ours.
async fn keep_its_time(conn: &mut Conn, id: TaskRunId, run: &Run) -> Result<()> {
    let Some(state) = &run.state else {
        return Ok(());
    };
    let sql = "UPDATE task_run SET state_timestamp = $2 WHERE id = $1";
    query(sql)
        .bind(id)
        .bind(state.timestamp)
        .execute(conn)
        .await
        .map(drop)
}

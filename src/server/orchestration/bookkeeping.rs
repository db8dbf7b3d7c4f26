//! What every transition writes onto its run, by whatever policy it came.

use chrono::{DateTime, Utc};

use super::RunId;
use crate::schemas::{State, StateType, time};

/// The figures of a run that transitions keep.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Record {
    /// How often the run has entered RUNNING.
    pub run_count: i64,
    /// Seconds spent in RUNNING.
    pub total_run_time: f64,
    /// When the run first entered RUNNING.
    pub start_time: Option<DateTime<Utc>>,
    /// When the run entered its terminal state.
    pub end_time: Option<DateTime<Utc>>,
    /// When the run was first meant to start.
    pub expected_start_time: Option<DateTime<Utc>>,
    /// When a scheduled run is due.
    pub next_scheduled_start_time: Option<DateTime<Utc>>,
    /// Whether the run goes on after a pause that gave its process up: that is no further try.
    pub is_resuming: bool,
}

/// Returns the record after a transition.
pub fn bookkeep(mut record: Record, from: Option<&State>, to: &State) -> Record {
    let was = from.map(|state| state.state_type);
    let is_settled = from.is_some_and(|state| state.state_details.settled_from.is_some());
    let scheduled_time = to.state_details.scheduled_time.map(|at| at.0);
    if to.state_type == StateType::Running {
        record.run_count += i64::from(!record.is_resuming);
        record.start_time = record.start_time.or(Some(to.timestamp));
    }
    if let Some(from) = from.filter(|state| state.type_to_its_client() == StateType::Running) {
        // A clock that was set back must not shorten what has run.
        record.total_run_time += time::seconds(to.timestamp - from.timestamp).max(0.0);
    }
    if is_settled {
        // It was not the end.
        record.end_time = None;
    }
    if to.state_type == StateType::Running || to.state_type.is_terminal() {
        record.is_resuming = false;
    }
    if to.state_type.is_terminal() {
        record.end_time = record.end_time.or(record.start_time.map(|_| to.timestamp));
    } else if was.is_some_and(StateType::is_terminal) {
        record.end_time = None;
    }
    if record.expected_start_time.is_none() {
        let is_scheduled = to.state_type == StateType::Scheduled;
        record.expected_start_time = scheduled_time
            .filter(|_| is_scheduled)
            .or(Some(to.timestamp));
    }
    record.next_scheduled_start_time = if to.state_type == StateType::Scheduled {
        scheduled_time
    } else {
        None
    };
    record
}

/// Fills in whose state it is.
pub fn sign(state: &mut State, run: RunId) {
    let details = &mut state.state_details;
    match run {
        RunId::Flow(id, parent) => {
            details.flow_run_id = Some(id);
            details.task_run_id = parent;
        }
        RunId::Task(id, flow_run) => {
            details.task_run_id = Some(id);
            details.flow_run_id = flow_run;
        }
    }
}

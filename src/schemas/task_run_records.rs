//! Task runs as their client has carried them out, in few words.
//!
//! A client that decides on the states of its task runs tells them afterwards. In the newest genuine clients each state is an
//! event that repeats all of its task run; a record says the run once, and then its states.

use serde::Deserialize;
use utoipa::ToSchema;

use super::actions::object;
use super::task_runs::RetryPolicy;
use super::time::Instant;
use super::{Document, FlowRunId, StateDetails, StateId, StateType, Tags, TaskRunId};

/// Names are keys of indexes, and PostgreSQL has none longer than a third of a page.
const KEY_BYTES: usize = 2000;

/// A task run as it is in the last of its states here, and these states.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the other fields are those of `TaskRun`")]
pub struct TaskRunRecord {
    pub id: TaskRunId,
    pub flow_run_id: FlowRunId,
    #[serde(default)]
    pub name: Option<String>,
    pub task_key: String,
    pub dynamic_key: String,
    #[serde(default)]
    pub run_count: i64,
    #[serde(default)]
    pub flow_run_run_count: i64,
    #[serde(default)]
    pub expected_start_time: Option<Instant>,
    #[serde(default)]
    pub next_scheduled_start_time: Option<Instant>,
    #[serde(default)]
    pub start_time: Option<Instant>,
    #[serde(default)]
    pub end_time: Option<Instant>,
    #[serde(default)]
    pub total_run_time: f64,
    #[serde(default)]
    pub cache_key: Option<String>,
    #[serde(default)]
    pub cache_expiration: Option<Instant>,
    #[serde(default)]
    pub task_version: Option<String>,
    #[serde(default)]
    pub empirical_policy: RetryPolicy,
    #[serde(default, deserialize_with = "object")]
    pub task_inputs: Option<Document>,
    #[serde(default)]
    pub tags: Tags,
    #[serde(default, deserialize_with = "object")]
    pub labels: Option<Document>,
    /// States that the run has entered, at least one; any of them may have been told before.
    #[schema(min_items = 1)]
    pub states: Vec<RecordedState>,
}

/// A state that a task run has entered.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordedState {
    /// Its id, by which it counts once; also that of its event.
    pub id: StateId,
    /// The kind of state.
    #[serde(rename = "type")]
    pub state_type: StateType,
    /// The finer name; by default the type's.
    #[serde(default)]
    pub name: Option<String>,
    /// When the run entered it.
    pub timestamp: Instant,
    /// What a person should know.
    #[serde(default)]
    pub message: Option<String>,
    /// What rules should know.
    #[serde(default)]
    pub state_details: StateDetails,
    /// The result, or where it is.
    #[serde(default)]
    pub data: Option<Document>,
}

impl TaskRunRecord {
    /// Says what is wrong with the record, if anything: where, and why.
    pub fn check(&self) -> Result<(), (Vec<serde_json::Value>, String)> {
        if self.states.is_empty() {
            return Err((
                vec!["states".into()],
                "a record has at least one state".to_owned(),
            ));
        }
        // One index holds both.
        if self.task_key.len() + self.dynamic_key.len() > KEY_BYTES {
            let text = format!("task_key and dynamic_key are at most {KEY_BYTES} bytes together");
            return Err((vec!["task_key".into()], text));
        }
        let name = |state: &RecordedState| state.name.as_ref().map_or(0, String::len);
        match self.states.iter().position(|state| name(state) > KEY_BYTES) {
            Some(n) => Err((
                vec!["states".into(), n.into(), "name".into()],
                format!("the name of a state is at most {KEY_BYTES} bytes"),
            )),
            None => Ok(()),
        }
    }
}

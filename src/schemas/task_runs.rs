//! Task runs: one execution of a task inside a flow run each.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::dialect::{Dialect, Fields, Render};
use super::flow_runs::{AsOf, estimated_run_time, estimated_start_time_delta};
use super::{Document, FlowRunId, State, StateType, Tags, TaskRunId};

/// When a failed task is tried again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct RetryPolicy {
    /// How often to try again, in the word of 2.0b3.
    pub max_retries: i64,
    /// Seconds before the next try, in the word of 2.0b3.
    pub retry_delay_seconds: f64,
    /// How often to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<i64>,
    /// Seconds before the next try: a number, or a list of one for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_delay: Option<Document>,
    /// By how much of itself a delay may grow at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_jitter_factor: Option<f64>,
}

impl RetryPolicy {
    /// Writes the policy as it is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers are JSON")
    }

    /// Returns how often to try again.
    pub fn retries(&self) -> i64 {
        self.retries.unwrap_or(self.max_retries)
    }

    /// Returns the seconds before the try after run number `run_count`.
    ///
    /// A list gives each its own; the last one goes on for those beyond.
    pub fn delay_seconds(&self, run_count: i64) -> f64 {
        let Some(delay) = self.retry_delay.as_ref().filter(|delay| !delay.is_null()) else {
            return self.retry_delay_seconds;
        };
        if let Ok(list) = delay.read::<Vec<f64>>() {
            let at = usize::try_from(run_count - 1)
                .unwrap_or(0)
                .min(list.len().saturating_sub(1));
            return list.get(at).copied().unwrap_or(0.0);
        }
        delay.read::<f64>().unwrap_or(self.retry_delay_seconds)
    }
}

impl Render for RetryPolicy {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("max_retries", &self.max_retries)?;
        fields.all("retry_delay_seconds", &self.retry_delay_seconds)?;
        // The newer generations count on their own words being filled.
        let retries = self.retries.or(Some(self.max_retries).filter(|n| *n != 0));
        fields.newer("retries", &retries)?;
        match &self.retry_delay {
            None if self.retry_delay_seconds != 0.0 => {
                fields.newer("retry_delay", &(self.retry_delay_seconds as i64))?;
            }
            delay => fields.newer("retry_delay", delay)?,
        }
        fields.newer("retry_jitter_factor", &self.retry_jitter_factor)?;
        fields.end()
    }
}

/// A task run.
#[derive(Debug, Clone, PartialEq, utoipa::ToSchema)]
pub struct TaskRun {
    /// The run's id.
    pub id: TaskRunId,
    /// When the server first heard of it.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// A name for people.
    pub name: String,
    /// The flow run that it belongs to.
    pub flow_run_id: Option<FlowRunId>,
    /// Names the task, the same in every run.
    pub task_key: String,
    /// Tells the calls of one task in one flow run apart.
    pub dynamic_key: String,
    /// How often the run has entered RUNNING.
    pub run_count: i64,
    /// When the run was first meant to start.
    pub expected_start_time: Option<DateTime<Utc>>,
    /// When a scheduled run is due.
    pub next_scheduled_start_time: Option<DateTime<Utc>>,
    /// When the run first entered RUNNING.
    pub start_time: Option<DateTime<Utc>>,
    /// When the run entered its terminal state.
    pub end_time: Option<DateTime<Utc>>,
    /// Seconds spent in RUNNING, without a RUNNING that lasts.
    pub total_run_time: f64,
    /// The key under which the result may be found again.
    pub cache_key: Option<String>,
    /// Until when it may be.
    pub cache_expiration: Option<DateTime<Utc>>,
    /// The version of the task's code.
    pub task_version: Option<String>,
    /// When it is tried again.
    pub empirical_policy: RetryPolicy,
    /// Where each input came from.
    pub task_inputs: Document,
    /// Tags, which concurrency limits apply to.
    pub tags: Tags,
    /// How often the flow run had been run when the task run was.
    pub flow_run_run_count: i64,
    /// Labels of 3.x clients.
    pub labels: Document,
    /// The current state.
    pub state: Option<State>,
}

impl TaskRun {
    /// Returns the current state's type.
    pub fn state_type(&self) -> Option<StateType> {
        self.state.as_ref().map(|state| state.state_type)
    }
}

/// A task run beside the name of its flow run, as dashboards of newer servers ask for it.
#[derive(Debug, Clone)]
pub struct OfNamedRun(pub AsOf<TaskRun>, pub Option<String>);

impl Render for OfNamedRun {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        self.0.fields(&mut fields)?;
        fields.newer("flow_run_name", &self.1)?;
        fields.end()
    }
}

impl Render for AsOf<TaskRun> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        self.fields(&mut fields)?;
        fields.end()
    }
}

impl AsOf<TaskRun> {
    fn fields<S: Serializer>(&self, fields: &mut Fields<S>) -> Result<(), S::Error> {
        let AsOf(now, run) = self;
        let state = run.state.as_ref();
        let state_type = run.state_type();
        fields.all("id", &run.id)?;
        fields.time("created", run.created)?;
        fields.time("updated", run.updated)?;
        fields.all("name", &run.name)?;
        fields.all("flow_run_id", &run.flow_run_id)?;
        fields.all("task_key", &run.task_key)?;
        fields.all("dynamic_key", &run.dynamic_key)?;
        fields.all("cache_key", &run.cache_key)?;
        fields.time_option("cache_expiration", run.cache_expiration)?;
        fields.all("task_version", &run.task_version)?;
        fields.part("empirical_policy", &run.empirical_policy)?;
        fields.all("tags", &run.tags)?;
        fields.newest("labels", &run.labels)?;
        fields.all("state_id", &state.map(|state| state.id))?;
        fields.all("task_inputs", &run.task_inputs)?;
        fields.part("state_type", &state_type)?;
        fields.newer("state_name", &state.map(|state| &state.name))?;
        fields.all("run_count", &run.run_count)?;
        fields.newer("flow_run_run_count", &run.flow_run_run_count)?;
        fields.time_option("expected_start_time", run.expected_start_time)?;
        fields.time_option("next_scheduled_start_time", run.next_scheduled_start_time)?;
        fields.time_option("start_time", run.start_time)?;
        fields.time_option("end_time", run.end_time)?;
        fields.all("total_run_time", &run.total_run_time)?;
        fields.all(
            "estimated_run_time",
            &estimated_run_time(run.total_run_time, state, *now),
        )?;
        let late =
            estimated_start_time_delta(run.expected_start_time, run.start_time, state_type, *now);
        fields.all("estimated_start_time_delta", &late)?;
        fields.part("state", &run.state)
    }
}

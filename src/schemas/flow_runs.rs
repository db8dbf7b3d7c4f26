//! Flow runs: one execution of a flow each.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::actions::object_or_null;
use super::dialect::{Dialect, Fields, Render};
use super::task_runs::RetryPolicy;
use super::{
    DeploymentId, Document, FlowId, FlowRunId, State, StateType, Tags, TaskRunId, WorkPoolId,
    WorkQueueId, time,
};

/// How the infrastructure of a run is made, in the words of 2.0b3.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FlowRunnerSettings {
    /// `subprocess`, `docker`, `kubernetes` or `universal`.
    #[serde(rename = "type")]
    pub runner_type: Option<String>,
    /// The runner's own settings.
    #[serde(deserialize_with = "object_or_null")]
    pub config: Option<Document>,
}

/// A flow run.
#[derive(Debug, Clone, PartialEq, utoipa::ToSchema)]
pub struct FlowRun {
    /// The run's id.
    pub id: FlowRunId,
    /// When the server first heard of it.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// A name for people.
    pub name: String,
    /// The flow that runs.
    pub flow_id: FlowId,
    /// The deployment that the run was made from.
    pub deployment_id: Option<DeploymentId>,
    /// The task run that stands for this run in its parent.
    pub parent_task_run_id: Option<TaskRunId>,
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
    /// The version of the flow's code.
    pub flow_version: Option<String>,
    /// The flow's arguments.
    pub parameters: Document,
    /// Makes creating the run again return this one.
    pub idempotency_key: Option<String>,
    /// Whatever the client keeps with the run.
    pub context: Document,
    /// Retries and the like.
    pub empirical_policy: Document,
    /// Settings of 2.0b3 clients.
    pub empirical_config: Document,
    /// Tags, the deployment's included.
    pub tags: Tags,
    /// How the run's infrastructure is made.
    pub flow_runner: FlowRunnerSettings,
    /// Whether the scheduler made the run.
    pub auto_scheduled: bool,
    /// The version of the deployment that the run was made from.
    pub deployment_version: Option<String>,
    /// The work queue that the run waits in.
    pub work_queue_id: Option<WorkQueueId>,
    /// The queue's name.
    pub work_queue_name: Option<String>,
    /// The work pool that the queue is in.
    pub work_pool_id: Option<WorkPoolId>,
    /// The pool's name.
    pub work_pool_name: Option<String>,
    /// The block that describes the run's infrastructure, for 2.20 agents.
    pub infrastructure_document_id: Option<uuid::Uuid>,
    /// Names the run's process for whoever started it.
    pub infrastructure_pid: Option<String>,
    /// Settings of the run's infrastructure.
    pub job_variables: Document,
    /// Labels, the flow's included.
    pub labels: Document,
    /// Who or what made the run.
    pub created_by: Option<Document>,
    /// The current state.
    pub state: Option<State>,
}

/// Retries and pauses of a flow run, as 2.20 and later have them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowRunPolicy {
    /// How often to try again, in the word of older clients.
    pub max_retries: i64,
    /// Seconds before the next try, in the word of older clients.
    pub retry_delay_seconds: f64,
    /// How often to try again.
    pub retries: Option<i64>,
    /// Seconds before the next try; genuine clients send whole ones.
    pub retry_delay: Option<serde_json::Number>,
    /// The pauses that have happened, each of which happens once.
    pub pause_keys: Option<Vec<String>>,
    /// Whether the run goes on after a pause.
    pub resuming: Option<bool>,
    /// Who tries again: the process itself, or whoever takes the run anew.
    pub retry_type: Option<String>,
}

impl FlowRunPolicy {
    /// Reads what is kept with a run; what is no policy counts as none.
    pub fn of(document: &Document) -> Self {
        document.read().unwrap_or_default()
    }

    /// Returns what decides about retries.
    pub fn retry(&self) -> RetryPolicy {
        RetryPolicy {
            max_retries: self.max_retries,
            retry_delay_seconds: self
                .retry_delay
                .as_ref()
                .and_then(serde_json::Number::as_f64)
                .unwrap_or(self.retry_delay_seconds),
            retries: self.retries,
            ..RetryPolicy::default()
        }
    }

    /// Returns the policy with the members that clients count on.
    fn filled(mut self) -> Self {
        let older = |count: i64| (count != 0).then_some(count);
        self.retries = self.retries.or(older(self.max_retries));
        self.retry_delay = self
            .retry_delay
            .or(older(self.retry_delay_seconds as i64).map(Into::into));
        self.pause_keys.get_or_insert_default();
        self.resuming.get_or_insert(false);
        self
    }
}

impl FlowRun {
    /// Returns the current state's type.
    pub fn state_type(&self) -> Option<StateType> {
        self.state.as_ref().map(|state| state.state_type)
    }
}

/// A flow run as of an instant, since what is estimated depends on it.
#[derive(Debug, Clone, Copy)]
pub struct AsOf<T>(pub DateTime<Utc>, pub T);

impl<T> AsOf<Vec<T>> {
    /// Spreads the instant over a list.
    pub fn each(self) -> Vec<AsOf<T>> {
        let now = self.0;
        self.1.into_iter().map(|value| AsOf(now, value)).collect()
    }
}

/// Seconds in RUNNING up to `now`.
pub fn estimated_run_time(total_run_time: f64, state: Option<&State>, now: DateTime<Utc>) -> f64 {
    match state {
        Some(state) if state.state_type == StateType::Running => {
            total_run_time + time::seconds(now - state.timestamp).max(0.0)
        }
        _ => total_run_time,
    }
}

/// Seconds by which a run started, or as of `now` would start, after it was meant to.
pub fn estimated_start_time_delta(
    expected_start_time: Option<DateTime<Utc>>,
    start_time: Option<DateTime<Utc>>,
    state_type: Option<StateType>,
    now: DateTime<Utc>,
) -> f64 {
    let Some(expected) = expected_start_time else {
        return 0.0;
    };
    let late = match (start_time, state_type) {
        (Some(start), _) => start - expected,
        (None, Some(state_type)) if state_type.is_terminal() => return 0.0,
        (None, _) => now - expected,
    };
    time::seconds(late).max(0.0)
}

impl Render for AsOf<FlowRun> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let AsOf(now, run) = self;
        let state = run.state.as_ref();
        let state_type = run.state_type();
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &run.id)?;
        fields.time("created", run.created)?;
        fields.time("updated", run.updated)?;
        fields.all("name", &run.name)?;
        fields.all("flow_id", &run.flow_id)?;
        fields.all("state_id", &state.map(|state| state.id))?;
        fields.all("deployment_id", &run.deployment_id)?;
        fields.all("flow_version", &run.flow_version)?;
        fields.all("parameters", &run.parameters)?;
        fields.all("idempotency_key", &run.idempotency_key)?;
        fields.all("context", &run.context)?;
        if dialect == Dialect::B {
            fields.all("empirical_policy", &run.empirical_policy)?;
            fields.all("empirical_config", &run.empirical_config)?;
            fields.all("flow_runner", &run.flow_runner)?;
        } else {
            let policy = FlowRunPolicy::of(&run.empirical_policy).filled();
            fields.all("empirical_policy", &policy)?;
        }
        fields.newer("deployment_version", &run.deployment_version)?;
        fields.newer("work_queue_id", &run.work_queue_id)?;
        fields.newer("work_queue_name", &run.work_queue_name)?;
        fields.newer("work_pool_id", &run.work_pool_id)?;
        fields.newer("work_pool_name", &run.work_pool_name)?;
        fields.newer(
            "infrastructure_document_id",
            &run.infrastructure_document_id,
        )?;
        fields.newer("infrastructure_pid", &run.infrastructure_pid)?;
        fields.newer("job_variables", &run.job_variables)?;
        fields.newest("labels", &run.labels)?;
        fields.newer("created_by", &run.created_by)?;
        fields.all("tags", &run.tags)?;
        fields.all("parent_task_run_id", &run.parent_task_run_id)?;
        fields.part("state_type", &state_type)?;
        fields.newer("state_name", &state.map(|state| &state.name))?;
        fields.all("run_count", &run.run_count)?;
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
        fields.all("auto_scheduled", &run.auto_scheduled)?;
        fields.part("state", &run.state)?;
        fields.end()
    }
}

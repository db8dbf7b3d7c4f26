//! What a client may send to create or change something.
//!
//! Unknown fields are refused, as the genuine servers do: a misspelt field would be lost silently.

use serde::Deserialize;
use utoipa::ToSchema;

use super::flow_runs::FlowRunnerSettings;
use super::task_runs::RetryPolicy;
use super::time::Instant;
use super::{DeploymentId, Document, FlowId, FlowRunId, StateDetails, StateType, Tags, TaskRunId};

/// Creates a flow, or finds the one of that name.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowCreate {
    /// The name.
    pub name: String,
    /// Tags of a flow that is created.
    #[serde(default)]
    pub tags: Tags,
    /// Labels of 3.x clients; they carry nothing that the server needs.
    #[serde(default)]
    pub labels: Option<Document>,
}

/// Changes a flow.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowUpdate {
    /// Tags instead of the present ones.
    pub tags: Option<Tags>,
}

/// Proposes a state.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StateCreate {
    /// The kind of state.
    #[serde(rename = "type")]
    pub state_type: StateType,
    /// The finer name; by default the type's.
    #[serde(default)]
    pub name: Option<String>,
    /// What a person should know.
    #[serde(default)]
    pub message: Option<String>,
    /// The result, or where it is.
    #[serde(default)]
    pub data: Option<Document>,
    /// What rules should know.
    #[serde(default)]
    pub state_details: Option<StateDetails>,
    /// Taken from no client; the server makes ids.
    #[serde(default)]
    pub id: Option<Document>,
    /// Taken from no client; the server has the time.
    #[serde(default)]
    pub timestamp: Option<Document>,
}

/// Creates a flow run.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `FlowRun`")]
pub struct FlowRunCreate {
    pub flow_id: FlowId,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub deployment_id: Option<DeploymentId>,
    #[serde(default)]
    pub flow_version: Option<String>,
    #[serde(default)]
    pub parameters: Option<Document>,
    #[serde(default)]
    pub idempotency_key: Option<String>,
    #[serde(default)]
    pub context: Option<Document>,
    #[serde(default)]
    pub empirical_policy: Option<Document>,
    #[serde(default)]
    pub tags: Tags,
    #[serde(default)]
    pub parent_task_run_id: Option<TaskRunId>,
    #[serde(default)]
    pub flow_runner: Option<FlowRunnerSettings>,
    #[serde(default)]
    pub state: Option<StateCreate>,
}

/// Changes a flow run.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `FlowRun`")]
pub struct FlowRunUpdate {
    pub name: Option<String>,
    pub flow_version: Option<String>,
    pub parameters: Option<Document>,
    pub flow_runner: Option<FlowRunnerSettings>,
    pub empirical_policy: Option<Document>,
    pub tags: Option<Tags>,
}

/// Creates a run from a deployment.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `FlowRun`")]
pub struct DeploymentFlowRunCreate {
    pub name: Option<String>,
    pub flow_version: Option<String>,
    pub parameters: Option<Document>,
    pub idempotency_key: Option<String>,
    pub context: Option<Document>,
    pub empirical_policy: Option<Document>,
    #[serde(default)]
    pub tags: Tags,
    pub parent_task_run_id: Option<TaskRunId>,
    pub flow_runner: Option<FlowRunnerSettings>,
    pub state: Option<StateCreate>,
}

/// Creates a task run, or finds the one of those keys.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `TaskRun`")]
pub struct TaskRunCreate {
    #[serde(default)]
    pub id: Option<TaskRunId>,
    #[serde(default)]
    pub name: Option<String>,
    pub flow_run_id: Option<FlowRunId>,
    pub task_key: String,
    pub dynamic_key: String,
    #[serde(default)]
    pub cache_key: Option<String>,
    #[serde(default)]
    pub cache_expiration: Option<Instant>,
    #[serde(default)]
    pub task_version: Option<String>,
    #[serde(default)]
    pub empirical_policy: Option<RetryPolicy>,
    #[serde(default)]
    pub tags: Tags,
    #[serde(default)]
    pub task_inputs: Option<Document>,
    #[serde(default)]
    pub state: Option<StateCreate>,
}

/// Asks for a transition.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct SetState {
    /// The state proposed.
    pub state: StateCreate,
    /// Whether to skip the rules that protect the run.
    #[serde(default)]
    pub force: bool,
}

/// A log line to keep.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `Log`")]
pub struct LogCreate {
    pub name: String,
    pub level: i64,
    pub message: String,
    pub timestamp: Instant,
    #[serde(default)]
    pub flow_run_id: Option<FlowRunId>,
    #[serde(default)]
    pub task_run_id: Option<TaskRunId>,
}

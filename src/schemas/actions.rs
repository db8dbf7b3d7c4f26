//! What a client may send to create or change something.
//!
//! Unknown fields are refused, as the genuine servers do: a misspelt field would be lost silently.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use utoipa::ToSchema;

use super::document::DataDocument;
use super::filters::offset;
use super::flow_runs::FlowRunnerSettings;
use super::saved_searches::SavedSearchFilter;
use super::states::Deferral;
use super::task_runs::RetryPolicy;
use super::time::Instant;
use super::work_queues::QueueFilter;
use super::{
    BlockSpecId, DeploymentId, Dialect, Document, FlowId, FlowRunId, StateDetails, StateType, Tags,
    TaskRunId,
};

/// Creates a flow, or finds the one of that name.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowCreate {
    /// The name.
    pub name: String,
    /// Tags of a flow that is created.
    #[serde(default)]
    pub tags: Tags,
    /// Labels of a flow that is created.
    #[serde(default, deserialize_with = "object_or_null")]
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

impl StateCreate {
    /// Says that a scheduled task run waits for a background worker.
    ///
    /// Clients of 2.20 do not say so: there each that belongs to no flow run does
    /// (`EnqueueScheduledTasks` of its server).
    pub fn defer(&mut self, dialect: Dialect, flow_run_id: Option<FlowRunId>) {
        if dialect == Dialect::Two
            && flow_run_id.is_none()
            && self.state_type == StateType::Scheduled
        {
            self.state_details.get_or_insert_default().deferred = Deferral(Some(true));
        }
    }

    /// A state of a type, under its usual name.
    pub fn of(state_type: StateType) -> Self {
        Self {
            state_type,
            name: None,
            message: None,
            data: None,
            state_details: None,
            id: None,
            timestamp: None,
        }
    }

    /// The first state of a run that is made without one.
    pub fn pending() -> Self {
        Self::of(StateType::Pending)
    }
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
    #[serde(default, deserialize_with = "object")]
    pub parameters: Option<Document>,
    #[serde(default)]
    pub idempotency_key: Option<String>,
    #[serde(default, deserialize_with = "object")]
    pub context: Option<Document>,
    #[serde(default, deserialize_with = "object")]
    pub empirical_policy: Option<Document>,
    #[serde(default)]
    pub tags: Tags,
    #[serde(default)]
    pub parent_task_run_id: Option<TaskRunId>,
    #[serde(default)]
    pub flow_runner: Option<FlowRunnerSettings>,
    #[serde(default)]
    pub infrastructure_document_id: Option<uuid::Uuid>,
    #[serde(default, deserialize_with = "object_or_null")]
    pub job_variables: Option<Document>,
    #[serde(default, deserialize_with = "object_or_null")]
    pub labels: Option<Document>,
    #[serde(default)]
    pub work_queue_name: Option<String>,
    /// The pool that the run belongs to, in its default queue unless one is named.
    #[serde(default)]
    pub work_pool_name: Option<String>,
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
    #[serde(default, deserialize_with = "object")]
    pub parameters: Option<Document>,
    pub flow_runner: Option<FlowRunnerSettings>,
    #[serde(default, deserialize_with = "object")]
    pub empirical_policy: Option<Document>,
    pub tags: Option<Tags>,
    pub infrastructure_pid: Option<String>,
    #[serde(default, deserialize_with = "object_or_null")]
    pub job_variables: Option<Document>,
}

/// Labels, by name.
#[derive(Debug, Clone)]
pub struct Labels(pub Document);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let labels = object(deserializer)?;
        Ok(Self(labels.unwrap_or_else(Document::empty_object)))
    }
}

/// Creates a run from a deployment.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `FlowRun`")]
pub struct DeploymentFlowRunCreate {
    pub name: Option<String>,
    pub flow_version: Option<String>,
    #[serde(default, deserialize_with = "object")]
    pub parameters: Option<Document>,
    pub idempotency_key: Option<String>,
    #[serde(default, deserialize_with = "object")]
    pub context: Option<Document>,
    #[serde(default, deserialize_with = "object")]
    pub empirical_policy: Option<Document>,
    #[serde(default)]
    pub tags: Tags,
    pub parent_task_run_id: Option<TaskRunId>,
    pub flow_runner: Option<FlowRunnerSettings>,
    pub infrastructure_document_id: Option<uuid::Uuid>,
    // Where they are null they stay null, as automations make runs.
    #[serde(default, deserialize_with = "object_kept_null")]
    pub job_variables: Option<Document>,
    #[serde(default, deserialize_with = "object_or_null")]
    pub labels: Option<Document>,
    pub work_queue_name: Option<String>,
    /// Whether the deployment's schema of parameters holds for the run; by default as it says.
    pub enforce_parameter_schema: Option<bool>,
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
    #[serde(default, deserialize_with = "task_inputs")]
    pub task_inputs: Option<Document>,
    #[serde(default)]
    pub labels: Option<Document>,
    #[serde(default)]
    pub state: Option<StateCreate>,
}

/// Asks for a transition.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct SetState {
    /// The state proposed.
    pub state: StateCreate,
    /// Whether to skip the rules that protect the run.
    #[serde(default, deserialize_with = "truth")]
    pub force: bool,
}

/// Lets a paused flow run go on.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct ResumeFlowRun {
    /// The input that the run waits for.
    #[serde(default, deserialize_with = "object_or_null")]
    pub run_input: Option<Document>,
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

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
pub struct Page {
    /// How many at most; by default as many as the server gives at once.
    pub limit: Option<i64>,
    /// How many to leave out first.
    #[serde(default, deserialize_with = "offset")]
    pub offset: Option<u32>,
}

/// Makes the runs of a deployment's schedule now.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct DeploymentSchedule {
    /// The earliest date; now by default.
    pub start_time: Option<Instant>,
    /// The latest date; by default as far ahead as the scheduler looks.
    pub end_time: Option<Instant>,
    /// For how long at least, in seconds; by default as the scheduler does.
    pub min_time: Option<f64>,
    /// How many at least; by default as many as the scheduler makes.
    pub min_runs: Option<i64>,
    /// How many at most; by default as many as the scheduler makes.
    pub max_runs: Option<i64>,
}

/// Creates a work queue.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `WorkQueue`")]
pub struct WorkQueueCreate {
    pub name: String,
    #[serde(default, deserialize_with = "priority")]
    pub priority: Option<i64>,
    #[serde(default)]
    pub filter: Option<QueueFilter>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub is_paused: bool,
    #[serde(default)]
    pub concurrency_limit: Option<i64>,
}

impl WorkQueueCreate {
    /// A queue of a name that has nothing else.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            priority: None,
            filter: None,
            description: None,
            is_paused: false,
            concurrency_limit: None,
        }
    }
}

/// Changes a work queue; what is not given stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `WorkQueue`")]
pub struct WorkQueueUpdate {
    pub name: Option<String>,
    #[serde(default, deserialize_with = "priority")]
    pub priority: Option<i64>,
    pub last_polled: Option<Instant>,
    pub filter: Option<QueueFilter>,
    pub description: Option<String>,
    pub is_paused: Option<bool>,
    /// `null` lifts the limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    pub concurrency_limit: Option<Option<i64>>,
}

/// Asks a work queue for runs that are due.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
pub struct WorkQueueGetRuns {
    /// How many at most.
    pub limit: Option<i64>,
    /// Until when the runs are due; those of all times by default, to 2.0b3 clients those of now.
    pub scheduled_before: Option<Instant>,
    /// Who asks; any answer is the same.
    pub agent_id: Option<uuid::Uuid>,
}

/// Creates a saved search, or replaces the filters of the one of that name.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `SavedSearch`")]
pub struct SavedSearchCreate {
    pub name: String,
    #[serde(default)]
    pub filters: Vec<SavedSearchFilter>,
}

/// Creates a limit, or changes that of the tag.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `ConcurrencyLimit`")]
pub struct ConcurrencyLimitCreate {
    pub tag: String,
    pub concurrency_limit: i64,
}

/// Frees the slots of a limit.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct ConcurrencyLimitReset {
    /// The task runs that keep a slot; none by default.
    pub slot_override: Option<Vec<TaskRunId>>,
}

/// Changes a task run.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskRunUpdate {
    /// The name instead of the present one.
    #[serde(default)]
    pub name: Option<String>,
}

/// Takes slots of tags for a task run, or gives them back.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct TagSlots {
    /// The tags.
    pub names: Vec<String>,
    /// The task run.
    pub task_run_id: TaskRunId,
}

/// Creates a block spec.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `BlockSpec`")]
pub struct BlockSpecCreate {
    pub name: String,
    pub version: String,
    #[serde(default, rename = "type")]
    pub spec_type: Option<String>,
    #[serde(default, deserialize_with = "object")]
    pub fields: Option<Document>,
}

/// Creates a block.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `Block`")]
pub struct BlockCreate {
    pub name: String,
    pub block_spec_id: BlockSpecId,
    #[serde(default, deserialize_with = "object")]
    pub data: Option<Document>,
}

/// Changes a block; what is not given stays.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `Block`")]
pub struct BlockUpdate {
    pub name: Option<String>,
    #[serde(default, deserialize_with = "object_or_null")]
    pub data: Option<Document>,
}

/// Asks for block specs or blocks.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct BlocksPage {
    /// What the specs are for, such as `STORAGE`.
    pub block_spec_type: Option<String>,
    /// The same, as block specs are asked for.
    #[serde(rename = "type")]
    pub spec_type: Option<String>,
    /// How many at most.
    pub limit: Option<i64>,
    /// How many to leave out first.
    #[serde(default, deserialize_with = "offset")]
    pub offset: Option<u32>,
}

/// Confirms that data may be destroyed.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
pub struct Confirm {
    /// Must be true.
    #[serde(default, deserialize_with = "truth")]
    pub confirm: bool,
}

/// Reads a place among the queues of a pool; others may have to move behind it.
fn priority<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    match Option::<i64>::deserialize(d)? {
        Some(..1) => Err(D::Error::custom("ensure this value is greater than 0")),
        Some(1_000_000_000..) => Err(D::Error::custom(
            "ensure this value is less than 1000000000",
        )),
        priority => Ok(priority),
    }
}

/// Tells a field that is null from one that is not there.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    d: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

/// Reads a document that must be an object.
pub(super) fn object<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Document>, D::Error> {
    let document = Document::deserialize(deserializer)?;
    let found = match document.get().as_bytes().first() {
        Some(b'{') => return Ok(Some(document)),
        Some(b'n') => "null",
        _ => "no object",
    };
    // In serde's words, so that it is answered as every other mistake of this kind.
    Err(D::Error::custom(format!(
        "invalid type: {found}, expected a map"
    )))
}

/// Reads what a flow of 2.0b3 is kept in, whose clients fail at anything else; or null.
pub(super) fn data_document<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Document>, D::Error> {
    let document = Option::<Document>::deserialize(d)?;
    match document.as_ref().map(Document::read::<DataDocument<'_>>) {
        Some(Err(error)) => Err(D::Error::custom(error)),
        Some(Ok(_)) | None => Ok(document),
    }
}

/// Reads a document that must be an object, or null.
pub(super) fn object_or_null<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<Document>, D::Error> {
    let document = Option::<Document>::deserialize(d)?;
    match document {
        Some(document) if !document.is_object() => {
            Err(D::Error::custom("invalid type: no object, expected a map"))
        }
        document => Ok(document),
    }
}

/// As [`object_or_null`], but tells null from what is not there.
fn object_kept_null<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Document>, D::Error> {
    let null = || Document::of(&()).expect("null is JSON");
    Ok(Some(object_or_null(d)?.unwrap_or_else(null)))
}

/// Where an input of a task run may come from.
#[derive(Deserialize)]
#[serde(tag = "input_type", rename_all = "snake_case")]
#[expect(dead_code, reason = "only the shape matters")]
enum Input {
    TaskRun { id: uuid::Uuid },
    FlowRun { id: uuid::Uuid },
    Parameter { name: String },
    Constant { r#type: String },
}

/// Reads the inputs of a task run, which the graph of its flow run is drawn from.
fn task_inputs<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Document>, D::Error> {
    let Some(document) = object(d)? else {
        return Ok(None);
    };
    let check = |document: &Document| document.read::<BTreeMap<String, Vec<Input>>>().map(drop);
    let Err(error) = check(&document) else {
        return Ok(Some(document));
    };
    with_kinds(&document)
        .filter(|document| check(document).is_ok())
        .map(Some)
        .ok_or_else(|| D::Error::custom(error))
}

/// Says of each input what kind it is, where that is left to what else it has.
fn with_kinds(document: &Document) -> Option<Document> {
    let mut inputs: serde_json::Map<String, serde_json::Value> = document.read().ok()?;
    for input in inputs.values_mut().filter_map(|list| list.as_array_mut()) {
        for input in input.iter_mut().filter_map(|input| input.as_object_mut()) {
            let kind = [
                ("id", "task_run"),
                ("name", "parameter"),
                ("type", "constant"),
            ]
            .into_iter()
            .find(|(member, _)| input.contains_key(*member));
            if let (Some((_, kind)), false) = (kind, input.contains_key("input_type")) {
                input.shift_insert(0, "input_type".to_owned(), kind.into());
            }
        }
    }
    Document::of(&inputs).ok()
}

/// Reads a truth value; null is no.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_variables_of_a_run_are_null_only_where_the_client_says_so() {
        let read = |text: &str| {
            let asked: DeploymentFlowRunCreate = serde_json::from_str(text).unwrap();
            asked.job_variables.map(Document::into_text)
        };
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"job_variables":null}"#).as_deref(), Some("null"));
        assert_eq!(read(r#"{"job_variables":{}}"#).as_deref(), Some("{}"));
        assert!(
            serde_json::from_str::<DeploymentFlowRunCreate>(r#"{"job_variables":[]}"#).is_err()
        );
    }
}

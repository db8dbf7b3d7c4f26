//! What our own clients read of the API's objects.
//!
//! A [`Document`] keeps the answer as it came beside the few fields that a command needs, so that `--output json` and
//! `inspect` lose nothing and an answer of a newer server is still understood.

use std::ops::Deref;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};
use uuid::Uuid;

/// An object as it came, and what we read of it.
#[derive(Clone, Debug)]
pub struct Document<T> {
    /// The answer as it came.
    pub raw: Value,
    view: T,
}

impl<T> Document<T> {
    /// Returns what was read of it.
    pub fn into_view(self) -> T {
        self.view
    }
}

impl<T> Deref for Document<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.view
    }
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for Document<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Value::deserialize(deserializer)?;
        let view = T::deserialize(&raw).map_err(D::Error::custom)?;
        Ok(Self { raw, view })
    }
}

impl<T> Serialize for Document<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

/// An automation.
#[derive(Clone, Debug, Deserialize)]
pub struct Automation {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Whether it is in force.
    pub enabled: bool,
    /// What it does.
    #[serde(default)]
    pub actions: Vec<Value>,
}

/// An artifact, or the newest of its key.
#[derive(Clone, Debug, Deserialize)]
pub struct Artifact {
    /// Its id, or that of the collection of its key.
    pub id: Uuid,
    /// The newest artifact of its key, where that was asked for.
    #[serde(default)]
    pub latest_id: Option<Uuid>,
    /// What its versions have in common.
    #[serde(default)]
    pub key: Option<String>,
    /// What it shows.
    #[serde(default, rename = "type")]
    pub artifact_type: Option<String>,
    /// When it was last changed.
    #[serde(default)]
    pub updated: Option<DateTime<Utc>>,
}

/// A variable.
#[derive(Clone, Debug, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: Value,
    /// When it was last changed.
    #[serde(default)]
    pub updated: Option<DateTime<Utc>>,
}

/// A global concurrency limit.
#[derive(Clone, Debug, Deserialize)]
pub struct GlobalConcurrencyLimit {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Whether it is in force.
    pub active: bool,
    /// How many slots there are.
    pub limit: i64,
    /// How many of them are taken.
    pub active_slots: i64,
    /// How many slots a second come back by themselves.
    #[serde(default)]
    pub slot_decay_per_second: f64,
}

/// An event.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    pub occurred: DateTime<Utc>,
    /// What happened.
    pub event: String,
    /// What it happened to: its labels.
    pub resource: Value,
}

/// A flow.
#[derive(Clone, Debug, Deserialize)]
pub struct Flow {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When it was first seen.
    pub created: Option<DateTime<Utc>>,
}

/// A state of a run.
#[derive(Clone, Debug, Deserialize)]
pub struct State {
    /// Its id.
    pub id: Option<Uuid>,
    /// Its type in capitals, such as `RUNNING`.
    pub r#type: String,
    /// Its name, such as `Late`.
    pub name: Option<String>,
    /// When it was entered.
    pub timestamp: Option<DateTime<Utc>>,
    /// What there is to say about it.
    pub message: Option<String>,
    /// What rules and clients note in it.
    #[serde(default)]
    pub state_details: StateDetails,
}

/// The details of a state that our clients act on.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct StateDetails {
    /// When a scheduled run is due.
    pub scheduled_time: Option<DateTime<Utc>>,
}

impl State {
    /// Returns the name, or the type where there is none.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.r#type)
    }

    /// Returns whether no other state follows by itself.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self.r#type.as_str(),
            "COMPLETED" | "FAILED" | "CANCELLED" | "CRASHED"
        )
    }

    /// Returns whether the run waits for its time.
    pub fn is_scheduled(&self) -> bool {
        self.r#type == "SCHEDULED"
    }
}

/// A flow run.
#[derive(Clone, Debug, Deserialize)]
pub struct FlowRun {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The flow it runs.
    pub flow_id: Uuid,
    /// The deployment it was made from.
    pub deployment_id: Option<Uuid>,
    /// The task run that stands for it in its parent.
    pub parent_task_run_id: Option<Uuid>,
    /// Its state.
    pub state: Option<State>,
    /// Its parameters.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How often it was started.
    #[serde(default)]
    pub run_count: i64,
    /// When it should start.
    pub expected_start_time: Option<DateTime<Utc>>,
    /// When it is next due.
    pub next_scheduled_start_time: Option<DateTime<Utc>>,
    /// When it started.
    pub start_time: Option<DateTime<Utc>>,
    /// When it ended.
    pub end_time: Option<DateTime<Utc>>,
    /// Seconds that it ran.
    #[serde(default)]
    pub total_run_time: f64,
    /// How it is run, in the words of the first generation.
    pub flow_runner: Option<Value>,
    /// Settings of its infrastructure over those of its deployment.
    pub job_variables: Option<Map<String, Value>>,
    /// The work queue that it waits in.
    pub work_queue_id: Option<Uuid>,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
}

impl FlowRun {
    /// Returns whether the run has failed and is to be tried again.
    pub fn waits_for_retry(&self) -> bool {
        self.state
            .as_ref()
            .is_some_and(|state| state.is_scheduled() && state.label() == "AwaitingRetry")
    }
}

/// A task run.
#[derive(Clone, Debug, Deserialize)]
pub struct TaskRun {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The flow run it belongs to.
    pub flow_run_id: Option<Uuid>,
    /// Its state.
    pub state: Option<State>,
    /// How often it was started.
    #[serde(default)]
    pub run_count: i64,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When it should start.
    pub expected_start_time: Option<DateTime<Utc>>,
    /// When it started.
    pub start_time: Option<DateTime<Utc>>,
    /// When it ended.
    pub end_time: Option<DateTime<Utc>>,
    /// Seconds that it ran.
    #[serde(default)]
    pub total_run_time: f64,
}

/// One schedule of a deployment.
#[derive(Clone, Debug, Deserialize)]
pub struct DeploymentSchedule {
    /// Its id.
    pub id: Uuid,
    /// Its name among the schedules of its deployment.
    pub slug: Option<String>,
    /// When runs are made.
    pub schedule: Value,
    /// Whether it makes runs.
    pub active: bool,
    /// Parameters of its runs over those of the deployment.
    #[serde(default)]
    pub parameters: Map<String, Value>,
}

/// A deployment.
#[derive(Clone, Debug, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The flow it deploys.
    pub flow_id: Uuid,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Its parameters.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Its schedule, in the words of the first generations.
    pub schedule: Option<Value>,
    /// Its schedules, in the words of the newest generation.
    #[serde(default)]
    pub schedules: Vec<Value>,
    /// Whether its schedule makes runs.
    pub is_schedule_active: Option<bool>,
    /// Whether all its schedules are paused.
    pub paused: Option<bool>,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
}

impl Deployment {
    /// Returns its schedules, however they came.
    pub fn all_schedules(&self) -> Vec<&Value> {
        match (&self.schedules[..], &self.schedule) {
            ([], Some(schedule)) if !schedule.is_null() => vec![schedule],
            (schedules, _) => schedules
                .iter()
                .map(|schedule| schedule.get("schedule").unwrap_or(schedule))
                .collect(),
        }
    }

    /// Returns whether its schedules make runs.
    pub fn makes_runs(&self) -> bool {
        match (self.paused, self.is_schedule_active) {
            (Some(paused), _) => !paused,
            (None, active) => active.unwrap_or(true),
        }
    }
}

/// What runs a work queue takes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct QueueFilter {
    /// Tags that a run must all have.
    pub tags: Option<Vec<String>>,
    /// Deployments of which a run must have one.
    pub deployment_ids: Option<Vec<Uuid>>,
    /// Types of flow runner of which a run must have one.
    pub flow_runner_types: Option<Vec<String>>,
}

/// A work queue.
#[derive(Clone, Debug, Deserialize)]
pub struct WorkQueue {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What runs it takes.
    pub filter: Option<QueueFilter>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it gives out no runs.
    #[serde(default)]
    pub is_paused: bool,
    /// How many of its runs may be under way.
    pub concurrency_limit: Option<i64>,
    /// Its place among the queues of its pool.
    pub priority: Option<i64>,
    /// The name of its pool.
    pub work_pool_name: Option<String>,
    /// Whether somebody asks for its runs.
    pub status: Option<String>,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
}

/// A work pool.
#[derive(Clone, Debug, Deserialize)]
pub struct WorkPool {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Which workers serve it.
    pub r#type: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it gives out no runs.
    #[serde(default)]
    pub is_paused: bool,
    /// How many of its runs may be under way.
    pub concurrency_limit: Option<i64>,
    /// Whether somebody works there.
    pub status: Option<String>,
    /// How jobs are made of a run's variables.
    #[serde(default)]
    pub base_job_template: Value,
}

/// A line of a log.
#[derive(Clone, Debug, Deserialize)]
pub struct Log {
    /// Its id.
    pub id: Option<Uuid>,
    /// The logger's name.
    pub name: String,
    /// The level as Python counts it.
    pub level: i64,
    /// The message.
    pub message: String,
    /// When it was said.
    pub timestamp: DateTime<Utc>,
    /// The task run that said it.
    pub task_run_id: Option<Uuid>,
}

/// A limit on the task runs with a tag.
#[derive(Clone, Debug, Deserialize)]
pub struct ConcurrencyLimit {
    /// Its id.
    pub id: Uuid,
    /// The tag.
    pub tag: String,
    /// How many may run at once.
    pub concurrency_limit: i64,
    /// The task runs that hold a slot.
    #[serde(default)]
    pub active_slots: Vec<Uuid>,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated: Option<DateTime<Utc>>,
}

/// A block: one of the first generation has a spec, a block document of later ones a type.
#[derive(Clone, Debug, Deserialize)]
pub struct Block {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: Option<String>,
    /// What kind of block it is, in the first generation.
    pub block_spec: Option<BlockSpec>,
    /// What kind of block it is, in later ones.
    pub block_type: Option<BlockType>,
}

/// A kind of block of the later generations.
#[derive(Clone, Debug, Deserialize)]
pub struct BlockType {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its name in addresses and commands.
    pub slug: String,
    /// What it is for.
    pub description: Option<String>,
}

/// A kind of block of the first generation.
#[derive(Clone, Debug, Deserialize)]
pub struct BlockSpec {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What its blocks are for, such as `STORAGE`.
    pub r#type: Option<String>,
    /// The JSON schema of its data.
    #[serde(default)]
    pub fields: Value,
}

/// Why a flow run does not run.
#[derive(Clone, Debug, Deserialize)]
pub struct Explanation {
    /// Whether it waits at all.
    pub waiting: bool,
    /// What it waits for, the most telling first.
    pub reasons: Vec<Reason>,
}

/// One thing that keeps a run from running.
#[derive(Clone, Debug, Deserialize)]
pub struct Reason {
    /// A sentence for people.
    pub summary: String,
    /// More of it.
    pub detail: Option<String>,
    /// The command that helps.
    pub command: Option<String>,
}

/// What the server made of a proposed state.
#[derive(Clone, Debug, Deserialize)]
pub struct OrchestrationResult {
    /// The state that holds now.
    pub state: Option<State>,
    /// `ACCEPT`, `REJECT`, `WAIT` or `ABORT`.
    pub status: String,
    /// Why, and how long to wait.
    #[serde(default)]
    pub details: Value,
}

//! States: what a run is, and the record of each time it changed.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};

use super::dialect::{Dialect, Fields, Render};
use super::time::Instant;
use super::{Document, FlowRunId, StateId, TaskRunId};

/// The kinds of states; their names are finer.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the field's own words")]
pub enum StateType {
    Scheduled,
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
    Crashed,
    Paused,
    Cancelling,
}

impl StateType {
    /// All types, in the order of a run's life.
    pub const ALL: [Self; 9] = [
        Self::Scheduled,
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Crashed,
        Self::Paused,
        Self::Cancelling,
    ];

    /// Returns the type as the wire and the tables write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Crashed => "CRASHED",
            Self::Paused => "PAUSED",
            Self::Cancelling => "CANCELLING",
        }
    }

    /// Returns the name that a state of this type has when none is given.
    pub fn default_name(self) -> String {
        let text = self.as_str();
        format!("{}{}", &text[..1], text[1..].to_lowercase())
    }

    /// Tells whether a run in such a state is over.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Crashed
        )
    }

    /// Returns the nearest type that clients of 2.0b3 know.
    fn for_dialect(self, dialect: Dialect) -> Self {
        match (dialect, self) {
            (Dialect::B, Self::Crashed) => Self::Failed,
            (Dialect::B, Self::Cancelling) => Self::Running,
            (Dialect::B, Self::Paused) => Self::Pending,
            (_, same) => same,
        }
    }
}

impl Render for StateType {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.for_dialect(dialect).as_str())
    }
}

impl FromStr for StateType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|state_type| state_type.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not a state type"))
    }
}

/// Whether a task run waits for a background worker: not, where nobody says; a client that says
/// nothing in so many words (null) is told the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct Deferral(pub Option<bool>);

impl Default for Deferral {
    fn default() -> Self {
        Self(Some(false))
    }
}

impl Deferral {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What rules need to know of a state beyond its type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct StateDetails {
    /// The flow run that the state belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_run_id: Option<FlowRunId>,
    /// The task run that the state belongs to, or that stands for a subflow run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_run_id: Option<TaskRunId>,
    /// The subflow run that a task run stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub child_flow_run_id: Option<FlowRunId>,
    /// When a scheduled run is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_time: Option<Instant>,
    /// The key under which a task's result may be found again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_key: Option<String>,
    /// Until when it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_expiration: Option<Instant>,
    /// Whether a cached result must not be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_cache: Option<bool>,
    /// Whether a failed task may be retried; unknown counts as yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retriable: Option<bool>,
    /// The client's id of the proposal, which makes repeating it safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transition_id: Option<uuid::Uuid>,
    /// Until when a paused run waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_timeout: Option<Instant>,
    /// Whether a paused run gives its process up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_reschedule: Option<bool>,
    /// Names the pause, so that it happens once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_key: Option<String>,
    /// Which input a paused run waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_input_keyset: Option<Document>,
    /// Whether the result cannot be found again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untrackable_result: Option<bool>,
    /// The parameters of a background task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_parameters_id: Option<uuid::Uuid>,
    /// Whether the task run waits for a background worker.
    #[serde(skip_serializing_if = "Deferral::is_usual")]
    pub deferred: Deferral,
    /// The trace that the run belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The lease that holds a deployment's slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_concurrency_lease_id: Option<uuid::Uuid>,
    /// The type of the state that the server replaced, because the flow run ended without its
    /// engine; never sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled_from: Option<StateType>,
}

impl StateDetails {
    /// Writes the details as they are stored: only what is set.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("ids, texts and instants are JSON")
    }
}

impl Render for StateDetails {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("flow_run_id", &self.flow_run_id)?;
        fields.all("task_run_id", &self.task_run_id)?;
        fields.all("child_flow_run_id", &self.child_flow_run_id)?;
        fields.time_option("scheduled_time", self.scheduled_time.map(|t| t.0))?;
        fields.all("cache_key", &self.cache_key)?;
        fields.time_option("cache_expiration", self.cache_expiration.map(|t| t.0))?;
        fields.newest("deferred", &self.deferred)?;
        fields.newer(
            "untrackable_result",
            &self.untrackable_result.unwrap_or(false),
        )?;
        fields.newer_time("pause_timeout", self.pause_timeout.map(|t| t.0))?;
        fields.newer("pause_reschedule", &self.pause_reschedule.unwrap_or(false))?;
        fields.newer("pause_key", &self.pause_key)?;
        fields.newer("run_input_keyset", &self.run_input_keyset)?;
        fields.newer("refresh_cache", &self.refresh_cache)?;
        fields.newer("retriable", &self.retriable)?;
        fields.newer("transition_id", &self.transition_id)?;
        fields.newer("task_parameters_id", &self.task_parameters_id)?;
        fields.newest("traceparent", &self.traceparent)?;
        fields.newest(
            "deployment_concurrency_lease_id",
            &self.deployment_concurrency_lease_id,
        )?;
        fields.end()
    }
}

/// One state of a run.
#[derive(Debug, Clone, PartialEq, utoipa::ToSchema)]
pub struct State {
    /// The id of the record.
    pub id: StateId,
    /// The kind of state.
    #[schema(rename = "type")]
    pub state_type: StateType,
    /// The finer name, such as `Late`.
    pub name: String,
    /// When the run entered the state.
    pub timestamp: DateTime<Utc>,
    /// What a person should know.
    pub message: Option<String>,
    /// What rules should know.
    pub state_details: StateDetails,
    /// The result, or where it is, in the form of the client that wrote it.
    pub data: Option<Document>,
}

impl State {
    /// Makes a state with the usual name of its type.
    pub fn new(state_type: StateType, now: DateTime<Utc>) -> Self {
        Self {
            id: StateId::new(),
            state_type,
            name: state_type.default_name(),
            timestamp: now,
            message: None,
            state_details: StateDetails::default(),
            data: None,
        }
    }

    /// A run that is due at `at`.
    pub fn scheduled(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let mut state = Self::new(StateType::Scheduled, now);
        state.state_details.scheduled_time = Some(Instant(at));
        state
    }

    /// A run that was due at `at` and that nobody has started.
    pub fn late(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self {
            name: "Late".to_owned(),
            ..Self::scheduled(at, now)
        }
    }

    /// A failed run that is tried again at `at`.
    pub fn awaiting_retry(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self {
            name: "AwaitingRetry".to_owned(),
            ..Self::scheduled(at, now)
        }
    }

    /// A claimed run that found no slot of its deployment's limit and looks again at `at`.
    pub fn awaiting_concurrency_slot(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self {
            name: "AwaitingConcurrencySlot".to_owned(),
            ..Self::scheduled(at, now)
        }
    }

    /// Returns the type as the run's own client knows it: the server may have settled the run
    /// while the client is still at work.
    pub fn type_to_its_client(&self) -> StateType {
        self.state_details.settled_from.unwrap_or(self.state_type)
    }

    /// Returns the data if clients of `dialect` can read it.
    ///
    /// 2.0b3 knows `{encoding, blob}` and nothing else; later generations everything but that.
    fn data_for(&self, dialect: Dialect) -> Option<&Document> {
        let data = self.data.as_ref()?;
        let is_beta = data.is_data_document();
        (is_beta == (dialect == Dialect::B)).then_some(data)
    }
}

impl Render for State {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.part("type", &self.state_type)?;
        fields.all("name", &self.name)?;
        fields.time("timestamp", self.timestamp)?;
        fields.all("message", &self.message)?;
        fields.all("data", &self.data_for(dialect))?;
        fields.part("state_details", &self.state_details)?;
        fields.end()
    }
}

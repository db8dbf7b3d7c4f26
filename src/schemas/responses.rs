//! Answers that are not a noun: the outcome of a proposal, histories.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::dialect::{Dialect, Fields, Render};
use super::{State, StateType};

/// What became of a proposed state.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct OrchestrationResult {
    /// The state that the run has now; none when nothing was written.
    pub state: Option<State>,
    /// Accepted or not, and why.
    pub outcome: Outcome,
}

/// The server's answer to a proposal.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type")]
#[expect(missing_docs, reason = "the field's own words")]
pub enum Outcome {
    #[serde(rename = "accept_details")]
    Accept {},
    #[serde(rename = "reject_details")]
    Reject { reason: String },
    #[serde(rename = "wait_details")]
    Wait { delay_seconds: i64, reason: String },
    #[serde(rename = "abort_details")]
    Abort { reason: String },
}

impl Outcome {
    /// Returns the word for `status`.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Accept {} => "ACCEPT",
            Self::Reject { .. } => "REJECT",
            Self::Wait { .. } => "WAIT",
            Self::Abort { .. } => "ABORT",
        }
    }
}

impl Render for OrchestrationResult {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.part("state", &self.state)?;
        fields.all("status", self.outcome.status())?;
        fields.all("details", &self.outcome)?;
        fields.end()
    }
}

/// A page of a list, and how much there is beside it.
#[derive(Debug, Clone, ToSchema)]
pub struct Paged<T> {
    /// The objects.
    pub results: Vec<T>,
    /// How many there are on all pages.
    pub count: i64,
    /// How many a page has.
    pub limit: i64,
    /// The number of this page, from 1 on.
    pub page: i64,
}

impl<T: Render> Render for Paged<T> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let pages = match self.limit {
            0 => 0,
            limit => self.count / limit + i64::from(self.count % limit > 0),
        };
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.part("results", &self.results)?;
        fields.all("count", &self.count)?;
        fields.all("limit", &self.limit)?;
        fields.all("pages", &pages)?;
        fields.all("page", &self.page)?;
        fields.end()
    }
}

/// What became of a proposal to one of several flow runs.
#[derive(Debug, Clone, ToSchema)]
pub struct BulkTransition {
    /// The run.
    pub flow_run_id: super::FlowRunId,
    /// What became of it.
    pub result: OrchestrationResult,
}

impl Render for BulkTransition {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("flow_run_id", &self.flow_run_id)?;
        fields.all("status", self.result.outcome.status())?;
        fields.part("state", &self.result.state)?;
        fields.all("details", &self.result.outcome)?;
        fields.end()
    }
}

/// Objects that one request made or changed.
#[derive(Debug, Clone, ToSchema)]
pub struct Several<T> {
    /// One for each.
    pub results: Vec<T>,
}

impl<T: Render> Render for Several<T> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.part("results", &self.results)?;
        fields.end()
    }
}

/// The runs of one interval of a history.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct HistoryResponse {
    /// Where the interval begins.
    pub interval_start: DateTime<Utc>,
    /// Where it ends.
    pub interval_end: DateTime<Utc>,
    /// The runs by state.
    pub states: Vec<HistoryResponseState>,
}

/// The runs of one state in one interval.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct HistoryResponseState {
    /// The kind of state.
    pub state_type: StateType,
    /// The finer name.
    pub state_name: String,
    /// How many runs.
    pub count_runs: i64,
    /// Seconds in RUNNING, summed.
    pub sum_estimated_run_time: f64,
    /// Seconds late, summed.
    pub sum_estimated_lateness: f64,
}

impl Render for HistoryResponse {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.time("interval_start", self.interval_start)?;
        fields.time("interval_end", self.interval_end)?;
        fields.part("states", &self.states)?;
        fields.end()
    }
}

impl Render for HistoryResponseState {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.part("state_type", &self.state_type)?;
        fields.all("state_name", &self.state_name)?;
        fields.all("count_runs", &self.count_runs)?;
        fields.all("sum_estimated_run_time", &self.sum_estimated_run_time)?;
        fields.all("sum_estimated_lateness", &self.sum_estimated_lateness)?;
        fields.end()
    }
}

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
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let flow = client.read_flow(id).await?;
/// println!("{} {}", flow.name, flow.raw["labels"]);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Document<T> {
    /// The answer as it came.
    pub raw: Value,
    view: T,
}

impl<T> Document<T> {
    /// Returns what was read of it.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let flow: prefect_rs::client::Flow = client.read_flow(id).await?.into_view();
    /// println!("{}", flow.name);
    /// # Ok(()) }
    /// ```
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

/// A flow.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let flow: prefect_rs::client::Flow = client.read_flow(id).await?.into_view();
/// println!("{:?}", flow.tags);
/// # Ok(()) }
/// ```
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
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let state: Option<prefect_rs::client::State> = client.read_flow_run(id).await?.into_view().state;
/// println!("{:?}", state.and_then(|state| state.message));
/// # Ok(()) }
/// ```
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
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let states = client.read_flow_run_states(id).await?;
/// println!("{:?}", states.first().and_then(|state| state.state_details.scheduled_time));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
pub struct StateDetails {
    /// When a scheduled run is due.
    pub scheduled_time: Option<DateTime<Utc>>,
}

impl State {
    /// Returns the name, or the type where there is none.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// for state in client.read_flow_run_states(id).await? {
    ///     println!("{}", state.label());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.r#type)
    }

    /// Returns whether no other state follows by itself.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let states = client.read_flow_run_states(id).await?;
    /// println!("{}", states.last().is_some_and(|state| state.is_terminal()));
    /// # Ok(()) }
    /// ```
    pub fn is_terminal(&self) -> bool {
        matches!(
            self.r#type.as_str(),
            "COMPLETED" | "FAILED" | "CANCELLED" | "CRASHED"
        )
    }

    /// Returns whether the run waits for its time.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let states = client.read_flow_run_states(id).await?;
    /// println!("{}", states.first().is_some_and(|state| state.is_scheduled()));
    /// # Ok(()) }
    /// ```
    pub fn is_scheduled(&self) -> bool {
        self.r#type == "SCHEDULED"
    }
}

/// A flow run.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let run: prefect_rs::client::FlowRun = client.read_flow_run(id).await?.into_view();
/// println!("{} s", run.total_run_time);
/// # Ok(()) }
/// ```
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
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// if client.read_flow_run(id).await?.waits_for_retry() {
    ///     println!("it is tried again");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn waits_for_retry(&self) -> bool {
        self.state
            .as_ref()
            .is_some_and(|state| state.is_scheduled() && state.label() == "AwaitingRetry")
    }
}

/// A task run.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let run: prefect_rs::client::TaskRun = client.read_task_run(id).await?.into_view();
/// println!("{:?}", run.end_time);
/// # Ok(()) }
/// ```
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
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let schedules: Vec<prefect_rs::client::Document<prefect_rs::client::DeploymentSchedule>> = client.read_schedules(id).await?;
/// println!("{}", schedules.iter().filter(|schedule| schedule.active).count());
/// # Ok(()) }
/// ```
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
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let deployment: prefect_rs::client::Deployment = client.read_deployment(id).await?.into_view();
/// println!("{:?}", deployment.parameters);
/// # Ok(()) }
/// ```
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
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// for schedule in client.read_deployment(id).await?.all_schedules() {
    ///     println!("{schedule}");
    /// }
    /// # Ok(()) }
    /// ```
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
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// println!("{}", client.read_deployment(id).await?.makes_runs());
    /// # Ok(()) }
    /// ```
    pub fn makes_runs(&self) -> bool {
        match (self.paused, self.is_schedule_active) {
            (Some(paused), _) => !paused,
            (None, active) => active.unwrap_or(true),
        }
    }
}

/// Why a flow run does not run.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let explanation: prefect_rs::client::Explanation = client.explain_flow_run(id).await?;
/// println!("{}", explanation.waiting);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct Explanation {
    /// Whether it waits at all.
    pub waiting: bool,
    /// What it waits for, the most telling first.
    pub reasons: Vec<Reason>,
}

/// One thing that keeps a run from running.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let reasons: Vec<prefect_rs::client::Reason> = client.explain_flow_run(id).await?.reasons;
/// println!("{:?}", reasons.first().and_then(|reason| reason.command.as_deref()));
/// # Ok(()) }
/// ```
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
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let answer: prefect_rs::client::OrchestrationResult = client.resume_flow_run(id, None).await?;
/// println!("{}: {}", answer.status, answer.details);
/// # Ok(()) }
/// ```
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

//! Work pools: what a kind of infrastructure can run, the queues in it, and who works there.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::actions::{given, object};
use super::dialect::{Dialect, Fields, Render};
use super::flow_runs::{AsOf, FlowRun};
use super::objects::Objects;
use super::patience::Patience;
use super::time::Instant;
use super::{Document, WorkPoolId, WorkQueueId, WorkerId};

/// The pool of queues that were made without one.
pub const DEFAULT_AGENT_POOL: &str = "default-agent-pool";
/// The type of pools that 2.20 agents serve.
pub const AGENT_TYPE: &str = "prefect-agent";
/// The type of pools whose runs are processes beside a worker.
pub const PROCESS_TYPE: &str = "process";

/// Returns the base job template of a pool whose runs are processes.
pub fn process_template() -> Value {
    let text = |title: &str, description: &str| json!({"title": title, "description": description, "type": "string"});
    let texts = |title: &str, description: &str| {
        json!({
            "title": title, "description": description,
            "type": "object", "additionalProperties": {"type": "string"},
        })
    };
    let mut folder = text(
        "Working Directory",
        "The directory in which the process starts; a temporary one where it is empty.",
    );
    folder["format"] = json!("path");
    json!({
        "job_configuration": {
            "command": "{{ command }}",
            "env": "{{ env }}",
            "labels": "{{ labels }}",
            "name": "{{ name }}",
            "stream_output": "{{ stream_output }}",
            "working_dir": "{{ working_dir }}",
        },
        "variables": {
            "type": "object",
            "properties": {
                "name": text("Name", "What the process is called in logs."),
                "env": texts("Environment Variables", "Variables that the process gets."),
                "labels": texts("Labels", "Labels of the process."),
                "command": text("Command", "What is run instead of the flow's own start."),
                "stream_output": {
                    "title": "Stream Output",
                    "description": "Whether the worker prints what the process prints.",
                    "type": "boolean",
                    "default": true,
                },
                "working_dir": folder,
            },
        },
    })
}

/// A work pool.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct WorkPool {
    /// The pool's id.
    pub id: WorkPoolId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The name, unique on the server.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Which workers serve it.
    pub pool_type: String,
    /// How jobs are made of a run's variables.
    pub base_job_template: Document,
    /// Whether it gives no runs for now.
    pub is_paused: bool,
    /// How many of its runs may be under way at once.
    pub concurrency_limit: Option<i64>,
    /// Where clients keep code and results.
    pub storage_configuration: Document,
    /// The queue of runs that name none.
    pub default_queue_id: Option<WorkQueueId>,
    /// When the last worker shows that it is alive, at the latest.
    pub served_until: Option<DateTime<Utc>>,
    /// How many of its runs are under way.
    pub active_slots: i64,
}

impl AsOf<WorkPool> {
    /// Says whether anybody works here; agents do not say of themselves.
    fn status(&self) -> Option<&'static str> {
        let AsOf(now, pool) = self;
        match pool.served_until {
            _ if pool.is_paused => Some("PAUSED"),
            _ if pool.pool_type == AGENT_TYPE => None,
            Some(until) if *now <= until => Some("READY"),
            _ => Some("NOT_READY"),
        }
    }
}

impl Render for AsOf<WorkPool> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let pool = &self.1;
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &pool.id)?;
        fields.time("created", pool.created)?;
        fields.time("updated", pool.updated)?;
        fields.all("name", &pool.name)?;
        fields.all("description", &pool.description)?;
        fields.all("type", &pool.pool_type)?;
        fields.all("base_job_template", &pool.base_job_template)?;
        fields.all("is_paused", &pool.is_paused)?;
        fields.all("concurrency_limit", &pool.concurrency_limit)?;
        fields.all("status", &self.status())?;
        fields.all("default_queue_id", &pool.default_queue_id)?;
        if dialect == Dialect::Three {
            fields.all(
                "storage_configuration",
                &Storage(&pool.storage_configuration),
            )?;
            // Slots are counted against a limit only.
            let slots = pool.concurrency_limit.map(|_| pool.active_slots);
            fields.all("active_slots", &slots)?;
        }
        fields.end()
    }
}

/// A pool's storage with its three members, which newer clients read without asking whether they are there.
pub struct Storage<'a>(pub &'a Document);

impl serde::Serialize for Storage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const MEMBERS: [&str; 3] = [
            "bundle_upload_step",
            "bundle_execution_step",
            "default_result_storage_block_id",
        ];
        let mut members = serde_json::Map::new();
        for name in MEMBERS {
            members.insert(name.to_owned(), serde_json::Value::Null);
        }
        members.extend(self.0.read::<serde_json::Map<_, _>>().unwrap_or_default());
        members.serialize(serializer)
    }
}

/// A worker of a pool.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct Worker {
    /// The worker's id.
    pub id: WorkerId,
    /// When it was first heard of.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The name, unique in its pool.
    pub name: String,
    /// The pool that it serves.
    pub work_pool_id: WorkPoolId,
    /// When it was last heard of.
    pub last_heartbeat_time: DateTime<Utc>,
    /// Seconds between its heartbeats.
    pub heartbeat_interval_seconds: i64,
}

/// Whether a worker is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the field's own words")]
pub enum WorkerStatus {
    Online,
    Offline,
}

impl AsOf<Worker> {
    /// Says whether the worker is heard of.
    pub fn status(&self) -> WorkerStatus {
        let AsOf(now, worker) = self;
        let heard = worker.last_heartbeat_time;
        let until = Patience::chosen().alive_until(heard, worker.heartbeat_interval_seconds);
        match *now <= until {
            true => WorkerStatus::Online,
            false => WorkerStatus::Offline,
        }
    }
}

/// Asks for the workers of a pool.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "filter and page")]
pub struct WorkersQuery {
    #[serde(default)]
    pub workers: Option<WorkerFilter>,
    #[serde(default)]
    pub limit: Option<i64>,
    #[serde(default, deserialize_with = "super::filters::offset")]
    pub offset: Option<u32>,
}

/// Which workers are meant.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "conditions on the fields of `Worker`")]
pub struct WorkerFilter {
    #[serde(default)]
    pub operator: super::filters::Operator,
    pub last_heartbeat_time: Option<Heard>,
    pub status: Option<WorkerStatuses>,
}

/// When a worker was last heard of.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Heard {
    /// At the latest.
    #[schema(value_type = Option<String>)]
    pub before_: Option<Instant>,
    /// At the earliest.
    #[schema(value_type = Option<String>)]
    pub after_: Option<Instant>,
}

/// Whether a worker is heard of, as a condition.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerStatuses {
    /// It is one of these.
    pub any_: Option<Vec<WorkerStatus>>,
    /// It is none of these.
    pub not_any_: Option<Vec<WorkerStatus>>,
}

impl WorkersQuery {
    /// Tells whether a worker is one of those asked for.
    pub fn means(&self, worker: &AsOf<Worker>) -> bool {
        let Some(filter) = &self.workers else {
            return true;
        };
        let (heard, status) = (worker.1.last_heartbeat_time, worker.status());
        let mut says = Vec::new();
        if let Some(wanted) = &filter.last_heartbeat_time {
            let before = wanted.before_.is_none_or(|at| heard <= at.0);
            says.push(before && wanted.after_.is_none_or(|at| heard >= at.0));
        }
        if let Some(wanted) = &filter.status {
            let one_of = wanted.any_.as_ref().is_none_or(|any| any.contains(&status));
            let none_of = wanted.not_any_.as_ref();
            says.push(one_of && none_of.is_none_or(|any| !any.contains(&status)));
        }
        match filter.operator {
            super::filters::Operator::And => says.iter().all(|is| *is),
            super::filters::Operator::Or => says.is_empty() || says.contains(&true),
        }
    }
}

impl Render for AsOf<Worker> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let worker = &self.1;
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &worker.id)?;
        fields.time("created", worker.created)?;
        fields.time("updated", worker.updated)?;
        fields.all("name", &worker.name)?;
        fields.all("work_pool_id", &worker.work_pool_id)?;
        fields.time("last_heartbeat_time", worker.last_heartbeat_time)?;
        fields.all(
            "heartbeat_interval_seconds",
            &worker.heartbeat_interval_seconds,
        )?;
        fields.all("status", &self.status())?;
        fields.end()
    }
}

/// A run that a pool gives to a worker.
#[derive(Debug, Clone)]
pub struct PoolRun {
    /// The pool.
    pub work_pool_id: WorkPoolId,
    /// The queue in it.
    pub work_queue_id: WorkQueueId,
    /// The run.
    pub flow_run: AsOf<FlowRun>,
}

impl Render for PoolRun {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("work_pool_id", &self.work_pool_id)?;
        fields.all("work_queue_id", &self.work_queue_id)?;
        fields.part("flow_run", &self.flow_run)?;
        fields.end()
    }
}

/// Creates a work pool.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `WorkPool`")]
pub struct WorkPoolCreate {
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default, rename = "type")]
    pub pool_type: Option<String>,
    #[serde(default, deserialize_with = "object")]
    pub base_job_template: Option<Document>,
    #[serde(default)]
    pub is_paused: bool,
    #[serde(default)]
    pub concurrency_limit: Option<i64>,
    #[serde(default, deserialize_with = "object")]
    pub storage_configuration: Option<Document>,
}

/// Changes a work pool; what is not given stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `WorkPool`")]
pub struct WorkPoolUpdate {
    /// `null` removes it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    pub is_paused: Option<bool>,
    pub base_job_template: Option<Document>,
    /// `null` lifts the limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    pub concurrency_limit: Option<Option<i64>>,
    pub storage_configuration: Option<Document>,
}

/// Which pools are meant.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
#[expect(missing_docs, reason = "conditions on the fields of `WorkPool`")]
pub struct WorkPoolFilter {
    #[serde(default)]
    pub operator: super::filters::Operator,
    #[serde(default)]
    pub id: Option<AnyOf<WorkPoolId>>,
    #[serde(default)]
    pub name: Option<AnyOf<String>>,
    #[serde(default, rename = "type")]
    pub pool_type: Option<AnyOf<String>>,
}

impl<'de> Deserialize<'de> for WorkPoolFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(Objects(deserializer))
    }
}

/// A list of which a value must be one.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(
    deny_unknown_fields,
    remote = "Self",
    bound(deserialize = "T: Deserialize<'de>")
)]
pub struct AnyOf<T> {
    /// The list; none is no condition.
    #[serde(default)]
    pub any_: Option<Vec<T>>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for AnyOf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(Objects(deserializer))
    }
}

/// Asks for work pools.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "filter and page")]
pub struct WorkPoolsQuery {
    #[serde(default)]
    pub work_pools: Option<WorkPoolFilter>,
    pub limit: Option<i64>,
    pub offset: Option<u32>,
}

/// Asks a pool for runs that are due.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct PoolGetRuns {
    /// The queues to ask; all by default.
    #[serde(default)]
    pub work_queue_names: Option<Vec<String>>,
    /// Until when the runs are due; those of all times by default.
    pub scheduled_before: Option<Instant>,
    /// From when on they are due.
    pub scheduled_after: Option<Instant>,
    /// How many at most.
    pub limit: Option<i64>,
}

/// Says that a worker is alive.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct Heartbeat {
    /// The worker's name.
    pub name: String,
    /// Seconds until its next heartbeat; 2.20 sends them with a fraction.
    #[serde(default)]
    pub heartbeat_interval_seconds: Option<f64>,
}

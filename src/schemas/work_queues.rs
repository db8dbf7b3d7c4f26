//! Work queues: which due runs an agent is given.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::dialect::{Dialect, Fields, Render};
use super::flow_runs::AsOf;
use super::patience::Patience;
use super::{DeploymentId, WorkPoolId, WorkQueueId};

/// Which runs a queue gives; a member that is not set asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueFilter {
    /// Tags that a run must all have.
    pub tags: Option<Vec<String>>,
    /// Deployments of which a run must have one.
    pub deployment_ids: Option<Vec<DeploymentId>>,
    /// Types of flow runner of which a run must have one.
    pub flow_runner_types: Option<Vec<String>>,
}

/// A work queue.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct WorkQueue {
    /// The queue's id.
    pub id: WorkQueueId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The name, unique on the server.
    pub name: String,
    /// Which runs it gives; none gives those that name the queue.
    pub filter: Option<QueueFilter>,
    /// What it is for.
    pub description: String,
    /// Whether it gives no runs for now.
    pub is_paused: bool,
    /// How many of its runs may be under way at once.
    pub concurrency_limit: Option<i64>,
    /// When an agent last asked, to a few seconds.
    pub last_polled: Option<DateTime<Utc>>,
    /// The pool that it is in.
    pub work_pool_id: Option<WorkPoolId>,
    /// The pool's name.
    pub work_pool_name: Option<String>,
    /// Its place among the pool's queues; the first gives its runs first.
    pub priority: i64,
    /// How many of its runs are under way, where they are limited.
    pub active_slots: Option<i64>,
}

impl AsOf<WorkQueue> {
    /// Says in the words of 3.x whether the queue is served.
    fn status(&self) -> &'static str {
        let AsOf(now, queue) = self;
        match queue.last_polled {
            _ if queue.is_paused => "PAUSED",
            Some(polled) if Patience::chosen().is_queue_served(polled, *now) => "READY",
            _ => "NOT_READY",
        }
    }
}

impl Render for AsOf<WorkQueue> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let queue = &self.1;
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &queue.id)?;
        fields.time("created", queue.created)?;
        fields.time("updated", queue.updated)?;
        match &queue.filter {
            // 2.0b3 needs one.
            None if dialect == Dialect::B => fields.all("filter", &QueueFilter::default())?,
            filter if dialect == Dialect::B => fields.all("filter", filter)?,
            filter => fields.all("filter", &filter.as_ref().map(NewerFilter::of))?,
        }
        fields.all("name", &queue.name)?;
        fields.all("description", &queue.description)?;
        fields.all("is_paused", &queue.is_paused)?;
        fields.all("concurrency_limit", &queue.concurrency_limit)?;
        fields.newer("priority", &queue.priority)?;
        fields.newer("work_pool_id", &queue.work_pool_id)?;
        fields.newer("work_pool_name", &queue.work_pool_name)?;
        fields.newer_time("last_polled", queue.last_polled)?;
        fields.newer("status", self.status())?;
        if dialect == Dialect::Three {
            fields.all("active_slots", &queue.active_slots)?;
        }
        fields.end()
    }
}

/// A filter as the newer generations know it: without kinds of runners.
#[derive(Serialize)]
struct NewerFilter<'a> {
    tags: &'a Option<Vec<String>>,
    deployment_ids: &'a Option<Vec<DeploymentId>>,
}

impl<'a> NewerFilter<'a> {
    fn of(filter: &'a QueueFilter) -> Self {
        Self {
            tags: &filter.tags,
            deployment_ids: &filter.deployment_ids,
        }
    }
}

/// Whether a queue is served in time.
#[derive(Debug, Clone, Copy)]
pub struct QueueStatus {
    /// How many of its runs are late.
    pub late_runs_count: i64,
    /// When it was last asked.
    pub last_polled: Option<DateTime<Utc>>,
}

impl Render for AsOf<QueueStatus> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let AsOf(now, status) = self;
        let served = Patience::chosen().work_queue;
        let is_polled = status
            .last_polled
            .is_some_and(|polled| *now - polled <= served);
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("healthy", &(is_polled && status.late_runs_count == 0))?;
        fields.all("late_runs_count", &status.late_runs_count)?;
        fields.time_option("last_polled", status.last_polled)?;
        let policy = serde_json::json!({
            "maximum_late_runs": 0,
            "maximum_seconds_since_last_polled": served.num_seconds(),
        });
        fields.all("health_check_policy", &policy)?;
        fields.end()
    }
}

//! How far the limits of a work pool or queue are taken up, and by which runs.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serializer};
use utoipa::ToSchema;

use super::dialect::{Dialect, Fields, Render};
use super::filters::{first_page, page};
use super::flow_runs::AsOf;
use super::{FlowRunId, StateType, WorkQueueId, time};

/// Asks how far a queue is taken up.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub struct QueueConcurrencyQuery {
    /// Which page of the runs.
    #[serde(default = "first_page", deserialize_with = "page")]
    pub page: i64,
    /// How many a page has.
    #[serde(default)]
    pub limit: Option<i64>,
}

/// Asks how far a pool is taken up.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub struct PoolConcurrencyQuery {
    /// Which page of the queues.
    #[serde(default = "first_page", deserialize_with = "page")]
    pub page: i64,
    /// How many a page has.
    #[serde(default)]
    pub limit: Option<i64>,
    /// How many runs are shown of each queue, up to 200.
    #[serde(default = "usual_runs", deserialize_with = "runs")]
    pub flow_run_limit: i64,
}

fn usual_runs() -> i64 {
    10
}

fn runs<'de, D: serde::Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
    use serde::de::Error as _;
    match i64::deserialize(d)? {
        runs @ 0..=200 => Ok(runs),
        ..0 => Err(D::Error::custom(
            "ensure this value is greater than or equal to 0",
        )),
        _ => Err(D::Error::custom(
            "ensure this value is less than or equal to 200",
        )),
    }
}

/// A flow run that takes up a slot.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct SlotHolder {
    /// The run.
    pub id: FlowRunId,
    /// Its name.
    pub name: String,
    /// The type of its state.
    pub state_type: Option<StateType>,
    /// The name of its state.
    pub state_name: Option<String>,
    /// When it started.
    pub start_time: Option<DateTime<Utc>>,
    /// When it came into its state.
    pub state_timestamp: Option<DateTime<Utc>>,
}

impl Render for AsOf<SlotHolder> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let AsOf(now, run) = self;
        let since = run.state_timestamp;
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &run.id)?;
        fields.all("name", &run.name)?;
        fields.part("state_type", &run.state_type)?;
        fields.all("state_name", &run.state_name)?;
        fields.time_option("start_time", run.start_time)?;
        fields.time_option("state_timestamp", since)?;
        let seconds = since.map(|since| time::seconds(*now - since));
        fields.all("time_in_current_state", &seconds)?;
        fields.end()
    }
}

/// How far a queue of a pool is taken up.
#[derive(Debug, Clone, ToSchema)]
pub struct QueueShare {
    /// The queue.
    pub id: WorkQueueId,
    /// Its name.
    pub name: String,
    /// How many runs take up the pool through it.
    pub active_slots: i64,
    /// How many may be under way at once.
    pub concurrency_limit: Option<i64>,
    /// The first of these runs.
    pub flow_runs: Vec<SlotHolder>,
}

impl Render for AsOf<QueueShare> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let AsOf(now, queue) = self;
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("queue_id", &queue.id)?;
        fields.all("queue_name", &queue.name)?;
        fields.all("active_slots", &queue.active_slots)?;
        fields.all("concurrency_limit", &queue.concurrency_limit)?;
        fields.part("flow_runs", &AsOf(*now, queue.flow_runs.clone()).each())?;
        fields.all("flow_run_count", &queue.active_slots)?;
        fields.end()
    }
}

/// What takes up a pool or a queue, a page of it.
#[derive(Debug, Clone, ToSchema)]
pub struct ConcurrencyStatus<T> {
    /// How many runs take up slots.
    pub active_slots: i64,
    /// How many may be under way at once.
    pub concurrency_limit: Option<i64>,
    /// The queues of a pool, or the runs of a queue.
    pub items: Vec<T>,
    /// How many of these there are on all pages.
    pub count: i64,
    /// How many a page has.
    pub limit: i64,
    /// The number of this page, from 1 on.
    pub page: i64,
}

/// What the items of a status are called.
pub trait Item {
    /// The name of the member that lists them.
    const NAME: &'static str;
}

impl Item for SlotHolder {
    const NAME: &'static str = "flow_runs";
}

impl Item for QueueShare {
    const NAME: &'static str = "queues";
}

impl<T: Item + Clone> Render for AsOf<ConcurrencyStatus<T>>
where
    AsOf<T>: Render,
{
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let AsOf(now, status) = self;
        let pages = match status.limit {
            0 => 0,
            limit => status.count / limit + i64::from(status.count % limit > 0),
        };
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("active_slots", &status.active_slots)?;
        fields.all("concurrency_limit", &status.concurrency_limit)?;
        fields.part(T::NAME, &AsOf(*now, status.items.clone()).each())?;
        fields.all("count", &status.count)?;
        fields.all("limit", &status.limit)?;
        fields.all("pages", &pages)?;
        fields.all("page", &status.page)?;
        fields.end()
    }
}

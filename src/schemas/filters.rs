//! What a client may ask of a list.
//!
//! A filter of one kind of object constrains lists of the others through their relations. Null or
//! missing members are no condition; unknown members inside an object filter are refused, since a
//! misspelt condition would otherwise answer too much.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use utoipa::ToSchema;

use super::objects::Objects;
use super::text_search::TextFilter;
use super::time::Instant;
use super::work_pools::WorkPoolFilter;
use super::{
    ArtifactId, AutomationId, DeploymentId, FlowId, FlowRunId, StateType, TaskRunId, VariableId,
    WorkQueueId,
};

/// How the members of a filter are joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub enum Operator {
    /// All of them hold.
    #[default]
    #[serde(rename = "and_")]
    And,
    /// Any of them holds.
    #[serde(rename = "or_")]
    Or,
}

macro_rules! filters {
    ($($(#[doc = $doc:literal])+ $name:ident { $($field:ident: $type:ty,)* })*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Default, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields, remote = "Self")]
        #[expect(missing_docs, reason = "the members are named as the fields and operators they are about")]
        pub struct $name { $(#[serde(default)] pub $field: $type,)* }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // What is derived, which `remote` puts beside this trait.
                Self::deserialize(Objects(deserializer))
            }
        }
    )*};
}

filters! {
    /// Conditions on ids of flows.
    FlowIds { any_: Option<Vec<FlowId>>, not_any_: Option<Vec<FlowId>>, }
    /// Conditions on ids of flow runs.
    FlowRunIds { any_: Option<Vec<FlowRunId>>, not_any_: Option<Vec<FlowRunId>>, }
    /// The flow runs of task runs; `is_null_` asks for those without any and leaves `any_` aside.
    TaskRunParents { any_: Option<Vec<FlowRunId>>, not_any_: Option<Vec<FlowRunId>>, is_null_: Option<bool>, operator: Operator, }
    /// Conditions on ids of task runs.
    TaskRunIds { any_: Option<Vec<TaskRunId>>, not_any_: Option<Vec<TaskRunId>>, is_null_: Option<bool>, operator: Operator, }
    /// Conditions on ids of deployments.
    DeploymentIds { any_: Option<Vec<DeploymentId>>, not_any_: Option<Vec<DeploymentId>>, is_null_: Option<bool>, operator: Operator, }
    /// Conditions on a text.
    Texts { any_: Option<Vec<String>>, not_any_: Option<Vec<String>>, like_: Option<String>, }
    /// Conditions on tags.
    TagsFilter { all_: Option<Vec<String>>, any_: Option<Vec<String>>, is_null_: Option<bool>, operator: Operator, }
    /// Conditions on a type of state.
    StateTypes { any_: Option<Vec<StateType>>, not_any_: Option<Vec<StateType>>, }
    /// Conditions on a state.
    StateFilter { r#type: Option<StateTypes>, name: Option<Texts>, operator: Operator, }
    /// Bounds of an instant, inclusive.
    Times { before_: Option<Instant>, after_: Option<Instant>, is_null_: Option<bool>, }
    /// Bounds of a level, inclusive.
    Levels { ge_: Option<i64>, le_: Option<i64>, }
    /// A truth value.
    Truth { eq_: Option<bool>, }
    /// Presence.
    Presence { exists_: Option<bool>, }
    /// Conditions on a text that may be missing.
    OptionalTexts { any_: Option<Vec<String>>, is_null_: Option<bool>, operator: Operator, }
    /// The beginnings of a text.
    Beginnings { any_: Option<Vec<String>>, startswith_: Option<Vec<String>>, }
    /// The flow runs that a flow run was made in.
    ParentIds { any_: Option<Vec<FlowRunId>>, operator: Operator, }
    /// Who or what made a run.
    Makers { id_: Option<Vec<uuid::Uuid>>, type_: Option<Vec<String>>, is_null_: Option<bool>, operator: Operator, }
    /// Bounds of a number that may be missing.
    Counts { ge_: Option<i64>, le_: Option<i64>, is_null_: Option<bool>, }
    /// A part of a text.
    Part { like_: Option<String>, }
    /// Whether there is none.
    Absence { is_null_: Option<bool>, operator: Operator, }
    /// Ids of work queues.
    WorkQueueIds { any_: Option<Vec<WorkQueueId>>, }
    /// Conditions on work queues.
    WorkQueueFilter { operator: Operator, id: Option<WorkQueueIds>, name: Option<Beginnings>, }
    /// Conditions on flows.
    FlowFilter { operator: Operator, id: Option<FlowIds>, name: Option<Texts>, tags: Option<TagsFilter>, deployment: Option<Absence>, }
    /// Conditions on flow runs.
    FlowRunFilter {
        operator: Operator, id: Option<FlowRunIds>, name: Option<Texts>, tags: Option<TagsFilter>,
        deployment_id: Option<DeploymentIds>, flow_runner_type: Option<Texts>, state: Option<StateFilter>,
        flow_version: Option<Texts>, start_time: Option<Times>, end_time: Option<Times>,
        expected_start_time: Option<Times>, next_scheduled_start_time: Option<Times>,
        parent_task_run_id: Option<TaskRunIds>, idempotency_key: Option<Texts>, work_queue_name: Option<OptionalTexts>,
        parent_flow_run_id: Option<ParentIds>, created_by: Option<Makers>,
    }
    /// Conditions on task runs.
    TaskRunFilter {
        operator: Operator, id: Option<TaskRunIds>, name: Option<Texts>, tags: Option<TagsFilter>,
        state: Option<StateFilter>, start_time: Option<Times>, end_time: Option<Times>,
        expected_start_time: Option<Times>, subflow_runs: Option<Presence>, flow_run_id: Option<TaskRunParents>,
    }
    /// Conditions on deployments.
    DeploymentFilter {
        operator: Operator, id: Option<DeploymentIds>, name: Option<Texts>, tags: Option<TagsFilter>,
        is_schedule_active: Option<Truth>, paused: Option<Truth>, work_queue_name: Option<OptionalTexts>,
        concurrency_limit: Option<Counts>, flow_or_deployment_name: Option<Part>,
    }
    /// Conditions on ids of automations.
    AutomationIds { any_: Option<Vec<AutomationId>>, }
    /// Conditions on automations.
    AutomationFilter {
        operator: Operator, id: Option<AutomationIds>, name: Option<Texts>, created: Option<Times>,
        tags: Option<TagsFilter>,
    }
    /// Conditions on ids of variables.
    VariableIds { any_: Option<Vec<VariableId>>, }
    /// Conditions on variables.
    VariableFilter {
        operator: Operator, id: Option<VariableIds>, name: Option<Texts>, value: Option<Values>, tags: Option<TagsFilter>,
    }
    /// Conditions on a value that is a text.
    Values { any_: Option<Vec<String>>, like_: Option<String>, }
    /// Conditions on ids of artifacts.
    ArtifactIds { any_: Option<Vec<ArtifactId>>, }
    /// Conditions on the key of an artifact.
    Keys { any_: Option<Vec<String>>, like_: Option<String>, exists_: Option<bool>, }
    /// Conditions on artifacts.
    ArtifactFilter {
        operator: Operator, id: Option<ArtifactIds>, key: Option<Keys>, flow_run_id: Option<FlowRunIds>,
        task_run_id: Option<TaskRunIds>, r#type: Option<Texts>,
    }
    /// Conditions on the newest artifacts of their keys.
    ArtifactCollectionFilter {
        operator: Operator, latest_id: Option<ArtifactIds>, key: Option<Keys>, flow_run_id: Option<FlowRunIds>,
        task_run_id: Option<TaskRunIds>, r#type: Option<Texts>,
    }
    /// Conditions on log lines.
    LogFilter {
        operator: Operator, level: Option<Levels>, timestamp: Option<Times>, flow_run_id: Option<FlowRunIds>,
        task_run_id: Option<TaskRunIds>, text: Option<TextFilter>,
    }
}

/// Filters of every kind, joined by AND.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "a filter a kind of object")]
pub struct Filters {
    #[serde(default)]
    pub flows: Option<FlowFilter>,
    #[serde(default)]
    pub flow_runs: Option<FlowRunFilter>,
    #[serde(default)]
    pub task_runs: Option<TaskRunFilter>,
    #[serde(default)]
    pub deployments: Option<DeploymentFilter>,
    #[serde(default)]
    pub work_pools: Option<WorkPoolFilter>,
    #[serde(default)]
    pub work_pool_queues: Option<WorkQueueFilter>,
}

/// Makes a body of the filters of every kind, and of what else is asked.
macro_rules! filtered_body {
    ($(#[$attribute:meta])+ $name:ident { $($rest:tt)* }) => {
        $(#[$attribute])+
        // The filters stand here again, since a flattened struct would lose the places of errors.
        #[derive(Debug, Clone, Deserialize, ToSchema)]
        #[expect(missing_docs, reason = "filters, order, page or range")]
        pub struct $name {
            #[serde(default)]
            pub flows: Option<FlowFilter>,
            #[serde(default)]
            pub flow_runs: Option<FlowRunFilter>,
            #[serde(default)]
            pub task_runs: Option<TaskRunFilter>,
            #[serde(default)]
            pub deployments: Option<DeploymentFilter>,
            #[serde(default)]
            pub work_pools: Option<WorkPoolFilter>,
            #[serde(default)]
            pub work_pool_queues: Option<WorkQueueFilter>,
            $($rest)*
        }
        impl $name {
            /// Returns the filters alone.
            pub fn filters(&self) -> Filters {
                let Self { flows, flow_runs, task_runs, deployments, work_pools, work_pool_queues, .. } = self.clone();
                Filters { flows, flow_runs, task_runs, deployments, work_pools, work_pool_queues }
            }
        }
    };
}

macro_rules! list_body {
    ($($(#[doc = $doc:literal])+ $name:ident by $sort:ty;)*) => {$(
        filtered_body! {
            $(#[doc = $doc])+
            #[derive(Default)]
            $name {
                #[serde(default)]
                pub sort: Option<$sort>,
                #[serde(default)]
                pub limit: Option<i64>,
                #[serde(default, deserialize_with = "offset")]
                pub offset: Option<u32>,
            }
        }
    )*};
}

list_body! {
    /// Asks for flows.
    FlowsQuery by FlowSort;
    /// Asks for flow runs.
    FlowRunsQuery by FlowRunSort;
    /// Asks for task runs.
    TaskRunsQuery by TaskRunSort;
    /// Asks for deployments.
    DeploymentsQuery by FlowSort;
}

macro_rules! page_body {
    ($($(#[doc = $doc:literal])+ $name:ident by $sort:ty;)*) => {$(
        filtered_body! {
            $(#[doc = $doc])+
            $name {
                #[serde(default)]
                pub sort: Option<$sort>,
                #[serde(default)]
                pub limit: Option<i64>,
                /// The number of the page, from 1 on.
                #[serde(default = "first_page", deserialize_with = "page")]
                pub page: i64,
            }
        }
    )*};
}

page_body! {
    /// Asks for a page of flows.
    FlowsPage by FlowSort;
    /// Asks for a page of flow runs.
    FlowRunsPage by FlowRunSort;
    /// Asks for a page of task runs.
    TaskRunsPage by TaskRunSort;
    /// Asks for a page of deployments.
    DeploymentsPage by FlowSort;
}

pub(super) fn first_page() -> i64 {
    1
}

pub(super) fn page<'de, D: Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
    match i64::deserialize(d)? {
        ..1 => Err(D::Error::custom(
            "ensure this value is greater than or equal to 1",
        )),
        page => Ok(page),
    }
}

/// Objects that are changed by one request, at most.
pub const MOST_AT_ONCE: i64 = 50;

macro_rules! bulk_body {
    ($($(#[doc = $doc:literal])+ $name:ident { $field:ident: $filter:ty })*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Deserialize, ToSchema)]
        pub struct $name {
            /// Which ones; all by default.
            #[serde(default)]
            pub $field: Option<$filter>,
            /// How many at most, up to 50.
            #[serde(default = "most_at_once", deserialize_with = "at_once")]
            pub limit: i64,
        }
        impl $name {
            /// Returns the filter as one among all kinds.
            pub fn filters(self) -> Filters {
                Filters { $field: self.$field, ..Filters::default() }
            }
        }
    )*};
}

bulk_body! {
    /// Deletes flows.
    FlowsBulk { flows: FlowFilter }
    /// Deletes flow runs.
    FlowRunsBulk { flow_runs: FlowRunFilter }
    /// Deletes deployments.
    DeploymentsBulk { deployments: DeploymentFilter }
}

fn most_at_once() -> i64 {
    MOST_AT_ONCE
}

/// Reads how many objects to change at once.
pub(super) fn at_once<'de, D: Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
    match i64::deserialize(d)? {
        limit @ 1..=MOST_AT_ONCE => Ok(limit),
        limit => Err(D::Error::custom(if limit < 1 {
            "ensure this value is greater than or equal to 1"
        } else {
            "ensure this value is less than or equal to 50"
        })),
    }
}

/// Proposes one state for several flow runs.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct BulkSetState {
    /// Which ones; all by default.
    #[serde(default)]
    pub flow_runs: Option<FlowRunFilter>,
    /// The state.
    pub state: super::actions::StateCreate,
    /// Whether it is set whatever the rules say.
    #[serde(default)]
    pub force: bool,
    /// How many at most, up to 50.
    #[serde(default = "most_at_once", deserialize_with = "at_once")]
    pub limit: i64,
}

/// Asks for log lines.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "filter, order and page")]
pub struct LogsQuery {
    #[serde(default)]
    pub logs: Option<LogFilter>,
    #[serde(default)]
    pub sort: Option<LogSort>,
    #[serde(default)]
    pub limit: Option<i64>,
    #[serde(default, deserialize_with = "offset")]
    pub offset: Option<u32>,
}

/// Asks for automations.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "filter, order and page")]
pub struct AutomationsQuery {
    #[serde(default)]
    pub automations: Option<AutomationFilter>,
    #[serde(default)]
    pub sort: Option<AutomationSort>,
    #[serde(default)]
    pub limit: Option<i64>,
    #[serde(default, deserialize_with = "offset")]
    pub offset: Option<u32>,
}

/// Counts automations.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct AutomationsCount {
    /// Which ones.
    #[serde(default)]
    pub automations: Option<AutomationFilter>,
}

/// The order of automations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "a column and a direction")]
pub enum AutomationSort {
    CreatedDesc,
    UpdatedDesc,
    NameAsc,
    NameDesc,
}

filtered_body! {
    /// Asks for a history.
    HistoryQuery {
        pub history_start: Instant,
        pub history_end: Instant,
        pub history_interval_seconds: f64,
        /// What other questions call `work_pool_queues`.
        #[serde(default)]
        pub work_queues: Option<WorkQueueFilter>,
    }
}

/// Asks for work queues.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "filter and page")]
pub struct WorkQueuesQuery {
    #[serde(default)]
    pub work_queues: Option<WorkQueueFilter>,
    #[serde(default)]
    pub limit: Option<i64>,
    #[serde(default, deserialize_with = "offset")]
    pub offset: Option<u32>,
}

/// Reads how many rows to leave out; of more than four billion there is nothing left anywhere.
pub fn offset<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    match Option::<i64>::deserialize(d)? {
        Some(..0) => Err(D::Error::custom(
            "ensure this value is greater than or equal to 0",
        )),
        offset => Ok(offset.map(|offset| u32::try_from(offset).unwrap_or(u32::MAX))),
    }
}

/// The order of flows and deployments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "a column and a direction")]
pub enum FlowSort {
    CreatedDesc,
    UpdatedDesc,
    NameAsc,
    NameDesc,
}

/// The order of flow runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "a column and a direction")]
pub enum FlowRunSort {
    IdDesc,
    StartTimeAsc,
    StartTimeDesc,
    ExpectedStartTimeAsc,
    ExpectedStartTimeDesc,
    NameAsc,
    NameDesc,
    NextScheduledStartTimeAsc,
    EndTimeDesc,
}

/// The order of task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "a column and a direction")]
pub enum TaskRunSort {
    IdDesc,
    ExpectedStartTimeAsc,
    ExpectedStartTimeDesc,
    NameAsc,
    NameDesc,
    NextScheduledStartTimeAsc,
    EndTimeDesc,
}

/// The order of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "a column and a direction")]
pub enum LogSort {
    TimestampAsc,
    TimestampDesc,
    LevelAsc,
    LevelDesc,
    FlowRunIdAsc,
    FlowRunIdDesc,
    TaskRunIdAsc,
    TaskRunIdDesc,
}

impl LogFilter {
    /// Tells whether a line that has just come meets the conditions.
    pub fn includes(&self, log: &super::logs::Log) -> bool {
        let bounds = self.level.as_ref().map(|levels| {
            levels.ge_.is_none_or(|least| log.level >= least)
                && levels.le_.is_none_or(|most| log.level <= most)
        });
        let times = self.timestamp.as_ref().map(|times| {
            times.before_.is_none_or(|before| log.timestamp <= before.0)
                && times.after_.is_none_or(|after| log.timestamp >= after.0)
                && times.is_null_ != Some(true)
        });
        let flow_run = self.flow_run_id.as_ref().map(|ids| {
            let is_in =
                |list: &Vec<FlowRunId>| log.flow_run_id.is_some_and(|id| list.contains(&id));
            ids.any_.as_ref().is_none_or(is_in) && !ids.not_any_.as_ref().is_some_and(is_in)
        });
        let task_run = self.task_run_id.as_ref().map(|ids| {
            let is_in =
                |list: &Vec<TaskRunId>| log.task_run_id.is_some_and(|id| list.contains(&id));
            ids.any_.as_ref().is_none_or(is_in)
                && !ids.not_any_.as_ref().is_some_and(is_in)
                && ids
                    .is_null_
                    .is_none_or(|is_null| is_null == log.task_run_id.is_none())
        });
        let text = self.text.as_ref().map(|text| {
            text.words()
                .are_in(&format!("{} {}", log.message, log.name))
        });
        let mut conditions = [bounds, times, flow_run, task_run, text]
            .into_iter()
            .flatten()
            .peekable();
        match self.operator {
            Operator::And => conditions.all(|holds| holds),
            Operator::Or => conditions.peek().is_none() || conditions.any(|holds| holds),
        }
    }
}

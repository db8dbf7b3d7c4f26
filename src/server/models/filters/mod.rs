//! Compiles filters into one statement.
//!
//! Text of a client is always bound, never part of the SQL; what is put together here is names of
//! columns and placeholders. The other kinds of objects are reached by `EXISTS`, which stops at
//! the first row and never repeats one.

mod condition;
mod objects;
mod page;
mod paths;

use crate::db::{Dialect, Value};
use crate::schemas::filters::{
    ArtifactFilter, Filters, LogFilter, VariableFilter, WorkQueueFilter,
};
use condition::Condition;
pub(super) use condition::{like_pattern, words_in};
pub use page::{count, page};
pub use paths::Listed;

/// Returns the `WHERE` text for a list, and its values from `$1` on.
pub fn compile(listed: Listed, filters: &Filters, dialect: Dialect) -> (String, Vec<Value>) {
    let mut condition = Condition::new(dialect);
    let parts = related(&mut condition, listed, filters);
    condition.where_all(parts)
}

/// Returns the `WHERE` text for artifacts under the alias `o`.
pub fn compile_artifacts(
    filter: Option<&ArtifactFilter>,
    filters: &Filters,
    dialect: Dialect,
) -> (String, Vec<Value>) {
    let mut condition = Condition::new(dialect);
    let mut parts = related(&mut condition, Listed::Artifacts, filters);
    parts.extend(filter.and_then(|filter| condition.artifact("o", filter)));
    condition.where_all(parts)
}

/// Returns the `WHERE` text for variables under the alias `o`.
pub fn compile_variables(
    filter: Option<&VariableFilter>,
    dialect: Dialect,
) -> (String, Vec<Value>) {
    let mut condition = Condition::new(dialect);
    let part = filter.and_then(|filter| condition.variable("o", filter));
    condition.where_all(part)
}

/// Returns the `WHERE` text for work queues under the alias `q`.
pub fn compile_work_queues(
    filter: Option<&WorkQueueFilter>,
    dialect: Dialect,
) -> (String, Vec<Value>) {
    let mut condition = Condition::new(dialect);
    let part = filter.and_then(|filter| condition.work_queue("q", filter));
    condition.where_all(part)
}

/// Returns the `WHERE` text for log lines under the alias `o`.
pub fn compile_logs(filter: Option<&LogFilter>, dialect: Dialect) -> (String, Vec<Value>) {
    let mut condition = Condition::new(dialect);
    let part = filter.and_then(|filter| condition.log("o", filter));
    condition.where_all(part)
}

/// Returns what filters of every kind ask of an object of one kind.
fn related(condition: &mut Condition, listed: Listed, filters: &Filters) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(filter) = &filters.flows {
        let (path, alias) = listed.path(Listed::Flows);
        all.extend(exists(path, condition.flow(alias, filter)));
    }
    if let Some(filter) = &filters.flow_runs {
        let (path, alias) = listed.path(Listed::FlowRuns);
        all.extend(exists(path, condition.flow_run(alias, filter)));
    }
    if let Some(filter) = &filters.task_runs {
        let (path, alias) = listed.path(Listed::TaskRuns);
        all.extend(exists(path, condition.task_run(alias, filter)));
    }
    if let Some(filter) = &filters.deployments {
        let (path, alias) = listed.path(Listed::Deployments);
        all.extend(exists(path, condition.deployment(alias, filter)));
    }
    let (path, queue) = listed.queue_path();
    if let Some(filter) = &filters.work_pools {
        let pool = condition.work_pool(filter);
        all.extend(exists(Some(path), pool));
    }
    if let Some(filter) = &filters.work_pool_queues {
        let queue = condition.work_queue(queue, filter);
        all.extend(exists(Some(path), queue));
    }
    all
}

/// Wraps a condition on another object in the path to it.
fn exists(path: Option<&str>, condition: Option<String>) -> Option<String> {
    match path {
        None => condition,
        // A filter without conditions still asks that there is such an object.
        Some(path) => Some(format!(
            "EXISTS ({path} AND {})",
            condition.as_deref().unwrap_or("TRUE")
        )),
    }
}

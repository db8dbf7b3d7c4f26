//! Concurrency limits: how many task runs with a tag may be in RUNNING at once.

use chrono::{DateTime, Utc};
use serde::Serializer;

use super::dialect::{Dialect, Fields, Render};
use super::{ConcurrencyLimitId, TaskRunId};

/// A limit on the task runs with a tag.
#[derive(Debug, Clone, PartialEq, utoipa::ToSchema)]
pub struct ConcurrencyLimit {
    /// The limit's id.
    pub id: ConcurrencyLimitId,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// The tag, which has one limit at most.
    pub tag: String,
    /// How many task runs may run at once; 0 lets none run.
    pub concurrency_limit: i64,
    /// The task runs that hold a slot.
    pub active_slots: Vec<TaskRunId>,
}

impl Render for ConcurrencyLimit {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.updated)?;
        fields.all("tag", &self.tag)?;
        fields.all("concurrency_limit", &self.concurrency_limit)?;
        fields.all("active_slots", &self.active_slots)?;
        fields.end()
    }
}

//! Log lines of flow runs and task runs.

use chrono::{DateTime, Utc};
use serde::Serializer;

use super::dialect::{Dialect, Fields, Render};
use super::{FlowRunId, LogId, TaskRunId};

/// A log line.
#[derive(Debug, Clone, PartialEq, utoipa::ToSchema)]
pub struct Log {
    /// The line's id.
    pub id: LogId,
    /// When the server received it.
    pub created: DateTime<Utc>,
    /// The logger.
    pub name: String,
    /// The level, as Python numbers them: 20 is INFO, 40 ERROR.
    pub level: i64,
    /// The text.
    pub message: String,
    /// When it was written.
    pub timestamp: DateTime<Utc>,
    /// The flow run that it belongs to.
    pub flow_run_id: Option<FlowRunId>,
    /// The task run that it belongs to.
    pub task_run_id: Option<TaskRunId>,
}

impl Render for Log {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.time("updated", self.created)?;
        fields.all("name", &self.name)?;
        fields.all("level", &self.level)?;
        fields.all("message", &self.message)?;
        fields.time("timestamp", self.timestamp)?;
        fields.all("flow_run_id", &self.flow_run_id)?;
        fields.all("task_run_id", &self.task_run_id)?;
        fields.end()
    }
}

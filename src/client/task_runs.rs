//! Task runs.

use serde_json::Value;
use uuid::Uuid;

use super::{Client, Document, Result, State, TaskRun};

impl Client {
    /// Returns a task run.
    pub async fn read_task_run(&self, id: Uuid) -> Result<Document<TaskRun>> {
        self.get(&format!("/task_runs/{id}")).await
    }

    /// Returns the task runs that a filter asks for, `limit` at most.
    pub async fn read_task_runs(
        &self,
        filter: Value,
        limit: Option<usize>,
    ) -> Result<Vec<Document<TaskRun>>> {
        self.pages("/task_runs/filter", filter, 0, limit).await
    }

    /// Returns the states that a task run went through, oldest first.
    pub async fn read_task_run_states(&self, id: Uuid) -> Result<Vec<Document<State>>> {
        self.get(&format!("/task_run_states/?task_run_id={id}"))
            .await
    }
}

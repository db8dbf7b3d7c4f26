//! Task runs.

use serde_json::Value;
use uuid::Uuid;

use super::{Client, Document, Result, State, TaskRun};

impl Client {
    /// Returns a task run.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// println!("{}", client.read_task_run(id).await?.name);
    /// # Ok(()) }
    /// ```
    pub async fn read_task_run(&self, id: Uuid) -> Result<Document<TaskRun>> {
        self.get(&format!("/task_runs/{id}")).await
    }

    /// Returns the task runs that a filter asks for, `limit` at most.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let failed = serde_json::json!({"task_runs": {"state": {"type": {"any_": ["FAILED"]}}}});
    /// println!("{}", client.read_task_runs(failed, Some(200)).await?.len());
    /// # Ok(()) }
    /// ```
    pub async fn read_task_runs(
        &self,
        filter: Value,
        limit: Option<usize>,
    ) -> Result<Vec<Document<TaskRun>>> {
        self.pages("/task_runs/filter", filter, 0, limit).await
    }

    /// Returns the states that a task run went through, oldest first.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// for state in client.read_task_run_states(id).await? {
    ///     println!("{}", state.label());
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_task_run_states(&self, id: Uuid) -> Result<Vec<Document<State>>> {
        self.get(&format!("/task_run_states/?task_run_id={id}"))
            .await
    }
}

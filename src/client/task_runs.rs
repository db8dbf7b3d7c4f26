//! Task runs.

use serde_json::{Value, json};
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

    /// Ends the task runs of a flow run that nobody has ended, with a state; what cannot be told is left to the server.
    pub(crate) async fn end_open_task_runs(&self, flow_run: Uuid, state: &Value) {
        let open = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"];
        let filter = json!({
            "flow_runs": {"id": {"any_": [flow_run]}},
            "task_runs": {"state": {"type": {"any_": open}}},
        });
        let open = match self.read_task_runs(filter, None).await {
            Ok(open) => open,
            Err(error) => {
                let text = "the task runs that flow run left open could not be read";
                return tracing::debug!(flow_run.id = %flow_run, "{text}: {error}");
            }
        };
        // What has come true is told, so no rule is asked.
        let body = json!({"state": state, "force": true});
        for run in open {
            let path = format!("/task_runs/{}/set_state", run.id);
            if let Err(error) = self.post_only(&path, &body).await {
                tracing::debug!(task_run.id = %run.id, "the end of an open task run was not told: {error}");
            }
        }
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

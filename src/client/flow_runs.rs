//! Flow runs.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, Document, Explanation, FlowRun, OrchestrationResult, Result, State};

impl Client {
    /// Returns a flow run.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let run = client.read_flow_run(id).await?;
    /// println!("{} has begun {} times", run.name, run.run_count);
    /// # Ok(()) }
    /// ```
    pub async fn read_flow_run(&self, id: Uuid) -> Result<Document<FlowRun>> {
        self.get(&format!("/flow_runs/{id}")).await
    }

    /// Returns the flow runs that a filter asks for, `limit` at most.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let running = serde_json::json!({"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}});
    /// for run in client.read_flow_runs(running, None).await? {
    ///     println!("{}", run.name);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_flow_runs(
        &self,
        filter: Value,
        limit: Option<usize>,
    ) -> Result<Vec<Document<FlowRun>>> {
        self.pages("/flow_runs/filter", filter, 0, limit).await
    }

    /// Proposes a state; `force` skips the rules.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let answer = client.set_flow_run_state(id, &serde_json::json!({"type": "CANCELLING"}), false).await?;
    /// println!("{}", answer.status);
    /// # Ok(()) }
    /// ```
    pub async fn set_flow_run_state(
        &self,
        id: Uuid,
        state: &Value,
        force: bool,
    ) -> Result<OrchestrationResult> {
        let body = json!({"state": state, "force": force});
        self.post(&format!("/flow_runs/{id}/set_state"), &body)
            .await
    }

    /// Lets a paused flow run go on, with the input that it waits for.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.resume_flow_run(id, Some(&serde_json::json!({"approved": true}))).await?;
    /// # Ok(()) }
    /// ```
    pub async fn resume_flow_run(
        &self,
        id: Uuid,
        input: Option<&Value>,
    ) -> Result<OrchestrationResult> {
        let body = json!({"run_input": input});
        self.post(&format!("/flow_runs/{id}/resume"), &body).await
    }

    /// Returns why a flow run does not run, as the server sees it.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// for reason in client.explain_flow_run(id).await?.reasons {
    ///     println!("{}", reason.summary);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn explain_flow_run(&self, id: Uuid) -> Result<Explanation> {
        self.get(&format!("/flow_runs/{id}/explain")).await
    }

    /// Changes fields of a flow run.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.update_flow_run(id, &serde_json::json!({"name": "of today"})).await?;
    /// # Ok(()) }
    /// ```
    pub async fn update_flow_run(&self, id: Uuid, changes: &Value) -> Result<()> {
        self.patch(&format!("/flow_runs/{id}"), changes).await
    }

    /// Deletes a flow run.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.delete_flow_run(id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_flow_run(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/flow_runs/{id}")).await
    }

    /// Returns the states that a flow run went through, oldest first.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// for state in client.read_flow_run_states(id).await? {
    ///     println!("{}", state.label());
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_flow_run_states(&self, id: Uuid) -> Result<Vec<Document<State>>> {
        self.get(&format!("/flow_run_states/?flow_run_id={id}"))
            .await
    }
}

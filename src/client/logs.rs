//! Logs.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, Document, PAGE, Result};

/// A line of a log.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let lines: Vec<prefect_rs::client::Document<prefect_rs::client::Log>> = client.read_flow_run_logs(id, 0, Some(1)).await?;
/// println!("{:?}", lines.first().map(|line| line.level));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct Log {
    /// Its id.
    pub id: Option<Uuid>,
    /// The logger's name.
    pub name: String,
    /// The level as Python counts it.
    pub level: i64,
    /// The message.
    pub message: String,
    /// When it was said.
    pub timestamp: DateTime<Utc>,
    /// The task run that said it.
    pub task_run_id: Option<Uuid>,
}

/// How far the log lines of a flow run have been read; see [`Client::read_next_flow_run_logs`].
///
/// An instant and not a number of lines, since a server walks past all lines that it is to leave out.
///
/// ```
/// assert_eq!(prefect_rs::client::LogPlace::default(), Default::default());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogPlace {
    at: Option<DateTime<Utc>>,
    /// How many lines of that instant have been read.
    passed: usize,
}

impl LogPlace {
    fn pass(&mut self, timestamp: DateTime<Utc>) {
        if self.at != Some(timestamp) {
            self.at = Some(timestamp);
            self.passed = 0;
        }
        self.passed += 1;
    }
}

impl Client {
    /// Writes log lines.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let line = serde_json::json!({
    ///     "name": "pump", "level": 20, "message": "it runs", "timestamp": "2026-11-29T12:00:00Z", "flow_run_id": id,
    /// });
    /// client.create_logs(&[line]).await?;
    /// # Ok(()) }
    /// ```
    pub async fn create_logs(&self, logs: &[Value]) -> Result<()> {
        self.post_only("/logs/", &logs).await
    }

    /// Returns the log lines of a flow run from `offset` on, oldest first, `limit` at most.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// for line in client.read_flow_run_logs(id, 0, None).await? {
    ///     println!("{} {}", line.timestamp, line.message);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_flow_run_logs(
        &self,
        flow_run_id: Uuid,
        offset: usize,
        limit: Option<usize>,
    ) -> Result<Vec<Document<Log>>> {
        let body = json!({
            "logs": {"flow_run_id": {"any_": [flow_run_id]}},
            "sort": "TIMESTAMP_ASC",
        });
        self.pages("/logs/filter", body, offset, limit).await
    }

    /// Returns the next page of the log lines of a flow run, oldest first.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let mut place = prefect_rs::client::LogPlace::default();
    /// for line in client.read_next_flow_run_logs(id, &mut place).await? {
    ///     println!("{} {}", line.timestamp, line.message);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_next_flow_run_logs(
        &self,
        flow_run_id: Uuid,
        place: &mut LogPlace,
    ) -> Result<Vec<Document<Log>>> {
        let mut logs = json!({"flow_run_id": {"any_": [flow_run_id]}});
        if let Some(at) = place.at {
            logs["timestamp"] = json!({"after_": at});
        }
        let body = json!({
            "logs": logs, "sort": "TIMESTAMP_ASC", "limit": PAGE, "offset": place.passed,
        });
        let lines: Vec<Document<Log>> = self.post("/logs/filter", &body).await?;
        lines.iter().for_each(|line| place.pass(line.timestamp));
        Ok(lines)
    }

    /// Returns the last log lines of a flow run, oldest first.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// for line in client.read_last_flow_run_logs(id, 10).await? {
    ///     println!("{} {}", line.timestamp, line.message);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_last_flow_run_logs(
        &self,
        flow_run_id: Uuid,
        count: usize,
    ) -> Result<Vec<Document<Log>>> {
        let body = json!({
            "logs": {"flow_run_id": {"any_": [flow_run_id]}},
            "sort": "TIMESTAMP_DESC",
        });
        let mut lines = self.pages("/logs/filter", body, 0, Some(count)).await?;
        lines.reverse();
        Ok(lines)
    }

    /// Returns the log lines of a task run, oldest first.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// println!("{} lines", client.read_task_run_logs(id).await?.len());
    /// # Ok(()) }
    /// ```
    pub async fn read_task_run_logs(&self, task_run_id: Uuid) -> Result<Vec<Document<Log>>> {
        let body = json!({
            "logs": {"task_run_id": {"any_": [task_run_id]}},
            "sort": "TIMESTAMP_ASC",
        });
        self.pages("/logs/filter", body, 0, None).await
    }
}

//! Logs.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, Document, Log, Result};

impl Client {
    /// Writes log lines.
    pub async fn create_logs(&self, logs: &[Value]) -> Result<()> {
        self.post_only("/logs/", &logs).await
    }

    /// Returns the log lines of a flow run from `offset` on, oldest first, `limit` at most.
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

    /// Returns the log lines of a task run, oldest first.
    pub async fn read_task_run_logs(&self, task_run_id: Uuid) -> Result<Vec<Document<Log>>> {
        let body = json!({
            "logs": {"task_run_id": {"any_": [task_run_id]}},
            "sort": "TIMESTAMP_ASC",
        });
        self.pages("/logs/filter", body, 0, None).await
    }
}

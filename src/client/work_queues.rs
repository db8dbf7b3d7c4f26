//! Work queues.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, Document, FlowRun, QueueFilter, Result, WorkQueue};
use crate::http::percent_encoded;

/// A work queue to be made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CreateWorkQueue {
    /// Its name.
    pub name: String,
    /// What runs it takes.
    pub filter: QueueFilter,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How many of its runs may be under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_limit: Option<i64>,
}

impl Client {
    /// Creates a work queue.
    pub async fn create_work_queue(&self, queue: &CreateWorkQueue) -> Result<Document<WorkQueue>> {
        self.post("/work_queues/", queue).await
    }

    /// Returns a work queue.
    pub async fn read_work_queue(&self, id: Uuid) -> Result<Document<WorkQueue>> {
        self.get(&format!("/work_queues/{id}")).await
    }

    /// Returns a work queue by its name.
    pub async fn read_work_queue_by_name(&self, name: &str) -> Result<Document<WorkQueue>> {
        self.get(&format!("/work_queues/name/{}", percent_encoded(name)))
            .await
    }

    /// Returns all work queues.
    pub async fn read_work_queues(&self) -> Result<Vec<Document<WorkQueue>>> {
        self.pages("/work_queues/filter", json!({}), 0, None).await
    }

    /// Changes fields of a work queue.
    pub async fn update_work_queue(&self, id: Uuid, changes: &Value) -> Result<()> {
        self.patch(&format!("/work_queues/{id}"), changes).await
    }

    /// Deletes a work queue.
    pub async fn delete_work_queue(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/work_queues/{id}")).await
    }

    /// Returns the runs of a queue that are due before an instant, the earliest first.
    pub async fn read_work_queue_runs(
        &self,
        id: Uuid,
        scheduled_before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Document<FlowRun>>> {
        let body = json!({"scheduled_before": scheduled_before, "limit": limit});
        self.post(&format!("/work_queues/{id}/get_runs"), &body)
            .await
    }
}

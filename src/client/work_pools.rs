//! Work pools, their queues and workers.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, Document, FlowRun, Result, WorkPool, WorkQueue};
use crate::http::percent_encoded;

/// A run that a pool gives to a worker.
#[derive(Clone, Debug, Deserialize)]
pub struct PoolRun {
    /// The queue that it is in.
    pub work_queue_id: Uuid,
    /// The run.
    pub flow_run: Document<FlowRun>,
}

impl Client {
    /// Creates a work pool.
    pub async fn create_work_pool(&self, pool: &Value) -> Result<Document<WorkPool>> {
        self.post("/work_pools/", pool).await
    }

    /// Returns a work pool.
    pub async fn read_work_pool(&self, name: &str) -> Result<Document<WorkPool>> {
        self.get(&format!("/work_pools/{}", percent_encoded(name)))
            .await
    }

    /// Returns all work pools.
    pub async fn read_work_pools(&self) -> Result<Vec<Document<WorkPool>>> {
        self.pages("/work_pools/filter", json!({}), 0, None).await
    }

    /// Changes fields of a work pool.
    pub async fn update_work_pool(&self, name: &str, changes: &Value) -> Result<()> {
        self.patch(&format!("/work_pools/{}", percent_encoded(name)), changes)
            .await
    }

    /// Deletes a work pool with its queues.
    pub async fn delete_work_pool(&self, name: &str) -> Result<()> {
        self.delete(&format!("/work_pools/{}", percent_encoded(name)))
            .await
    }

    /// Returns the runs of a pool that are due before an instant, in the order in which to take them.
    pub async fn read_work_pool_runs(
        &self,
        pool: &str,
        queues: &[String],
        scheduled_before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<PoolRun>> {
        let path = format!(
            "/work_pools/{}/get_scheduled_flow_runs",
            percent_encoded(pool)
        );
        let mut body = json!({"scheduled_before": scheduled_before, "limit": limit});
        if !queues.is_empty() {
            body["work_queue_names"] = json!(queues);
        }
        self.post(&path, &body).await
    }

    /// Says that a worker of a pool is alive, and when it will say so again.
    pub async fn send_worker_heartbeat(
        &self,
        pool: &str,
        worker: &str,
        interval_seconds: u64,
    ) -> Result<()> {
        let path = format!("/work_pools/{}/workers/heartbeat", percent_encoded(pool));
        let body = json!({"name": worker, "heartbeat_interval_seconds": interval_seconds});
        self.post_only(&path, &body).await
    }

    /// Returns the workers of a pool.
    pub async fn read_workers(&self, pool: &str) -> Result<Vec<Value>> {
        let path = format!("/work_pools/{}/workers/filter", percent_encoded(pool));
        self.pages(&path, json!({}), 0, None).await
    }

    /// Creates a queue in a pool.
    pub async fn create_pool_queue(
        &self,
        pool: &str,
        queue: &Value,
    ) -> Result<Document<WorkQueue>> {
        self.post(
            &format!("/work_pools/{}/queues", percent_encoded(pool)),
            queue,
        )
        .await
    }

    /// Returns a queue of a pool.
    pub async fn read_pool_queue(&self, pool: &str, queue: &str) -> Result<Document<WorkQueue>> {
        let path = format!(
            "/work_pools/{}/queues/{}",
            percent_encoded(pool),
            percent_encoded(queue)
        );
        self.get(&path).await
    }

    /// Returns the queues of a pool, those of the first priority first.
    pub async fn read_pool_queues(&self, pool: &str) -> Result<Vec<Document<WorkQueue>>> {
        let path = format!("/work_pools/{}/queues/filter", percent_encoded(pool));
        self.pages(&path, json!({}), 0, None).await
    }
}

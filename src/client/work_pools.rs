//! Work pools, their queues and workers.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, Document, FlowRun, Result, WorkQueue};
use crate::http::percent_encoded;

/// A work pool.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
/// let pool: prefect_rs::client::WorkPool = client.read_work_pool("shed").await?.into_view();
/// println!("{}", pool.base_job_template);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct WorkPool {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Which workers serve it.
    pub r#type: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it gives out no runs.
    #[serde(default)]
    pub is_paused: bool,
    /// How many of its runs may be under way.
    pub concurrency_limit: Option<i64>,
    /// Whether somebody works there.
    pub status: Option<String>,
    /// How jobs are made of a run's variables.
    #[serde(default)]
    pub base_job_template: Value,
}

/// A run that a pool gives to a worker.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
/// let by = chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("an instant");
/// let due: Vec<prefect_rs::client::PoolRun> = client.read_work_pool_runs("shed", &[], by, 1).await?;
/// println!("{:?}", due.first().map(|due| due.work_queue_id));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct PoolRun {
    /// The queue that it is in.
    pub work_queue_id: Uuid,
    /// The run.
    pub flow_run: Document<FlowRun>,
}

impl Client {
    /// Creates a work pool.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let pool = client.create_work_pool(&serde_json::json!({"name": "shed", "type": "process"})).await?;
    /// println!("{}", pool.id);
    /// # Ok(()) }
    /// ```
    pub async fn create_work_pool(&self, pool: &Value) -> Result<Document<WorkPool>> {
        self.post("/work_pools/", pool).await
    }

    /// Returns a work pool.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// println!("{:?}", client.read_work_pool("shed").await?.status);
    /// # Ok(()) }
    /// ```
    pub async fn read_work_pool(&self, name: &str) -> Result<Document<WorkPool>> {
        self.get(&format!("/work_pools/{}", percent_encoded(name)))
            .await
    }

    /// Returns all work pools.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// for pool in client.read_work_pools().await? {
    ///     println!("{} for workers of the type {}", pool.name, pool.r#type);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_work_pools(&self) -> Result<Vec<Document<WorkPool>>> {
        self.pages("/work_pools/filter", json!({}), 0, None).await
    }

    /// Changes fields of a work pool.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// client.update_work_pool("shed", &serde_json::json!({"is_paused": true})).await?;
    /// # Ok(()) }
    /// ```
    pub async fn update_work_pool(&self, name: &str, changes: &Value) -> Result<()> {
        self.patch(&format!("/work_pools/{}", percent_encoded(name)), changes)
            .await
    }

    /// Deletes a work pool with its queues.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// client.delete_work_pool("shed").await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_work_pool(&self, name: &str) -> Result<()> {
        self.delete(&format!("/work_pools/{}", percent_encoded(name)))
            .await
    }

    /// Returns the runs of a pool that are due before an instant, in the order in which to take them.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// let by = chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("an instant");
    /// for due in client.read_work_pool_runs("shed", &[], by, 10).await? {
    ///     println!("{}", due.flow_run.name);
    /// }
    /// # Ok(()) }
    /// ```
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
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// client.send_worker_heartbeat("shed", "worker 1", 30).await?;
    /// # Ok(()) }
    /// ```
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
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// for worker in client.read_workers("shed").await? {
    ///     println!("{}", worker["name"]);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_workers(&self, pool: &str) -> Result<Vec<Value>> {
        let path = format!("/work_pools/{}/workers/filter", percent_encoded(pool));
        self.pages(&path, json!({}), 0, None).await
    }

    /// Creates a queue in a pool.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// client.create_pool_queue("shed", &serde_json::json!({"name": "urgent", "priority": 1})).await?;
    /// # Ok(()) }
    /// ```
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
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// println!("{:?}", client.read_pool_queue("shed", "urgent").await?.priority);
    /// # Ok(()) }
    /// ```
    pub async fn read_pool_queue(&self, pool: &str, queue: &str) -> Result<Document<WorkQueue>> {
        let path = format!(
            "/work_pools/{}/queues/{}",
            percent_encoded(pool),
            percent_encoded(queue)
        );
        self.get(&path).await
    }

    /// Returns the queues of a pool, those of the first priority first.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// for queue in client.read_pool_queues("shed").await? {
    ///     println!("{}", queue.name);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_pool_queues(&self, pool: &str) -> Result<Vec<Document<WorkQueue>>> {
        let path = format!("/work_pools/{}/queues/filter", percent_encoded(pool));
        self.pages(&path, json!({}), 0, None).await
    }
}

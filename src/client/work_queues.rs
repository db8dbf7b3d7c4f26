//! Work queues.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, Document, FlowRun, Result};
use crate::http::percent_encoded;

/// What runs a work queue takes.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
/// use prefect_rs::client::{CreateWorkQueue, QueueFilter};
///
/// let filter = QueueFilter {
///     tags: Some(vec!["etl".to_owned()]),
///     ..QueueFilter::default()
/// };
/// let queue = CreateWorkQueue {
///     name: "etl".to_owned(),
///     filter,
///     ..CreateWorkQueue::default()
/// };
/// client.create_work_queue(&queue).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct QueueFilter {
    /// Tags that a run must all have.
    pub tags: Option<Vec<String>>,
    /// Deployments of which a run must have one.
    pub deployment_ids: Option<Vec<Uuid>>,
    /// Types of flow runner of which a run must have one.
    pub flow_runner_types: Option<Vec<String>>,
}

/// A work queue.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
/// let queue: prefect_rs::client::WorkQueue = client.read_work_queue(id).await?.into_view();
/// println!("{:?}", queue.filter);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct WorkQueue {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What runs it takes.
    pub filter: Option<QueueFilter>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it gives out no runs.
    #[serde(default)]
    pub is_paused: bool,
    /// How many of its runs may be under way.
    pub concurrency_limit: Option<i64>,
    /// Its place among the queues of its pool.
    pub priority: Option<i64>,
    /// The name of its pool.
    pub work_pool_name: Option<String>,
    /// Whether somebody asks for its runs.
    pub status: Option<String>,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
}

/// A work queue to be made.
///
/// ```no_run
/// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
/// use prefect_rs::client::CreateWorkQueue;
///
/// let queue = CreateWorkQueue {
///     name: "narrow".to_owned(),
///     concurrency_limit: Some(1),
///     ..CreateWorkQueue::default()
/// };
/// client.create_work_queue(&queue).await?;
/// # Ok(()) }
/// ```
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
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// use prefect_rs::client::CreateWorkQueue;
    ///
    /// let queue = CreateWorkQueue {
    ///     name: "urgent".to_owned(),
    ///     ..CreateWorkQueue::default()
    /// };
    /// println!("{}", client.create_work_queue(&queue).await?.id);
    /// # Ok(()) }
    /// ```
    pub async fn create_work_queue(&self, queue: &CreateWorkQueue) -> Result<Document<WorkQueue>> {
        self.post("/work_queues/", queue).await
    }

    /// Returns a work queue.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// println!("{}", client.read_work_queue(id).await?.name);
    /// # Ok(()) }
    /// ```
    pub async fn read_work_queue(&self, id: Uuid) -> Result<Document<WorkQueue>> {
        self.get(&format!("/work_queues/{id}")).await
    }

    /// Returns a work queue by its name.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let id = client.read_work_queue_by_name("urgent").await?.id;
    /// # let _ = id;
    /// # Ok(()) }
    /// ```
    pub async fn read_work_queue_by_name(&self, name: &str) -> Result<Document<WorkQueue>> {
        self.get(&format!("/work_queues/name/{}", percent_encoded(name)))
            .await
    }

    /// Returns all work queues.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client) -> prefect_rs::client::Result<()> {
    /// for queue in client.read_work_queues().await? {
    ///     println!("{} is {:?}", queue.name, queue.status);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn read_work_queues(&self) -> Result<Vec<Document<WorkQueue>>> {
        self.pages("/work_queues/filter", json!({}), 0, None).await
    }

    /// Changes fields of a work queue.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.update_work_queue(id, &serde_json::json!({"is_paused": true})).await?;
    /// # Ok(()) }
    /// ```
    pub async fn update_work_queue(&self, id: Uuid, changes: &Value) -> Result<()> {
        self.patch(&format!("/work_queues/{id}"), changes).await
    }

    /// Deletes a work queue.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// client.delete_work_queue(id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_work_queue(&self, id: Uuid) -> Result<()> {
        self.delete(&format!("/work_queues/{id}")).await
    }

    /// Returns the runs of a queue that are due before an instant, the earliest first.
    ///
    /// ```no_run
    /// # async fn f(client: prefect_rs::client::Client, id: uuid::Uuid) -> prefect_rs::client::Result<()> {
    /// let by = chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("an instant");
    /// for run in client.read_work_queue_runs(id, by, 10).await? {
    ///     println!("{}", run.name);
    /// }
    /// # Ok(()) }
    /// ```
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

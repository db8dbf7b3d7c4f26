//! What is served: work pools, their queues, and deployments, by the last sign of life of whoever serves them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::events::{RESOURCE_NAME, Resource};
use crate::schemas::patience::Patience;
use crate::schemas::work_pools::AGENT_TYPE;

/// Something that is served, or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// Its name as the resource of an event.
    pub resource: Resource,
    /// What its events name besides.
    pub related: Vec<Resource>,
    /// Whether it was paused.
    pub is_paused: bool,
    /// When somebody last changed it.
    pub updated: DateTime<Utc>,
    /// Until when it counts as served; nothing if it never was.
    pub until: Option<DateTime<Utc>>,
}

struct Pool(Served);
struct Queue(Served);
struct Deployment(Served);

fn resource(kind: &str, id: Uuid, name: &str) -> Resource {
    Resource::new(format!("prefect.{kind}.{id}")).with(RESOURCE_NAME, name)
}

/// Takes something that may not be there.
fn related(row: &mut Row<'_>, kind: &'static str) -> Result<Option<Resource>> {
    let (id, name): (Option<Uuid>, Option<String>) = (row.take()?, row.take()?);
    Ok(id.map(|id| resource(kind, id, &name.unwrap_or_default()).in_role(kind)))
}

fn related_pool(row: &mut Row<'_>) -> Result<Option<Resource>> {
    let (pool, kind) = (related(row, "work-pool")?, row.take::<Option<String>>()?);
    Ok(pool.map(|pool| pool.with("prefect.work-pool.type", kind.unwrap_or_default())))
}

impl FromRow for Pool {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let (id, name): (Uuid, String) = (row.take()?, row.take()?);
        let kind: String = row.take()?;
        Ok(Self(Served {
            resource: resource("work-pool", id, &name).with("prefect.work-pool.type", kind),
            related: Vec::new(),
            is_paused: row.take()?,
            updated: row.take()?,
            until: row.take()?,
        }))
    }
}

impl FromRow for Queue {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let (id, name): (Uuid, String) = (row.take()?, row.take()?);
        let (is_paused, updated) = (row.take()?, row.take()?);
        let polled: Option<DateTime<Utc>> = row.take()?;
        Ok(Self(Served {
            resource: resource("work-queue", id, &name),
            related: related_pool(row)?.into_iter().collect(),
            is_paused,
            updated,
            until: polled.map(|polled| polled + Patience::chosen().work_queue),
        }))
    }
}

impl FromRow for Deployment {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let (id, name): (Uuid, String) = (row.take()?, row.take()?);
        let updated = row.take()?;
        let polled: Option<DateTime<Utc>> = row.take()?;
        let flow = related(row, "flow")?;
        let queue = related(row, "work-queue")?;
        let pool = related_pool(row)?;
        Ok(Self(Served {
            resource: resource("deployment", id, &name),
            related: [flow, queue, pool].into_iter().flatten().collect(),
            // A deployment that is paused makes no runs by itself, but is served all the same.
            is_paused: false,
            updated,
            until: polled.map(|polled| polled + Patience::chosen().deployment),
        }))
    }
}

/// Returns all work pools and queues, and the deployments that were served after an instant.
pub async fn list(conn: &mut Conn, after: DateTime<Utc>) -> Result<Vec<Served>> {
    // Agents do not say of themselves.
    let sql = "SELECT p.id, p.name, p.type, p.is_paused, p.updated, p.served_until FROM work_pool p \
               WHERE p.type <> $1 ORDER BY p.id";
    let pools: Vec<Pool> = query(sql).bind(AGENT_TYPE).fetch_all(conn).await?;
    let sql = "SELECT q.id, q.name, q.is_paused, q.updated, q.last_polled, p.id, p.name, p.type \
               FROM work_queue q LEFT JOIN work_pool p ON p.id = q.work_pool_id ORDER BY q.id";
    let queues: Vec<Queue> = query(sql).fetch_all(conn).await?;
    let sql = "SELECT d.id, d.name, d.updated, d.last_polled, f.id, f.name, q.id, q.name, p.id, p.name, p.type \
               FROM deployment d JOIN flow f ON f.id = d.flow_id \
               LEFT JOIN work_queue q ON q.id = d.work_queue_id \
               LEFT JOIN work_pool p ON p.id = q.work_pool_id \
               WHERE d.last_polled > $1 ORDER BY d.id";
    let after = after - Patience::chosen().deployment;
    let deployments: Vec<Deployment> = query(sql).bind(after).fetch_all(conn).await?;
    let pools = pools.into_iter().map(|Pool(served)| served);
    let queues = queues.into_iter().map(|Queue(served)| served);
    let deployments = deployments.into_iter().map(|Deployment(served)| served);
    Ok(pools.chain(queues).chain(deployments).collect())
}

//! What is served: work pools, their queues, and deployments, by the last sign of life of whoever serves them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::events::lifecycle::{
    SURROUNDED, SURROUNDINGS, pool_resource, queue_resource, resource, take_pool, take_surroundings,
};
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::events::Resource;
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

impl FromRow for Pool {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let (id, name): (Uuid, String) = (row.take()?, row.take()?);
        let kind: String = row.take()?;
        Ok(Self(Served {
            resource: pool_resource(id, &name, &kind),
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
            resource: queue_resource(id, &name),
            related: take_pool(row)?.into_iter().collect(),
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
        Ok(Self(Served {
            resource: resource("deployment", id, &name),
            related: take_surroundings(row)?,
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
    let sql = format!(
        "SELECT d.id, d.name, d.updated, d.last_polled, {SURROUNDINGS} FROM {SURROUNDED} \
         WHERE d.last_polled > $1 ORDER BY d.id"
    );
    let after = after - Patience::chosen().deployment;
    let deployments: Vec<Deployment> = query(sql).bind(after).fetch_all(conn).await?;
    let pools = pools.into_iter().map(|Pool(served)| served);
    let queues = queues.into_iter().map(|Queue(served)| served);
    let deployments = deployments.into_iter().map(|Deployment(served)| served);
    Ok(pools.chain(queues).chain(deployments).collect())
}

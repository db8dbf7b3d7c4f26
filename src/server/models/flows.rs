//! Flows in the database.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::events::of_states;
use super::filters::{self, Listed, compile, page};
use super::{deployment_limits, slots};
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::filters::{Filters, FlowSort};
use crate::schemas::flows::Flow;
use crate::schemas::{DeploymentId, Document, FlowId, Tags};

impl FromRow for Flow {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.take()?,
            created: row.take()?,
            updated: row.take()?,
            name: row.take()?,
            tags: row.take()?,
            labels: row.take()?,
        })
    }
}

/// Creates a flow, or returns the one of that name; tells whether it is new.
pub async fn create(
    conn: &mut Conn,
    name: &str,
    tags: &Tags,
    labels: Option<Document>,
    now: DateTime<Utc>,
) -> Result<(Flow, bool)> {
    if let Some(flow) = read_by_name(conn, name).await? {
        return Ok((flow, false));
    }
    let insert = "INSERT INTO flow (id, created, updated, name, tags, labels) VALUES ($1, $2, $2, $3, $4, $5) \
                  ON CONFLICT (name) DO NOTHING";
    let id = FlowId::new();
    let inserted = query(insert)
        .bind(id)
        .bind(now)
        .bind(name)
        .bind(tags.clone())
        .bind(labels.unwrap_or_else(Document::empty_object))
        .execute(conn)
        .await?;
    // Another server may have been faster; then its flow is there now.
    let flow = query("SELECT id, created, updated, name, tags, labels FROM flow WHERE name = $1")
        .bind(name);
    Ok((flow.fetch_one(conn).await?, inserted == 1))
}

/// Returns a flow by its id.
pub async fn read(conn: &mut Conn, id: FlowId) -> Result<Option<Flow>> {
    query("SELECT id, created, updated, name, tags, labels FROM flow WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// Returns a flow by its name.
pub async fn read_by_name(conn: &mut Conn, name: &str) -> Result<Option<Flow>> {
    let sql = "SELECT id, created, updated, name, tags, labels FROM flow WHERE name = $1";
    query(sql).bind(name).fetch_optional(conn).await
}

/// Returns the labels of a flow; none are of a flow that is not there.
pub async fn labels(conn: &mut Conn, id: FlowId) -> Result<Document> {
    let sql = "SELECT labels FROM flow WHERE id = $1";
    let labels: Option<String> = query(sql).bind(id).fetch_optional(conn).await?;
    let labels = labels.and_then(|text| Document::parse(text).ok());
    Ok(labels.unwrap_or_else(Document::empty_object))
}

/// Replaces a flow's tags and returns it, if there is such a flow.
pub async fn update(
    conn: &mut Conn,
    id: FlowId,
    tags: Option<Tags>,
    now: DateTime<Utc>,
) -> Result<Option<Flow>> {
    let sql = "UPDATE flow SET tags = COALESCE($2, tags), updated = $3 WHERE id = $1 \
               RETURNING id, created, updated, name, tags, labels";
    let update = query(sql).bind(id).bind(tags).bind(now);
    update.fetch_optional(conn).await
}

/// Deletes a flow with its runs and deployments and returns it, if there was one.
///
/// What has happened to its runs since `events_since` stays as events.
pub async fn delete(
    conn: &mut Conn,
    id: FlowId,
    events_since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<Flow>> {
    let runs = query("SELECT r.id FROM flow_run r WHERE r.flow_id = $1").bind(id);
    let runs: Vec<Uuid> = runs.fetch_all(conn).await?;
    slots::end_all_of_deleted(conn, &runs, now).await?;
    of_states::keep_all(conn, &runs, events_since, now).await?;
    let deployments = query("SELECT d.id FROM deployment d WHERE d.flow_id = $1 ORDER BY d.id");
    let deployments: Vec<Uuid> = deployments.bind(id).fetch_all(conn).await?;
    for deployment in deployments {
        deployment_limits::forget_own(conn, DeploymentId(deployment)).await?;
    }
    query("DELETE FROM flow WHERE id = $1 RETURNING id, created, updated, name, tags, labels")
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// Returns the flows of a page.
pub async fn list(
    conn: &mut Conn,
    filters: &Filters,
    sort: FlowSort,
    limit: i64,
    offset: i64,
) -> Result<Vec<Flow>> {
    let found = compile(Listed::Flows, filters, conn.dialect());
    let order = match sort {
        FlowSort::CreatedDesc => "o.created DESC, o.id DESC",
        FlowSort::UpdatedDesc => "o.updated DESC, o.id DESC",
        FlowSort::NameAsc => "o.name",
        FlowSort::NameDesc => "o.name DESC",
    };
    let select = "SELECT o.id, o.created, o.updated, o.name, o.tags, o.labels FROM flow o";
    page(conn, select, found, order, limit, offset).await
}

/// Counts the flows that a filter finds.
pub async fn count(conn: &mut Conn, filters: &Filters) -> Result<i64> {
    let found = compile(Listed::Flows, filters, conn.dialect());
    filters::count(conn, "flow o", found).await
}

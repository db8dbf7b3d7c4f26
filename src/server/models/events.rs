//! Events in the database.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::rows::{pieces, placeholders};
use crate::db::{Conn, Error, FromRow, Result, Row, query};
use crate::schemas::Document;
use crate::schemas::events::{Event, ReceivedEvent};
use crate::schemas::time::Instant;

/// The columns of an event `o`, in the order of [`FromRow`].
pub const COLUMNS: &str =
    "o.id, o.occurred, o.event, o.resource, o.related, o.payload, o.received, o.follows";

impl FromRow for ReceivedEvent {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let labels = |e: serde_json::Error| Error::Decode(format!("not labels: {e}"));
        let id = row.take()?;
        let occurred: DateTime<Utc> = row.take()?;
        let event = row.take()?;
        let resource: Document = row.take()?;
        let related: Document = row.take()?;
        let payload = row.take()?;
        let received = row.take()?;
        Ok(Self {
            event: Event {
                occurred: Instant(occurred),
                event,
                resource: resource.read().map_err(labels)?,
                related: related.read().map_err(labels)?,
                payload,
                id,
                follows: row.take()?,
            },
            received,
        })
    }
}

/// Keeps those events that are not there yet and returns their ids.
pub async fn create(
    conn: &mut Conn,
    events: &[ReceivedEvent],
    now: DateTime<Utc>,
) -> Result<HashSet<Uuid>> {
    let mut created = HashSet::with_capacity(events.len());
    for piece in pieces(events) {
        let mut insert = query(format!(
            "INSERT INTO events (id, occurred, event, resource_id, resource, related, payload, received, recorded, \
             follows) VALUES {} ON CONFLICT (id) DO NOTHING RETURNING id",
            placeholders(piece.len(), 10)
        ));
        for received in piece {
            let event = &received.event;
            insert = insert
                .bind(event.id)
                .bind(event.occurred.0)
                .bind(&event.event)
                .bind(event.resource.id())
                .bind(json(&event.resource));
            insert = insert
                .bind(json(&event.related))
                .bind(event.payload.clone())
                .bind(received.received)
                .bind(now)
                .bind(event.follows);
        }
        created.extend(insert.fetch_all::<Uuid>(conn).await?);
    }
    let is_new = |event: &&ReceivedEvent| created.contains(&event.event.id.0);
    index_resources(conn, events.iter().filter(is_new)).await?;
    Ok(created)
}

/// Makes events findable by every resource that they involve.
async fn index_resources(
    conn: &mut Conn,
    events: impl Iterator<Item = &ReceivedEvent>,
) -> Result<()> {
    let mut rows = Vec::new();
    for event in events {
        for (n, resource) in event.involved().enumerate() {
            let role = if n == 0 { "" } else { resource.role() };
            rows.push((resource.id(), role, &event.event));
        }
    }
    for piece in pieces(&rows) {
        let mut insert = query(format!(
            "INSERT INTO event_resources (resource_id, occurred, event_id, resource_role) VALUES {} \
             ON CONFLICT DO NOTHING",
            placeholders(piece.len(), 4)
        ));
        for (id, role, event) in piece {
            insert = insert
                .bind(*id)
                .bind(event.occurred.0)
                .bind(event.id)
                .bind(*role);
        }
        insert.execute(conn).await?;
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("labels are JSON")
}

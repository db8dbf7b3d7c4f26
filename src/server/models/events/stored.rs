//! Events that are stored as such, with an index of the resources that they involve.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::filters::compile;
use super::{After, CountBy, Counted};
use crate::db::{Conn, Error, FromRow, Result, Row, Value, query};
use crate::schemas::Document;
use crate::schemas::event_filters::{EventFilter, Order};
use crate::schemas::events::{Event, RESOURCE_NAME, ReceivedEvent};
use crate::schemas::time::Instant;
use crate::server::models::rows::{self, pieces, placeholders};

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

/// Events as the rows that they will be; made beforehand, since the one writer has enough to do.
pub struct Rows {
    events: Vec<[Value; 10]>,
    /// What makes an event findable by every resource that it involves.
    resources: Vec<[Value; 4]>,
}

impl Rows {
    /// Makes the rows of events that are kept at `now`.
    pub fn of(events: &[ReceivedEvent], now: DateTime<Utc>) -> Self {
        let row = |received: &ReceivedEvent| -> [Value; 10] {
            let event = &received.event;
            [
                event.id.into(),
                event.occurred.0.into(),
                (&event.event).into(),
                event.resource.id().into(),
                json(&event.resource).into(),
                json(&event.related).into(),
                event.payload.clone().into(),
                received.received.into(),
                now.into(),
                event.follows.into(),
            ]
        };
        let mut resources = Vec::with_capacity(events.len() * 4);
        for ReceivedEvent { event, .. } in events {
            let involved = std::iter::once(&event.resource).chain(&event.related);
            for (n, resource) in involved.enumerate() {
                let role = if n == 0 { "" } else { resource.role() };
                resources.push([
                    resource.id().into(),
                    event.occurred.0.into(),
                    event.id.into(),
                    role.into(),
                ]);
            }
        }
        Self {
            events: events.iter().map(row).collect(),
            resources,
        }
    }
}

/// Keeps those events that are not there yet and returns their ids.
pub async fn create(
    conn: &mut Conn,
    Rows {
        events: rows,
        mut resources,
    }: Rows,
) -> Result<HashSet<Uuid>> {
    let into = "INSERT INTO events (id, occurred, event, resource_id, resource, related, payload, received, recorded, \
         follows)";
    let created = rows::insert_new(conn, into, &rows).await?;
    if created.len() < rows.len() {
        resources.retain(|row| matches!(&row[2], Value::Uuid(event) if created.contains(event)));
    }
    let into = "INSERT INTO event_resources (resource_id, occurred, event_id, resource_role)";
    rows::insert(conn, into, resources, "ON CONFLICT DO NOTHING").await?;
    Ok(created)
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("labels are JSON")
}

/// Returns a page of events, in the order that the filter asks for.
pub async fn list(
    conn: &mut Conn,
    filter: &EventFilter,
    after: Option<After>,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<Vec<ReceivedEvent>> {
    let (condition, mut values) = compile(filter, conn.dialect(), now);
    let (sign, direction) = match filter.order {
        Order::Asc => (">", ""),
        Order::Desc => ("<", " DESC"),
    };
    let behind = after.map_or_else(String::new, |(occurred, id)| {
        let (occurred, id) = (values.bind(occurred), values.bind(id));
        format!(" AND (o.occurred, o.id) {sign} ({occurred}, {id})")
    });
    let limit = values.bind(limit);
    let sql = format!(
        "SELECT {COLUMNS} FROM events o WHERE {condition}{behind} ORDER BY o.occurred{direction}, o.id{direction} LIMIT {limit}"
    );
    query(sql).bind_all(values.values).fetch_all(conn).await
}

/// Counts the events that a filter finds.
pub async fn count(conn: &mut Conn, filter: &EventFilter, now: DateTime<Utc>) -> Result<i64> {
    let (condition, values) = compile(filter, conn.dialect(), now);
    query(format!("SELECT COUNT(*) FROM events o WHERE {condition}"))
        .bind_all(values.values)
        .fetch_one(conn)
        .await
}

/// Returns the ids of the resources whose events a filter finds.
pub async fn resources(
    conn: &mut Conn,
    filter: &EventFilter,
    now: DateTime<Utc>,
) -> Result<Vec<String>> {
    let (condition, values) = compile(filter, conn.dialect(), now);
    query(format!(
        "SELECT DISTINCT o.resource_id FROM events o WHERE {condition}"
    ))
    .bind_all(values.values)
    .fetch_all(conn)
    .await
}

/// Counts events by what they share.
pub async fn count_by(
    conn: &mut Conn,
    filter: &EventFilter,
    by: CountBy,
    now: DateTime<Utc>,
) -> Result<Vec<Counted>> {
    let dialect = conn.dialect();
    let (condition, mut values) = compile(filter, dialect, now);
    let (value, label) = match by {
        CountBy::Event => ("o.event", "o.event".to_owned()),
        CountBy::Resource => {
            let name = dialect.label("l.resource", &values.bind(RESOURCE_NAME));
            let older = dialect.label("l.resource", &values.bind("prefect.name"));
            (
                "o.resource_id",
                format!("COALESCE({name}, {older}, l.resource_id)"),
            )
        }
    };
    let sql = match by {
        CountBy::Event => format!(
            "SELECT {value}, {label}, COUNT(*), MIN(o.occurred), MAX(o.occurred) FROM events o WHERE {condition} \
             GROUP BY {value}"
        ),
        CountBy::Resource => format!(
            "SELECT g.resource_id, (SELECT {label} FROM events l WHERE l.resource_id = g.resource_id \
             AND l.occurred = g.latest LIMIT 1), g.count, g.oldest, g.latest FROM (SELECT {value} AS resource_id, \
             COUNT(*) AS count, MIN(o.occurred) AS oldest, MAX(o.occurred) AS latest FROM events o \
             WHERE {condition} GROUP BY {value}) AS g"
        ),
    };
    query(sql).bind_all(values.values).fetch_all(conn).await
}

/// Counts events by stretches of time since `pivot`: number of the stretch, and events in it.
pub async fn count_by_time(
    conn: &mut Conn,
    filter: &EventFilter,
    pivot: DateTime<Utc>,
    seconds: f64,
    now: DateTime<Utc>,
) -> Result<Vec<(i64, i64)>> {
    let dialect = conn.dialect();
    let (condition, mut values) = compile(filter, dialect, now);
    let (pivot, seconds) = (values.bind(pivot.timestamp() as f64), values.bind(seconds));
    let stretch = dialect.stretch("o.occurred", &pivot, &seconds);
    let sql = format!("SELECT {stretch}, COUNT(*) FROM events o WHERE {condition} GROUP BY 1");
    query(sql).bind_all(values.values).fetch_all(conn).await
}

/// Deletes up to `most` events that happened before an instant, of one name or of any; returns how many.
pub async fn delete_before(
    conn: &mut Conn,
    before: DateTime<Utc>,
    name: Option<&str>,
    most: i64,
) -> Result<u64> {
    let of_name = name.map_or("", |_| "AND o.event = $3");
    let read = query(format!(
        "SELECT {COLUMNS} FROM events o WHERE o.occurred < $1 {of_name} ORDER BY o.occurred LIMIT $2"
    ));
    let read = read.bind(before).bind(most).bind_all(name.map(Into::into));
    let old: Vec<ReceivedEvent> = read.fetch_all(conn).await?;
    let mut keys = Vec::new();
    for event in &old {
        keys.extend(
            event
                .involved()
                .map(|resource| (resource.id(), &event.event)),
        );
    }
    for piece in pieces(&keys) {
        let mut delete = query(format!(
            "DELETE FROM event_resources WHERE (resource_id, occurred, event_id) IN (VALUES {})",
            placeholders(piece.len(), 3)
        ));
        for (id, event) in piece {
            delete = delete.bind(*id).bind(event.occurred.0).bind(event.id);
        }
        delete.execute(conn).await?;
    }
    let ids: Vec<Uuid> = old.iter().map(|event| event.event.id.0).collect();
    query("DELETE FROM events WHERE id = ANY($1)")
        .bind(Value::Uuids(ids))
        .execute(conn)
        .await
}

/// Returns when the oldest event happened, of one name or of any.
pub async fn oldest(conn: &mut Conn, name: Option<&str>) -> Result<Option<DateTime<Utc>>> {
    let of_name = name.map_or("", |_| "WHERE event = $1");
    query(format!(
        "SELECT occurred FROM events {of_name} ORDER BY occurred LIMIT 1"
    ))
    .bind_all(name.map(Into::into))
    .fetch_optional(conn)
    .await
}

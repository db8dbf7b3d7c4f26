//! What triggers remember between events: buckets, firings, events that wait for others, and the
//! actions that are to be done.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::{Conn, Error, FromRow, Result, Row, Value, query};
use crate::schemas::automations::{EventTrigger, Firing, TriggeredAction};
use crate::schemas::events::ReceivedEvent;
use crate::schemas::{AutomationId, Document};
use crate::server::automations::evaluate::Bucket;

fn read<T: for<'a> serde::Deserialize<'a>>(document: &Document) -> Result<T> {
    document
        .read()
        .map_err(|e| Error::Decode(format!("not what a trigger remembers: {e}")))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("events and firings are JSON")
}

/// A bucket and the values that it counts apart.
struct Keyed {
    key: Vec<String>,
    bucket: Bucket,
}

impl FromRow for Keyed {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let key: Document = row.take()?;
        let (start, end, count) = (row.take()?, row.take()?, row.take()?);
        let last: Option<Document> = row.take()?;
        Ok(Self {
            key: read(&key)?,
            bucket: Bucket {
                start,
                end,
                count,
                last_event: last.as_ref().map(read).transpose()?,
            },
        })
    }
}

const BUCKET: &str = "o.bucketing_key, o.start_time, o.end_time, o.count, o.last_event";

/// Returns a trigger's bucket, locked against other servers.
pub async fn read_bucket(
    conn: &mut Conn,
    trigger: &EventTrigger,
    key: &[String],
) -> Result<Option<Bucket>> {
    let lock = conn.dialect().for_update("o");
    let sql = format!(
        "SELECT {BUCKET} FROM automation_bucket o WHERE o.trigger_id = $1 AND o.bucketing_key = $2{lock}"
    );
    let found: Option<Keyed> = query(sql)
        .bind(trigger.id)
        .bind(json(&key))
        .fetch_optional(conn)
        .await?;
    Ok(found.map(|found| found.bucket))
}

/// Returns a trigger's buckets whose span has ended, locked against other servers.
pub async fn list_ended(
    conn: &mut Conn,
    trigger: &EventTrigger,
    now: DateTime<Utc>,
) -> Result<Vec<(Vec<String>, Bucket)>> {
    let lock = conn.dialect().for_update("o");
    let sql = format!(
        "SELECT {BUCKET} FROM automation_bucket o WHERE o.trigger_id = $1 AND o.end_time <= $2 \
         ORDER BY o.end_time LIMIT 500{lock}"
    );
    let found: Vec<Keyed> = query(sql)
        .bind(trigger.id)
        .bind(now)
        .fetch_all(conn)
        .await?;
    Ok(found
        .into_iter()
        .map(|found| (found.key, found.bucket))
        .collect())
}

/// Returns when the next bucket of these triggers ends.
pub async fn next_end(conn: &mut Conn, triggers: &[Uuid]) -> Result<Option<DateTime<Utc>>> {
    query("SELECT o.end_time FROM automation_bucket o WHERE o.trigger_id = ANY($1) ORDER BY o.end_time LIMIT 1")
        .bind(Value::Uuids(triggers.to_vec()))
        .fetch_optional(conn)
        .await
}

/// Keeps a trigger's bucket, or forgets it; nothing is kept of an automation that is no more.
pub async fn write_bucket(
    conn: &mut Conn,
    automation: AutomationId,
    trigger: &EventTrigger,
    key: &[String],
    bucket: Option<&Bucket>,
) -> Result<()> {
    let Some(bucket) = bucket else {
        let delete =
            query("DELETE FROM automation_bucket WHERE trigger_id = $1 AND bucketing_key = $2");
        delete
            .bind(trigger.id)
            .bind(json(&key))
            .execute(conn)
            .await?;
        return Ok(());
    };
    let lock = conn.dialect().for_key_share("o");
    let is_there = query(format!(
        "SELECT o.id FROM automation o WHERE o.id = $1{lock}"
    ))
    .bind(automation)
    .fetch_optional::<Uuid>(conn)
    .await?
    .is_some();
    if !is_there {
        return Ok(());
    }
    let sql = "INSERT INTO automation_bucket (trigger_id, bucketing_key, automation_id, start_time, end_time, count, \
               last_event) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (trigger_id, bucketing_key) DO UPDATE SET \
               start_time = excluded.start_time, end_time = excluded.end_time, count = excluded.count, \
               last_event = excluded.last_event";
    let insert = query(sql)
        .bind(trigger.id)
        .bind(json(&key))
        .bind(automation);
    let insert = insert
        .bind(bucket.start)
        .bind(bucket.end)
        .bind(bucket.count);
    insert
        .bind(bucket.last_event.as_ref().map(json))
        .execute(conn)
        .await?;
    Ok(())
}

/// Counts the buckets of these triggers.
pub async fn count_of(conn: &mut Conn, triggers: &[Uuid]) -> Result<i64> {
    query("SELECT COUNT(*) FROM automation_bucket o WHERE o.trigger_id = ANY($1)")
        .bind(Value::Uuids(triggers.to_vec()))
        .fetch_one(conn)
        .await
}

/// Tells whether these triggers have buckets that ended before an instant.
pub async fn has_ended(conn: &mut Conn, triggers: &[Uuid], before: DateTime<Utc>) -> Result<bool> {
    let next = next_end(conn, triggers).await?;
    Ok(next.is_some_and(|end| end < before))
}

/// Deletes the buckets of these triggers that ended before an instant.
pub async fn delete_ended(
    conn: &mut Conn,
    triggers: &[Uuid],
    before: DateTime<Utc>,
) -> Result<u64> {
    query("DELETE FROM automation_bucket WHERE end_time < $1 AND trigger_id = ANY($2)")
        .bind(before)
        .bind(Value::Uuids(triggers.to_vec()))
        .execute(conn)
        .await
}

/// Notes that a trigger inside a composite one has fired, and returns what has, in order of time;
/// nothing has in an automation that is no more.
pub async fn note_firing(
    conn: &mut Conn,
    automation: AutomationId,
    parent: Uuid,
    firing: &Firing,
    since: Option<DateTime<Utc>>,
) -> Result<Vec<Firing>> {
    // Servers that note firings of one trigger do so one after the other.
    let lock = format!(
        "SELECT o.id FROM automation o WHERE o.id = $1{}",
        conn.dialect().for_update("o")
    );
    let known = query(lock).bind(automation).fetch_optional::<Uuid>(conn);
    if known.await?.is_none() {
        return Ok(Vec::new());
    }
    if let Some(since) = since {
        query("DELETE FROM composite_trigger_child_firing WHERE parent_trigger_id = $1 AND child_fired_at < $2")
            .bind(parent)
            .bind(since)
            .execute(conn)
            .await?;
    }
    let sql = "INSERT INTO composite_trigger_child_firing (automation_id, parent_trigger_id, child_trigger_id, \
               child_firing_id, child_fired_at, child_firing) VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (parent_trigger_id, child_trigger_id) DO UPDATE SET \
               child_firing_id = excluded.child_firing_id, child_fired_at = excluded.child_fired_at, \
               child_firing = excluded.child_firing";
    let insert = query(sql)
        .bind(automation)
        .bind(parent)
        .bind(firing.trigger_id);
    insert
        .bind(firing.id)
        .bind(firing.triggered)
        .bind(json(firing))
        .execute(conn)
        .await?;
    let sql = "SELECT o.child_firing FROM composite_trigger_child_firing o WHERE o.parent_trigger_id = $1 \
               ORDER BY o.child_fired_at, o.child_firing_id";
    let found: Vec<String> = query(sql).bind(parent).fetch_all(conn).await?;
    found
        .into_iter()
        .map(|text| {
            serde_json::from_str(&text).map_err(|e| Error::Decode(format!("not a firing: {e}")))
        })
        .collect()
}

/// Forgets the firings that have made a composite trigger fire.
pub async fn clear_firings(conn: &mut Conn, parent: Uuid) -> Result<()> {
    query("DELETE FROM composite_trigger_child_firing WHERE parent_trigger_id = $1")
        .bind(parent)
        .execute(conn)
        .await?;
    Ok(())
}

/// Tells whether an event is known; the event of a state has its id, and is in order anyway.
pub async fn is_known(conn: &mut Conn, event: Uuid) -> Result<bool> {
    let sql = "SELECT o.id FROM events o WHERE o.id = $1 UNION ALL \
               SELECT s.id FROM flow_run_state s WHERE s.id = $1 UNION ALL \
               SELECT t.id FROM task_run_state t WHERE t.id = $1 AND t.is_event LIMIT 1";
    let found: Option<Uuid> = query(sql).bind(event).fetch_optional(conn).await?;
    Ok(found.is_some())
}

/// Keeps an event until the one that it follows has come.
pub async fn park(conn: &mut Conn, leader: Uuid, event: &ReceivedEvent) -> Result<()> {
    let sql = "INSERT INTO automation_event_follower (follower_event_id, leader_event_id, received, follower) \
               VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    let insert = query(sql)
        .bind(event.event.id)
        .bind(leader)
        .bind(event.received);
    insert.bind(json(event)).execute(conn).await?;
    Ok(())
}

/// Takes the events that waited for any of these.
pub async fn unpark(conn: &mut Conn, leaders: Vec<Uuid>) -> Result<Vec<ReceivedEvent>> {
    let sql =
        "DELETE FROM automation_event_follower WHERE leader_event_id = ANY($1) RETURNING follower";
    parked(
        query(sql)
            .bind(Value::Uuids(leaders))
            .fetch_all(conn)
            .await?,
    )
}

/// Takes the events that have waited too long.
pub async fn unpark_before(conn: &mut Conn, before: DateTime<Utc>) -> Result<Vec<ReceivedEvent>> {
    let sql = "DELETE FROM automation_event_follower WHERE received < $1 RETURNING follower";
    parked(query(sql).bind(before).fetch_all(conn).await?)
}

/// Returns when the first event began to wait.
pub async fn first_parked(conn: &mut Conn) -> Result<Option<DateTime<Utc>>> {
    query("SELECT o.received FROM automation_event_follower o ORDER BY o.received LIMIT 1")
        .fetch_optional(conn)
        .await
}

fn parked(texts: Vec<String>) -> Result<Vec<ReceivedEvent>> {
    let read = |text: String| {
        serde_json::from_str(&text).map_err(|e| Error::Decode(format!("not an event: {e}")))
    };
    let mut events: Vec<ReceivedEvent> = texts.into_iter().map(read).collect::<Result<_>>()?;
    events.sort_by_key(|event| (event.event.occurred.0, event.event.id));
    Ok(events)
}

/// Notes an action that is to be done.
pub async fn add_action(
    conn: &mut Conn,
    action: &TriggeredAction,
    now: DateTime<Utc>,
) -> Result<()> {
    query("INSERT INTO automation_action (id, created, action) VALUES ($1, $2, $3)")
        .bind(action.id)
        .bind(now)
        .bind(json(action))
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes up to `most` actions to do, which nobody else has taken since `stale`.
pub async fn claim_actions(
    conn: &mut Conn,
    now: DateTime<Utc>,
    stale: DateTime<Utc>,
    most: i64,
) -> Result<Vec<TriggeredAction>> {
    let lock = conn.dialect().for_update("o");
    let sql = format!(
        "SELECT o.action FROM automation_action o WHERE o.claimed IS NULL OR o.claimed < $1 ORDER BY o.id LIMIT $2{lock}"
    );
    let found: Vec<String> = query(sql).bind(stale).bind(most).fetch_all(conn).await?;
    let actions: Vec<TriggeredAction> = found
        .into_iter()
        .map(|text| {
            serde_json::from_str(&text).map_err(|e| Error::Decode(format!("not an action: {e}")))
        })
        .collect::<Result<_>>()?;
    let ids = actions.iter().map(|action| action.id).collect();
    query("UPDATE automation_action SET claimed = $1 WHERE id = ANY($2)")
        .bind(now)
        .bind(Value::Uuids(ids))
        .execute(conn)
        .await?;
    Ok(actions)
}

/// Tells whether there are actions to do.
pub async fn has_actions(conn: &mut Conn) -> Result<bool> {
    let found = query("SELECT o.id FROM automation_action o LIMIT 1").fetch_optional::<Uuid>(conn);
    Ok(found.await?.is_some())
}

/// Forgets an action that was done.
pub async fn finish_action(conn: &mut Conn, id: Uuid) -> Result<()> {
    query("DELETE FROM automation_action WHERE id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

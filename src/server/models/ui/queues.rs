//! Work queues with what waits and who asks; blocks.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value as Json;
use uuid::Uuid;

use super::filters::RUN_TABLES;
use super::row;
use super::runs::{RUN_ROW, RunRow};
use crate::db::{Conn, Result, Value, query};
use crate::schemas::Document;
use crate::schemas::patience::Patience;
use crate::server::models::explain::{self, Queue, QueueFilter, WAITING, Waiting};
use crate::server::vault::Vault;
use crate::settings::MASK;

/// No queue page looks further ahead than this many runs.
const MOST_SCHEDULED: i64 = 20_000;
const SHOWN: usize = 50;

row! {
    /// Who asks a queue for runs.
    Agent { #[serde(skip)] #[schema(ignore)] work_queue_id: Uuid, name: String, last_polled: DateTime<Utc> }
}

/// Who asks a queue, and whether it did so lately enough.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct AgentRow {
    #[serde(flatten)]
    base: Agent,
    is_polling: bool,
}

fn is_fresh(polled: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    Patience::chosen().is_queue_served(polled, now)
}

async fn agents(conn: &mut Conn) -> Result<Vec<Agent>> {
    let sql = "SELECT work_queue_id, agent, last_polled FROM work_queue_poll ORDER BY last_polled DESC LIMIT 10000";
    query(sql).fetch_all(conn).await
}

/// A work queue as the list shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct QueueRow {
    id: Uuid,
    name: String,
    description: String,
    is_paused: bool,
    concurrency_limit: Option<i64>,
    filter: QueueFilter,
    last_polled: Option<DateTime<Utc>>,
    /// Whether somebody asked lately enough.
    is_polled: bool,
    agents: Vec<AgentRow>,
    due: i64,
    upcoming: i64,
    active: i64,
    late: i64,
}

/// A work queue with its runs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct QueuePage {
    #[serde(flatten)]
    row: QueueRow,
    runs: Vec<RunRow>,
    running: Vec<RunRow>,
}

async fn scheduled(conn: &mut Conn) -> Result<Vec<Waiting>> {
    let sql = format!(
        "{WAITING} WHERE state_type = 'SCHEDULED' AND deployment_id IS NOT NULL \
         AND next_scheduled_start_time IS NOT NULL ORDER BY next_scheduled_start_time LIMIT {MOST_SCHEDULED}"
    );
    query(sql).fetch_all(conn).await
}

fn summary(
    queue: &Queue,
    scheduled: &[&Waiting],
    active: &[&Waiting],
    agents: &[Agent],
    now: DateTime<Utc>,
) -> QueueRow {
    let due = scheduled
        .iter()
        .filter(|r| r.due.is_some_and(|at| at <= now))
        .count() as i64;
    let late = scheduled
        .iter()
        .filter(|r| r.state_name.as_deref() == Some("Late"))
        .count();
    QueueRow {
        id: queue.row.id,
        name: queue.row.name.clone(),
        description: queue.row.description.clone(),
        is_paused: queue.row.is_paused,
        concurrency_limit: queue.row.concurrency_limit,
        filter: queue.filter.clone(),
        last_polled: queue.row.last_polled,
        is_polled: queue.row.last_polled.is_some_and(|at| is_fresh(at, now)),
        agents: agents
            .iter()
            .filter(|a| a.work_queue_id == queue.row.id)
            .map(|agent| AgentRow {
                base: agent.clone(),
                is_polling: is_fresh(agent.last_polled, now),
            })
            .collect(),
        due,
        upcoming: scheduled.len() as i64 - due,
        active: active.len() as i64,
        late: late as i64,
    }
}

/// Lists the work queues.
pub(crate) async fn list(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<QueueRow>> {
    let queues = explain::queues(conn).await?;
    let scheduled = scheduled(conn).await?;
    let active = explain::active(conn).await?;
    let agents = agents(conn).await?;
    let row = |queue: &Queue| {
        let mine = |runs| {
            Vec::from_iter(Iterator::filter(<[Waiting]>::iter(runs), |r| {
                queue.filter.takes(r)
            }))
        };
        summary(queue, &mine(&scheduled), &mine(&active), &agents, now)
    };
    Ok(queues.iter().map(row).collect())
}

/// Reads one work queue with what waits and runs.
pub(crate) async fn read(
    conn: &mut Conn,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<QueuePage>> {
    let queues = explain::queues(conn).await?;
    let Some(queue) = queues.into_iter().find(|q| q.row.id == id) else {
        return Ok(None);
    };
    let scheduled = scheduled(conn).await?;
    let active = explain::active(conn).await?;
    let agents = agents(conn).await?;
    let waiting: Vec<_> = scheduled.iter().filter(|r| queue.filter.takes(r)).collect();
    let holding: Vec<_> = active.iter().filter(|r| queue.filter.takes(r)).collect();
    let ids = |runs: &[&Waiting]| runs.iter().take(SHOWN).map(|r| r.id).collect();
    Ok(Some(QueuePage {
        row: summary(&queue, &waiting, &holding, &agents, now),
        runs: rows(conn, ids(&waiting)).await?,
        running: rows(conn, ids(&holding)).await?,
    }))
}

async fn rows(conn: &mut Conn, ids: Vec<Uuid>) -> Result<Vec<RunRow>> {
    let sql = format!(
        "SELECT {RUN_ROW} FROM {RUN_TABLES} WHERE r.id = ANY($1) ORDER BY r.expected_start_time, r.id"
    );
    query(sql)
        .bind_all([Value::Uuids(ids)])
        .fetch_all(conn)
        .await
}

row! {
    BlockStored {
        id: Uuid, name: String, type_name: String, kind: Option<String>, is_default: bool,
        created: DateTime<Utc>, updated: DateTime<Utc>, sealed: String, schema: Document,
    }
}

/// A block with its secrets masked.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BlockText {
    id: Uuid,
    name: String,
    type_name: String,
    kind: Option<String>,
    is_default: bool,
    created: DateTime<Utc>,
    updated: DateTime<Utc>,
    data: Document,
    schema: Document,
    /// Whether its data could be read with the key that the server has.
    is_readable: bool,
}

/// Lists the blocks with their secrets masked.
pub(crate) async fn blocks(conn: &mut Conn, vault: &Vault) -> Result<Vec<BlockText>> {
    let sql = "SELECT b.id, b.name, s.name, s.type, b.is_default_storage_block, b.created, b.updated, b.data, s.fields \
               FROM block b JOIN block_spec s ON s.id = b.block_spec_id ORDER BY b.name LIMIT 1000";
    let rows: Vec<BlockStored> = query(sql).fetch_all(conn).await?;
    let shown = |row: BlockStored| {
        // A block whose key is lost must not take the whole page with it.
        let data = vault.open(row.sealed, row.id).ok();
        BlockText {
            is_readable: data.is_some(),
            data: data.map_or_else(Document::empty_object, |data| mask(&data, &row.schema)),
            id: row.id,
            name: row.name,
            type_name: row.type_name,
            kind: row.kind,
            is_default: row.is_default,
            created: row.created,
            updated: row.updated,
            schema: row.schema,
        }
    };
    Ok(rows.into_iter().map(shown).collect())
}

/// Hides the values that are secret by their schema or by their name; what is not an object is hidden whole.
fn mask(data: &Document, schema: &Document) -> Document {
    let schema: Json = schema.read().unwrap_or_default();
    let listed = schema["secret_fields"].as_array().into_iter().flatten();
    // A path into the data counts for the field that it starts with.
    let listed: Vec<&str> = listed
        .filter_map(|path| path.as_str()?.split('.').next())
        .collect();
    let is_secret = |name: &str| {
        let field = &schema["properties"][name];
        listed.contains(&name) || field["format"] == "password" || field["writeOnly"] == true
    };
    let masked = match data.read::<Json>() {
        Ok(Json::Object(mut fields)) => {
            for (name, value) in &mut fields {
                if is_secret(name) && !value.is_null() {
                    *value = Json::from(MASK);
                }
                hide(name, value);
            }
            Json::Object(fields)
        }
        _ => serde_json::json!({ "data": MASK }),
    };
    Document::of(&masked).unwrap_or_else(|_| Document::empty_object())
}

fn hide(name: &str, value: &mut Json) {
    const SECRET: [&str; 9] = [
        "secret",
        "password",
        "passwd",
        "token",
        "key",
        "credential",
        "connection_string",
        "auth",
        "private",
    ];
    let name = name.to_lowercase();
    match value {
        Json::Null => {}
        Json::Object(fields) => fields
            .iter_mut()
            .for_each(|(name, value)| hide(name, value)),
        value if SECRET.iter().any(|word| name.contains(word)) => *value = Json::from(MASK),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_schema_calls_secret_is_masked_whatever_its_name() {
        let document = |text: &str| Document::parse(text.to_owned()).unwrap();
        let schema =
            r#"{"secret_fields":["inner.pin"],"properties":{"word":{"format":"password"}}}"#;
        let data = document(r#"{"word":"w","inner":{"pin":1},"plain":"p"}"#);
        assert_eq!(
            mask(&data, &document(schema)).get(),
            r#"{"word":"********","inner":"********","plain":"p"}"#
        );
    }

    #[test]
    fn secrets_of_a_block_are_masked_at_any_depth() {
        let data = Document::parse(
            r#"{"bucket":"b","aws_secret_access_key":"s","more":{"token":"t","n":1}}"#.into(),
        );
        assert_eq!(
            mask(&data.unwrap(), &Document::empty_object()).get(),
            r#"{"bucket":"b","aws_secret_access_key":"********","more":{"token":"********","n":1}}"#
        );
    }
}

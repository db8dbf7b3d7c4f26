//! Names of things that are known by their ids alone, so that a page says "of nightly" instead of an id.
//!
//! Things are called as events call them (`prefect.deployment.<id>`): artifacts, automations and the inputs of
//! task runs name other things by their ids, and what they name may be gone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::row;
use crate::db::{Conn, Result, Value, query};

/// No page shows more things than this; what is beyond stays without a name.
const MOST: usize = 1000;

/// Where things of a kind have their names, and what they belong to: the kind, and the statement of its rows.
const KINDS: [(&str, &str); 9] = [
    ("flow", "SELECT id, name, NULL FROM flow WHERE id = ANY($1)"),
    (
        "flow-run",
        "SELECT r.id, r.name, f.name FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE r.id = ANY($1)",
    ),
    (
        "task-run",
        "SELECT t.id, t.name, r.name FROM task_run t LEFT JOIN flow_run r ON r.id = t.flow_run_id WHERE t.id = ANY($1)",
    ),
    (
        "deployment",
        "SELECT d.id, d.name, f.name FROM deployment d JOIN flow f ON f.id = d.flow_id WHERE d.id = ANY($1)",
    ),
    (
        "work-queue",
        "SELECT q.id, q.name, p.name FROM work_queue q LEFT JOIN work_pool p ON p.id = q.work_pool_id WHERE q.id = ANY($1)",
    ),
    (
        "work-pool",
        "SELECT id, name, NULL FROM work_pool WHERE id = ANY($1)",
    ),
    (
        "block-document",
        "SELECT d.id, d.name, t.name FROM block_document d JOIN block_type t ON t.id = d.block_type_id WHERE d.id = ANY($1)",
    ),
    (
        "automation",
        "SELECT id, name, NULL FROM automation WHERE id = ANY($1)",
    ),
    (
        "concurrency-limit",
        "SELECT id, name, NULL FROM concurrency_limit_v2 WHERE id = ANY($1)",
    ),
];

/// Things whose names are asked for.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct NamesAsk {
    ids: Vec<String>,
}

row! { NameRow { id: Uuid, name: String, of: Option<String> } }

/// The name of a thing, and of what it belongs to: of a run or a deployment its flow, of a task run its flow run, of
/// a queue its pool, of a block its type.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct NamedThing {
    id: String,
    name: String,
    of: Option<String>,
}

/// Names the things that there are; of others there is nothing in the answer.
pub(crate) async fn list(conn: &mut Conn, ask: NamesAsk) -> Result<Vec<NamedThing>> {
    let mut wanted: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
    for (kind, id) in ask.ids.iter().take(MOST).filter_map(|id| split(id)) {
        wanted.entry(kind).or_default().push(id);
    }
    let mut named = Vec::new();
    for (kind, sql) in KINDS {
        let Some(ids) = wanted.remove(kind) else {
            continue;
        };
        let rows: Vec<NameRow> = query(sql)
            .bind_all([Value::Uuids(ids)])
            .fetch_all(conn)
            .await?;
        named.extend(rows.into_iter().map(|row| NamedThing {
            id: format!("prefect.{kind}.{}", row.id),
            name: row.name,
            of: row.of,
        }));
    }
    Ok(named)
}

/// The kind and the id in the name of a resource.
fn split(id: &str) -> Option<(&str, Uuid)> {
    let (kind, id) = id.strip_prefix("prefect.")?.split_once('.')?;
    Some((kind, id.parse().ok()?))
}

//! The graph of a flow run.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value as Json;
use uuid::Uuid;

use super::{flow_runs, row};
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::StateType;

row! {
    NodeRow {
        id: Uuid, name: String, task_key: String, #[schema(value_type = Option<StateType>)] state_type: Option<String>, state_name: Option<String>,
        start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>, inputs: String, child: Option<Uuid>,
    }
}

/// The graph of a run in columns; ten thousand objects with keys would be mostly keys.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub(crate) struct Graph {
    id: Vec<Uuid>,
    name: Vec<String>,
    task_key: Vec<String>,
    #[schema(value_type = Vec<Option<StateType>>)]
    state_type: Vec<Option<String>>,
    state_name: Vec<Option<String>>,
    start: Vec<Option<i64>>,
    end: Vec<Option<i64>>,
    upstream: Vec<Vec<usize>>,
    child: Vec<Option<Uuid>>,
    artifacts: Vec<Flag>,
}

/// An artifact where it was made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Flag {
    id: Uuid,
    key: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The place of its task run in the columns.
    node: Option<usize>,
    at: i64,
}

row! { ArtifactMade { id: Uuid, key: Option<String>, kind: Option<String>, task_run_id: Option<Uuid>, created: DateTime<Utc> } }

/// Artifacts that a graph has room for.
const MOST_FLAGS: i64 = 200;

/// Reads the graph of a flow run: its task runs and which wait for which.
pub(crate) async fn read(conn: &mut Conn, id: Uuid) -> Result<Option<Graph>> {
    let sql = "SELECT t.id, t.name, t.task_key, t.state_type, t.state_name, t.start_time, t.end_time, \
                 t.task_inputs, (SELECT MIN(CAST(c.id AS TEXT)) FROM flow_run c WHERE c.parent_task_run_id = t.id) \
               FROM task_run t WHERE t.flow_run_id = $1 ORDER BY t.expected_start_time, t.id LIMIT 50000";
    let rows: Vec<NodeText> = query(sql).bind(id).fetch_all(conn).await?;
    if rows.is_empty() && !flow_runs::exists(conn, id).await? {
        return Ok(None);
    }
    let rows: Vec<NodeRow> = rows.into_iter().map(|row| row.0).collect();
    let places: HashMap<Uuid, usize> = rows.iter().enumerate().map(|(i, r)| (r.id, i)).collect();
    let mut graph = Graph::default();
    for row in rows {
        graph.upstream.push(upstream(&row.inputs, &places));
        graph.id.push(row.id);
        graph.name.push(row.name);
        graph.task_key.push(row.task_key);
        graph.state_type.push(row.state_type);
        graph.state_name.push(row.state_name);
        graph.start.push(row.start.map(|t| t.timestamp_millis()));
        graph.end.push(row.end.map(|t| t.timestamp_millis()));
        graph.child.push(row.child);
    }
    let sql = format!(
        "SELECT id, key, type, task_run_id, created FROM artifact \
         WHERE flow_run_id = $1 AND (type <> 'result' OR type IS NULL AND key IS NOT NULL) ORDER BY created, id LIMIT {MOST_FLAGS}"
    );
    let made: Vec<ArtifactMade> = query(sql).bind(id).fetch_all(conn).await?;
    let flag = |made: ArtifactMade| Flag {
        id: made.id,
        key: made.key,
        kind: made.kind,
        node: made.task_run_id.and_then(|id| places.get(&id).copied()),
        at: made.created.timestamp_millis(),
    };
    graph.artifacts = made.into_iter().map(flag).collect();
    Ok(Some(graph))
}

/// A node whose child comes as text, since a smallest id is a text on both databases.
struct NodeText(NodeRow);

impl FromRow for NodeText {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        Ok(Self(NodeRow {
            id: row.take()?,
            name: row.take()?,
            task_key: row.take()?,
            state_type: row.take()?,
            state_name: row.take()?,
            start: row.take()?,
            end: row.take()?,
            inputs: row.take()?,
            child: row.take::<Option<String>>()?.and_then(|id| id.parse().ok()),
        }))
    }
}

/// The task runs that the inputs name, as places in the list.
fn upstream(inputs: &str, places: &HashMap<Uuid, usize>) -> Vec<usize> {
    if inputs.len() < 8 {
        return Vec::new();
    }
    let Ok(Json::Object(inputs)) = serde_json::from_str(inputs) else {
        return Vec::new();
    };
    let mut out: Vec<usize> = inputs
        .values()
        .flat_map(|list| list.as_array().into_iter().flatten())
        .filter_map(|input| input.get("id")?.as_str()?.parse().ok())
        .filter_map(|id: Uuid| places.get(&id).copied())
        .collect();
    out.sort_unstable();
    out.dedup();
    out
}

//! The graph of a flow run, read from its task runs and what they say of their inputs.
//!
//! A task run that stands for a subflow run is shown as that. Inputs name the run that made them;
//! those under `ENCLOSING` name the task that a task was called in.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use super::states;
use crate::db::{Conn, FromRow, Result, Row, query};
use crate::schemas::flow_run_graphs::{Graph, GraphArtifact, GraphState, Node, NodeKind};
use crate::schemas::{Document, FlowRunId, StateType};

/// The input under which the enclosing tasks are.
const ENCLOSING: &str = "__parents__";

/// How much of a graph is shown.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The nodes that a graph may have.
    pub nodes: usize,
    /// The artifacts that are shown of it.
    pub artifacts: i64,
    /// Whether task runs are shown that nobody has begun.
    pub pending: bool,
    /// Nodes that had ended before are left out.
    pub since: Option<DateTime<Utc>>,
}

/// When a run started and ended.
type Times = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// A graph has more nodes than may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

/// Returns the graph of a flow run; none if there is no such run.
pub async fn read(
    conn: &mut Conn,
    id: FlowRunId,
    bounds: Bounds,
) -> Result<Option<std::result::Result<Graph, TooLarge>>> {
    let sql =
        "SELECT COALESCE(start_time, expected_start_time), end_time FROM flow_run WHERE id = $1";
    let times: Option<Times> = query(sql).bind(id).fetch_optional(conn).await?;
    let Some((start_time, end_time)) = times else {
        return Ok(None);
    };
    let mut nodes = nodes(conn, id, bounds.pending).await?;
    if let Some(since) = bounds.since {
        nodes.retain(|node| node.end_time.is_none_or(|end| end >= since));
    }
    if nodes.len() > bounds.nodes {
        return Ok(Some(Err(TooLarge)));
    }
    let mut artifacts = artifacts(conn, id, bounds.artifacts).await?;
    for node in &mut nodes {
        node.artifacts = artifacts.remove(&Some(node.id)).unwrap_or_default();
    }
    let states = states::list_of_flow_run(conn, id).await?;
    let states = states.into_iter().map(|state| GraphState {
        id: state.id,
        timestamp: state.timestamp,
        state_type: state.state_type,
        name: state.name,
    });
    Ok(Some(Ok(Graph {
        start_time,
        end_time,
        nodes,
        artifacts: artifacts.remove(&None).unwrap_or_default(),
        states: states.collect(),
    })))
}

/// A task run, or the subflow run that it stands for, and what it says of its inputs.
struct Stored {
    node: Node,
    inputs: Document,
}

impl FromRow for Stored {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let subflow: Option<Uuid> = row.take()?;
        let task: Uuid = row.take()?;
        let node = Node {
            kind: if subflow.is_some() {
                NodeKind::FlowRun
            } else {
                NodeKind::TaskRun
            },
            id: subflow.unwrap_or(task),
            label: row.take()?,
            state_type: row.take::<Option<_>>()?.unwrap_or(StateType::Pending),
            start_time: row.take()?,
            end_time: row.take()?,
            parents: Vec::new(),
            children: Vec::new(),
            encapsulating: Vec::new(),
            artifacts: Vec::new(),
        };
        let inputs = row.take()?;
        Ok(Self { node, inputs })
    }
}

/// What an input says of the run that made it.
#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    id: Option<Uuid>,
}

/// Returns all nodes with their edges, those that started first ahead.
async fn nodes(conn: &mut Conn, id: FlowRunId, pending: bool) -> Result<Vec<Node>> {
    // A task that was found completed never ran, and ended when it was meant to start.
    let sql = "SELECT r.id, o.id, COALESCE(f.name || ' / ' || r.name, o.name), COALESCE(r.state_type, o.state_type), \
                 COALESCE(r.start_time, r.expected_start_time, o.start_time, o.expected_start_time), \
                 COALESCE(r.end_time, o.end_time, CASE WHEN o.state_type = 'COMPLETED' THEN o.expected_start_time END), \
                 o.task_inputs \
               FROM task_run o LEFT JOIN flow_run r ON r.parent_task_run_id = o.id LEFT JOIN flow f ON f.id = r.flow_id \
               WHERE o.flow_run_id = $1 AND ($2 OR o.state_type <> 'PENDING') \
                 AND COALESCE(r.start_time, r.expected_start_time, o.start_time, o.expected_start_time) IS NOT NULL";
    let mut stored: Vec<Stored> = query(sql).bind(id).bind(pending).fetch_all(conn).await?;
    stored.sort_by_key(|one| (one.node.start_time, one.node.end_time, one.node.id));
    let mut places = HashMap::with_capacity(stored.len());
    for (place, one) in stored.iter().enumerate() {
        places.entry(one.node.id).or_insert(place);
    }
    let mut nodes: Vec<Node> = Vec::with_capacity(stored.len());
    let mut edges = Vec::new();
    for (place, one) in stored.into_iter().enumerate() {
        let inputs: BTreeMap<String, Vec<Input>> = one.inputs.read().unwrap_or_default();
        for (name, made_by) in &inputs {
            let is_enclosing = name == ENCLOSING;
            let made_by = made_by.iter().filter_map(|input| places.get(&input.id?));
            edges.extend(made_by.map(|parent| (place, *parent, is_enclosing)));
        }
        nodes.push(one.node);
    }
    // In the order of their starts, on both ends, and each once: a run may get several inputs from
    // another.
    edges.sort_unstable();
    edges.dedup();
    for (child, parent, is_enclosing) in edges {
        let (child_id, parent_id) = (nodes[child].id, nodes[parent].id);
        if is_enclosing {
            nodes[child].encapsulating.push(parent_id);
        } else {
            nodes[child].parents.push(parent_id);
            nodes[parent].children.push(child_id);
        }
    }
    Ok(nodes)
}

struct Made(Option<Uuid>, GraphArtifact);

impl FromRow for Made {
    fn from_row(row: &mut Row<'_>) -> Result<Self> {
        let task_run = row.take()?;
        let artifact = GraphArtifact {
            id: row.take()?,
            created: row.take()?,
            key: row.take()?,
            artifact_type: row.take()?,
            data: row.take()?,
            is_latest: row.take()?,
        };
        Ok(Self(task_run, artifact))
    }
}

/// Returns the artifacts of a flow run by the task runs that made them.
async fn artifacts(
    conn: &mut Conn,
    id: FlowRunId,
    most: i64,
) -> Result<HashMap<Option<Uuid>, Vec<GraphArtifact>>> {
    let sql = "SELECT o.task_run_id, o.id, o.created, o.key, o.type, \
                 CASE WHEN o.type = 'progress' THEN o.data END, (o.key IS NULL OR c.id IS NOT NULL) \
               FROM artifact o LEFT JOIN artifact_collection c ON c.latest_id = o.id \
               WHERE o.flow_run_id = $1 AND o.type <> 'result' ORDER BY o.created, o.id LIMIT $2";
    let made: Vec<Made> = query(sql).bind(id).bind(most).fetch_all(conn).await?;
    let mut by_task: HashMap<_, Vec<_>> = HashMap::new();
    for Made(task_run, artifact) in made {
        by_task.entry(task_run).or_default().push(artifact);
    }
    Ok(by_task)
}

//! The graph of a flow run: its task runs and subflow runs, what each waited for, and in what it ran.
//!
//! Dashboards draw it as it grows, so they ask for what has changed since they last did.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::dialect::{Dialect, Fields, Render};
use super::{ArtifactId, Document, StateId, StateType};

/// The graph of a flow run.
#[derive(Debug, Clone, utoipa::ToSchema)]
pub struct Graph {
    /// When the run started, or is expected to.
    pub start_time: Option<DateTime<Utc>>,
    /// When it ended.
    pub end_time: Option<DateTime<Utc>>,
    /// The runs in it that have begun, the first ahead.
    pub nodes: Vec<Node>,
    /// Artifacts of the run itself.
    pub artifacts: Vec<GraphArtifact>,
    /// The states of the run in order.
    pub states: Vec<GraphState>,
}

/// What kind of run a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the field's own words")]
pub enum NodeKind {
    FlowRun,
    TaskRun,
}

/// A task run or a subflow run in a graph.
#[derive(Debug, Clone, utoipa::ToSchema)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// The run's id.
    pub id: Uuid,
    /// What people know it by.
    pub label: String,
    /// The type of its state.
    pub state_type: StateType,
    /// When it started, or is expected to.
    pub start_time: DateTime<Utc>,
    /// When it ended.
    pub end_time: Option<DateTime<Utc>>,
    /// The runs that it waited for.
    pub parents: Vec<Uuid>,
    /// The runs that waited for it.
    pub children: Vec<Uuid>,
    /// The runs that it ran in.
    pub encapsulating: Vec<Uuid>,
    /// What it made.
    pub artifacts: Vec<GraphArtifact>,
}

/// An artifact in a graph.
#[derive(Debug, Clone, utoipa::ToSchema)]
pub struct GraphArtifact {
    /// The artifact's id.
    pub id: ArtifactId,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// The key that it is found by.
    pub key: Option<String>,
    /// Its type.
    pub artifact_type: Option<String>,
    /// Whether it is the newest of its key.
    pub is_latest: bool,
    /// How far a progress is; of other types nothing, since they may be large.
    pub data: Option<Document>,
}

/// A state in a graph.
#[derive(Debug, Clone, utoipa::ToSchema)]
pub struct GraphState {
    /// The state's id.
    pub id: StateId,
    /// When the run entered it.
    pub timestamp: DateTime<Utc>,
    /// Its type.
    pub state_type: StateType,
    /// Its name.
    pub name: String,
}

/// A run at the other end of an edge.
#[derive(Serialize)]
struct Edge {
    id: Uuid,
}

fn edges(ids: &[Uuid]) -> Vec<Edge> {
    ids.iter().map(|id| Edge { id: *id }).collect()
}

impl Render for Graph {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let roots = self.nodes.iter().filter(|node| node.parents.is_empty());
        let roots: Vec<Uuid> = roots.map(|node| node.id).collect();
        let nodes: Vec<_> = self.nodes.iter().map(|node| Named(node.id, node)).collect();
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.time_option("start_time", self.start_time)?;
        fields.time_option("end_time", self.end_time)?;
        fields.all("root_node_ids", &roots)?;
        fields.part("nodes", &nodes)?;
        fields.part("artifacts", &self.artifacts)?;
        fields.part("states", &self.states)?;
        fields.end()
    }
}

/// A node beside its id, as a list of two.
struct Named<'a>(Uuid, &'a Node);

impl Render for Named<'_> {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        (self.0, super::View(dialect, self.1)).serialize(serializer)
    }
}

impl Render for Node {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("kind", &self.kind)?;
        fields.all("id", &self.id)?;
        fields.all("label", &self.label)?;
        fields.part("state_type", &self.state_type)?;
        fields.time("start_time", self.start_time)?;
        fields.time_option("end_time", self.end_time)?;
        fields.all("parents", &edges(&self.parents))?;
        fields.all("children", &edges(&self.children))?;
        if dialect == Dialect::Three {
            fields.all("encapsulating", &edges(&self.encapsulating))?;
        }
        fields.part("artifacts", &self.artifacts)?;
        fields.end()
    }
}

impl Render for GraphArtifact {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("created", self.created)?;
        fields.all("key", &self.key)?;
        fields.all("type", &self.artifact_type)?;
        fields.all("is_latest", &self.is_latest)?;
        if dialect == Dialect::Three {
            fields.all("data", &self.data)?;
        }
        fields.end()
    }
}

impl Render for GraphState {
    fn render<S: Serializer>(&self, dialect: Dialect, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::begin(dialect, serializer)?;
        fields.all("id", &self.id)?;
        fields.time("timestamp", self.timestamp)?;
        fields.part("type", &self.state_type)?;
        fields.all("name", &self.name)?;
        fields.end()
    }
}

//! Tells whoever listens what has changed, after the change is durable.
//!
//! Agents are woken by it, the dashboard is kept live, services learn that something is due
//! sooner. It is a hint, never the truth: a listener that was too slow reads the database anew.

use tokio::sync::broadcast;
use uuid::Uuid;

use crate::schemas::{DeploymentId, StateType};

/// Changes that a slow listener may lag behind before it must read anew.
const BACKLOG: usize = 1024;

/// What kind of thing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the field's own words")]
pub enum Kind {
    Flow,
    FlowRun,
    TaskRun,
    Deployment,
    WorkQueue,
    ConcurrencyLimit,
    Block,
    Log,
    Automation,
}

/// One change.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Change {
    /// What kind of thing changed.
    pub kind: Kind,
    /// Which one.
    pub id: Uuid,
    /// The state that a run is in now.
    pub state_type: Option<StateType>,
    /// The finer name of that state.
    pub state_name: Option<String>,
    /// The deployment that a flow run was made from.
    pub deployment_id: Option<DeploymentId>,
}

impl Change {
    /// A change of something that has no state.
    pub fn of(kind: Kind, id: Uuid) -> Self {
        Self {
            kind,
            id,
            state_type: None,
            state_name: None,
            deployment_id: None,
        }
    }
}

/// The hub of changes.
#[derive(Debug, Clone)]
pub struct Changes(broadcast::Sender<Change>);

impl Changes {
    /// Makes a hub without listeners.
    #[expect(clippy::new_without_default, reason = "a hub is made once, on purpose")]
    pub fn new() -> Self {
        Self(broadcast::channel(BACKLOG).0)
    }

    /// Tells everybody; call it after the commit.
    pub fn tell(&self, change: Change) {
        // Nobody listening is fine.
        let _ = self.0.send(change);
    }

    /// Starts to listen.
    pub fn listen(&self) -> broadcast::Receiver<Change> {
        self.0.subscribe()
    }
}

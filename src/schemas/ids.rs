//! Ids, one type a noun, so that a flow's id is never taken for a deployment's.
//!
//! Ids made here are UUIDs of version 7: new rows land at the end of every index.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident;)*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Makes a new id.
            #[expect(clippy::new_without_default, reason = "each id is another one")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// The id of a flow.
    FlowId;
    /// The id of a flow run.
    FlowRunId;
    /// The id of a task run.
    TaskRunId;
    /// The id of a state of a flow run or task run.
    StateId;
    /// The id of a deployment.
    DeploymentId;
    /// The id of a work queue.
    WorkQueueId;
    /// The id of a work pool.
    WorkPoolId;
    /// The id of a worker.
    WorkerId;
    /// The id of one schedule of a deployment.
    ScheduleId;
    /// The id of a concurrency limit.
    ConcurrencyLimitId;
    /// The id of a log line.
    LogId;
    /// The id of a saved search.
    SavedSearchId;
    /// The id of a block.
    BlockId;
    /// The id of a block spec.
    BlockSpecId;
    /// The id of a block type.
    BlockTypeId;
    /// The id of a block schema.
    BlockSchemaId;
    /// The id of a block document.
    BlockDocumentId;
    /// The id of an event, which the sender makes.
    EventId;
    /// The id of an automation.
    AutomationId;
    /// The id of a variable.
    VariableId;
    /// The id of an artifact.
    ArtifactId;
    /// The id of the collection of artifacts with one key.
    ArtifactCollectionId;
    /// The id of a policy of notifications about flow runs.
    NotificationPolicyId;
    /// The id of an input of a flow run.
    FlowRunInputId;
}

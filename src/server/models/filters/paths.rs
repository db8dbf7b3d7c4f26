//! The ways from an object of a list to the objects of other kinds that filters speak of.

/// The object that is listed, under the alias `o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Flows.
    Flows,
    /// Flow runs.
    FlowRuns,
    /// Task runs.
    TaskRuns,
    /// Deployments.
    Deployments,
    /// Artifacts.
    Artifacts,
}

impl Listed {
    /// Returns how to reach the work queue that an object waits in and its pool `p`, and the
    /// queue's alias.
    pub(super) fn queue_path(self) -> (&'static str, &'static str) {
        let path = match self {
            Self::FlowRuns | Self::Deployments => {
                "SELECT 1 FROM work_queue wq JOIN work_pool p ON p.id = wq.work_pool_id \
                 WHERE wq.id = o.work_queue_id"
            }
            Self::Flows => {
                "SELECT 1 FROM deployment wd JOIN work_queue wq ON wq.id = wd.work_queue_id \
                 JOIN work_pool p ON p.id = wq.work_pool_id WHERE wd.flow_id = o.id"
            }
            Self::TaskRuns | Self::Artifacts => {
                "SELECT 1 FROM flow_run wr JOIN work_queue wq ON wq.id = wr.work_queue_id \
                 JOIN work_pool p ON p.id = wq.work_pool_id WHERE wr.id = o.flow_run_id"
            }
        };
        (path, "wq")
    }

    /// Returns how to reach `other`: the opening of an `EXISTS`, and the alias there.
    pub(super) fn path(self, other: Self) -> (Option<&'static str>, &'static str) {
        use Listed::{Artifacts, Deployments, FlowRuns, Flows, TaskRuns};
        match (self, other) {
            (Flows, Flows)
            | (FlowRuns, FlowRuns)
            | (TaskRuns, TaskRuns)
            | (Deployments, Deployments)
            // No list is asked for by its artifacts.
            | (_, Artifacts) => (None, "o"),
            (Artifacts, TaskRuns) => (
                Some("SELECT 1 FROM task_run t WHERE t.id = o.task_run_id"),
                "t",
            ),
            (Flows, FlowRuns) => (Some("SELECT 1 FROM flow_run r WHERE r.flow_id = o.id"), "r"),
            (Flows, TaskRuns) => (
                Some(
                    "SELECT 1 FROM flow_run r JOIN task_run t ON t.flow_run_id = r.id WHERE r.flow_id = o.id",
                ),
                "t",
            ),
            (Flows, Deployments) => (
                Some("SELECT 1 FROM deployment d WHERE d.flow_id = o.id"),
                "d",
            ),
            (FlowRuns, Flows) | (Deployments, Flows) => {
                (Some("SELECT 1 FROM flow f WHERE f.id = o.flow_id"), "f")
            }
            (FlowRuns, TaskRuns) => (
                Some("SELECT 1 FROM task_run t WHERE t.flow_run_id = o.id"),
                "t",
            ),
            (FlowRuns, Deployments) => (
                Some("SELECT 1 FROM deployment d WHERE d.id = o.deployment_id"),
                "d",
            ),
            (TaskRuns | Artifacts, Flows) => (
                Some(
                    "SELECT 1 FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE r.id = o.flow_run_id",
                ),
                "f",
            ),
            (TaskRuns | Artifacts, FlowRuns) => (
                Some("SELECT 1 FROM flow_run r WHERE r.id = o.flow_run_id"),
                "r",
            ),
            (TaskRuns | Artifacts, Deployments) => (
                Some(
                    "SELECT 1 FROM flow_run r JOIN deployment d ON d.id = r.deployment_id WHERE r.id = o.flow_run_id",
                ),
                "d",
            ),
            (Deployments, FlowRuns) => (
                Some("SELECT 1 FROM flow_run r WHERE r.deployment_id = o.id"),
                "r",
            ),
            (Deployments, TaskRuns) => (
                Some(
                    "SELECT 1 FROM flow_run r JOIN task_run t ON t.flow_run_id = r.id WHERE r.deployment_id = o.id",
                ),
                "t",
            ),
        }
    }
}

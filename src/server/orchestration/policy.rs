//! The policies: which rules, in which order.
//!
//! The lists follow the genuine server of the client's generation; a policy is chosen by dialect,
//! never patched inside a rule. Beyond genuine 2.0b3, `PreventDuplicateClaims` keeps two agents
//! from taking one run, and the limits of deployments hold whoever claims their runs.

use super::Rule;
use super::rules::cache::{CacheInsertion, CacheRetrieval};
use super::rules::cancelling::{
    BypassCancellingFlowRunsWithNoInfra, EnforceCancellingToCancelledTransition,
};
use super::rules::concurrency::{ReleaseTaskConcurrencySlots, SecureTaskConcurrencySlots};
use super::rules::deployment_limits::{
    EnforceDeploymentConcurrencyOnLate, PreserveDeploymentConcurrencyLeaseId,
    ReleaseFlowConcurrencySlots, SecureFlowConcurrencySlots,
    ValidateDeploymentConcurrencyAtRunning,
};
use super::rules::flow_runs::{PreventRunningTasksFromStoppedFlows, UpdateFlowRunTrackerOnTasks};
use super::rules::pauses::{HandlePausingFlows, HandleResumingPausedFlows};
use super::rules::retries::{RenameReruns, RetryFailedFlows, RetryPotentialFailures};
use super::rules::schedule::{
    CopyScheduledTime, EnsureOnlyScheduledFlowsMarkedLate, WaitForScheduledTime,
};
use super::rules::terminal::{
    HandleFlowTerminalStateTransitions, HandleTaskTerminalStateTransitions, PreventDuplicateClaims,
    PreventDuplicateTransitions, PreventPendingTransitions, PreventResultDataLoss,
    PreventTransitionsFromTerminalStates,
};
use crate::schemas::Dialect;

/// Flow runs of 2.0b3 clients.
pub const CORE_FLOW_B: &[&dyn Rule] = &[
    &PreserveDeploymentConcurrencyLeaseId::ALWAYS,
    &PreventTransitionsFromTerminalStates,
    &PreventDuplicateClaims,
    &WaitForScheduledTime::FLOORED_ANY,
    &ValidateDeploymentConcurrencyAtRunning,
    &SecureFlowConcurrencySlots,
    &ReleaseFlowConcurrencySlots,
];

/// Flow runs of everybody else.
pub const CORE_FLOW: &[&dyn Rule] = &[
    &PreserveDeploymentConcurrencyLeaseId::ALWAYS,
    &PreventDuplicateTransitions,
    &HandleFlowTerminalStateTransitions,
    &EnforceCancellingToCancelledTransition,
    &BypassCancellingFlowRunsWithNoInfra,
    &PreventPendingTransitions,
    &ValidateDeploymentConcurrencyAtRunning,
    &SecureFlowConcurrencySlots,
    &EnsureOnlyScheduledFlowsMarkedLate,
    &HandlePausingFlows,
    &HandleResumingPausedFlows,
    &CopyScheduledTime,
    &WaitForScheduledTime::ROUNDED_RUNNING,
    &RetryFailedFlows,
    &ReleaseFlowConcurrencySlots,
];

/// Task runs of 2.0b3 clients.
pub const CORE_TASK_B: &[&dyn Rule] = &[
    &CacheRetrieval,
    &SecureTaskConcurrencySlots,
    &PreventTransitionsFromTerminalStates,
    &WaitForScheduledTime::FLOORED_ANY,
    &RetryPotentialFailures,
    &RenameReruns,
    &CacheInsertion,
    &ReleaseTaskConcurrencySlots,
];

/// Task runs of everybody else.
pub const CORE_TASK: &[&dyn Rule] = &[
    &CacheRetrieval,
    &HandleTaskTerminalStateTransitions,
    &PreventRunningTasksFromStoppedFlows,
    &SecureTaskConcurrencySlots,
    &CopyScheduledTime,
    &WaitForScheduledTime::ROUNDED_RUNNING,
    &RetryPotentialFailures,
    &RenameReruns,
    &UpdateFlowRunTrackerOnTasks,
    &CacheInsertion,
    &ReleaseTaskConcurrencySlots,
];

/// Flow runs, by force.
pub const MINIMAL_FLOW: &[&dyn Rule] = &[
    &PreserveDeploymentConcurrencyLeaseId::UNDER_WAY,
    &PreventResultDataLoss,
    &BypassCancellingFlowRunsWithNoInfra,
    &ReleaseFlowConcurrencySlots,
];

/// Task runs, by force.
pub const MINIMAL_TASK: &[&dyn Rule] = &[&ReleaseTaskConcurrencySlots];

/// Flow runs that nobody has started in time.
pub const MARK_LATE: &[&dyn Rule] = &[
    &EnsureOnlyScheduledFlowsMarkedLate,
    &EnforceDeploymentConcurrencyOnLate,
];

/// Who asks for a transition, and how much they insist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// All rules of a generation.
    Core(Dialect),
    /// Only what keeps the books right.
    Minimal,
    /// The marker of late runs.
    MarkLate,
}

impl Policy {
    /// Returns the policy for a client's proposal.
    pub fn of(dialect: Dialect, force: bool) -> Self {
        if force {
            Self::Minimal
        } else {
            Self::Core(dialect)
        }
    }

    /// Returns the rules for flow runs.
    pub fn flow_rules(self) -> &'static [&'static dyn Rule] {
        match self {
            Self::Core(Dialect::B) => CORE_FLOW_B,
            Self::Core(Dialect::Two | Dialect::Three) => CORE_FLOW,
            Self::Minimal => MINIMAL_FLOW,
            Self::MarkLate => MARK_LATE,
        }
    }

    /// Returns the rules for task runs.
    pub fn task_rules(self) -> &'static [&'static dyn Rule] {
        match self {
            Self::Core(Dialect::B) => CORE_TASK_B,
            Self::Core(Dialect::Two | Dialect::Three) => CORE_TASK,
            Self::Minimal | Self::MarkLate => MINIMAL_TASK,
        }
    }
}

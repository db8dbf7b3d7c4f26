//! Rules that bound how many runs of a deployment are under way at once.
//!
//! A slot is taken when a run is claimed, before anybody makes a process for it, and is held by a
//! lease. Who claims it has until the lease ends to begin; from then on the run's client renews
//! the lease, or, where it does not know how, the lease has no end. The states of the run carry the
//! lease's id along, so that whoever leaves them last gives back the slot that was taken.

use chrono::{DateTime, Utc};

use super::super::{Effect, Rule, Transition, Verdict};
use crate::schemas::{State, StateType};

/// Whether a slot is taken while a run is in such a state.
fn is_under_way(state_type: StateType) -> bool {
    use StateType::{Cancelling, Pending, Running};
    matches!(state_type, Pending | Running | Cancelling)
}

fn lease_of(state: Option<&State>) -> Option<uuid::Uuid> {
    state?.state_details.deployment_concurrency_lease_id
}

fn with_lease(state: &State, lease: uuid::Uuid) -> Verdict {
    let mut amended = state.clone();
    amended.state_details.deployment_concurrency_lease_id = Some(lease);
    Verdict::Amend(Box::new(amended))
}

/// Carries the lease along: clients send its place empty, and the slot would be nobody's.
///
/// Who insists ends what a run was, and only a run that is still under way keeps its slot.
pub struct PreserveDeploymentConcurrencyLeaseId {
    only_under_way: bool,
}

impl PreserveDeploymentConcurrencyLeaseId {
    /// Into every state.
    pub const ALWAYS: Self = Self {
        only_under_way: false,
    };
    /// Into states of a run that is under way.
    pub const UNDER_WAY: Self = Self {
        only_under_way: true,
    };
}

impl Rule for PreserveDeploymentConcurrencyLeaseId {
    fn name(&self) -> &'static str {
        "PreserveDeploymentConcurrencyLeaseId"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        let goes_on = to.is_some_and(|to| is_under_way(to) || to == StateType::Paused);
        from.is_some() && to.is_some() && (goes_on || !self.only_under_way)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        match (
            &transition.proposed,
            lease_of(transition.run.state.as_ref()),
        ) {
            (Some(proposed), Some(lease)) if lease_of(Some(proposed)).is_none() => {
                with_lease(proposed, lease)
            }
            _ => Verdict::Accept,
        }
    }
}

/// Lets a run begin only while its slot is its own: one that was claimed and did not begin in time
/// has lost it, and somebody else may have it.
///
/// A slot that is still free is taken again. The genuine server lets runs of clients that renew no
/// lease begin without one; here the limit holds for all.
pub struct ValidateDeploymentConcurrencyAtRunning;

impl Rule for ValidateDeploymentConcurrencyAtRunning {
    fn name(&self) -> &'static str {
        "ValidateDeploymentConcurrencyAtRunning"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from == Some(StateType::Pending) && to == Some(StateType::Running)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let (Some(limit), Some(proposed)) =
            (&transition.facts.deployment_limit, &transition.proposed)
        else {
            return Verdict::Accept;
        };
        let Some(lease) = lease_of(transition.run.state.as_ref()) else {
            return Verdict::Accept;
        };
        if limit.is_held {
            return with_lease(proposed, lease);
        }
        if limit.has_room {
            return with_lease(proposed, limit.next_lease);
        }
        let cancelled = State {
            message: Some(
                "Deployment concurrency slot lost during provisioning - no slots available to continue execution"
                    .to_owned(),
            ),
            ..State::new(StateType::Cancelled, transition.now)
        };
        let reason = "Deployment concurrency limit reached after lease expiry.".to_owned();
        Verdict::Reject(Box::new(cancelled), reason)
    }
    fn effect(&self, transition: &Transition<'_>) -> Option<Effect> {
        let limit = transition.facts.deployment_limit.as_ref()?;
        let lease = lease_of(transition.run.state.as_ref())?;
        let until = running_until(transition);
        Some(if limit.is_held {
            Effect::KeepDeploymentSlot { lease, until }
        } else {
            Effect::TakeDeploymentSlot {
                lease: limit.next_lease,
                until,
            }
        })
    }
}

/// Returns until when a running flow keeps its slot: without end where its client renews nothing.
fn running_until(transition: &Transition<'_>) -> Option<DateTime<Utc>> {
    let limit = transition.facts.deployment_limit.as_ref()?;
    limit.client_renews.then_some(limit.lease_until)
}

/// Lets a run be claimed only with a slot of its deployment's limit, before a process is made for
/// it; without one it waits, or is cancelled.
pub struct SecureFlowConcurrencySlots;

impl Rule for SecureFlowConcurrencySlots {
    fn name(&self) -> &'static str {
        "SecureFlowConcurrencySlots"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        to == Some(StateType::Pending) && !from.is_some_and(is_under_way)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let (Some(limit), Some(proposed)) =
            (&transition.facts.deployment_limit, &transition.proposed)
        else {
            return Verdict::Accept;
        };
        if limit.limit == 0 {
            let reason =
                "The deployment concurrency limit is 0. The flow will deadlock if submitted again.";
            return Verdict::Abort(reason.to_owned());
        }
        if limit.has_room {
            return with_lease(proposed, limit.next_lease);
        }
        let reason = "Deployment concurrency limit reached.".to_owned();
        let instead = if limit.cancels_new {
            cancelled(transition.now)
        } else {
            State::awaiting_concurrency_slot(limit.retry_at, transition.now)
        };
        Verdict::Reject(Box::new(instead), reason)
    }
    fn effect(&self, transition: &Transition<'_>) -> Option<Effect> {
        let limit = transition.facts.deployment_limit.as_ref()?;
        Some(Effect::TakeDeploymentSlot {
            lease: limit.next_lease,
            until: Some(limit.lease_until),
        })
    }
}

fn cancelled(now: DateTime<Utc>) -> State {
    State {
        message: Some("Deployment concurrency limit reached.".to_owned()),
        ..State::new(StateType::Cancelled, now)
    }
}

/// Cancels a run that is late and would be cancelled if somebody claimed it: else they pile up.
pub struct EnforceDeploymentConcurrencyOnLate;

impl Rule for EnforceDeploymentConcurrencyOnLate {
    fn name(&self) -> &'static str {
        "EnforceDeploymentConcurrencyOnLate"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from == Some(StateType::Scheduled) && to == Some(StateType::Scheduled)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let is_late = transition
            .proposed
            .as_ref()
            .is_some_and(|s| s.name == "Late");
        match &transition.facts.deployment_limit {
            Some(limit) if is_late && limit.cancels_new && !limit.has_room => {
                let reason =
                    "Deployment concurrency limit is full and uses the CANCEL_NEW strategy.";
                Verdict::Reject(Box::new(cancelled(transition.now)), reason.to_owned())
            }
            _ => Verdict::Accept,
        }
    }
}

/// Gives the slot back once a run is not under way any more, however that comes about.
///
/// A run that waits in its own process, for its next try or to be resumed, is still under way: its
/// client renews the lease all the while. The genuine server takes the slot back at a pause, and
/// the run goes on without one.
pub struct ReleaseFlowConcurrencySlots;

impl Rule for ReleaseFlowConcurrencySlots {
    fn name(&self) -> &'static str {
        "ReleaseFlowConcurrencySlots"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from.is_some() && !to.is_some_and(is_under_way)
    }
    fn is_universal(&self) -> bool {
        true
    }
    fn effect(&self, transition: &Transition<'_>) -> Option<Effect> {
        let lease = lease_of(transition.run.state.as_ref())?;
        let to = transition.proposed.as_ref()?;
        // Whoever proposes `AwaitingRetry` gives its process up; the server's own is for the process.
        let is_retried = to.name == "AwaitingRetry" && transition.is_replaced;
        let gives_up = to.state_details.pause_reschedule == Some(true);
        let is_paused = to.state_type == StateType::Paused && !gives_up;
        (!is_retried && !is_paused).then_some(Effect::ReleaseDeploymentSlot(lease))
    }
}

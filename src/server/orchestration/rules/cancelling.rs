//! Rules about runs that are to be cancelled.

use super::super::{Rule, Transition, Verdict};
use crate::schemas::{State, StateType};

/// Lets a run that is being cancelled only become cancelled: its process may still report success.
pub struct EnforceCancellingToCancelledTransition;

impl Rule for EnforceCancellingToCancelledTransition {
    fn name(&self) -> &'static str {
        "EnforceCancellingToCancelledTransition"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from == Some(StateType::Cancelling) && to != Some(StateType::Cancelled)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let reason = "Cannot transition flows that are cancelling to a state other than Cancelled.";
        match &transition.run.state {
            Some(state) => Verdict::Reject(Box::new(state.clone()), reason.to_owned()),
            None => Verdict::Accept,
        }
    }
}

/// Cancels at once what has no process: nobody would be there to confirm it.
pub struct BypassCancellingFlowRunsWithNoInfra;

impl Rule for BypassCancellingFlowRunsWithNoInfra {
    fn name(&self) -> &'static str {
        "BypassCancellingFlowRunsWithNoInfra"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        use StateType::{Cancelling, Paused, Scheduled};
        matches!(from, Some(Scheduled | Paused)) && to == Some(Cancelling)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let (Some(state), Some(proposed)) = (&transition.run.state, &transition.proposed) else {
            return Verdict::Accept;
        };
        let is_suspended = state.state_details.pause_reschedule == Some(true);
        let (is_without, what) = match state.state_type {
            StateType::Scheduled => (
                !transition.run.has_infrastructure || state.name == "Resuming",
                "Scheduled",
            ),
            _ => (is_suspended, "Suspended"),
        };
        if !is_without {
            return Verdict::Accept;
        }
        let cancelled = State {
            message: proposed.message.clone(),
            ..State::new(StateType::Cancelled, transition.now)
        };
        let reason = format!("{what} flow run has no infrastructure to terminate.");
        Verdict::Reject(Box::new(cancelled), reason)
    }
}

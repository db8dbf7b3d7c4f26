//! Rules that protect what is over, and what somebody else has taken.

use super::super::{Rule, Transition, Verdict};
use crate::schemas::StateType;

/// Keeps a run that is over as it ended: a late message of a slow process must not revive it.
pub struct PreventTransitionsFromTerminalStates;

impl Rule for PreventTransitionsFromTerminalStates {
    fn name(&self) -> &'static str {
        "PreventTransitionsFromTerminalStates"
    }
    fn concerns(&self, from: Option<StateType>, _: Option<StateType>) -> bool {
        from.is_some_and(StateType::is_terminal)
    }
    fn judge(&self, _: &Transition<'_>) -> Verdict {
        Verdict::Abort("This run has already terminated.".to_owned())
    }
}

/// Hands a deployed run to one agent only: the second claim of a race finds it PENDING or further.
pub struct PreventDuplicateClaims;

impl Rule for PreventDuplicateClaims {
    fn name(&self) -> &'static str {
        "PreventDuplicateClaims"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        use StateType::{Cancelling, Pending, Running};
        matches!(from, Some(Pending | Running | Cancelling)) && to == Some(Pending)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let state = transition.run.state.as_ref();
        let renames = state.map(|s| &s.name) != transition.proposed.as_ref().map(|s| &s.name);
        let is_pending = state.is_some_and(|s| s.state_type == StateType::Pending);
        // A worker that names what it is doing to its own run is no second claim.
        if !transition.run.is_deployed || (is_pending && renames) {
            return Verdict::Accept;
        }
        let state = state.map_or("", |s| s.state_type.as_str());
        Verdict::Abort(format!(
            "This run is in a {state} state and cannot transition to a PENDING state."
        ))
    }
}

/// Makes repeating a proposal safe whose answer was lost on the way.
pub struct PreventDuplicateTransitions;

impl Rule for PreventDuplicateTransitions {
    fn name(&self) -> &'static str {
        "PreventDuplicateTransitions"
    }
    fn concerns(&self, from: Option<StateType>, _: Option<StateType>) -> bool {
        from.is_some()
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let (Some(state), Some(proposed)) = (&transition.run.state, &transition.proposed) else {
            return Verdict::Accept;
        };
        match proposed.state_details.transition_id {
            Some(id) if state.state_details.transition_id == Some(id) => Verdict::Reject(
                Box::new(state.clone()),
                "This run has already made this state transition.".into(),
            ),
            _ => Verdict::Accept,
        }
    }
}

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

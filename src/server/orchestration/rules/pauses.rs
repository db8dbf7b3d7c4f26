//! Rules about flow runs that pause, with or without giving up their process, and go on later.

use super::super::{Effect, Rule, RunId, Transition, Verdict};
use crate::schemas::{State, StateType};

/// Lets only a running flow pause, each pause once, and gives up only a process that somebody
/// starts again.
///
/// A run that is resumed runs from its beginning and comes to the same pause again; that it has
/// happened is how it knows to go on.
pub struct HandlePausingFlows;

impl Rule for HandlePausingFlows {
    fn name(&self) -> &'static str {
        "HandlePausingFlows"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from.is_some() && to == Some(StateType::Paused)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let (Some(state), Some(proposed)) = (&transition.run.state, &transition.proposed) else {
            return Verdict::Accept;
        };
        let reject = |reason: String| Verdict::Reject(Box::new(state.clone()), reason);
        let details = &proposed.state_details;
        let gives_up = details.pause_reschedule == Some(true);
        let verb = match proposed.name.as_str() {
            "Suspended" => "suspend",
            _ => "pause",
        };
        if state.type_to_its_client() != StateType::Running {
            return reject(format!(
                "Cannot {verb} flows that are not currently running."
            ));
        }
        let keys = &transition.run.plan.pause_keys;
        if details
            .pause_key
            .as_ref()
            .is_some_and(|key| keys.contains(key))
        {
            return reject(format!("This {verb} has already fired."));
        }
        if gives_up && matches!(transition.run.id, RunId::Flow(_, Some(_))) {
            return Verdict::Abort(format!("Cannot {verb} subflows."));
        }
        if gives_up && !transition.run.is_deployed {
            return Verdict::Abort(format!("Cannot {verb} flows without a deployment."));
        }
        Verdict::Accept
    }
    fn effect(&self, transition: &Transition<'_>) -> Option<Effect> {
        let details = &transition.proposed.as_ref()?.state_details;
        Some(Effect::NotePause(details.pause_key.clone()))
    }
}

/// Lets a paused flow run go on, be taken anew, or end, and fails one that waited too long.
pub struct HandleResumingPausedFlows;

impl Rule for HandleResumingPausedFlows {
    fn name(&self) -> &'static str {
        "HandleResumingPausedFlows"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from == Some(StateType::Paused) && to.is_some()
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        use StateType::{Cancelling, Running, Scheduled};
        let (Some(state), Some(proposed)) = (&transition.run.state, &transition.proposed) else {
            return Verdict::Accept;
        };
        let to = proposed.state_type;
        if to == Cancelling {
            return Verdict::Accept;
        }
        if !(matches!(to, Running | Scheduled) || to.is_terminal()) {
            let reason = format!(
                "This run cannot transition to the {} state from the {} state.",
                to.as_str(),
                state.state_type.as_str()
            );
            return Verdict::Reject(Box::new(state.clone()), reason);
        }
        let details = &state.state_details;
        let gave_up = details.pause_reschedule == Some(true);
        if to == Scheduled && gave_up && !transition.run.is_deployed {
            let reason = "Cannot reschedule a paused flow run without a deployment.".to_owned();
            return Verdict::Reject(Box::new(state.clone()), reason);
        }
        if details
            .pause_timeout
            .is_some_and(|until| until.0 < transition.now)
        {
            let failed = State {
                message: Some("The flow was paused and never resumed.".to_owned()),
                ..State::new(StateType::Failed, transition.now)
            };
            let reason = "The flow run pause has timed out and can no longer resume.".to_owned();
            return Verdict::Reject(Box::new(failed), reason);
        }
        Verdict::Accept
    }
    fn effect(&self, _: &Transition<'_>) -> Option<Effect> {
        Some(Effect::NoteResumption)
    }
}

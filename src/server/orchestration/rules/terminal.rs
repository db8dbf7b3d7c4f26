//! Rules that protect what is over, and what somebody else has taken.

use super::super::{Effect, RetryType, Rule, Transition, Verdict};
use crate::schemas::{State, StateType};

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

/// Lets a run that is over begin anew, as far as that makes sense, and loses no result by it.
///
/// What a process that is gone might still report changes nothing, a result that is kept stays,
/// and only a deployed run can wait for somebody to take it. The genuine server also lets a
/// cancelled run go on, and an agent with an old list claim a deployed run that has ended; here what
/// was cancelled stays so, and a deployed run that is over runs again only when it is scheduled.
pub struct HandleFlowTerminalStateTransitions;

impl Rule for HandleFlowTerminalStateTransitions {
    fn name(&self) -> &'static str {
        "HandleFlowTerminalStateTransitions"
    }
    fn concerns(&self, from: Option<StateType>, _: Option<StateType>) -> bool {
        from.is_some_and(StateType::is_terminal)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        use StateType::{
            Cancelled, Cancelling, Completed, Crashed, Paused, Pending, Running, Scheduled,
        };
        let (Some(state), Some(proposed)) = (&transition.run.state, &transition.proposed) else {
            return Verdict::Accept;
        };
        let ended_as = state.state_type.as_str();
        let to = proposed.state_type;
        let revives = state.state_type == Cancelled && !matches!(to, Scheduled | Cancelled);
        let runs_twice = transition.run.is_deployed && matches!(to, Pending | Running);
        let keeps = state.state_type == Completed && keeps_result(state);
        if matches!(to, Cancelling | Paused | Crashed) || revives || (runs_twice && !keeps) {
            return Verdict::Abort(format!("Run is already in terminal state {ended_as}."));
        }
        if keeps {
            if !to.is_terminal() {
                let reason = format!("Run is already {ended_as}.");
                return Verdict::Reject(Box::new(state.clone()), reason);
            }
            if let Some(verdict) = loses_result(state, proposed) {
                return verdict;
            }
        }
        if to == Scheduled && !transition.run.is_deployed {
            return Verdict::Abort(
                "Cannot reschedule a run without an associated deployment.".to_owned(),
            );
        }
        Verdict::Accept
    }
    fn effect(&self, transition: &Transition<'_>) -> Option<Effect> {
        let to = transition.proposed.as_ref()?.state_type;
        let again = (to == StateType::Scheduled).then_some(RetryType::Reschedule);
        (!to.is_terminal()).then_some(Effect::BeginAnew(again))
    }
}

/// Lets a task run that is over run again in a further try of its flow, unless its result is kept.
pub struct HandleTaskTerminalStateTransitions;

impl Rule for HandleTaskTerminalStateTransitions {
    fn name(&self) -> &'static str {
        "HandleTaskTerminalStateTransitions"
    }
    fn concerns(&self, from: Option<StateType>, _: Option<StateType>) -> bool {
        from.is_some_and(StateType::is_terminal)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        use StateType::{Cancelling, Completed, Crashed, Paused, Running};
        let (Some(state), Some(proposed)) = (&transition.run.state, &transition.proposed) else {
            return Verdict::Accept;
        };
        if matches!(proposed.state_type, Cancelling | Paused | Crashed) {
            let ended_as = state.state_type.as_str();
            return Verdict::Abort(format!("Run is already {ended_as}."));
        }
        if state.state_type == Completed && keeps_result(state) {
            let reason = "This run is already completed.".to_owned();
            return Verdict::Reject(Box::new(state.clone()), reason);
        }
        let tries = transition.facts.flow_run.map_or(0, |(_, tries)| tries);
        if proposed.state_type == Running && tries > transition.facts.flow_run_run_count {
            return Verdict::Rename("Retrying".to_owned());
        }
        Verdict::Accept
    }
    fn effect(&self, transition: &Transition<'_>) -> Option<Effect> {
        let to = transition.proposed.as_ref()?.state_type;
        (!to.is_terminal()).then_some(Effect::CountTriesAnew)
    }
}

/// Keeps a result that is kept, also from those who insist.
pub struct PreventResultDataLoss;

impl Rule for PreventResultDataLoss {
    fn name(&self) -> &'static str {
        "PreventResultDataLoss"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from == Some(StateType::Completed) && to == from
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let (Some(state), Some(proposed)) = (&transition.run.state, &transition.proposed) else {
            return Verdict::Accept;
        };
        loses_result(state, proposed).unwrap_or(Verdict::Accept)
    }
}

/// Hands a run to one worker only, and takes back nothing that runs or was cancelled.
///
/// A worker that says what it is doing with its own run is no second claim.
pub struct PreventPendingTransitions;

impl Rule for PreventPendingTransitions {
    fn name(&self) -> &'static str {
        "PreventPendingTransitions"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        use StateType::{Cancelled, Cancelling, Pending, Running};
        matches!(from, Some(Pending | Running | Cancelling | Cancelled)) && to == Some(Pending)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let (Some(state), Some(proposed)) = (&transition.run.state, &transition.proposed) else {
            return Verdict::Accept;
        };
        let says_more = proposed.name != state.name && proposed.name != "Pending";
        if state.state_type == StateType::Pending && says_more {
            // The run is due when it was, whatever is said of its claim.
            let mut amended: State = proposed.clone();
            amended.state_details.scheduled_time = state.state_details.scheduled_time;
            return Verdict::Amend(Box::new(amended));
        }
        Verdict::Abort(format!(
            "This run is in a {} state and cannot transition to a PENDING state.",
            state.state_type.as_str()
        ))
    }
}

fn loses_result(state: &State, proposed: &State) -> Option<Verdict> {
    let loses = state.state_type == StateType::Completed
        && proposed.state_type == StateType::Completed
        && keeps_result(state)
        && !keeps_result(proposed);
    loses.then(|| {
        let reason = "Cannot overwrite a COMPLETED state that carries persisted result data with one that does not.";
        Verdict::Reject(Box::new(state.clone()), reason.to_owned())
    })
}

/// Tells whether a state says where its result is kept.
///
/// Clients from 2.20 on send a record of it; what 2.0b3 sends is the result itself.
fn keeps_result(state: &State) -> bool {
    #[derive(serde::Deserialize)]
    struct Record {
        #[serde(default, rename = "type")]
        kind: Option<String>,
        #[serde(default)]
        encoding: Option<serde::de::IgnoredAny>,
    }
    let record = state.data.as_ref().filter(|data| data.is_object());
    record
        .and_then(|data| data.read::<Record>().ok())
        .is_some_and(|record| {
            record.encoding.is_none() && record.kind.as_deref() != Some("unpersisted")
        })
}

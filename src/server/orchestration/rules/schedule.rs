//! Rules about when a run may start.

use super::super::{Rule, Transition, Verdict};
use crate::schemas::{State, StateType, time};

/// Keeps a run from starting before its time, while agents may claim it ahead of it.
///
/// 2.0b3 checks each transition out of SCHEDULED and floors the wait to whole seconds, so the last
/// fraction of a second is let through; later generations check RUNNING only, and round.
pub struct WaitForScheduledTime {
    only_running: bool,
}

impl WaitForScheduledTime {
    /// As 2.0b3 has it.
    pub const FLOORED_ANY: Self = Self {
        only_running: false,
    };
    /// As later generations have it.
    pub const ROUNDED_RUNNING: Self = Self { only_running: true };
}

impl Rule for WaitForScheduledTime {
    fn name(&self) -> &'static str {
        "WaitForScheduledTime"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        use StateType::{Pending, Running, Scheduled};
        if self.only_running {
            matches!(from, Some(Scheduled | Pending)) && to == Some(Running)
        } else {
            from == Some(Scheduled)
        }
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let state = transition.run.state.as_ref();
        let Some(at) = state.and_then(|state| state.state_details.scheduled_time) else {
            return Verdict::Accept;
        };
        let wait = time::seconds(at.0 - transition.now);
        let wait = if self.only_running {
            wait.round()
        } else {
            wait.floor()
        };
        if wait > 0.0 {
            Verdict::Wait(wait as i64, "Scheduled time is in the future".to_owned())
        } else {
            Verdict::Accept
        }
    }
}

/// Marks only what still waits: the run may have been claimed since it was found late.
pub struct EnsureOnlyScheduledFlowsMarkedLate;

impl Rule for EnsureOnlyScheduledFlowsMarkedLate {
    fn name(&self) -> &'static str {
        "EnsureOnlyScheduledFlowsMarkedLate"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from.is_some() && to == Some(StateType::Scheduled)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let (Some(state), Some(proposed)) = (&transition.run.state, &transition.proposed) else {
            return Verdict::Accept;
        };
        if proposed.name != "Late"
            || (state.state_type == StateType::Scheduled && state.name != "Late")
        {
            return Verdict::Accept;
        }
        let reason = match state.state_type {
            StateType::Scheduled => "This flow run is already marked late.",
            _ => "Only scheduled flows can be marked late.",
        };
        Verdict::Reject(Box::new(state.clone()), reason.to_owned())
    }
}

/// Keeps the time of a run that is claimed ahead of it, so that whoever claimed it waits too.
pub struct CopyScheduledTime;

impl Rule for CopyScheduledTime {
    fn name(&self) -> &'static str {
        "CopyScheduledTime"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from == Some(StateType::Scheduled) && to == Some(StateType::Pending)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let state = transition.run.state.as_ref();
        let at = state.and_then(|state| state.state_details.scheduled_time);
        match &transition.proposed {
            Some(proposed) if proposed.state_details.scheduled_time.is_none() && at.is_some() => {
                let mut amended: State = proposed.clone();
                amended.state_details.scheduled_time = at;
                Verdict::Amend(Box::new(amended))
            }
            _ => Verdict::Accept,
        }
    }
}

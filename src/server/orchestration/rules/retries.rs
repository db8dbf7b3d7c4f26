//! Rules that try a failed run again.

use chrono::TimeDelta;

use super::super::{Effect, RetryType, Rule, Transition, Verdict};
use crate::schemas::{State, StateType};

/// Turns a task's failure into a wait for its next try while it has tries left.
pub struct RetryPotentialFailures;

impl Rule for RetryPotentialFailures {
    fn name(&self) -> &'static str {
        "RetryPotentialFailures"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from == Some(StateType::Running) && to == Some(StateType::Failed)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let proposed = transition.proposed.as_ref();
        if proposed.is_some_and(|state| state.state_details.retriable == Some(false)) {
            return Verdict::Accept;
        }
        retry(transition)
    }
}

/// Turns a flow's failure into a wait for its next try while it has tries left.
pub struct RetryFailedFlows;

impl Rule for RetryFailedFlows {
    fn name(&self) -> &'static str {
        "RetryFailedFlows"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from == Some(StateType::Running) && to == Some(StateType::Failed)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        retry(transition)
    }
    fn effect(&self, transition: &Transition<'_>) -> Option<Effect> {
        let is_planned = transition.run.plan.retry_type.is_some();
        is_planned.then_some(Effect::EndRetries)
    }
    /// The process tries again itself, so nobody else may take the run, and its pauses come anew.
    fn effect_of_rejection(&self, _: &Transition<'_>) -> Option<Effect> {
        Some(Effect::BeginAnew(Some(RetryType::InProcess)))
    }
}

fn retry(transition: &Transition<'_>) -> Verdict {
    let run_count = transition.run.record.run_count;
    if run_count > transition.run.retry.retries() {
        return Verdict::Accept;
    }
    let delay = transition
        .run
        .retry
        .delay_seconds(run_count)
        .clamp(0.0, MOST_SECONDS);
    let at = transition.now + TimeDelta::microseconds((delay * 1e6) as i64);
    let failed = transition.proposed.as_ref();
    let mut again = State {
        message: failed.and_then(|state| state.message.clone()),
        data: failed.and_then(|state| state.data.clone()),
        ..State::awaiting_retry(at, transition.now)
    };
    // The process waits with its slot.
    let now = transition.run.state.as_ref();
    again.state_details.deployment_concurrency_lease_id =
        now.and_then(|state| state.state_details.deployment_concurrency_lease_id);
    Verdict::Reject(Box::new(again), "Retrying".to_owned())
}

/// A hundred years; what is longer would leave the calendar.
const MOST_SECONDS: f64 = 100.0 * 365.0 * 86_400.0;

/// Tells in the name that a run is not the first try.
pub struct RenameReruns;

impl Rule for RenameReruns {
    fn name(&self) -> &'static str {
        "RenameReruns"
    }
    fn concerns(&self, _: Option<StateType>, to: Option<StateType>) -> bool {
        to == Some(StateType::Running)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let state = transition.run.state.as_ref();
        // What begins anew after its end counts its tries anew.
        let is_over = state.is_some_and(|state| state.type_to_its_client().is_terminal());
        if transition.run.record.run_count == 0 || is_over {
            return Verdict::Accept;
        }
        let was_retry = transition
            .run
            .state
            .as_ref()
            .is_some_and(|state| state.name == "AwaitingRetry");
        Verdict::Rename(if was_retry { "Retrying" } else { "Rerunning" }.to_owned())
    }
}

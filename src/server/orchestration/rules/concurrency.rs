//! Rules that bound how many task runs of a tag run at once.

use super::super::{Effect, Rule, Transition, Verdict};
use crate::schemas::StateType;

/// Lets a task run enter RUNNING only with a slot of every limit on its tags.
pub struct SecureTaskConcurrencySlots;

impl Rule for SecureTaskConcurrencySlots {
    fn name(&self) -> &'static str {
        "SecureTaskConcurrencySlots"
    }
    fn concerns(&self, _: Option<StateType>, to: Option<StateType>) -> bool {
        to == Some(StateType::Running)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        for limit in &transition.facts.limits {
            if limit.limit == 0 {
                return Verdict::Abort(format!(
                    "The concurrency limit on tag \"{}\" is 0 and will deadlock if the task tries to run again.",
                    limit.tag
                ));
            }
            if !limit.is_held && limit.taken >= limit.limit {
                let reason = format!(
                    "Concurrency limit for the {} tag has been reached",
                    limit.tag
                );
                return Verdict::Wait(transition.facts.slot_wait_seconds, reason);
            }
        }
        Verdict::Accept
    }
    fn effect(&self, transition: &Transition<'_>) -> Option<Effect> {
        let tags: Vec<_> = transition
            .facts
            .limits
            .iter()
            .map(|limit| limit.tag.clone())
            .collect();
        (!tags.is_empty()).then_some(Effect::TakeSlots(tags))
    }
}

/// Gives the slots back when a task run leaves RUNNING, however it does.
pub struct ReleaseTaskConcurrencySlots;

impl Rule for ReleaseTaskConcurrencySlots {
    fn name(&self) -> &'static str {
        "ReleaseTaskConcurrencySlots"
    }
    fn concerns(&self, from: Option<StateType>, to: Option<StateType>) -> bool {
        from == Some(StateType::Running) && to != Some(StateType::Running)
    }
    /// A failure that waits for its retry leaves RUNNING as well.
    fn is_universal(&self) -> bool {
        true
    }
    fn effect(&self, _: &Transition<'_>) -> Option<Effect> {
        Some(Effect::ReleaseSlots)
    }
}

//! Rules that find a task's earlier result again.

use super::super::{Effect, Rule, Transition, Verdict};
use crate::schemas::{State, StateId, StateType};

/// Gives a task the result of an earlier run with the same cache key instead of running it.
pub struct CacheRetrieval;

impl Rule for CacheRetrieval {
    fn name(&self) -> &'static str {
        "CacheRetrieval"
    }
    fn concerns(&self, _: Option<StateType>, to: Option<StateType>) -> bool {
        to == Some(StateType::Running)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let proposed = transition.proposed.as_ref();
        if proposed.is_none_or(|state| state.state_details.refresh_cache == Some(true)) {
            return Verdict::Accept;
        }
        let Some(cached) = &transition.facts.cached else {
            return Verdict::Accept;
        };
        let copy = State {
            id: StateId::new(),
            name: "Cached".to_owned(),
            timestamp: transition.now,
            ..cached.clone()
        };
        Verdict::Reject(Box::new(copy), "Retrieved state from cache".to_owned())
    }
}

/// Characters of a cache key; a longer one is no key that anybody made on purpose.
const LONGEST_KEY: usize = 2000;

/// Lets later runs find a completed task's result by its cache key.
pub struct CacheInsertion;

impl Rule for CacheInsertion {
    fn name(&self) -> &'static str {
        "CacheInsertion"
    }
    fn concerns(&self, _: Option<StateType>, to: Option<StateType>) -> bool {
        to == Some(StateType::Completed)
    }
    fn judge(&self, transition: &Transition<'_>) -> Verdict {
        let proposed = transition.proposed.as_ref();
        let key = proposed.and_then(|state| state.state_details.cache_key.as_deref());
        match (proposed, key) {
            (Some(proposed), Some(key)) if key.chars().count() > LONGEST_KEY => {
                let reason = format!(
                    "Cache key exceeded maximum allowed length of {LONGEST_KEY} characters."
                );
                Verdict::Reject(Box::new(proposed.clone()), reason)
            }
            _ => Verdict::Accept,
        }
    }
    fn effect(&self, transition: &Transition<'_>) -> Option<Effect> {
        let state = transition.proposed.as_ref()?;
        // A result that came from the cache is in it already.
        (state.state_details.cache_key.is_some() && state.name != "Cached")
            .then_some(Effect::InsertCache)
    }
}

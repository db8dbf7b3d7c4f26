//! Each rule alone, as a table: what it is asked, and what it says.

use super::*;
use crate::schemas::time::Instant;
use crate::server::orchestration::rules::cache::{CacheInsertion, CacheRetrieval};
use crate::server::orchestration::rules::concurrency::{
    ReleaseTaskConcurrencySlots, SecureTaskConcurrencySlots,
};
use crate::server::orchestration::rules::retries::{RenameReruns, RetryPotentialFailures};
use crate::server::orchestration::rules::schedule::WaitForScheduledTime;
use crate::server::orchestration::rules::terminal::{
    PreventDuplicateClaims, PreventTransitionsFromTerminalStates,
};
use StateType::{Cancelled, Completed, Failed, Pending, Running, Scheduled};

/// What comes of a proposal under one rule: the answer, the name of the state written, the effects.
fn says(rule: &dyn Rule, run: &Run, proposed: State, facts: &Facts) -> String {
    let walk = walk(&[rule], run, proposed, facts, now());
    let state = walk.state.map_or("-".to_owned(), |state| state.name);
    let mut said = format!("{} {state}", walk.outcome.status());
    for effect in &walk.effects {
        let words = [
            (matches!(effect, Effect::TakeSlots(_)), " takes"),
            (*effect == Effect::ReleaseSlots, " releases"),
            (*effect == Effect::InsertCache, " caches"),
        ];
        words
            .iter()
            .filter(|(is, _)| *is)
            .for_each(|(_, word)| said.push_str(word));
    }
    said
}

fn to(state_type: StateType) -> State {
    State::new(state_type, now())
}

fn keyed(state_type: StateType) -> State {
    let mut state = to(state_type);
    state.state_details.cache_key = Some("key".to_owned());
    state
}

#[test]
fn a_cached_state_is_given_instead_of_running_and_nowhere_else() {
    let facts = Facts {
        cached: Some(to(Completed)),
        ..Facts::default()
    };
    let mut refreshing = keyed(Running);
    refreshing.state_details.refresh_cache = Some(true);
    for (from, proposed, facts, wanted) in [
        (Pending, keyed(Running), &facts, "REJECT Cached"),
        (Scheduled, keyed(Running), &facts, "REJECT Cached"),
        (Pending, refreshing, &facts, "ACCEPT Running"),
        (Pending, keyed(Running), &Facts::default(), "ACCEPT Running"),
        (Running, keyed(Completed), &facts, "ACCEPT Completed"),
    ] {
        let said = says(&CacheRetrieval, &in_state(from), proposed, facts);
        assert_eq!(said, wanted, "from {from:?}");
    }
}

#[test]
fn only_what_completed_under_a_key_is_cached() {
    let mut again = keyed(Completed);
    again.name = "Cached".to_owned();
    for (proposed, wanted) in [
        (keyed(Completed), "ACCEPT Completed caches"),
        (to(Completed), "ACCEPT Completed"),
        (again, "ACCEPT Cached"),
        (keyed(Failed), "ACCEPT Failed"),
        (keyed(Running), "ACCEPT Running"),
    ] {
        let said = says(
            &CacheInsertion,
            &in_state(Running),
            proposed,
            &Facts::default(),
        );
        assert_eq!(said, wanted);
    }
}

#[test]
fn a_slot_of_each_limit_is_needed_to_run() {
    let run = in_state(Pending);
    let limit = |limit: i64, own_slot: bool, others: i64| Limit {
        tag: format!("{limit}"),
        limit,
        taken: others + i64::from(own_slot),
        is_held: own_slot,
    };
    for (limits, proposed, wanted) in [
        (vec![], to(Running), "ACCEPT Running"),
        (
            vec![limit(1, false, 0)],
            to(Running),
            "ACCEPT Running takes",
        ),
        (vec![limit(1, false, 1)], to(Running), "WAIT -"),
        (vec![limit(1, true, 0)], to(Running), "ACCEPT Running takes"),
        (
            vec![limit(3, false, 2), limit(1, false, 1)],
            to(Running),
            "WAIT -",
        ),
        (vec![limit(0, false, 0)], to(Running), "ABORT -"),
        // A limit that was lowered under those who run.
        (vec![limit(1, false, 5)], to(Running), "WAIT -"),
        (vec![limit(1, false, 1)], to(Pending), "ACCEPT Pending"),
    ] {
        let facts = Facts {
            limits,
            ..Facts::default()
        };
        assert_eq!(
            says(&SecureTaskConcurrencySlots, &run, proposed, &facts),
            wanted
        );
    }
}

#[test]
fn slots_are_given_back_by_whoever_leaves_running() {
    for (from, proposed, wanted) in [
        (Running, Completed, "ACCEPT Completed releases"),
        (Running, Failed, "ACCEPT Failed releases"),
        (Running, Scheduled, "ACCEPT Scheduled releases"),
        (Running, Running, "ACCEPT Running"),
        (Pending, Completed, "ACCEPT Completed"),
    ] {
        let run = in_state(from);
        let said = says(
            &ReleaseTaskConcurrencySlots,
            &run,
            to(proposed),
            &Facts::default(),
        );
        assert_eq!(said, wanted, "from {from:?}");
    }
}

#[test]
fn a_failure_is_tried_again_as_often_as_allowed() {
    for (from, proposed, run_count, retries, wanted) in [
        (Running, Failed, 1, 0, "ACCEPT Failed"),
        (Running, Failed, 1, 1, "REJECT AwaitingRetry"),
        (Running, Failed, 2, 1, "ACCEPT Failed"),
        (Running, Completed, 1, 1, "ACCEPT Completed"),
        (Running, Cancelled, 1, 1, "ACCEPT Cancelled"),
        // What never ran cannot run again.
        (Pending, Failed, 0, 1, "ACCEPT Failed"),
        (Running, Failed, 1, i64::MAX, "REJECT AwaitingRetry"),
        (Running, Failed, 1, -1, "ACCEPT Failed"),
    ] {
        let mut run = in_state(from);
        run.record.run_count = run_count;
        run.retry.max_retries = retries;
        run.retry.retry_delay_seconds = f64::MAX;
        let said = says(
            &RetryPotentialFailures,
            &run,
            to(proposed),
            &Facts::default(),
        );
        assert_eq!(said, wanted, "run {run_count} of {retries}");
    }
}

#[test]
fn a_run_that_ran_before_says_so() {
    for (name, run_count, proposed, wanted) in [
        ("Pending", 0, Running, "ACCEPT Running"),
        ("Pending", 1, Running, "ACCEPT Rerunning"),
        ("AwaitingRetry", 1, Running, "ACCEPT Retrying"),
        ("AwaitingRetry", 1, Failed, "ACCEPT Failed"),
    ] {
        let mut run = in_state(Scheduled);
        run.record.run_count = run_count;
        run.state.as_mut().unwrap().name = name.to_owned();
        let said = says(&RenameReruns, &run, to(proposed), &Facts::default());
        assert_eq!(said, wanted, "from {name}");
    }
}

#[test]
fn a_scheduled_run_waits_for_its_time() {
    let at = |seconds| Some(Instant(now() + TimeDelta::seconds(seconds)));
    for (from, scheduled, proposed, wanted) in [
        (Scheduled, at(10), Running, "WAIT -"),
        (Scheduled, at(10), Pending, "WAIT -"),
        (Scheduled, at(10), Cancelled, "WAIT -"),
        (Scheduled, at(-10), Running, "ACCEPT Running"),
        (Scheduled, at(0), Running, "ACCEPT Running"),
        (Scheduled, None, Running, "ACCEPT Running"),
        (Pending, at(10), Running, "ACCEPT Running"),
    ] {
        let mut run = in_state(from);
        run.state.as_mut().unwrap().state_details.scheduled_time = scheduled;
        let rule = WaitForScheduledTime::FLOORED_ANY;
        let said = says(&rule, &run, to(proposed), &Facts::default());
        assert_eq!(said, wanted, "from {from:?} at {scheduled:?}");
    }
}

#[test]
fn what_is_over_stays_so_to_all_but_a_client_that_was_settled_for() {
    for from in [Completed, Failed, Cancelled] {
        let run = in_state(from);
        let rule = PreventTransitionsFromTerminalStates;
        let said = says(&rule, &run, to(Running), &Facts::default());
        assert_eq!(said, "ABORT -", "from {from:?}");
    }
    let mut settled = in_state(Cancelled);
    settled.state.as_mut().unwrap().state_details.settled_from = Some(Running);
    let rule = PreventTransitionsFromTerminalStates;
    let said = says(&rule, &settled, to(Completed), &Facts::default());
    assert_eq!(said, "ACCEPT Completed");
}

#[test]
fn a_deployed_run_is_claimed_once() {
    let named = |name: &str| State {
        name: name.to_owned(),
        ..to(Pending)
    };
    for (from, is_deployed, proposed, wanted) in [
        (Scheduled, true, to(Pending), "ACCEPT Pending"),
        (Pending, true, to(Pending), "ABORT -"),
        (Running, true, to(Pending), "ABORT -"),
        (Pending, true, named("Submitting"), "ACCEPT Submitting"),
        // Nobody takes such a run from a queue.
        (Pending, false, to(Pending), "ACCEPT Pending"),
        (Pending, true, to(Running), "ACCEPT Running"),
    ] {
        let mut run = in_state(from);
        run.is_deployed = is_deployed;
        let said = says(&PreventDuplicateClaims, &run, proposed, &Facts::default());
        assert_eq!(said, wanted, "from {from:?}");
    }
}
